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

// inMemory returns an authenticator over new tables in memory, and its issuer.
func inMemory(options keystile.Options) (*keystile.Authenticator, *keystile.Issuer, keystile.Store) {
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1) // the database lasts as long as its connection
	tables := keystilesql.SQLite(db)
	keystile.Must(tables.Migrate(context.Background()))
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	return keystile.Must(keystile.NewAuthenticator(tables, verifier, options)), issuer, tables
}

func ExampleAuthenticator_Delegate() {
	ctx := context.Background()
	authenticator, issuer, store := inMemory(keystile.Options{})
	defer authenticator.Close(ctx)
	request := keystile.IssueRequest{ClientName: "Acme", Permissions: []string{"read", "write"}, Uses: keystile.Ptr(uint64(10))}
	source := keystile.Must(authenticator.Issue(ctx, issuer, request)).Record.ID

	less := keystile.IssueRequest{ClientName: "Acme's shop", Permissions: []string{"write"}, Uses: keystile.Ptr(uint64(4))}
	derived := keystile.Must(authenticator.Delegate(ctx, source, issuer, less)).Record
	fmt.Println(derived.DerivedFrom == source, *keystile.Must(store.Find(ctx, keystile.Lookup{KeyID: source})).RemainingUses)
	less.Permissions = []string{"admin"}
	_, err := authenticator.Delegate(ctx, source, issuer, less)
	fmt.Println(errors.Is(err, keystile.ErrExceeds))

	// A change that takes something from the source says what becomes of the derived keys.
	narrow := keystile.KeyChange{Permissions: keystile.Set([]string{"read"})}
	_, err = authenticator.Change(ctx, source, narrow)
	var exceeding *keystile.ExceedingError
	fmt.Println(errors.As(err, &exceeding) && exceeding.Keys[0] == derived.ID)
	var become keystile.OfDerived = keystile.SuspendDerived
	fmt.Println(keystile.Must(authenticator.ChangeDerived(ctx, source, narrow, become, nil)).Changed)
	// Output:
	// true 6
	// true
	// true
	// true
}

func ExampleAuthenticator_RevokeIf() {
	ctx := context.Background()
	authenticator, issuer, _ := inMemory(keystile.Options{})
	defer authenticator.Close(ctx)
	request := keystile.IssueRequest{ClientName: "Acme", Owner: "tenant-7"}
	source := keystile.Must(authenticator.Issue(ctx, issuer, request)).Record.ID
	keystile.Must(authenticator.Delegate(ctx, source, issuer, keystile.IssueRequest{ClientName: "Acme's shop"}))

	var own keystile.Permit = func(record *keystile.Record, damaged *keystile.CorruptRow) bool {
		return record != nil && record.Owner != nil && *record.Owner == "tenant-8"
	}
	var reach keystile.Reach = keystile.ReachLast
	_, err := authenticator.RevokeIf(ctx, source, "leaked", reach, own)
	fmt.Println(errors.Is(err, keystile.ErrNotFound))
	var ended keystile.Ended = keystile.Must(authenticator.RevokeIf(ctx, source, "leaked", reach, nil))
	fmt.Println(ended.Changed, len(ended.Derived), ended.Left)
	// Output:
	// true
	// true 1 0
}

func ExampleAuthenticator_RevokeAll() {
	ctx := context.Background()
	authenticator, issuer, _ := inMemory(keystile.Options{})
	defer authenticator.Close(ctx)
	for range 3 {
		keystile.Must(authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme", Owner: "tenant-7"}))
	}
	filter := keystile.Filter{Owner: keystile.Ptr("tenant-7")}
	options := keystile.BulkOptions{Reason: "left", DryRun: true}
	fmt.Println(len(keystile.Must(authenticator.RevokeAll(ctx, filter, options)).Changed), "would be revoked")

	options.DryRun = false
	var all keystile.BulkEnded = keystile.Must(authenticator.RevokeAll(ctx, filter, options))
	for _, failure := range all.Failed { // they stop no other key
		var one keystile.BulkFailure = failure
		fmt.Println(one.KeyID, one.Err)
	}
	fmt.Println(all.Count(), "were revoked")

	_, err := authenticator.RevokeAll(ctx, keystile.Filter{}, options)
	fmt.Println("all keys:", errors.Is(err, keystile.ErrRecord))
	// Output:
	// 3 would be revoked
	// 3 were revoked
	// all keys: true
}

func ExampleLifetimePolicy() {
	ctx := context.Background()
	policy := keystile.LifetimePolicy{Default: time.Hour, Longest: 24 * time.Hour}
	authenticator, issuer, _ := inMemory(keystile.Options{Lifetimes: policy})
	defer authenticator.Close(ctx)
	record := keystile.Must(authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme"})).Record
	fmt.Println(record.ExpiresAt.Sub(record.CreatedAt))
	_, err := authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme", NeverExpires: true})
	fmt.Println(errors.Is(err, keystile.ErrTime))
	// Output:
	// 1h0m0s
	// true
}

func ExampleAuthenticator_Prune() {
	ctx := context.Background()
	authenticator, issuer, store := inMemory(keystile.Options{})
	defer authenticator.Close(ctx)
	id := keystile.Must(authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme"})).Record.ID
	_, err := authenticator.Delete(ctx, id)
	fmt.Println("a live key:", errors.Is(err, keystile.ErrState))
	keystile.Must(authenticator.Revoke(ctx, id, "left"))
	fmt.Println(keystile.Must(authenticator.Prune(ctx, time.Now().AddDate(0, 0, -400))), "ended so long ago")
	keystile.Must(authenticator.Delete(ctx, id))
	fmt.Println(keystile.Must(store.Find(ctx, keystile.Lookup{KeyID: id})) == nil)
	// Output:
	// a live key: true
	// 0 ended so long ago
	// true
}

// A batch may rely on what was read: it is written only if that is still so.
func ExampleDerivedLister() {
	ctx := context.Background()
	authenticator, issuer, store := inMemory(keystile.Options{})
	defer authenticator.Close(ctx)
	source := keystile.Must(authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme", Uses: keystile.Ptr(uint64(9))})).Record
	var lister keystile.DerivedLister = store.(keystile.DerivedLister)
	var none keystile.DerivedState = keystile.Must(lister.DerivedState(ctx, source))
	keystile.Must(authenticator.Delegate(ctx, source.ID, issuer, keystile.IssueRequest{ClientName: "Shop", Uses: keystile.Ptr(uint64(1))}))

	batch := keystile.Batch{
		Unchanged: []keystile.KeyVersion{{KeyID: source.ID, Version: 1}},
		TakeUses:  []keystile.TakenUses{{Lineage: source.ID, Uses: 8}},
	}
	stale := batch
	stale.Derived = []keystile.DerivedState{none}
	fmt.Println(errors.Is(store.Commit(ctx, stale), keystile.ErrStale))
	fmt.Println(store.Commit(ctx, batch), *keystile.Must(store.Find(ctx, keystile.Lookup{KeyID: source.ID})).RemainingUses)
	fmt.Println(len(keystile.Must(lister.Derived(ctx, source.ID, time.Now())).Records))
	// Output:
	// true
	// <nil> 0
	// 1
}
