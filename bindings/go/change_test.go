package keystile_test

import (
	"context"
	"errors"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// changing is a lineage of two live keys in a store, and an authenticator that does not read its
// events during a test.
type changing struct {
	store         *scripted
	authenticator *keystile.Authenticator
	old           *keystile.Record
	successor     *keystile.Change
}

func newChanging(t *testing.T) *changing {
	t.Helper()
	store := newScripted(t)
	issuer := &keystile.Issuer{Format: must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))}
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, issuer.Format))
	options := keystile.Options{PollInterval: time.Hour, RevocationBound: 2 * time.Hour}
	authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, options))
	t.Cleanup(func() { _ = authenticator.Close(context.Background()) })
	ctx := context.Background()
	old := must[*keystile.Change](t)(authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme"}))
	rotated := must[*keystile.Change](t)(authenticator.Rotate(ctx, issuer, old.Record.ID, keystile.DefaultRotationPolicy()))
	return &changing{store, authenticator, old.Record, rotated}
}

// What a verb has read is the least that is accepted from then on, also if it had nothing to do: a
// replica that lags answers the next fetch.
func TestAVerbThatChangesNothingAcceptsNoOlderRecord(t *testing.T) {
	for name, verb := range map[string]func(*keystile.Authenticator, keystile.KeyID) (keystile.Outcome, error){
		"change": func(a *keystile.Authenticator, id keystile.KeyID) (keystile.Outcome, error) {
			return a.Change(context.Background(), id, keystile.KeyChange{Owner: keystile.Set("tenant-7")})
		},
		"resume": func(a *keystile.Authenticator, id keystile.KeyID) (keystile.Outcome, error) {
			return a.Resume(context.Background(), id)
		},
	} {
		t.Run(name, func(t *testing.T) {
			world, ctx := newChanging(t), context.Background()
			id := world.successor.Record.ID
			world.store.set(t, "", id)
			// Another process changes the key.
			next := world.store.find(t, id).Clone()
			next.Version, next.Owner = next.Version+1, keystile.Ptr("tenant-7")
			event := keystile.Event{Kind: keystile.EventChanged, KeyID: id, At: time.Now(), Version: next.Version}
			batch := keystile.Batch{Updates: []*keystile.Record{next}, Events: []keystile.Event{event}}
			if err := world.store.tables().Commit(ctx, batch); err != nil {
				t.Fatal(err)
			}
			outcome, err := verb(world.authenticator, id)
			if err != nil || outcome.Changed {
				t.Fatalf("nothing is left to do: %v, %v", outcome, err)
			}
			world.store.set(t, "lags")
			decision, err := world.authenticator.Check(ctx, world.successor.Key.Expose(), keystile.Request{})
			if decision.Allowed() || !errors.Is(err, keystile.ErrStoreUnavailable) {
				t.Errorf("%v, %v", decision, err)
			}
		})
	}
}

// contended is a store to which another writer is faster, once.
type contended struct {
	keystile.Store
	before func()
	tries  int
}

func (c *contended) Commit(ctx context.Context, batch keystile.Batch) error {
	c.tries++
	if before := c.before; before != nil {
		c.before = nil
		before()
	}
	return c.Store.Commit(ctx, batch)
}

// A change of uses concerns the other keys too, but another writer of one of these is no conflict
// with the change. A writer of the changed key is one.
func TestACommittedChangeOfUsesMeetsOtherWriters(t *testing.T) {
	for name, isConflict := range map[string]bool{"of the other key": false, "of the key": true} {
		t.Run(name, func(t *testing.T) {
			world, ctx := newChanging(t), context.Background()
			store := &contended{Store: world.store}
			verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))))
			authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
			defer func() { _ = authenticator.Close(ctx) }()
			id := world.old.ID
			if isConflict {
				id = world.successor.Record.ID
			}
			store.before = func() { _ = must[keystile.Outcome](t)(world.authenticator.Suspend(ctx, id)) }
			change := keystile.KeyChange{Uses: keystile.Set(uint64(3))}
			changed := must[*keystile.Change](t)(keystile.ChangeKey(world.successor.Record, change, time.Now()))
			switch err := authenticator.Commit(ctx, changed); {
			case isConflict && !errors.Is(err, keystile.ErrStale):
				t.Errorf("a conflict: %v", err)
			case !isConflict && err != nil:
				t.Errorf("no conflict: %v", err)
			}
			if expected := map[bool]int{false: 2, true: 1}[isConflict]; store.tries != expected {
				t.Errorf("%d tries", store.tries)
			}
			old := world.store.find(t, world.old.ID)
			if !isConflict && (old.State != keystile.StateSuspended || old.Version != 4 || *old.RemainingUses != 3) {
				t.Errorf("the other key: %+v", old)
			}
			if isConflict && (old.Version != 2 || old.RemainingUses != nil) {
				t.Errorf("nothing is written of the other key: %+v", old)
			}
		})
	}
}
