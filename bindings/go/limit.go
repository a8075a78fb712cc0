package keystile

import (
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// RateLimit is at most so many requests in each window, and a burst of them at once.
// The zero value refuses all and is no legal limit; make one with [NewRateLimit]. It is a
// plain value, which goroutines may share.
type RateLimit struct{ limit capi.RateLimit }

// NewRateLimit is a limit whose burst is the limit itself. The window is 1 ms to 366 days;
// else [ErrLimit]. A limit of 0 refuses all.
func NewRateLimit(limit uint32, window time.Duration) (RateLimit, error) {
	return NewRateLimitWithBurst(limit, window, limit)
}

// NewRateLimitWithBurst is a limit that lets so many requests pass at once.
func NewRateLimitWithBurst(limit uint32, window time.Duration, burst uint32) (RateLimit, error) {
	rateLimit := RateLimit{capi.RateLimit{Limit: limit, Burst: burst, WindowMillis: spanMillis(window)}}
	return rateLimit, failure(capi.CheckRateLimit(&rateLimit.limit))
}

// Limit is how many requests pass in a window.
func (l RateLimit) Limit() uint32 { return l.limit.Limit }

// Burst is how many pass at once.
func (l RateLimit) Burst() uint32 { return l.limit.Burst }

// Window is the window.
func (l RateLimit) Window() time.Duration { return spanOf(l.limit.WindowMillis) }

// RateState is what a limit remembers; the zero value is the start. Its bits are the
// library's own. Keep it per key, and change it under a lock or with compare-and-swap.
type RateState uint64

// Admit admits one request at an instant, or refuses it at no cost: the state is changed
// only where it is admitted. The quota is what is left, either way.
func (l RateLimit) Admit(state *RateState, now time.Time) (Quota, bool, error) {
	bits := uint64(*state)
	quota, status := capi.AdmitRate(&l.limit, &bits, millisOf(now))
	switch {
	case status == capi.OK:
		*state = RateState(bits)
		return Quota{quota}, true, nil
	case status.IsRefusal():
		return Quota{quota}, false, nil
	default:
		return Quota{}, false, failure(status)
	}
}

// Quota is what was left of a limit at an instant: a plain value, which goroutines may share.
type Quota struct{ quota capi.Quota }

// Limit is the limit.
func (q Quota) Limit() RateLimit { return RateLimit{q.quota.Limit} }

// Remaining is how many requests would pass if they came at once.
func (q Quota) Remaining() uint32 { return q.quota.Remaining() }

// Reset is how long until the limit is whole again.
func (q Quota) Reset() time.Duration { return spanOf(q.quota.ResetMillis()) }

// RetryAfter is how long until one request would pass, 0 where one would at once; false
// where none ever will.
func (q Quota) RetryAfter() (time.Duration, bool) {
	millis, some := q.quota.RetryAfterMillis()
	return spanOf(millis), some
}
