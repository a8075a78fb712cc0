package keystile

import (
	"math/bits"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// RateLimit is a maximum number of requests in each window, and of requests at once. The
// zero value refuses all and is not a valid limit; use [NewRateLimit].
type RateLimit struct{ limit capi.RateLimit }

// NewRateLimit returns a limit whose burst is equal to the limit. The window must be 1 ms
// to 366 days; otherwise the error is [ErrLimit]. A limit of 0 refuses all.
func NewRateLimit(limit uint32, window time.Duration) (RateLimit, error) {
	return NewRateLimitWithBurst(limit, window, limit)
}

// NewRateLimitWithBurst returns a limit that allows burst requests at once.
func NewRateLimitWithBurst(limit uint32, window time.Duration, burst uint32) (RateLimit, error) {
	rateLimit := RateLimit{capi.RateLimit{Limit: limit, Burst: burst, WindowMillis: spanMillis(window)}}
	return rateLimit, failure(capi.CheckRateLimit(&rateLimit.limit))
}

// Limit returns the maximum number of requests in a window.
func (l RateLimit) Limit() uint32 { return l.limit.Limit }

// Burst returns the maximum number of requests at once.
func (l RateLimit) Burst() uint32 { return l.limit.Burst }

// Window returns the window.
func (l RateLimit) Window() time.Duration { return spanOf(l.limit.WindowMillis) }

// reach returns how far ahead of the clock the limit can move a state, rounded up.
func (l RateLimit) reach() time.Duration {
	if l.limit.Limit == 0 {
		return 0
	}
	high, low := bits.Mul64(uint64(l.limit.Burst), l.limit.WindowMillis)
	low, carry := bits.Add64(low, uint64(l.limit.Limit)-1, 0)
	// A legal burst is free again within ten years, so the quotient fits.
	millis, _ := bits.Div64(high+carry, low, uint64(l.limit.Limit))
	return spanOf(millis)
}

// RateState is the state of a limit; the zero value is the start. Its bits are private to
// the library. Keep one for each key, and change it under a lock or with compare-and-swap.
type RateState uint64

// Admit admits one request at an instant, or refuses it at no cost: the state changes only
// if the request is admitted. The quota is what is left in both cases.
func (l RateLimit) Admit(state *RateState, now time.Time) (Quota, bool, error) {
	if state == nil {
		return Quota{}, false, ErrLimit
	}
	next := uint64(*state)
	quota, status := capi.AdmitRate(&l.limit, &next, millisOf(now))
	switch {
	case status == capi.OK:
		*state = RateState(next)
		return Quota{quota}, true, nil
	case status.IsRefusal():
		return Quota{quota}, false, nil
	default:
		return Quota{}, false, failure(status)
	}
}

// Hold holds a state to a full burst, if it lies more than that and a minute ahead: then it was
// written by a wrong reading of the clock, or before the clock was set back, or by another
// limit. Call it only with the clock that the state is kept by, before [RateLimit.Admit], and
// keep the state even if the request is then refused. If several processes share the state,
// that clock is the store's: a process whose own clock is behind would give away what the
// others have spent.
func (l RateLimit) Hold(state *RateState, now time.Time) error {
	return failure(capi.HoldRate(&l.limit, (*uint64)(state), millisOf(now)))
}

// Clamp is as [RateLimit.Hold] without the minute: for a state that another limit left, of
// which at most a full burst of this limit counts as spent.
func (l RateLimit) Clamp(state *RateState, now time.Time) error {
	return failure(capi.ClampRate(&l.limit, (*uint64)(state), millisOf(now)))
}

// Move moves a state to another clock, which shows to when the clock of this state shows from:
// exactly, unless it saturates at an end of the range. An unused state stays unused.
func (s *RateState) Move(from, to time.Time) error {
	return failure(capi.MoveRate((*uint64)(s), millisOf(from), millisOf(to)))
}

// FullAt returns when the full burst is available again; not before is there nothing to
// remember of the state. It is the zero time if the limit is unused.
func (s RateState) FullAt() time.Time { return timeOf(capi.RateFullAt(uint64(s))) }

// Quota is what was left of a limit at an instant.
type Quota struct{ quota capi.Quota }

// Limit returns the limit.
func (q Quota) Limit() RateLimit { return RateLimit{q.quota.Limit} }

// Remaining returns how many requests would pass at once.
func (q Quota) Remaining() uint32 { return q.quota.Remaining() }

// Reset returns the time until the whole limit is available again.
func (q Quota) Reset() time.Duration { return spanOf(q.quota.ResetMillis()) }

// RetryAfter returns the time until one request would pass, 0 if one would pass now; false
// if none ever will.
func (q Quota) RetryAfter() (time.Duration, bool) {
	millis, some := q.quota.RetryAfterMillis()
	return spanOf(millis), some
}
