package keystile

import (
	"slices"
	"time"
)

// rateLimitsMax is how many limits of a lineage are counted by at once. Its keys have one, and a
// second one while a change of it has reached one of two keys.
const rateLimitsMax = 4

// lineageRates are what the keys of a lineage have spent, by each limit that they have or had
// shortly before, the newest limit last.
//
// What is taken by one limit counts by all of them, as far as a burst of theirs goes. A limit that
// is new goes on from the latest state of the others, of which one burst of its own counts at
// most. A fifth limit replaces the one that was there first. All instants are by the clock of the
// limits.
type lineageRates []lineageRate

type lineageRate struct {
	limit RateLimit
	state RateState
}

// look returns the state of a limit, without a change.
func (r lineageRates) look(limit RateLimit, now time.Time) RateState {
	var latest RateState
	for _, rate := range r {
		if rate.limit == limit {
			return limit.held(rate.state, now)
		}
		latest = max(latest, rate.state)
	}
	return limit.clamped(latest, now)
}

// take takes up to so many tokens by a limit, and returns how many these are and the state of
// that limit. With none, it only returns the state. A refusal counts by no limit; a limit of 0
// refuses all and is not kept.
func (r *lineageRates) take(limit RateLimit, tokens uint32, now time.Time) (uint32, RateState) {
	seen := r.look(limit, now)
	if tokens == 0 || limit.Limit() == 0 {
		return 0, seen
	}
	taken, state := limit.take(seen, now, tokens)
	if taken > 0 {
		for at, other := range *r {
			_, (*r)[at].state = other.limit.take(other.limit.held(other.state, now), now, taken)
		}
	}
	// Also if it was refused: what was held or clamped must be kept. Otherwise it would be
	// brought back to a later instant each time, and nothing would ever become free.
	if taken > 0 || len(*r) > 0 {
		r.keep(limit, state)
	}
	return taken, state
}

// giveBack gives back tokens that were taken by a limit and not used, by that limit only: the
// others were charged as far as a burst of theirs went, and it is not known how far.
func (r lineageRates) giveBack(limit RateLimit, tokens uint32) {
	for at, rate := range r {
		if rate.limit == limit {
			r[at].state = limit.giveBack(rate.state, tokens)
		}
	}
}

// isFull reports whether the full burst of each limit is available: then there is nothing to
// remember.
func (r lineageRates) isFull(now time.Time) bool {
	return !slices.ContainsFunc(r, func(rate lineageRate) bool { return rate.state.FullAt().After(now) })
}

func (r *lineageRates) keep(limit RateLimit, state RateState) {
	for at, rate := range *r {
		if rate.limit == limit {
			(*r)[at].state = state
			return
		}
	}
	if len(*r) >= rateLimitsMax {
		*r = slices.Delete(*r, 0, 1)
	}
	*r = append(*r, lineageRate{limit, state})
}
