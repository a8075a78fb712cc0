package keystile_test

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

func ExampleCorruptRow() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1) // the database lasts as long as its connection
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	keys := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer func() { _ = keys.Close(ctx) }()
	sound := keystile.Must(keys.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme Ltd"}))
	bad := keystile.Must(keys.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Globex"}))
	// Another program writes what is not a list.
	keystile.Must(db.Exec("UPDATE api_keys SET permissions = 'read' WHERE key_id = ?", bad.Record.ID.String()))
	keys.InvalidateAll()

	decision, err := keys.Check(ctx, bad.Key.Expose(), keystile.Request{})
	var row *keystile.CorruptRow
	fmt.Println(decision, errors.As(err, &row))
	fmt.Println(row.Column, "must be", row.Expected)
	// One damaged row costs one row.
	decision, err = keys.Check(ctx, sound.Key.Expose(), keystile.Request{})
	fmt.Println(decision, err)
	listed := keystile.Must(store.List(ctx, keystile.Filter{}, keystile.Page{Limit: 10}))
	fmt.Println(len(listed.Records), len(listed.Damaged), listed.Damaged[0].KeyID == bad.Record.ID)
	// It can be ended by its id.
	outcome := keystile.Must(keys.Revoke(ctx, bad.Record.ID, "leaked"))
	fmt.Println(outcome.Changed, outcome.Damaged.State)
	// Output:
	// record_damaged true
	// permissions must be a JSON array of rules as a key holds them
	// allowed <nil>
	// 1 1 true
	// true revoked
}

// names returns the clients of all keys in pages of two.
func names(ctx context.Context, store keystile.Store) (names []string, err error) {
	var after keystile.Cursor
	for {
		var listed keystile.Listed
		listed, err = store.List(ctx, keystile.Filter{}, keystile.Page{After: after, Limit: 2})
		if err != nil {
			return nil, err
		}
		for _, record := range listed.Records {
			names = append(names, record.ClientName)
		}
		if after = listed.Next; after.IsZero() {
			return names, nil
		}
	}
}

func ExampleListed() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1) // the database lasts as long as its connection
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	for _, name := range []string{"Acme Ltd", "Globex", "Initech"} {
		change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: name}, time.Now()))
		fmt.Println(store.Commit(ctx, change.Batch()))
	}
	fmt.Println(names(ctx, store))
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// [Acme Ltd Globex Initech] <nil>
}

func ExampleCursor() {
	cursor := keystile.CursorOf(keystile.Must(keystile.ParseKeyID("1AbCdEfGhIjKlMnO")))
	fmt.Println(cursor, cursor == keystile.Must(keystile.ParseCursor(cursor.String())))
	row, known := keystile.CursorAt(7, keystile.KeyID{}).Row()
	fmt.Println(row, known)
	_, err := keystile.ParseCursor("elsewhere")
	fmt.Println(errors.Is(err, keystile.ErrKeyID))
	// Output:
	// 1AbCdEfGhIjKlMnO true
	// 7 true
	// true
}

func ExampleUpkeepStatus() {
	id := keystile.Must(keystile.ParseKeyID("1AbCdEfGhIjKlMnO"))
	at := time.UnixMilli(1_790_000_000_000)
	// What ends a key whose row cannot be read: only its state is written, with an event.
	batch := keystile.Batch{
		Upkeep: []keystile.Upkeep{{KeyID: id, Version: 2, Status: &keystile.UpkeepStatus{State: keystile.StateRevoked, RevokedAt: at, RevokedReason: "leaked"}}},
		Events: []keystile.Event{{Kind: keystile.EventRevoked, KeyID: id, At: at, Version: 2}},
	}
	fmt.Println(batch.Check())
	batch.Upkeep[0].Status.State = keystile.StateActive // it never resumes a key
	fmt.Println(errors.Is(batch.Check(), keystile.ErrRecord))
	// Output:
	// <nil>
	// true
}
