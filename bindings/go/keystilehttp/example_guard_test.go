package keystilehttp_test

import (
	"context"
	"database/sql"
	"fmt"
	"net/http"
	"net/http/httptest"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilehttp"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	_ "modernc.org/sqlite"
)

// A guard on a whole router, and a further requirement on one of its routes.
func ExampleGuard() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1) // the database lasts as long as its connection
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	keys := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer keys.Close(ctx)
	issued := keystile.Must(keys.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme Ltd", Permissions: []string{"read"}}))

	var guard *keystilehttp.Guard = keystile.Must(keystilehttp.New(keys, keystilehttp.Options{}))
	done := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, "done") })
	mux := http.NewServeMux()
	mux.Handle("GET /report", done)
	mux.Handle("POST /report", guard.Require("write")(done))
	handler := guard.Handler(mux)

	for _, method := range []string{"GET", "POST"} {
		request := httptest.NewRequest(method, "/report", nil)
		request.Header.Set("Authorization", "Bearer "+issued.Key.Expose())
		response := httptest.NewRecorder()
		handler.ServeHTTP(response, request)
		fmt.Println(method, response.Code)
	}
	// Output:
	// GET 200
	// POST 403
}

// The handler reads whose key it was.
func ExampleVerifiedKey() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1)
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	keys := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer keys.Close(ctx)
	issued := keystile.Must(keys.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme Ltd", Uses: keystile.Ptr(uint64(2))}))

	guard := keystile.Must(keystilehttp.New(keys, keystilehttp.Options{}))
	hello := guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		var key *keystilehttp.VerifiedKey
		key, _ = keystilehttp.KeyFrom(r.Context())
		decision := key.Decision()
		left, _ := decision.RemainingUses()
		fmt.Println(key.ID() == issued.Record.ID, left)
	}))
	for range 3 {
		request := httptest.NewRequest("GET", "/", nil)
		request.Header.Set("X-API-Key", issued.Key.Expose())
		response := httptest.NewRecorder()
		hello.ServeHTTP(response, request)
		fmt.Println(response.Code)
	}
	_, allowed := keystilehttp.KeyFrom(ctx) // a context that no guard has seen
	fmt.Println(allowed)
	// Output:
	// true 1
	// 200
	// true 0
	// 200
	// 429
	// false
}

// A service that answers refusals with pages of its own, for one environment.
func ExampleOptions() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1)
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	keys := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer keys.Close(ctx)
	issued := keystile.Must(keys.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme Ltd", Environment: "test"}))

	options := keystilehttp.Options{
		Environment: "live",
		Refuse: func(w http.ResponseWriter, r *http.Request, response keystile.Response) {
			http.Error(w, "this needs another key", response.Status)
		},
	}
	guard := keystile.Must(keystilehttp.New(keys, options))
	request := httptest.NewRequest("GET", "/", nil)
	request.Header.Set("X-API-Key", issued.Key.Expose())
	response := httptest.NewRecorder()
	guard.Handler(http.NotFoundHandler()).ServeHTTP(response, request)
	fmt.Println(response.Code, response.Body)
	// Output: 403 this needs another key
}
