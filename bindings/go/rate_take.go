package keystile

import (
	"math/bits"
	"time"
)

// A [RateState] is an instant: milliseconds in the upper 44 bits, and parts of a millisecond in
// the lower 20, of which each limit has as many as make the time between two requests a whole
// number of them.
const (
	fractionBits = 20
	fractionMask = 1<<fractionBits - 1
	millisEnd    = 1 << (64 - fractionBits)
)

// pace is a limit in parts of a millisecond.
type pace struct {
	// perMilli is how many parts a millisecond has.
	perMilli uint64
	// interval is the time between two evenly spaced requests, and tolerance that of a full
	// burst.
	interval, tolerance uint64
}

// pace returns the limit in parts; false if it refuses all.
func (l RateLimit) pace() (pace, bool) {
	limit, window := uint64(l.limit.Limit), l.limit.WindowMillis
	if limit == 0 || window == 0 {
		return pace{}, false
	}
	divisor, rest := limit, window
	for rest != 0 {
		divisor, rest = rest, divisor%rest
	}
	own := pace{perMilli: limit / divisor, interval: window / divisor}
	own.tolerance = own.interval * uint64(l.limit.Burst)
	return own, true
}

// read returns a state in parts. One that another limit left may have more parts in a
// millisecond than this one.
func (p pace) read(state RateState) uint64 {
	return uint64(state)>>fractionBits*p.perMilli + min(uint64(state)&fractionMask, p.perMilli-1)
}

func (p pace) state(parts uint64) RateState {
	return RateState(parts/p.perMilli<<fractionBits | parts%p.perMilli)
}

// full returns the furthest instant at which a state may be; false if nothing may pass, as at the
// end of the range.
func (p pace) full(now uint64) (uint64, bool) {
	if now >= millisEnd || now+p.tolerance/p.perMilli >= millisEnd {
		return 0, false
	}
	return now*p.perMilli + p.tolerance, true
}

// take takes up to count requests at once, as many as pass now, and returns how many these are
// and the new state. Each of them counts as one that [RateLimit.Admit] admits. If none passes,
// the state is unchanged.
func (l RateLimit) take(state RateState, now time.Time, count uint32) (uint32, RateState) {
	own, passes := l.pace()
	if !passes {
		return 0, state
	}
	full, passes := own.full(millisOf(now))
	if !passes {
		return 0, state
	}
	spent := max(own.read(state), millisOf(now)*own.perMilli)
	if spent >= full {
		return 0, state
	}
	taken := min((full-spent)/own.interval, uint64(count))
	if taken == 0 {
		return 0, state
	}
	return uint32(taken), own.state(spent + taken*own.interval)
}

// giveBack returns the state after requests that were taken and not used were given back. No more
// is ever free than a burst.
func (l RateLimit) giveBack(state RateState, count uint32) RateState {
	own, passes := l.pace()
	if !passes {
		return state
	}
	high, span := bits.Mul64(own.interval, uint64(count))
	if spent := own.read(state); high == 0 && span < spent {
		return own.state(spent - span)
	}
	return 0
}

// held is [RateLimit.Hold], and clamped [RateLimit.Clamp], for a limit that is valid.
func (l RateLimit) held(state RateState, now time.Time) RateState {
	if l.clamped(state, now.Add(rateSlack/rateUnit*time.Millisecond)) == state {
		return state
	}
	return l.clamped(state, now)
}

func (l RateLimit) clamped(state RateState, now time.Time) RateState {
	own, passes := l.pace()
	if !passes {
		return state
	}
	if full, passes := own.full(millisOf(now)); passes && own.read(state) > full {
		return own.state(full)
	}
	return state
}
