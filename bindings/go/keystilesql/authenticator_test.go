package keystilesql_test

import (
	"bytes"
	"context"
	"errors"
	"path/filepath"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// must ends a test if a value that it needs cannot be created.
func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// ledger is a store in SQLite, with a separate name for each test.
func ledger(t *testing.T) *keystilesql.Store {
	t.Helper()
	return openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
}

func authenticatorOver(t *testing.T, store keystile.RecordFinder, peppers *keystile.PepperRing, format *keystile.KeyFormat) *keystile.Authenticator {
	t.Helper()
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(peppers, format))
	authenticator := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, keystile.Options{PollInterval: 5 * time.Millisecond}))
	t.Cleanup(func() { _ = authenticator.Close(context.Background()) })
	return authenticator
}

// eventually waits until something holds, as long as a slow machine may take.
func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(time.Minute); !holds(); time.Sleep(time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("never: " + what)
		}
	}
}

func TestADigestIsRenewedBehindARequestsBack(t *testing.T) {
	ctx, store := context.Background(), ledger(t)
	for _, format := range []*keystile.KeyFormat{keystile.Must(keystile.StructuredFormat("acme")), keystile.Must(keystile.OpaqueFormat("dt"))} {
		old := authenticatorOver(t, store, nil, format)
		change := must[*keystile.Change](t)(old.Issue(ctx, &keystile.Issuer{Format: format}, keystile.IssueRequest{ClientName: "Acme"}))
		ring := must[*keystile.PepperRing](t)(keystile.NewPepperRing(7, bytes.Repeat([]byte{7}, 32)))
		authenticator := authenticatorOver(t, store, ring, format)
		allowed := func() keystile.Decision {
			decision, err := authenticator.Check(ctx, change.Key.Expose(), keystile.Request{})
			if err != nil || !decision.Allowed() {
				t.Fatal(decision, err)
			}
			return decision
		}
		eventually(t, "the digest is renewed", func() bool { decision := allowed(); return !decision.NeedsRehash() })
		record := must[*keystile.Record](t)(store.Find(ctx, keystile.Lookup{KeyID: change.Record.ID}))
		if record.Digest.Pepper() != 7 || record.Version != 2 {
			t.Errorf("%v of version %d", record.Digest, record.Version)
		}
	}
}

func TestTheFirstUseEndsTheOverlapBehindARequestsBack(t *testing.T) {
	ctx, store := context.Background(), ledger(t)
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	authenticator := authenticatorOver(t, store, nil, issuer.Format)
	old := must[*keystile.Change](t)(authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme"}))
	policy := keystile.DefaultRotationPolicy()
	policy.EndOnFirstUse = true
	fresh := must[*keystile.Change](t)(authenticator.Rotate(ctx, issuer, old.Record.ID, policy))
	check := func(key keystile.APIKey) keystile.Decision {
		return must[keystile.Decision](t)(authenticator.Check(ctx, key.Expose(), keystile.Request{}))
	}
	if decision := check(old.Key); !decision.Allowed() {
		t.Fatal(decision)
	}
	eventually(t, "the old key ends", func() bool {
		first, second := check(fresh.Key), check(old.Key)
		return first.Allowed() && errors.Is(second.Err(), keystile.ErrKeyReplaced)
	})
}

// P10: two keys are live, not three, in a process that reads the rotations from their
// events.
func TestASecondRotationElsewhereEndsTheOldestKeyHereToo(t *testing.T) {
	ctx, store := context.Background(), ledger(t)
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	elsewhere, here := authenticatorOver(t, store, nil, issuer.Format), authenticatorOver(t, store, nil, issuer.Format)
	oldest := must[*keystile.Change](t)(elsewhere.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme"}))
	second := must[*keystile.Change](t)(elsewhere.Rotate(ctx, issuer, oldest.Record.ID, keystile.DefaultRotationPolicy()))
	check := func() keystile.Decision {
		return must[keystile.Decision](t)(here.Check(ctx, oldest.Key.Expose(), keystile.Request{}))
	}
	if decision := check(); !decision.Allowed() {
		t.Fatal(decision)
	}
	must[*keystile.Change](t)(elsewhere.Rotate(ctx, issuer, second.Record.ID, keystile.DefaultRotationPolicy()))
	eventually(t, "the oldest key ends", func() bool { decision := check(); return errors.Is(decision.Err(), keystile.ErrKeyReplaced) })
}

// I12: counted uses are exact, over two authenticators on one store.
func TestCountedUsesAreSpentInTheStore(t *testing.T) {
	ctx, store := context.Background(), ledger(t)
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	authenticators := []*keystile.Authenticator{authenticatorOver(t, store, nil, issuer.Format), authenticatorOver(t, store, nil, issuer.Format)}
	change := must[*keystile.Change](t)(authenticators[0].Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme", Uses: keystile.Ptr(uint64(10))}))
	var allowed, spent, other atomic.Int64
	var running sync.WaitGroup
	for number := range 40 {
		running.Add(1)
		go func() {
			defer running.Done()
			decision, err := authenticators[number%2].Check(ctx, change.Key.Expose(), keystile.Request{})
			switch {
			case err != nil:
				other.Add(1)
			case decision.Allowed():
				allowed.Add(1)
			case errors.Is(decision.Err(), keystile.ErrUsesSpent):
				spent.Add(1)
			}
		}()
	}
	running.Wait()
	if allowed.Load() != 10 || spent.Load() != 30 {
		t.Errorf("%d allowed, %d spent, %d errors", allowed.Load(), spent.Load(), other.Load())
	}
	// A wrong secret for the same id spends nothing, and discloses nothing.
	wrong := change.Key.Expose()[:len(change.Key.Expose())-7] + "0000000"
	decision, err := authenticators[0].Check(ctx, wrong, keystile.Request{})
	if err != nil || !errors.Is(decision.Err(), keystile.ErrInvalidKey) || !decision.KeyID().IsZero() {
		t.Errorf("%v, %v", decision, err)
	}
}

// K8, G4: changes by another process are in force here without a notification.
func TestChangesOfOtherProcessesAreHeardOf(t *testing.T) {
	ctx, store := context.Background(), ledger(t)
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	here, there := authenticatorOver(t, store, nil, issuer.Format), authenticatorOver(t, store, nil, issuer.Format)
	change := must[*keystile.Change](t)(there.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme"}))
	cause := func() keystile.Cause {
		decision := must[keystile.Decision](t)(here.Check(ctx, change.Key.Expose(), keystile.Request{}))
		return decision.Cause()
	}
	if cause() != 0 {
		t.Fatal("a new key is allowed")
	}
	must[keystile.Outcome](t)(there.Suspend(ctx, change.Record.ID))
	eventually(t, "it is suspended here too", func() bool { return cause() == keystile.CauseSuspended })
	must[keystile.Outcome](t)(there.Resume(ctx, change.Record.ID))
	eventually(t, "it is resumed here too", func() bool { return cause() == 0 })
	must[keystile.Outcome](t)(there.Revoke(ctx, change.Record.ID, "leaked"))
	eventually(t, "it is revoked here too", func() bool { return cause() == keystile.CauseRevoked })
}

// G1: once a verb has returned, it is in force in this process.
func TestAVerbIsInForceWhenItReturns(t *testing.T) {
	ctx, store := context.Background(), ledger(t)
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	authenticator := authenticatorOver(t, store, nil, issuer.Format)
	for range 50 {
		change := must[*keystile.Change](t)(authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme"}))
		key := change.Key.Expose()
		var stop atomic.Bool
		var running sync.WaitGroup
		running.Add(1)
		go func() {
			defer running.Done()
			for !stop.Load() {
				_, _ = authenticator.Check(ctx, key, keystile.Request{})
			}
		}()
		decision := must[keystile.Decision](t)(authenticator.Check(ctx, key, keystile.Request{}))
		if !decision.Allowed() {
			t.Fatal(decision)
		}
		must[keystile.Outcome](t)(authenticator.Revoke(ctx, change.Record.ID, "leaked"))
		decision = must[keystile.Decision](t)(authenticator.Check(ctx, key, keystile.Request{}))
		if decision.Allowed() {
			t.Error("a revoked key")
		}
		stop.Store(true)
		running.Wait()
	}
}
