package keystilesql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	_ "modernc.org/sqlite"
)

func ExampleStore() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1) // the database lasts as long as its connection
	defer db.Close()
	var store *keystilesql.Store = keystilesql.SQLite(db)
	fmt.Println(store.RequireTables(ctx)) // it creates none

	fmt.Println(keystile.Must(store.Migrate(ctx)) > 0)
	fmt.Println(store.Migrate(ctx)) // nothing is left to do
	fmt.Println(store.LastEvent(ctx))
	// Output:
	// keystile: the database has no tables of keystile
	// true
	// 0 <nil>
	// 0 <nil>
}

func ExampleStore_CommitIn() {
	ctx, now := context.Background(), time.UnixMilli(1_790_000_000_000)
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1) // the database lasts as long as its connection
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	keystile.Must(db.Exec("CREATE TABLE orders (key_id TEXT NOT NULL)"))

	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	issued := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now))
	lookup := keystile.Lookup{KeyID: issued.Record.ID}

	order := func(keyID any) error {
		tx, err := db.BeginTx(ctx, nil)
		if err != nil {
			return err
		}
		defer tx.Rollback() // does nothing after a commit
		if err := store.CommitIn(ctx, tx, issued.Batch()); err != nil {
			return err
		}
		if _, err := tx.ExecContext(ctx, "INSERT INTO orders VALUES (?)", keyID); err != nil {
			return err
		}
		return tx.Commit()
	}
	isSaved := func() bool {
		record := keystile.Must(store.Find(ctx, lookup))
		return record != nil
	}

	fmt.Println(order(nil) != nil, isSaved()) // the order is refused, so no key is issued
	fmt.Println(order(issued.Record.ID.String()), isSaved())
	fmt.Println(errors.Is(order("again"), keystile.ErrDuplicate))
	// Output:
	// true false
	// <nil> true
	// true
}
