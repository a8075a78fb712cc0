//go:build go1.25

package keystile_test

import (
	"context"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// notifiedStore hears of changes from its database, and counts the polls.
type notifiedStore struct {
	feedStore
	polls   atomic.Int64
	changed chan func()
}

func (s *notifiedStore) Events(ctx context.Context, key keystile.KeyID, after uint64, limit int) ([]keystile.NumberedEvent, error) {
	s.polls.Add(1)
	return s.feedStore.Events(ctx, key, after, limit)
}

func (s *notifiedStore) Listen(ctx context.Context, changed func()) error {
	s.changed <- changed
	<-ctx.Done()
	return ctx.Err()
}

// Time stands still while this test runs, and goes on only while all goroutines wait. So these are
// the polls of one moment, whatever the machine does besides.
func TestAFloodOfNotificationsIsNoFloodOfPolls(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		store := &notifiedStore{feedStore: feedStore{mapStore: newMapStore()}, changed: make(chan func(), 1)}
		verifier := keystile.Must(keystile.NewVerifier(nil, keystile.Must(keystile.StructuredFormat("acme"))))
		authenticator := keystile.Must(keystile.NewAuthenticator(store, verifier,
			keystile.Options{PollInterval: time.Hour, RevocationBound: 2 * time.Hour}))
		changed := <-store.changed
		time.Sleep(time.Second)
		store.polls.Store(0)
		for range 1_000 {
			changed()
			synctest.Wait()
		}
		if polls := store.polls.Load(); polls != 1 {
			t.Errorf("%d polls at once", polls)
		}
		time.Sleep(time.Minute)
		if polls := store.polls.Load(); polls != 2 {
			t.Errorf("%d polls; expected one more for all that came meanwhile", polls)
		}
		if err := authenticator.Close(context.Background()); err != nil {
			t.Error(err)
		}
	})
}
