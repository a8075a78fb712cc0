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

func ExampleStore() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1) // the database lasts as long as its connection
	defer db.Close()
	tables := keystilesql.SQLite(db)
	keystile.Must(tables.Migrate(ctx))
	var store keystile.Store = tables // or a custom one

	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	for _, name := range []string{"Acme Ltd", "Globex", "Initech"} {
		change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: name}, time.Now()))
		fmt.Println(store.Commit(ctx, change.Batch()))
	}
	page := keystile.Page{Limit: 2}
	for {
		listed := keystile.Must(store.List(ctx, keystile.Filter{}, page))
		for _, record := range listed.Records {
			fmt.Println(record.ClientName)
		}
		for _, row := range listed.Damaged { // one damaged row does not stop the list
			fmt.Println(row.KeyID, row.Column, row.Expected)
		}
		if page.After = listed.Next; page.After.IsZero() {
			break
		}
	}
	some := keystile.Filter{ClientName: keystile.Ptr("ACME LTD")} // case matters
	fmt.Println(len(keystile.Must(store.List(ctx, some, keystile.Page{Limit: 2})).Records))
	some = keystile.Filter{Status: keystile.KeyStatus("active"), EndsBefore: time.Now().AddDate(0, 0, 30)}
	fmt.Println(len(keystile.Must(store.List(ctx, some, keystile.Page{Limit: 2})).Records))
	var order keystile.Sort = keystile.SortEnds // the one that ends first comes first
	fmt.Println(keystile.Must(store.List(ctx, keystile.Filter{}, keystile.Page{Limit: 1, Sort: order})).Records[0].ClientName)
	page.After = keystile.Must(keystile.ParseCursor("1QJ4bo0RE6F7ptpH"))
	_, err := store.List(ctx, keystile.Filter{}, page)
	fmt.Println(errors.Is(err, keystile.ErrNotFound))
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// Acme Ltd
	// Globex
	// Initech
	// 0
	// 0
	// Acme Ltd
	// true
}

func ExampleEventSource() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1)
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	issued := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now))
	revoked := keystile.Must(keystile.Revoke(issued.Record, "leaked", now))
	for _, change := range []*keystile.Change{issued, revoked} {
		fmt.Println(store.Commit(ctx, change.Batch()))
	}

	var source keystile.EventSource = store
	line := func(event keystile.NumberedEvent) string { return fmt.Sprint(event.Number, " ", event.Kind) }
	var last uint64
	for {
		events := keystile.Must(source.Events(ctx, keystile.KeyID{}, last, 100))
		if len(events) == 0 {
			break
		}
		for _, event := range events {
			fmt.Println(line(event))
			last = event.Number
		}
	}
	// Output:
	// <nil>
	// <nil>
	// 1 issued
	// 2 revoked
}

func ExampleSpendRequest() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1)
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	issued := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd", Uses: keystile.Ptr(uint64(5))}, now))
	fmt.Println(store.Commit(ctx, issued.Batch()))

	var usages keystile.UsageStore = store
	before := keystile.Must(usages.Usage(ctx, issued.Record.ID)).Usage
	var request keystile.SpendRequest = keystile.SpendRequestOf(issued.Record, before, keystile.Usage{Remaining: keystile.Ptr(uint64(4))})
	fmt.Println(usages.Spend(ctx, request))
	fmt.Println(usages.Spend(ctx, request)) // another request was faster: decide again
	// Output:
	// <nil>
	// true <nil>
	// false <nil>
}

func ExampleStoredUsage() {
	limit := keystile.Must(keystile.NewRateLimit(2, time.Second))
	here := now.Add(3 * time.Minute) // the clock of this process is ahead of the server's
	stored := keystile.StoredUsage{Clock: now}

	usage := keystile.Must(stored.SeenAt(&limit, here))
	_, admitted, err := limit.Admit(&usage.Rate, here)
	fmt.Println(admitted, err)
	written := keystile.Must(stored.WrittenAt(&limit, usage, here))
	fmt.Println(written.Rate.FullAt().Sub(now)) // in the server's time
	// Output:
	// true <nil>
	// 500ms
}

func ExampleRateNote() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1)
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	issued := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now))
	fmt.Println(store.Commit(ctx, issued.Batch()))

	limit := keystile.Must(keystile.NewRateLimit(10, time.Hour))
	var once, twice keystile.RateState
	_, _, _ = limit.Admit(&once, now)
	twice = once
	_, _, _ = limit.Admit(&twice, now)
	for _, state := range []keystile.RateState{twice, once} {
		note := keystile.RateNote{Lineage: issued.Record.ID, State: state, Reach: time.Hour}
		fmt.Println(store.NoteRates(ctx, []keystile.RateNote{note}, now))
	}
	stored, err := store.Usage(ctx, issued.Record.ID)
	fmt.Println(stored.Rate == twice, err) // nothing that was spent is given back
	// Output:
	// <nil>
	// <nil>
	// <nil>
	// true <nil>
}

func ExampleChecked() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1)
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	issued := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now))

	check := func() (keystile.Checked, error) {
		return keystile.Check(ctx, store, verifier, issued.Key.Expose(), keystile.Request{}, now)
	}
	checked := keystile.Must(check())
	fmt.Println(checked.Decision, checked.Record == nil) // it was not stored yet
	fmt.Println(store.Commit(ctx, issued.Batch()))
	checked = keystile.Must(check())
	fmt.Println(checked.Decision, checked.Record.ClientName)
	// Output:
	// invalid_key true
	// <nil>
	// allowed Acme Ltd
}

func ExampleOptions() {
	verifier := keystile.Must(keystile.NewVerifier(nil, keystile.Must(keystile.StructuredFormat("acme"))))
	store := table{} // as in the example of RecordFinder
	options := keystile.Options{Capacity: 1_000_000, TTL: time.Minute, StoreTimeout: 2 * time.Second}
	keys, err := keystile.NewAuthenticator(store, verifier, options)
	fmt.Println(err, keys.Close(context.Background()))

	options.TTL = 48 * time.Hour
	_, err = keystile.NewAuthenticator(store, verifier, options)
	fmt.Println(errors.Is(err, keystile.ErrLimit))
	// Output:
	// <nil> <nil>
	// true
}

func ExampleStats() {
	ctx := context.Background()
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	store := table{} // as in the example of RecordFinder; it has no record
	keys := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer keys.Close(ctx)
	unknown := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, time.Now())).Key.Expose()
	for range 3 {
		decision, _ := keys.Check(ctx, unknown, keystile.Request{})
		fmt.Println(decision)
	}
	var stats keystile.Stats = keys.Stats()
	fmt.Println(stats.Fetches, stats.AbsentHits, stats.Entries) // the store was asked only once
	// Output:
	// invalid_key
	// invalid_key
	// invalid_key
	// 1 2 0
}

func ExampleOutcome() {
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

	id := keystile.Must(keys.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme Ltd"})).Record.ID
	for _, reason := range []string{"leaked in a log", "another reason"} {
		var outcome keystile.Outcome = keystile.Must(keys.Revoke(ctx, id, reason))
		fmt.Println(outcome.Changed, outcome.Record.RevokedReason)
	}
	_, err := keys.Resume(ctx, id)
	fmt.Println(errors.Is(err, keystile.ErrState)) // a revocation is final
	// Output:
	// true leaked in a log
	// false leaked in a log
	// true
}

func ExampleAuthenticator() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1)
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	keys := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))

	issued := keystile.Must(keys.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme Ltd", Permissions: []string{"read"}}))
	for _, permission := range []string{"read", "write"} {
		request := keystile.Request{Requirement: keystile.Must(keystile.ParseRequirement(permission))}
		decision, err := keys.Check(ctx, issued.Key.Expose(), request)
		fmt.Println(decision, decision.Missing(), err)
	}
	fmt.Println(keys.Close(ctx)) // from now on it decides nothing
	decision, err := keys.Check(ctx, issued.Key.Expose(), keystile.Request{})
	fmt.Println(decision, errors.Is(err, keystile.ErrStoreUnavailable))
	// Output:
	// allowed [] <nil>
	// permission_missing [write] <nil>
	// <nil>
	// store_unavailable true
}
