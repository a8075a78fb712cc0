package keystile_test

import (
	"context"
	"errors"
	"runtime"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// world is a store with one key in it, and an authenticator over it.
type world struct {
	store         *mapStore
	authenticator *keystile.Authenticator
	issuer        *keystile.Issuer
	key           string
	record        *keystile.Record
}

func newWorld(t testing.TB, options keystile.Options, change func(*keystile.IssueRequest)) *world {
	t.Helper()
	format := must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))
	issuer := &keystile.Issuer{Format: format}
	request := keystile.IssueRequest{ClientName: "Acme Ltd", Permissions: []string{"read"}}
	if change != nil {
		change(&request)
	}
	issued := must[*keystile.Change](t)(issuer.Issue(request, time.Now()))
	store := newMapStore()
	store.put(issued.Record)
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, format))
	authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, options))
	t.Cleanup(func() { _ = authenticator.Close(context.Background()) })
	return &world{store, authenticator, issuer, issued.Key.Expose(), issued.Record}
}

// check checks the key without a requirement.
func (w *world) check(t testing.TB, ctx context.Context) (bool, error) {
	t.Helper()
	decision, err := w.authenticator.Check(ctx, w.key, keystile.Request{})
	if err != nil && decision.Allowed() {
		t.Error("an error never comes with an allow")
	}
	return decision.Allowed(), err
}

func (w *world) allowed(t testing.TB, expected bool) {
	t.Helper()
	if allowed, err := w.check(t, context.Background()); err != nil || allowed != expected {
		t.Errorf("allowed: %v, %v; expected %v", allowed, err, expected)
	}
}

func TestARecordIsFetchedOnce(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	for range 100 {
		world.allowed(t, true)
	}
	if finds := world.store.finds.Load(); finds != 1 {
		t.Errorf("%d fetches", finds)
	}
	if stats := world.authenticator.Stats(); stats.Entries != 1 || stats.Fetches != 1 {
		t.Errorf("%+v", stats)
	}
}

// TryCheck decides as Check does by what is cached, and leaves all else to it.
func TestTryCheckNeverAsksTheStore(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	expect := func(decided, allowed bool, key string, request keystile.Request) {
		t.Helper()
		decision, isDecided := world.authenticator.TryCheck(key, request)
		if isDecided != decided || decision.Allowed() != allowed {
			t.Errorf("decided: %v, allowed: %v", isDecided, decision.Allowed())
		}
	}
	expect(false, false, world.key, keystile.Request{})
	expect(true, false, "acme_live_x", keystile.Request{})
	world.allowed(t, true)
	expect(true, true, world.key, keystile.Request{})
	expect(true, false, world.key, keystile.Request{Requirement: keystile.Must(keystile.ParseRequirement("admin"))})
	expect(false, false, world.key, keystile.Request{Requirement: &keystile.Requirement{}})
	world.authenticator.Invalidate(world.record.ID)
	expect(false, false, world.key, keystile.Request{})
	if finds := world.store.finds.Load(); finds != 1 {
		t.Errorf("%d fetches", finds)
	}
	world.allowed(t, true)
	if err := world.authenticator.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	expect(false, false, world.key, keystile.Request{})
}

func TestTheZeroDecisionRefuses(t *testing.T) {
	var decision keystile.Decision
	if decision.Allowed() || decision.Err() == nil {
		t.Error("nobody allowed that")
	}
	if response := decision.Respond(keystile.ResponsePolicy{}, time.Now()); response.Status != 500 {
		t.Errorf("%+v", response)
	}
}

func TestAStoreErrorIsNeverAnAllow(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	down := errors.New("connection refused")
	world.store.before = func(context.Context) error { return down }
	allowed, err := world.check(t, context.Background())
	if allowed || !errors.Is(err, keystile.ErrStoreUnavailable) || !errors.Is(err, down) {
		t.Errorf("%v, %v", allowed, err)
	}
	world.store.before = nil
	world.allowed(t, true)
	world.store.before = func(context.Context) error { return down }
	world.allowed(t, true) // By the record that is kept.
}

func TestAStoreThatPanicsIsAnError(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	world.store.before = func(context.Context) error { panic("a bug in a store") }
	if allowed, err := world.check(t, context.Background()); allowed || !errors.Is(err, keystile.ErrStoreUnavailable) {
		t.Errorf("%v, %v", allowed, err)
	}
	world.store.before = nil
	world.allowed(t, true)
}

func TestAStoreThatHangsIsGivenUp(t *testing.T) {
	world := newWorld(t, keystile.Options{StoreTimeout: 20 * time.Millisecond}, nil)
	world.store.before = func(ctx context.Context) error { <-ctx.Done(); return ctx.Err() }
	if allowed, err := world.check(t, context.Background()); allowed || !errors.Is(err, keystile.ErrStoreUnavailable) {
		t.Errorf("%v, %v", allowed, err)
	}
}

// hold makes the store wait until it is released, and signals when the first fetch has
// arrived.
func (w *world) hold() (come <-chan struct{}, release func()) {
	arrived, gate := make(chan struct{}, 1000), make(chan struct{})
	w.store.before = func(ctx context.Context) error {
		arrived <- struct{}{}
		select {
		case <-gate:
			return nil
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	return arrived, sync.OnceFunc(func() { close(gate) })
}

func TestManyWhoWaitShareOneFetch(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	come, release := world.hold()
	var allowed atomic.Int64
	var running sync.WaitGroup
	for range 50 {
		running.Add(1)
		go func() {
			defer running.Done()
			if ok, err := world.check(t, context.Background()); ok && err == nil {
				allowed.Add(1)
			}
		}()
	}
	<-come
	for world.authenticator.Stats().Shared < 49 {
		runtime.Gosched()
	}
	release()
	running.Wait()
	if finds := world.store.finds.Load(); finds != 1 || allowed.Load() != 50 {
		t.Errorf("%d fetches, %d allowed", finds, allowed.Load())
	}
}

func TestALeaderThatGoesAwayDoesNotFailTheOthers(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	come, release := world.hold()
	ctx, cancel := context.WithCancel(context.Background())
	left := make(chan error)
	go func() {
		_, err := world.check(t, ctx)
		left <- err
	}()
	<-come
	followed := make(chan bool)
	go func() {
		allowed, _ := world.check(t, context.Background())
		followed <- allowed
	}()
	for world.authenticator.Stats().Shared < 1 {
		runtime.Gosched()
	}
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) || !errors.Is(err, keystile.ErrStoreUnavailable) {
		t.Errorf("%v", err)
	}
	release()
	if !<-followed {
		t.Error("who waited with it is answered")
	}
	if finds := world.store.finds.Load(); finds != 1 {
		t.Errorf("%d fetches", finds)
	}
}

// G2, G3: a request that joins a fetch from before a revocation is not allowed by it.
func TestAFetchThatARevocationOvertookIsNotGoneBy(t *testing.T) {
	// Both wait for one fetch, and either may continue first.
	for range 50 {
		overtake(t)
	}
}

func overtake(t *testing.T) {
	t.Helper()
	world := newWorld(t, keystile.Options{}, nil)
	come, release := world.hold()
	early := make(chan bool)
	go func() {
		allowed, _ := world.check(t, context.Background())
		early <- allowed
	}()
	<-come
	// The fetch has read the record. Now the key is revoked.
	revoked := must[*keystile.Change](t)(keystile.Revoke(world.record, "leaked", time.Now()))
	world.store.put(revoked.Record)
	world.authenticator.Invalidate(world.record.ID)
	late := make(chan bool)
	go func() {
		allowed, _ := world.check(t, context.Background())
		late <- allowed
	}()
	for world.authenticator.Stats().Shared < 1 {
		runtime.Gosched()
	}
	release()
	if <-late {
		t.Error("a check that began after the revocation")
	}
	if <-early {
		t.Error("a check whose fetch the revocation overtook")
	}
	world.allowed(t, false)
	_ = world.authenticator.Close(context.Background())
}

// G8: a key that was refused before it was issued is accepted afterwards.
func TestAKeyIsKnownOnceItIsIssued(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	world.store.records = map[keystile.KeyID]*keystile.Record{}
	world.allowed(t, false)
	world.allowed(t, false)
	if finds := world.store.finds.Load(); finds != 1 {
		t.Errorf("that it is unknown is remembered: %d fetches", finds)
	}
	world.store.put(world.record)
	world.authenticator.Invalidate(world.record.ID)
	world.allowed(t, true)
}

func TestOwnersAndAllAreInvalidated(t *testing.T) {
	world := newWorld(t, keystile.Options{}, func(request *keystile.IssueRequest) { request.Owner = "tenant-7" })
	world.allowed(t, true)
	suspended := must[*keystile.Change](t)(keystile.Suspend(world.record, time.Now()))
	world.store.put(suspended.Record)
	world.allowed(t, true)
	world.authenticator.InvalidateOwner("tenant-8")
	world.allowed(t, true)
	world.authenticator.InvalidateOwner("tenant-7")
	world.allowed(t, false)
	world.store.put(must[*keystile.Change](t)(keystile.Resume(suspended.Record, time.Now())).Record)
	world.authenticator.InvalidateAll()
	world.allowed(t, true)
}

func TestAClosedAuthenticatorRefuses(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	world.allowed(t, true)
	for range 2 {
		if err := world.authenticator.Close(context.Background()); err != nil {
			t.Error(err)
		}
	}
	if allowed, err := world.check(t, context.Background()); allowed || !errors.Is(err, keystile.ErrClosed) {
		t.Errorf("%v, %v", allowed, err)
	}
}

func TestADroppedAuthenticatorEndsItsWork(t *testing.T) {
	before := runtime.NumGoroutine()
	for range 20 {
		store := &notingStore{mapStore: newMapStore()}
		format := must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))
		verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, format))
		_ = must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	}
	for wait := 0; runtime.NumGoroutine() > before; wait++ {
		if wait == 500 {
			t.Fatalf("%d goroutines for %d before", runtime.NumGoroutine(), before)
		}
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
}

// notingStore records when keys were used.
type notingStore struct {
	*mapStore
	noting sync.Mutex
	noted  map[keystile.KeyID]uint64
	fails  atomic.Bool
}

func (s *notingStore) NoteUses(_ context.Context, uses []keystile.Use) error {
	if s.fails.Load() {
		return errors.New("not now")
	}
	s.noting.Lock()
	defer s.noting.Unlock()
	for _, use := range uses {
		if use.LastUsedAt.IsZero() || use.Count == 0 {
			return errors.New("a use that is none")
		}
		s.noted[use.KeyID] += use.Count
	}
	return nil
}

func TestUsesAreNotedAtTheLatestOnClosing(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	store := &notingStore{mapStore: world.store, noted: map[keystile.KeyID]uint64{}}
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, world.issuer.Format))
	options := keystile.Options{FlushInterval: time.Millisecond}
	authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, options))
	store.fails.Store(true)
	var running sync.WaitGroup
	for range 4 {
		running.Add(1)
		go func() {
			defer running.Done()
			for range 250 {
				_, _ = authenticator.Check(context.Background(), world.key, keystile.Request{})
			}
		}()
	}
	running.Wait()
	if err := authenticator.Close(context.Background()); err == nil {
		t.Error("last uses that cannot be written must be reported")
	}
	if waiting := authenticator.Stats().UsesWaiting; waiting != 1 {
		t.Errorf("%d keys wait", waiting)
	}
	store.fails.Store(false)
	if err := authenticator.Close(context.Background()); err != nil {
		t.Error(err)
	}
	if noted := store.noted[world.record.ID]; noted != 1000 {
		t.Errorf("%d uses", noted)
	}
}

func TestAWarmAllowAllocatesNothing(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	requirement := must[*keystile.Requirement](t)(keystile.ParseRequirement("read"))
	request := keystile.Request{Requirement: requirement, Method: "GET", Path: "/api/data/7"}
	ctx := context.Background()
	if decision, err := world.authenticator.Check(ctx, world.key, request); err != nil || !decision.Allowed() {
		t.Fatal(decision, err)
	}
	count := testing.AllocsPerRun(1000, func() {
		if decision, err := world.authenticator.Check(ctx, world.key, request); err != nil || !decision.Allowed() {
			t.Fatal(decision, err)
		}
	})
	if count != 0 {
		t.Errorf("%v allocations", count)
	}
}

func TestAVerbNeedsALedger(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	ctx := context.Background()
	if _, err := world.authenticator.Revoke(ctx, world.record.ID, ""); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v", err)
	}
	if _, err := world.authenticator.Issue(ctx, world.issuer, keystile.IssueRequest{ClientName: "Acme"}); !errors.Is(err, errors.ErrUnsupported) {
		t.Errorf("%v", err)
	}
}

func TestOptionsHaveTheirBounds(t *testing.T) {
	format := must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, format))
	for _, options := range []keystile.Options{{TTL: time.Second}, {TTL: 24 * time.Hour}, {AbsentTTL: -1, ClockSkew: -1}, {Capacity: 1}} {
		authenticator, err := keystile.NewAuthenticator(newMapStore(), verifier, options)
		if err != nil {
			t.Errorf("%+v: %v", options, err)
			continue
		}
		_ = authenticator.Close(context.Background())
	}
	for _, options := range []keystile.Options{{TTL: -1}, {TTL: 25 * time.Hour}, {TTL: time.Nanosecond * 10}, {Capacity: -1}, {Capacity: 1 << 40}, {TTL: time.Second, AbsentTTL: time.Minute}} {
		if authenticator, err := keystile.NewAuthenticator(newMapStore(), verifier, options); !errors.Is(err, keystile.ErrLimit) && !errors.Is(err, keystile.ErrTime) {
			t.Errorf("%+v: %v", options, err)
			if err == nil {
				_ = authenticator.Close(context.Background())
			}
		}
	}
	if _, err := keystile.NewAuthenticator(nil, verifier, keystile.Options{}); err == nil {
		t.Error("an authenticator without a store")
	}
	if _, err := keystile.NewVerifier(nil, nil); err == nil {
		t.Error("a verifier without a format")
	}
}
