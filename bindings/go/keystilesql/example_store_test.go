package keystilesql_test

import (
	"context"
	"database/sql"
	"fmt"

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
