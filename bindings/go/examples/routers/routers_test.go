package routers_test

import (
	"context"
	"database/sql"
	"io"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/examples/routers"
	"github.com/keystile/keystile/bindings/go/keystilehttp"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	_ "modernc.org/sqlite"
)

func TestEachRouterIsGuarded(t *testing.T) {
	for name, routes := range map[string]func(*keystilehttp.Guard) http.Handler{
		"ServeMux": routers.ServeMux, "chi": routers.Chi, "gin": routers.Gin,
	} {
		t.Run(name, func(t *testing.T) { guarded(t, routes) })
	}
}

func guarded(t *testing.T, routes func(*keystilehttp.Guard) http.Handler) {
	ctx := context.Background()
	db, err := sql.Open("sqlite", keystilesql.SQLiteDSN(filepath.Join(t.TempDir(), "keys.db")))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store := keystilesql.SQLite(db)
	if _, err := store.Migrate(ctx); err != nil {
		t.Fatal(err)
	}
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	authenticator := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer func() {
		if err := authenticator.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	rules := keystile.Must(keystile.NewEndpointRules("/api/profile/*", "/api/data/*"))
	change, err := authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme", Permissions: []string{"read"}, Endpoints: rules})
	if err != nil {
		t.Fatal(err)
	}
	guard, err := keystilehttp.New(authenticator, keystilehttp.Options{})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(routes(guard))
	defer server.Close()
	for _, one := range []struct {
		method, path, key string
		status            int
		text              string
	}{
		{"GET", "/api/profile/me", change.Key.Expose(), 200, "hello Acme"},
		{"GET", "/api/profile/me", "", 401, "missing_credential"},
		{"POST", "/api/data/7", change.Key.Expose(), 403, `"missing":["write"]`},
		{"POST", "/api/data/7", "", 401, "missing_credential"},
		{"GET", "/api/profile/%6de", change.Key.Expose(), 403, "path_not_canonical"},
		{"GET", "/api/profile/a;b", change.Key.Expose(), 403, "path_not_canonical"},
	} {
		request, err := http.NewRequest(one.method, server.URL+one.path, nil)
		if err != nil {
			t.Fatal(err)
		}
		if one.key != "" {
			request.Header.Set("X-API-Key", one.key)
		}
		response, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		body, _ := io.ReadAll(response.Body)
		_ = response.Body.Close()
		if response.StatusCode != one.status || !strings.Contains(string(body), one.text) {
			t.Errorf("%s %s: %d %s", one.method, one.path, response.StatusCode, body)
		}
	}
}
