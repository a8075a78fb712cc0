package keystilepgx_test

import (
	"context"
	"database/sql"
	"fmt"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilepgx"
)

// The authenticator is told of each change by another process. If the server cannot be reached, no
// key is allowed.
func ExamplePostgreSQL() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("pgx", "host=/nowhere dbname=keys connect_timeout=1"))
	defer db.Close()
	format := keystile.Must(keystile.StructuredFormat("acme"))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	var store *keystilepgx.Store = keystilepgx.PostgreSQL(db)
	keys := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer keys.Close(ctx)

	issued := keystile.Must((&keystile.Issuer{Format: format}).Issue(keystile.IssueRequest{ClientName: "Acme"}, time.Now()))
	decision, _ := keys.Check(ctx, issued.Key.Expose(), keystile.Request{})
	fmt.Println(decision)
	// Output: store_unavailable
}
