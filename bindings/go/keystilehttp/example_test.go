package keystilehttp_test

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"log"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilehttp"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	_ "modernc.org/sqlite"
)

func Example() {
	ctx := context.Background()
	folder, err := os.MkdirTemp("", "keys")
	if err != nil {
		log.Fatal(err)
	}
	defer os.RemoveAll(folder)
	db, err := sql.Open("sqlite", keystilesql.SQLiteDSN(filepath.Join(folder, "keys.db")))
	if err != nil {
		log.Fatal(err)
	}
	defer db.Close()
	store := keystilesql.SQLite(db)
	if _, err := store.Migrate(ctx); err != nil {
		log.Fatal(err)
	}
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	authenticator := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer authenticator.Close(ctx)
	change := keystile.Must(authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme Ltd", Permissions: []string{"read"}}))

	guard := keystile.Must(keystilehttp.New(authenticator, keystilehttp.Options{}))
	mux := http.NewServeMux()
	mux.Handle("GET /api/profile", guard.Handler(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		key, _ := keystilehttp.KeyFrom(r.Context())
		record, err := key.Record(r.Context())
		if err != nil {
			http.Error(w, "not now", http.StatusServiceUnavailable)
			return
		}
		fmt.Fprintf(w, "hello %s", record.ClientName)
	})))
	mux.Handle("POST /api/data", guard.Require("write")(http.NotFoundHandler()))
	server := httptest.NewServer(mux)
	defer server.Close()

	for _, ask := range []struct{ method, path, key string }{
		{"GET", "/api/profile", change.Key.Expose()},
		{"GET", "/api/profile", ""},
		{"POST", "/api/data", change.Key.Expose()},
	} {
		request, _ := http.NewRequest(ask.method, server.URL+ask.path, nil)
		request.Header.Set("X-API-Key", ask.key)
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			log.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		response.Body.Close()
		fmt.Println(response.StatusCode, string(body))
	}
	// Output:
	// 200 hello Acme Ltd
	// 401 {"error":"API key required","message":"Send an API key in the X-API-Key header or as a Bearer token.","code":"missing_credential"}
	// 403 {"error":"Insufficient permissions","message":"The API key lacks a permission that this needs.","code":"permission_missing","missing":["write"]}
}
