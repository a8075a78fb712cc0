package keystilesql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"log"
	"os"
	"path/filepath"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
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

	// The pure functions create changes, and the store writes them.
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd", Uses: keystile.Ptr(uint64(1))}, time.Now()))
	fmt.Println(store.Commit(ctx, change.Batch()))
	fmt.Println(errors.Is(store.Commit(ctx, change.Batch()), keystile.ErrDuplicate))

	// A program that checks a key now and then needs no authenticator.
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	for range 2 {
		checked, err := keystile.Check(ctx, store, verifier, change.Key.Expose(), keystile.Request{}, time.Now())
		fmt.Println(checked.Decision, err)
	}
	// Output:
	// <nil>
	// true
	// allowed <nil>
	// uses_spent <nil>
}
