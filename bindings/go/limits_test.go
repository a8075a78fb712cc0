package keystile_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/storetest"
)

func TestMemoryLimitsAreLimits(t *testing.T) {
	storetest.RunLimits(t, func(*testing.T, keystile.Batch) keystile.Limits { return keystile.NewMemoryLimits() })
}

func TestLimitsInAMemoryStoreAreLimits(t *testing.T) {
	storetest.RunLimits(t, func(t *testing.T, keys keystile.Batch) keystile.Limits {
		store := keystile.NewMemoryStore()
		if err := store.Commit(context.Background(), keys); err != nil {
			t.Fatal(err)
		}
		return keystile.NewStoredLimits(store)
	})
}

func TestLimitsThatCannotBeAreRefused(t *testing.T) {
	ctx := context.Background()
	ended, end := context.WithCancel(ctx)
	end()
	lineage, ten := keystile.Must(keystile.ParseKeyID("1AbCdEfGhIjKlMnO")), keystile.Must(keystile.NewRateLimit(10, time.Hour))
	for _, limits := range []keystile.Limits{keystile.NewMemoryLimits(), keystile.NewStoredLimits(keystile.NewMemoryStore())} {
		for _, step := range []struct {
			ctx  context.Context
			take keystile.Take
			want error
		}{
			{ctx, keystile.Take{Lineage: lineage, Tokens: 1}, keystile.ErrLimit},
			{ctx, keystile.Take{Limit: ten, Tokens: 1}, keystile.ErrNotFound},
			{ended, keystile.Take{Lineage: lineage, Limit: ten, Tokens: 1}, context.Canceled},
		} {
			if taken, err := limits.Take(step.ctx, step.take); taken != (keystile.Taken{}) || !errors.Is(err, step.want) {
				t.Errorf("%v: %+v, %v", step.want, taken, err)
			}
		}
	}
	unknown := keystile.Take{Lineage: lineage, Limit: ten, Tokens: 1}
	if _, err := keystile.NewStoredLimits(keystile.NewMemoryStore()).Take(ctx, unknown); !errors.Is(err, keystile.ErrNotFound) {
		t.Error("a lineage that the store does not know:", err)
	}
	if _, err := keystile.NewStoredLimits(nil).Take(ctx, unknown); !errors.Is(err, keystile.ErrUninitialized) {
		t.Error(err)
	}
}

func TestALineageCountsByFourLimits(t *testing.T) {
	clock := testClock{now: time.UnixMilli(1_790_000_000_000).UTC()}
	limits := keystile.NewMemoryLimitsWithClock(clock.read)
	lineage := keystile.Must(keystile.ParseKeyID("1AbCdEfGhIjKlMnO"))
	take := func(limit, tokens uint32) uint32 {
		hourly := keystile.Must(keystile.NewRateLimit(limit, time.Hour))
		return must[keystile.Taken](t)(limits.Take(context.Background(), keystile.Take{Lineage: lineage, Limit: hourly, Tokens: tokens})).Tokens
	}
	// The second goes on from the state of the first, which is 24 minutes ahead: 8 of its own.
	if got := [...]uint32{take(10, 4), take(20, 5), take(20, 7), take(10, 1), take(20, 1)}; got != [...]uint32{4, 5, 7, 0, 0} {
		t.Error(got)
	}
	clock.advance(6 * time.Minute)
	if got := take(10, 10); got != 1 {
		t.Error("what was taken by one limit counts by the other as far as a burst goes, and no further:", got)
	}
	clock.advance(time.Hour)
	for limit := range uint32(6) {
		take(30+limit, 1)
	}
	if kept, _ := keystile.RatesOf(limits, lineage); kept != 4 {
		t.Error("four limits are kept, not", kept)
	}
	// States that are as new are forgotten.
	for number := range 5_000 {
		id := keystile.Must(keystile.ParseKeyID(fmt.Sprintf("1%015d", number)))
		_, _ = limits.Take(context.Background(), keystile.Take{Lineage: id, Limit: keystile.Must(keystile.NewRateLimit(1000, time.Second)), Tokens: 1})
		clock.advance(time.Millisecond)
	}
	if _, lineages := keystile.RatesOf(limits, lineage); lineages > 1024 {
		t.Error(lineages, "lineages are kept")
	}
}

// testClock is a clock that a test advances.
type testClock struct {
	mutex sync.Mutex
	now   time.Time
}

func (c *testClock) read() time.Time {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	return c.now
}

func (c *testClock) advance(span time.Duration) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.now = c.now.Add(span)
}
