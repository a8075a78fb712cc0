package keystile

import (
	"context"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// WithLeaseClock sets the clock of the revocation bound.
func WithLeaseClock(options Options, clock func() uint64) Options {
	options.leaseClock = clock
	return options
}

// Poll reads the changes by other processes once.
func Poll(a *Authenticator) { a.poll(a.finder.(EventSource)) }

// Flush writes last uses and what was spent of limits.
func Flush(a *Authenticator) error { return a.flush(context.Background(), flushAll) }

// IsSettled reports whether no write that a use asked for waits or is in progress.
func IsSettled(a *Authenticator) bool {
	a.maintenance.mutex.Lock()
	defer a.maintenance.mutex.Unlock()
	for _, next := range a.maintenance.scheduled {
		if next.IsZero() {
			return false
		}
	}
	return true
}

// Queue returns what waits for the background worker.
func Queue(a *Authenticator) []any {
	var tasks []any
	for {
		select {
		case task := <-a.maintenance.queue:
			tasks = append(tasks, task)
		default:
			return tasks
		}
	}
}

// Claims are the requests for counted uses that are under way.
type Claims = claims

// NewClaims returns an empty queue.
func NewClaims() *Claims { return newClaims() }

// Run runs a claim in its turn.
func (c *claims) Run(ctx context.Context, lineage KeyID, claim func() error) error {
	return c.run(ctx, time.Minute, lineage, func(context.Context) error { return claim() })
}

// TakeRate takes up to count requests at once.
func TakeRate(l RateLimit, state RateState, now time.Time, count uint32) (uint32, RateState) {
	return l.take(state, now, count)
}

// GiveBackRate gives back requests that were taken.
func GiveBackRate(l RateLimit, state RateState, count uint32) RateState {
	return l.giveBack(state, count)
}

// HeldRate and ClampedRate are Hold and Clamp.
func HeldRate(l RateLimit, state RateState, now time.Time) RateState { return l.held(state, now) }

// ClampedRate is Clamp.
func ClampedRate(l RateLimit, state RateState, now time.Time) RateState { return l.clamped(state, now) }

// RatesOf returns how many limits of a lineage are kept, and of how many lineages.
func RatesOf(m *MemoryLimits, lineage KeyID) (limits, lineages int) {
	if rates := m.rates[lineage]; rates != nil {
		limits = len(*rates)
	}
	return limits, len(m.rates)
}

// QuotaOf returns what is left of a limit.
func QuotaOf(l RateLimit, state RateState, now time.Time) Quota {
	return Quota{capi.Quota{Limit: l.limit, State: uint64(state), Now: millisOf(now)}}
}

// WaitingForTokens returns how many requests wait for tokens that another one takes.
func WaitingForTokens(a *Authenticator) (waiting uint32) {
	a.tokens.mutex.Lock()
	defer a.tokens.mutex.Unlock()
	for _, call := range a.tokens.shared {
		waiting += call.waiting
	}
	return waiting
}
