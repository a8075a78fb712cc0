package keystile_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// leasedStore is a store whose reads of events fail or wait as a test requires.
type leasedStore struct {
	*feedStore
	failing atomic.Bool
	reads   atomic.Int64
	gate    sync.RWMutex
}

func (s *leasedStore) Events(ctx context.Context, id keystile.KeyID, after uint64, limit int) ([]keystile.NumberedEvent, error) {
	if s.failing.Load() {
		return nil, errors.New("cut off")
	}
	events, err := s.feedStore.Events(ctx, id, after, limit)
	s.reads.Add(1)
	s.gate.RLock()
	defer s.gate.RUnlock()
	return events, err
}

// leased is an authenticator over such a store, which has read the changes and caches a key.
type leased struct {
	*world
	store *leasedStore
	clock atomic.Uint64
}

func newLeased(t *testing.T, options keystile.Options, scripted bool) *leased {
	t.Helper()
	world := newWorld(t, keystile.Options{}, nil)
	own := &leased{world: world, store: &leasedStore{feedStore: &feedStore{mapStore: world.store}}}
	own.clock.Store(uint64(time.Hour))
	options.PollInterval = time.Millisecond
	if scripted {
		options = keystile.WithLeaseClock(options, own.clock.Load)
	}
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, world.issuer.Format))
	world.authenticator = must[*keystile.Authenticator](t)(keystile.NewAuthenticator(own.store, verifier, options))
	t.Cleanup(func() { _ = world.authenticator.Close(context.Background()) })
	until(t, func() bool { return own.store.reads.Load() > 0 })
	world.allowed(t, true)
	return own
}

func (l *leased) pass(span time.Duration) { l.clock.Add(uint64(span)) }

// cutOff makes reads of events fail, and waits until none is under way.
func (l *leased) cutOff(t *testing.T) {
	t.Helper()
	l.store.failing.Store(true)
	for last := int64(-1); last != l.store.reads.Load(); time.Sleep(20 * time.Millisecond) {
		last = l.store.reads.Load()
	}
}

func TestMemoryAnswersUntilTheRevocationBound(t *testing.T) {
	for _, test := range []struct {
		options keystile.Options
		usable  time.Duration
	}{
		{keystile.Options{}, time.Minute},
		{keystile.Options{RevocationBound: 2 * time.Second}, 2 * time.Second},
		{keystile.Options{ServeStale: time.Hour}, time.Hour},
	} {
		world := newLeased(t, test.options, true)
		world.cutOff(t)
		world.world.store.before = func(context.Context) error { return errors.New("down") }
		world.pass(test.usable)
		world.allowed(t, true)
		stats := world.authenticator.Stats()
		if stale := test.options.ServeStale != 0; stats.BoundExceeded != stale || (stats.ServedStale > 0) != stale {
			t.Errorf("%+v", stats)
		}
		world.pass(1)
		if allowed, err := world.check(t, context.Background()); allowed || !errors.Is(err, keystile.ErrStoreUnavailable) {
			t.Errorf("%v, %v", allowed, err)
		}
		if stats := world.authenticator.Stats(); !stats.BoundExceeded || stats.LeaseAge != test.usable+1 {
			t.Errorf("%+v", stats)
		}
		world.world.store.before = nil
		world.store.failing.Store(false)
		until(t, func() bool { return !world.authenticator.Stats().BoundExceeded })
		world.allowed(t, true)
	}
}

// The comparison in C, by the real clock.
func TestTheRevocationBoundByTheRealClock(t *testing.T) {
	world := newLeased(t, keystile.Options{RevocationBound: time.Second}, false)
	world.cutOff(t)
	suspended := must[*keystile.Change](t)(keystile.Suspend(world.record, time.Now()))
	world.store.put(suspended.Record)
	until(t, func() bool { return world.authenticator.Stats().BoundExceeded })
	world.allowed(t, false)
}

// What is committed while a read is under way may be missing in its result.
func TestTheBoundIsCountedFromBeforeTheRead(t *testing.T) {
	world := newLeased(t, keystile.Options{}, true)
	world.store.gate.Lock()
	before := world.store.reads.Load()
	until(t, func() bool { return world.store.reads.Load() > before })
	world.pass(40 * time.Second)
	world.store.failing.Store(true)
	world.store.gate.Unlock()
	world.cutOff(t)
	if age := world.authenticator.Stats().LeaseAge; age != 40*time.Second {
		t.Errorf("%v", age)
	}
}

// The changes cannot be read, but the records can.
func TestBeyondTheBoundEachRequestReadsItsRecord(t *testing.T) {
	world := newLeased(t, keystile.Options{}, true)
	world.cutOff(t)
	world.pass(time.Minute + 1)
	finds := world.store.finds.Load()
	for range 3 {
		world.allowed(t, true)
	}
	suspended := must[*keystile.Change](t)(keystile.Suspend(world.record, time.Now()))
	world.store.put(suspended.Record)
	world.allowed(t, false)
	stats := world.authenticator.Stats()
	if read := world.store.finds.Load() - finds; read != 4 || stats.Revalidated != 4 || !stats.BoundExceeded {
		t.Errorf("%d reads, %+v", read, stats)
	}
	if decision, err := world.authenticator.Check(context.Background(), "acme_1", keystile.Request{}); decision.Allowed() || err != nil {
		t.Errorf("a text that is no key needs no store: %v", err)
	}
}

func TestAFetchThatIsOlderThanTheBoundIsNotJoined(t *testing.T) {
	world := newLeased(t, keystile.Options{}, true)
	world.cutOff(t)
	world.pass(time.Minute + 1)
	world.allowed(t, true) // The store answers.
	come, release := world.hold()
	var early, late sync.WaitGroup
	early.Add(1)
	go func() { defer early.Done(); _, _ = world.check(t, context.Background()) }()
	<-come
	suspended := must[*keystile.Change](t)(keystile.Suspend(world.record, time.Now()))
	world.store.put(suspended.Record)
	world.pass(time.Minute + 1)
	late.Add(1)
	go func() { defer late.Done(); world.allowed(t, false) }()
	<-come
	release()
	early.Wait()
	late.Wait()
}

func TestWhileTheStoreIsAwayOneRequestTriesIt(t *testing.T) {
	world := newLeased(t, keystile.Options{}, true)
	world.cutOff(t)
	world.pass(time.Minute + 1)
	come, release := world.hold()
	var probe sync.WaitGroup
	probe.Add(1)
	go func() { defer probe.Done(); world.allowed(t, true) }()
	<-come
	for range 20 {
		if allowed, err := world.check(t, context.Background()); allowed || !errors.Is(err, keystile.ErrStoreUnavailable) {
			t.Errorf("%v, %v", allowed, err)
		}
	}
	if stats := world.authenticator.Stats(); stats.RefusedBeyondBound != 20 || stats.Revalidated != 1 {
		t.Errorf("%+v", stats)
	}
	release()
	probe.Wait()
	world.allowed(t, true)
}

func TestABoundThatCannotBeKeptIsRefused(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, world.issuer.Format))
	feed := &feedStore{mapStore: world.store}
	for _, refused := range []struct {
		store   keystile.RecordFinder
		options keystile.Options
	}{
		{feed, keystile.Options{RevocationBound: time.Second - 1}},
		{feed, keystile.Options{RevocationBound: 25 * time.Hour}},
		{feed, keystile.Options{RevocationBound: -1}},
		{feed, keystile.Options{PollInterval: 31 * time.Second}},
		{feed, keystile.Options{ServeStale: time.Minute}},
		{feed, keystile.Options{ServeStale: 25 * time.Hour}},
		{feed, keystile.Options{PollInterval: -1, RevocationBound: time.Minute}},
		{world.store, keystile.Options{RevocationBound: time.Minute}},
	} {
		if _, err := keystile.NewAuthenticator(refused.store, verifier, refused.options); !errors.Is(err, keystile.ErrLimit) {
			t.Errorf("%+v: %v", refused.options, err)
		}
	}
	unbounded := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(world.store, verifier, keystile.Options{}))
	defer func() { _ = unbounded.Close(context.Background()) }()
	if stats := unbounded.Stats(); stats.RevocationBound != 0 || stats.BoundExceeded {
		t.Errorf("%+v", stats)
	}
}
