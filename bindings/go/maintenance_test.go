package keystile_test

import (
	"context"
	"errors"
	"reflect"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// texts calls visit with each text that a value refers to, and fails at functions, which can
// hold anything.
func texts(t *testing.T, value reflect.Value, depth int, visit func(string)) {
	t.Helper()
	if depth > 100 {
		t.Fatal("a task refers to itself")
	}
	switch value.Kind() {
	case reflect.String:
		visit(value.String())
	case reflect.Func, reflect.Chan:
		if !value.IsNil() {
			t.Errorf("a %s can hold a key", value.Type())
		}
	case reflect.Pointer, reflect.Interface:
		if !value.IsNil() {
			texts(t, value.Elem(), depth+1, visit)
		}
	case reflect.Struct:
		for at := range value.NumField() {
			texts(t, value.Field(at), depth+1, visit)
		}
	case reflect.Slice, reflect.Array:
		if value.Type().Elem().Kind() == reflect.Uint8 {
			var text strings.Builder
			for at := range value.Len() {
				text.WriteByte(byte(value.Index(at).Uint()))
			}
			visit(text.String())
			return
		}
		for at := range value.Len() {
			texts(t, value.Index(at), depth+1, visit)
		}
	case reflect.Map:
		for _, key := range value.MapKeys() {
			texts(t, key, depth+1, visit)
			texts(t, value.MapIndex(key), depth+1, visit)
		}
	}
}

// blockedStore holds commits.
type blockedStore struct {
	*scripted
	come chan struct{}
	gate chan struct{}
}

func (s *blockedStore) Commit(ctx context.Context, batch keystile.Batch) error {
	s.come <- struct{}{}
	<-s.gate
	return s.scripted.Commit(ctx, batch)
}

// peppered is an authenticator for the keys of a store whose digests are outdated.
func peppered(t *testing.T, store keystile.Store, clock func() time.Time) *keystile.Authenticator {
	t.Helper()
	format := must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))
	ring := must[*keystile.PepperRing](t)(keystile.NewPepperRing(1, []byte(strings.Repeat("p", 32))))
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(ring, format))
	return must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, keystile.Options{Clock: clock}))
}

// issue stores a key.
func (s *scripted) issue(t *testing.T, request keystile.IssueRequest) *keystile.Change {
	t.Helper()
	issuer := keystile.Issuer{Format: must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))}
	request.ClientName = "Acme Ltd"
	change := must[*keystile.Change](t)(issuer.Issue(request, time.Now()))
	s.insert(t, change.Record, time.Now())
	return change
}

// F: what waits for the store outlives its request, and must not hold the text of a key.
func TestNothingThatWaitsHoldsAKey(t *testing.T) {
	store := &blockedStore{newScripted(t), make(chan struct{}, 10), make(chan struct{})}
	authenticator := peppered(t, store, nil)
	first, second := store.issue(t, keystile.IssueRequest{}), store.issue(t, keystile.IssueRequest{})
	for _, change := range []*keystile.Change{first, second} {
		for range 2 { // fetched, then from memory
			if decision, err := authenticator.Check(context.Background(), change.Key.Expose(), keystile.Request{}); !decision.Allowed() {
				t.Fatal(decision, err)
			}
		}
	}
	<-store.come // The worker holds the first one.
	tasks := keystile.Queue(authenticator)
	if len(tasks) != 1 {
		t.Fatalf("%d tasks wait", len(tasks))
	}
	key := second.Key.Expose()
	canaries := []string{key, key[len("acme_1")+16:], key[len(key)-20:]}
	visited := 0
	texts(t, reflect.ValueOf(tasks[0]), 0, func(text string) {
		visited++
		for _, canary := range canaries {
			if strings.Contains(text, canary) {
				t.Error("a task that waits holds the text of a key")
			}
		}
	})
	if visited < 2 {
		t.Errorf("%d texts were looked at", visited)
	}
	close(store.gate)
	if err := authenticator.Close(context.Background()); err != nil {
		t.Error(err)
	}
}

// A guess with the id of a counted key is refused by the fetched record.
func TestAGuessTakesNoTurnOfACountedKey(t *testing.T) {
	counted := newScripted(t).issue(t, keystile.IssueRequest{Uses: keystile.Ptr(uint64(5))})
	guess := newScripted(t).issue(t, keystile.IssueRequest{})
	record := counted.Record.Clone()
	record.ID, record.Lineage = guess.Record.ID, guess.Record.ID
	store := newScripted(t)
	store.insert(t, record, time.Now())
	format := must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, format))
	authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer func() { _ = authenticator.Close(context.Background()) }()
	// The first read of changes invalidates what was fetched before it.
	until(t, func() bool { return store.polls.Load() > 0 })
	keystile.Poll(authenticator)
	ctx := context.WithValue(context.Background(), checked{}, true)
	for range 2 {
		decision, err := authenticator.Check(ctx, guess.Key.Expose(), keystile.Request{})
		if err != nil || decision.Code() != "invalid_key" {
			t.Errorf("%v, %v", decision, err)
		}
	}
	if finds := store.finds.Load(); finds != 1 {
		t.Errorf("%d finds", finds)
	}
}

func TestClaimsTakeTurns(t *testing.T) {
	claims, ctx := keystile.NewClaims(), context.Background()
	var running sync.WaitGroup
	inside := 0
	for range 100 {
		running.Add(1)
		go func() {
			defer running.Done()
			err := claims.Run(ctx, keystile.KeyID{}, func() error {
				inside++ // The race detector sees two at once.
				if inside != 1 {
					t.Error("two at once")
				}
				inside--
				return nil
			})
			if err != nil {
				t.Error(err)
			}
		}()
	}
	running.Wait()
}

func TestAClaimWhoseCallerIsGoneIsNotBegun(t *testing.T) {
	claims := keystile.NewClaims()
	gone, cancel := context.WithCancel(context.Background())
	cancel()
	for range 200 { // Of two that are ready, Go chooses one at random.
		err := claims.Run(gone, keystile.KeyID{}, func() error { t.Error("it was begun"); return nil })
		if !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
	}
	// It is gone when the claim has read what it would spend.
	store := newScripted(t)
	issued := store.issue(t, keystile.IssueRequest{Uses: keystile.Ptr(uint64(5))})
	late, cancel := context.WithCancel(context.Background())
	format := must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, format))
	checked, err := keystile.Check(late, &leavingStore{store, cancel}, verifier, issued.Key.Expose(), keystile.Request{}, time.Now())
	if checked.Decision.Allowed() || !errors.Is(err, context.Canceled) || store.spends.Load() != 0 {
		t.Errorf("%v, %v, %d spends", checked.Decision, err, store.spends.Load())
	}
}

// leavingStore cancels the request after it was read for.
type leavingStore struct {
	*scripted
	leave func()
}

func (s *leavingStore) Usage(ctx context.Context, lineage keystile.KeyID) (keystile.StoredUsage, error) {
	usage, err := s.scripted.Usage(ctx, lineage)
	s.leave()
	return usage, err
}

// A store that writes events faster than they are read does not keep the reader for ever.
func TestMoreEventsThanAreReadAtOnce(t *testing.T) {
	store := newScripted(t)
	format := must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, format))
	options := keystile.Options{PollInterval: 30 * time.Second}
	authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, options))
	defer func() { _ = authenticator.Close(context.Background()) }()
	until(t, func() bool { return store.polls.Load() > 0 })
	keystile.Poll(authenticator)
	store.set(t, "endless")
	before, polls := store.paging.Load(), store.polls.Load()
	keystile.Poll(authenticator)
	if pages, ends := store.paging.Load()-before, store.polls.Load()-polls; pages != 16 || ends != 1 {
		t.Errorf("%d pages, %d reads of the end", pages, ends)
	}
}

func TestAStoreThatPanicsDoesNotEndTheReader(t *testing.T) {
	store := newScripted(t)
	issued := store.issue(t, keystile.IssueRequest{})
	format := must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, format))
	options := keystile.Options{PollInterval: time.Millisecond}
	authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, options))
	defer func() { _ = authenticator.Close(context.Background()) }()
	allowed := func() bool {
		decision, _ := authenticator.Check(context.Background(), issued.Key.Expose(), keystile.Request{})
		return decision.Allowed()
	}
	until(t, func() bool { return store.paging.Load() > 0 && allowed() })
	store.set(t, "panics")
	before := store.paging.Load()
	until(t, func() bool { return store.paging.Load() > before })
	store.set(t, "none")
	suspended := must[*keystile.Change](t)(keystile.Suspend(issued.Record, time.Now()))
	if err := store.tables().Commit(context.Background(), suspended.Batch()); err != nil {
		t.Fatal(err)
	}
	until(t, func() bool { return !allowed() })
}
