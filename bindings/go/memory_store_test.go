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
	found := keystile.Must(store.Find(ctx, lookup))
	found.ClientName, *found.Owner = "Other", "two"
	found = keystile.Must(store.Find(ctx, lookup))
	if found.State != keystile.StateActive || *found.Owner != "one" || found.ClientName != "Acme" {
		t.Errorf("%+v", found)
	}
}

// Nor what it does to an event: the audit stays as it was written.
func TestTheMemoryStoreSharesNoEvent(t *testing.T) {
	ctx, store := context.Background(), keystile.NewMemoryStore()
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme"}, time.Now()))
	text := func() *string { return keystile.Ptr("so") }
	event := *change.Event
	event.Reason, event.Actor, event.Origin = text(), text(), text()
	event.Changes = []keystile.FieldChange{{Field: "owner", From: text(), To: text()}}
	if err := store.Commit(ctx, keystile.Batch{Inserts: []*keystile.Record{change.Record}, Events: []keystile.Event{event}}); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		*event.Reason, *event.Actor, *event.Origin, *event.Changes[0].From, *event.Changes[0].To, event.Changes[0].Field = "a", "b", "c", "d", "e", "f"
		event = keystile.Must(store.Events(ctx, keystile.KeyID{}, 0, 9))[0].Event
		for _, part := range []string{*event.Reason, *event.Actor, *event.Origin, *event.Changes[0].From, *event.Changes[0].To} {
			if part != "so" {
				t.Errorf("%q is in the audit", part)
			}
		}
		if event.Changes[0].Field != "owner" {
			t.Error(event.Changes)
		}
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
