package keystile_test

import (
	"context"
	"fmt"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// table is what an authenticator needs of a custom store: it finds records. It also notes
// uses, which is optional.
type table map[keystile.KeyID]*keystile.Record

var (
	_ keystile.RecordFinder = table{}
	_ keystile.UseNoter     = table{}
)

// Find looks for structured keys, which are found by their id.
func (t table) Find(_ context.Context, lookup keystile.Lookup) (*keystile.Record, error) {
	return t[lookup.KeyID], nil // nil if there is no such key: it is refused
}

// NoteUses prints what a database would write.
func (t table) NoteUses(_ context.Context, uses []keystile.Use) error {
	for _, use := range uses {
		fmt.Println(t[use.KeyID].ClientName, "used its key", use.Count, "times")
	}
	return nil
}

func ExampleRecordFinder() {
	ctx := context.Background()
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	kept := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, time.Now()))
	lost := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Globex"}, time.Now()))
	store := table{kept.Record.ID: kept.Record}

	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	keys := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	for _, key := range []keystile.APIKey{kept.Key, kept.Key, lost.Key} {
		decision, err := keys.Check(ctx, key.Expose(), keystile.Request{})
		fmt.Println(decision, err)
	}
	fmt.Println(keys.Close(ctx)) // writes the last uses
	// Output:
	// allowed <nil>
	// allowed <nil>
	// invalid_key <nil>
	// Acme Ltd used its key 2 times
	// <nil>
}
