package keystile_test

import (
	"context"
	"errors"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/storetest"
)

func TestTheMemoryStoreIsAStore(t *testing.T) {
	storetest.Run(t, func(*testing.T) keystile.Store { return keystile.NewMemoryStore() })
}

func TestTheMemoryStoreKeepsTemplates(t *testing.T) {
	storetest.RunTemplates(t, func(*testing.T) keystile.TemplateStore { return new(keystile.MemoryStore) })
}

func TestTheMemoryStoreMovesKeys(t *testing.T) {
	storetest.RunPortable(t, func(*testing.T) keystile.PortableStore { return new(keystile.MemoryStore) })
}

func TestTheMemoryStoreRemembersRequests(t *testing.T) {
	storetest.RunRequests(t, func(*testing.T) keystile.RequestStore { return new(keystile.MemoryStore) })
}

// What a caller does to a record that it has stored or read changes nothing in the store.
func TestTheMemoryStoreSharesNoRecord(t *testing.T) {
	ctx, store := context.Background(), keystile.NewMemoryStore()
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme", Owner: "one"}, time.Now()))
	if err := store.Commit(ctx, change.Batch()); err != nil {
		t.Fatal(err)
	}
	lookup := keystile.Lookup{KeyID: change.Record.ID}
	change.Record.State, *change.Record.Owner = keystile.StateRevoked, "two"
	keystile.Must(store.Find(ctx, lookup)).ClientName = "Other"
	found := keystile.Must(store.Find(ctx, lookup))
	if found.State != keystile.StateActive || *found.Owner != "one" || found.ClientName != "Acme" {
		t.Errorf("%+v", found)
	}
}

func TestTheMemoryStoreHeedsItsContext(t *testing.T) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	_, err := keystile.NewMemoryStore().Find(ctx, keystile.Lookup{})
	if !errors.Is(err, keystile.ErrStoreUnavailable) || !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
}
