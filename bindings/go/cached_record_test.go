package keystile_test

import (
	"context"
	"errors"
	"fmt"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// record returns the record of the world's key, and how many fetches that took.
func (w *world) fetchedRecord(t testing.TB) (*keystile.Record, int64) {
	t.Helper()
	before := w.store.finds.Load()
	record := must[*keystile.Record](t)(w.authenticator.Record(context.Background(), w.record.ID))
	return record, w.store.finds.Load() - before
}

func TestTheRecordBehindADecision(t *testing.T) {
	now := time.Now()
	world := newWorld(t, keystile.Options{Clock: func() time.Time { return now }},
		func(request *keystile.IssueRequest) { request.Owner = "tenant 7" })
	ctx := context.Background()
	if _, err := world.authenticator.Record(ctx, keystile.KeyID{}); !errors.Is(err, keystile.ErrNotFound) {
		t.Errorf("%v", err)
	}
	world.allowed(t, true)
	for name, invalidate := range map[string]func(){
		"its id":     func() { world.authenticator.Invalidate(world.record.ID) },
		"its owner":  func() { world.authenticator.InvalidateOwner("tenant 7") },
		"everything": world.authenticator.InvalidateAll,
		"versions":   world.authenticator.Reset,
		"its TTL":    func() { now = now.Add(5 * time.Minute) },
	} {
		cached, fetches := world.fetchedRecord(t)
		if cached.ClientName != "Acme Ltd" || fetches != 0 {
			t.Errorf("%s: %v after %d fetches", name, cached, fetches)
		}
		changed := cached.Clone()
		changed.Version++
		world.store.put(changed)
		if same, fetches := world.fetchedRecord(t); same != cached || fetches != 0 {
			t.Errorf("%s: %v after %d fetches", name, same, fetches)
		}
		invalidate()
		if fetched, fetches := world.fetchedRecord(t); fetched.Version != changed.Version || fetches != 1 {
			t.Errorf("%s: %v after %d fetches", name, fetched, fetches)
		}
		world.allowed(t, true)
	}
	world.store.put(must[*keystile.Change](t)(keystile.Revoke(world.record, "", now)).Record)
	world.authenticator.Reset()
	world.allowed(t, false)
	if revoked, fetches := world.fetchedRecord(t); revoked.State != keystile.StateRevoked || fetches != 0 {
		t.Errorf("%v after %d fetches", revoked, fetches)
	}
}

func TestNoRecordIsOlderThanAnInvalidation(t *testing.T) {
	const rounds = 2000
	world := newWorld(t, keystile.Options{}, nil)
	ctx := context.Background()
	var inForce atomic.Uint64
	inForce.Store(world.record.Version)
	var running sync.WaitGroup
	for range 4 {
		running.Add(1)
		go func() {
			defer running.Done()
			for before := uint64(0); before < rounds; {
				before = inForce.Load()
				record, err := world.authenticator.Record(ctx, world.record.ID)
				if err != nil || record.Version < before {
					t.Errorf("%v, %v, after %d", record, err, before)
					return
				}
				world.allowed(t, true)
			}
		}()
	}
	for version := world.record.Version + 1; version <= rounds; version++ {
		changed := world.record.Clone()
		changed.Version = version
		world.store.put(changed)
		world.authenticator.Invalidate(changed.ID)
		inForce.Store(version)
	}
	running.Wait()
}

// cloningStore returns records that count themselves until they are collected.
type cloningStore struct {
	*mapStore
	living atomic.Int64
}

func (s *cloningStore) Find(ctx context.Context, lookup keystile.Lookup) (*keystile.Record, error) {
	record, err := s.mapStore.Find(ctx, lookup)
	if err != nil || record == nil {
		return nil, err
	}
	clone := record.Clone()
	s.living.Add(1)
	runtime.AddCleanup(clone, func(living *atomic.Int64) { living.Add(-1) }, &s.living)
	return clone, nil
}

// settles collects garbage until there are few enough records.
func (s *cloningStore) settles(most int64) error {
	for range 500 {
		runtime.GC()
		if s.living.Load() <= most {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return fmt.Errorf("%d records live; expected at most %d", s.living.Load(), most)
}

func TestRecordsThatAreNoLongerCachedAreCollected(t *testing.T) {
	const keys, rounds, capacity = 16, 200, 4
	world := newWorld(t, keystile.Options{}, nil)
	store := &cloningStore{mapStore: world.store}
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, world.issuer.Format))
	ctx := context.Background()
	func() {
		authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, keystile.Options{Capacity: capacity}))
		issued := make([]*keystile.Change, keys)
		for at := range issued {
			issued[at] = must[*keystile.Change](t)(world.issuer.Issue(keystile.IssueRequest{ClientName: "Acme"}, time.Now()))
			store.put(issued[at].Record)
		}
		for range rounds {
			for _, change := range issued {
				if decision, err := authenticator.Check(ctx, change.Key.Expose(), keystile.Request{}); err != nil || !decision.Allowed() {
					t.Fatal(decision, err)
				}
				_ = must[*keystile.Record](t)(authenticator.Record(ctx, change.Record.ID))
			}
		}
		// Those that are cached, and those that the keyring has not released yet.
		if err := store.settles(keys * rounds / 4); err != nil {
			t.Error(err)
		}
		if store.living.Load() == 0 {
			t.Error("the cached records must live")
		}
		if err := authenticator.Close(ctx); err != nil {
			t.Error(err)
		}
	}()
	if err := store.settles(0); err != nil {
		t.Error(err)
	}
}
