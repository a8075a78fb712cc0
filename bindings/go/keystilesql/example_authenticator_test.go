package keystilesql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	_ "modernc.org/sqlite"
)

// An authenticator over a store can change keys; changes are in force when the methods
// return.
func Example_authenticator() {
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

	old := keystile.Must(authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme Ltd"}))
	fresh := keystile.Must(authenticator.Rotate(ctx, issuer, old.Record.ID, keystile.DefaultRotationPolicy()))
	for _, key := range []keystile.APIKey{old.Key, fresh.Key} {
		decision, err := authenticator.Check(ctx, key.Expose(), keystile.Request{})
		_, _, replaced := decision.Replacement()
		fmt.Println(decision, replaced, err)
	}
	keystile.Must(authenticator.Revoke(ctx, old.Record.ID, "all clients have moved"))
	decision, _ := authenticator.Check(ctx, old.Key.Expose(), keystile.Request{})
	fmt.Println(errors.Is(decision.Err(), keystile.ErrKeyRevoked))
	// Output:
	// allowed true <nil>
	// allowed false <nil>
	// true
}
