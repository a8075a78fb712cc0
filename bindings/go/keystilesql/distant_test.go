package keystilesql_test

import (
	"context"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// distant is a store with a clock of its own, as far away as a message takes.
type distant struct {
	*keystilesql.Store
	clock   func() time.Time
	latency time.Duration
	// free is when what was written last is free again, by the clock of the process.
	free atomic.Pointer[time.Time]
}

func (d *distant) Usage(ctx context.Context, lineage keystile.KeyID) (keystile.StoredUsage, error) {
	stored, err := d.Store.Usage(ctx, lineage)
	stored.Clock = d.clock()
	time.Sleep(d.latency)
	return stored, err
}

func (d *distant) NoteRates(ctx context.Context, rates []keystile.RateNote, now time.Time) error {
	time.Sleep(d.latency)
	clock := d.clock()
	var moved []keystile.RateNote
	for _, note := range rates {
		free := note.State.FullAt()
		defer d.free.Store(&free)
		if err := note.State.Move(now, clock); err != nil {
			return err
		}
		moved = append(moved, note)
	}
	return d.Store.NoteRates(ctx, moved, clock)
}

// Steady traffic at the limit passes though the record is fetched again, from a store that is
// far away and has a clock of its own.
func TestAFetchMakesNoStateLater(t *testing.T) {
	ctx := context.Background()
	// By how much the clocks of the process and of the store were moved.
	var moved atomic.Int64
	now := func() time.Time { return time.Now().Add(time.Duration(moved.Load())) }
	store := &distant{Store: ledger(t), latency: 40 * time.Millisecond,
		clock: func() time.Time { return now().Add(time.Hour) }}
	minutely := keystile.Must(keystile.NewRateLimit(1, time.Minute))
	key := kept(t, store, keystile.IssueRequest{RateLimit: &minutely})
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, acme.Format))
	own := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, keystile.Options{Clock: now}))
	defer func() { _ = own.Close(ctx) }()
	if passed := passes(t, own, key, 1); passed != 1 {
		t.Fatal(passed)
	}
	for store.free.Load() == nil {
		time.Sleep(time.Millisecond)
	}
	// The process knows what it has written once it has read the answer.
	time.Sleep(100 * time.Millisecond)
	own.Invalidate(key.Record.ID)
	moved.Store(int64(time.Until(*store.free.Load())))
	if passed := passes(t, own, key, 1); passed != 1 {
		t.Error("a request at the limit is refused after a fetch")
	}
}
