package keystile_test

import (
	"context"
	"errors"
	"sync"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// feedStore returns the events of its records.
type feedStore struct {
	*mapStore
	telling sync.Mutex
	events  []keystile.NumberedEvent
}

func (f *feedStore) Events(_ context.Context, _ keystile.KeyID, after uint64, _ int) ([]keystile.NumberedEvent, error) {
	f.telling.Lock()
	defer f.telling.Unlock()
	for at, event := range f.events {
		if event.Number > after {
			return append([]keystile.NumberedEvent{}, f.events[at:]...), nil
		}
	}
	return nil, nil
}

func (f *feedStore) LastEvent(context.Context) (uint64, error) {
	f.telling.Lock()
	defer f.telling.Unlock()
	if len(f.events) == 0 {
		return 0, nil
	}
	return f.events[len(f.events)-1].Number, nil
}

func (f *feedStore) tell(numbers ...uint64) {
	f.telling.Lock()
	defer f.telling.Unlock()
	f.events = nil
	for _, number := range numbers {
		f.events = append(f.events, keystile.NumberedEvent{Number: number})
	}
}

// A store that was restored from a backup has fewer events than before.
func TestAStoreRestoredFromABackupIsNoticed(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	store := &feedStore{mapStore: world.store}
	store.tell(5, 6, 7)
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, world.issuer.Format))
	authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, keystile.Options{PollInterval: time.Millisecond}))
	defer func() { _ = authenticator.Close(context.Background()) }()
	allowed := func() bool {
		decision, _ := authenticator.Check(context.Background(), world.key, keystile.Request{})
		return decision.Allowed()
	}
	until(t, func() bool { return authenticator.Stats().Invalidations > 0 && allowed() })
	before := authenticator.Stats().Invalidations
	// The key was suspended before the backup was made, without an event.
	suspended := must[*keystile.Change](t)(keystile.Suspend(world.record, time.Now()))
	store.put(suspended.Record)
	if !allowed() {
		t.Fatal("by the record that is kept")
	}
	store.tell(5)
	until(t, func() bool { return authenticator.Stats().Invalidations > before && !allowed() })
}

// The records of a backup are older than the cached ones, but are accepted.
func TestTheOlderRecordsOfABackupAreAccepted(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	store := &feedStore{mapStore: world.store}
	store.tell(5, 6, 7)
	suspended := must[*keystile.Change](t)(keystile.Suspend(world.record, time.Now()))
	resumed := must[*keystile.Change](t)(keystile.Resume(suspended.Record, time.Now()))
	store.put(resumed.Record)
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, world.issuer.Format))
	authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, keystile.Options{PollInterval: time.Millisecond}))
	defer func() { _ = authenticator.Close(context.Background()) }()
	check := func() (bool, error) {
		decision, err := authenticator.Check(context.Background(), world.key, keystile.Request{})
		return decision.Allowed(), err
	}
	allowed := func() bool { allowed, _ := check(); return allowed }
	until(t, func() bool { return authenticator.Stats().Invalidations > 0 && allowed() })
	before := authenticator.Stats().Invalidations
	store.put(world.record)
	store.tell(5)
	until(t, func() bool { return authenticator.Stats().Invalidations > before })
	if allowed, err := check(); !allowed {
		t.Errorf("refused: %v", err)
	}
	// The caller may be the first to know of it.
	store.put(resumed.Record)
	authenticator.Invalidate(world.record.ID)
	if !allowed() {
		t.Error("a newer one")
	}
	store.put(world.record)
	authenticator.Reset()
	if allowed, err := check(); !allowed {
		t.Errorf("refused: %v", err)
	}
}

// The key was not cached when it was revoked, and a replica that lags answers the next fetch.
func TestAnOlderRecordIsNotAcceptedAfterInvalidateAt(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	allowed := func() bool {
		decision, _ := world.authenticator.Check(context.Background(), world.key, keystile.Request{})
		return decision.Allowed()
	}
	suspended := must[*keystile.Change](t)(keystile.Suspend(world.record, time.Now()))
	world.authenticator.InvalidateAt(world.record.ID, suspended.Record.Version)
	// An event that is read late.
	world.authenticator.InvalidateAt(world.record.ID, world.record.Version)
	decision, err := world.authenticator.Check(context.Background(), world.key, keystile.Request{})
	if decision.Allowed() || !errors.Is(err, keystile.ErrStoreUnavailable) {
		t.Fatalf("%v, %v", decision, err)
	}
	resumed := must[*keystile.Change](t)(keystile.Resume(suspended.Record, time.Now()))
	world.store.put(resumed.Record)
	if !allowed() {
		t.Error("a newer record")
	}
	if lost := world.authenticator.Stats().VersionsLost; lost != 0 {
		t.Errorf("%d versions are lost", lost)
	}
}

// The events of another process have the versions, and one without a key invalidates all.
func TestEventsBringVersionsAndInvalidateAll(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	store := &feedStore{mapStore: world.store}
	store.tell(5)
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, world.issuer.Format))
	authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, keystile.Options{PollInterval: time.Millisecond}))
	defer func() { _ = authenticator.Close(context.Background()) }()
	check := func() (bool, error) {
		decision, err := authenticator.Check(context.Background(), world.key, keystile.Request{})
		return decision.Allowed(), err
	}
	allowed := func() bool { allowed, _ := check(); return allowed }
	until(t, func() bool { return authenticator.Stats().Invalidations > 0 && allowed() })
	// For many keys at once.
	suspended := must[*keystile.Change](t)(keystile.Suspend(world.record, time.Now()))
	store.put(suspended.Record)
	store.tell(5, 6)
	until(t, func() bool { return !allowed() })
	// For this key, and the store is a replica that lags.
	store.telling.Lock()
	event := keystile.Event{Kind: keystile.EventResumed, KeyID: world.record.ID, Version: suspended.Record.Version + 1}
	store.events = append(store.events, keystile.NumberedEvent{Number: 7, Event: event})
	store.telling.Unlock()
	until(t, func() bool { _, err := check(); return errors.Is(err, keystile.ErrStoreUnavailable) })
	store.put(must[*keystile.Change](t)(keystile.Resume(suspended.Record, time.Now())).Record)
	until(t, allowed)
}

func until(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came to hold")
		}
	}
}
