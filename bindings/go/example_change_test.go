package keystile_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

func ExampleChangeKey() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	request := keystile.IssueRequest{ClientName: "Acme", Permissions: []string{"read"}}
	record := keystile.Must(issuer.Issue(request, now)).Record
	upgrade := keystile.KeyChange{
		AddPermissions: []string{"write"},
		RateLimit:      keystile.Set(keystile.Must(keystile.NewRateLimit(5000, time.Hour))),
	}
	changed := keystile.Must(keystile.ChangeKey(record, upgrade, now))
	for _, change := range changed.Event.Changes {
		fmt.Println(change.Field, "to", *change.To)
	}
	// The same again changes nothing, and a revoked key is not changed.
	_, err := keystile.ChangeKey(changed.Record, upgrade, now)
	fmt.Println(errors.Is(err, keystile.ErrState))
	revoked := keystile.Must(keystile.Revoke(record, "leaked", now)).Record
	_, err = keystile.ChangeKey(revoked, upgrade, now)
	fmt.Println(errors.Is(err, keystile.ErrState))
	// Output:
	// permissions to read, write
	// rate_limit to 5000 in 3600000 ms, burst 5000
	// true
	// true
}

func ExampleKeyChange() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	record := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme", Owner: "tenant-1"}, now)).Record
	var change keystile.KeyChange // changes nothing
	fmt.Println(keystile.Must(change.Alters(record, now)))
	change.Owner = keystile.Clear[string]()
	fmt.Println(keystile.Must(keystile.ChangeKey(record, change, now)).Record.Owner == nil)
	change.Uses = keystile.Set(uint64(0)) // suspend the key instead
	_, err := keystile.ChangeKey(record, change, now)
	fmt.Println(errors.Is(err, keystile.ErrLimit))
	// Output:
	// false
	// true
	// true
}

func ExampleEdit() {
	var owner keystile.Edit[string]
	fmt.Println(owner.IsZero())
	owner = keystile.Set("tenant-7")
	fmt.Println(owner.Value())
	owner = keystile.Clear[string]()
	_, isSet := owner.Value()
	fmt.Println(owner.IsZero(), isSet)
	// Output:
	// true
	// tenant-7 true
	// false false
}

func ExampleAuthenticator_ChangeIf() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1) // the database lasts as long as its connection
	defer db.Close()
	tables := keystilesql.SQLite(db)
	keystile.Must(tables.Migrate(ctx))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	authenticator := keystile.Must(keystile.NewAuthenticator(tables, verifier, keystile.Options{}))
	defer authenticator.Close(ctx)

	request := keystile.IssueRequest{ClientName: "Acme", Uses: keystile.Ptr(uint64(10))}
	id := keystile.Must(authenticator.Issue(ctx, issuer, request)).Record.ID
	more := keystile.KeyChange{Uses: keystile.Set(uint64(1000))}
	outcome := keystile.Must(authenticator.Change(ctx, id, more))
	fmt.Println(outcome.Changed, *outcome.Record.RemainingUses)

	// Only over the version that the caller has seen.
	stale := errors.New("the key was changed meanwhile")
	_, err := authenticator.ChangeIf(ctx, id, keystile.KeyChange{Owner: keystile.Set("tenant-7")},
		func(before, after *keystile.Record) error {
			if before.Version != 1 {
				return stale
			}
			return nil
		})
	fmt.Println(errors.Is(err, stale))
	// Output:
	// true 1000
	// true
}
