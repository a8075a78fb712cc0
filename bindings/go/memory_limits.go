package keystile

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// sweepMin is the number of lineages that are kept before those that are as new are looked for.
const sweepMin = 1024

// MemoryLimits are [Limits] that are counted in this process's memory: for one process, and for
// tests. They are lost with it. States that are as new are forgotten, so they hold about twice the
// lineages that have spent something at most, or 1,024 if that is more.
//
// The zero value is ready to use.
type MemoryLimits struct {
	mutex   sync.Mutex
	rates   map[KeyID]*lineageRates
	sweepAt int
	clock   func() time.Time
}

// NewMemoryLimits returns limits of which nothing is spent.
func NewMemoryLimits() *MemoryLimits { return new(MemoryLimits) }

// NewMemoryLimitsWithClock returns limits with another clock than the machine's.
func NewMemoryLimitsWithClock(clock func() time.Time) *MemoryLimits {
	return &MemoryLimits{clock: clock}
}

// Take implements [Limits].
func (m *MemoryLimits) Take(ctx context.Context, take Take) (Taken, error) {
	if m == nil {
		return Taken{}, uninitialized("MemoryLimits")
	}
	if err := take.check(ctx); err != nil {
		return Taken{}, err
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	// The clock is read under the lock, so that readings come in the order of the states.
	now := readClock(m.clock)
	rates := m.rates[take.Lineage]
	if rates == nil {
		rates = new(lineageRates)
	}
	tokens, state := rates.take(take.Limit, take.Tokens, now)
	if len(*rates) > 0 {
		if m.rates == nil {
			m.rates = map[KeyID]*lineageRates{}
		}
		m.rates[take.Lineage] = rates
		m.sweep(now)
	}
	return Taken{tokens, state, now}, nil
}

// GiveBack implements [Limits].
func (m *MemoryLimits) GiveBack(ctx context.Context, rests []Rest) error {
	if m == nil {
		return uninitialized("MemoryLimits")
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	m.mutex.Lock()
	defer m.mutex.Unlock()
	now := readClock(m.clock)
	for _, rest := range rests {
		if rates := m.rates[rest.Lineage]; rates != nil && rest.IsTimely(now) {
			rates.giveBack(rest.Limit, rest.Tokens)
		}
	}
	return nil
}

// sweep forgets the states that are as new, each time that their number has doubled.
func (m *MemoryLimits) sweep(now time.Time) {
	if len(m.rates) < max(m.sweepAt, sweepMin) {
		return
	}
	for lineage, rates := range m.rates {
		if rates.isFull(now) {
			delete(m.rates, lineage)
		}
	}
	m.sweepAt = 2 * len(m.rates)
}

// Format shows nothing of what was spent.
func (m *MemoryLimits) Format(state fmt.State, _ rune) {
	_, _ = state.Write([]byte("keystile.MemoryLimits"))
}

// check returns why nothing can be taken, whatever was spent.
func (t Take) check(ctx context.Context) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	if t.Lineage.IsZero() {
		return ErrNotFound
	}
	return failure(capi.CheckRateLimit(&t.Limit.limit))
}

// readClock reads a clock, or the machine's if there is none. A state has no more than whole
// milliseconds of it.
func readClock(clock func() time.Time) time.Time {
	if clock == nil {
		clock = time.Now
	}
	return timeOf(millisOf(clock()))
}
