package keystile

import (
	"context"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// rateUnit is a millisecond in the units of a [RateState], and rateSlack how much further
// ahead than a full burst a state of a clock that several processes read may lie.
const (
	rateUnit  = 1 << 20
	rateSlack = 60_000 * rateUnit
)

// StoredUsage is what a lineage has spent, and the store's clock when it was read.
//
// The state of a rate limit is an instant, and several processes share it. If each read it
// by its own clock, one whose clock is ahead would make all others wait. So a store with a
// clock of its own keeps the state in the time of that clock, and a decision converts it.
type StoredUsage struct {
	Usage
	// Clock is the store's clock when the usage was read. The zero time: the store has no
	// clock of its own, because all processes that use it read the same clock.
	Clock time.Time
}

// SeenAt returns the usage for a decision by a clock that shows now.
//
// A state that lies further ahead of the store's clock than the limit can move it is from a
// wrong reading of the clock, or from a limit that has changed. It counts as one full burst
// that is spent, and requests become free from there. If the store has no clock of its own,
// a minute is tolerated, as in [RateLimit.Hold].
func (s StoredUsage) SeenAt(limit *RateLimit, now time.Time) (Usage, error) {
	seen := s.Usage
	if limit == nil {
		return seen, nil
	}
	if s.Clock.IsZero() {
		return seen, limit.Hold(&seen.Rate, now)
	}
	if err := limit.Clamp(&seen.Rate, s.Clock); err != nil {
		return seen, err
	}
	return seen, seen.Rate.Move(s.Clock, now)
}

// isHeld reports whether [StoredUsage.SeenAt] returns an earlier state than the stored one.
func (s StoredUsage) isHeld(limit RateLimit, now time.Time) bool {
	state := s.Rate
	if s.Clock.IsZero() {
		return limit.Hold(&state, now) == nil && state != s.Rate
	}
	return limit.Clamp(&state, s.Clock) == nil && state != s.Rate
}

// WrittenAt returns the usage for the store, after a decision by a clock that shows now on
// what [StoredUsage.SeenAt] returned for the same limit and instant.
func (s StoredUsage) WrittenAt(limit *RateLimit, after Usage, now time.Time) (Usage, error) {
	if limit == nil || s.Clock.IsZero() {
		return after, nil
	}
	return after, after.Rate.Move(now, s.Clock)
}

// RateNote is the state of a rate limit that a process has counted, in the time of its
// clock, for [UsageStore].
type RateNote struct {
	// Lineage is the first key of the key's lineage.
	Lineage KeyID
	State   RateState
	// Reach is how far ahead of the clock a state may be: one that is further ahead, counted
	// or stored, is brought back to that. It is at least how far the limits of all live keys
	// of the lineage can move a state; otherwise what the slowest of them has counted is lost.
	Reach time.Duration
}

// reachMax is the longest reach of any limit: ten years.
const reachMax = 3_653 * 24 * time.Hour

// thatOnlyRaises returns the same, held to its own reach by a clock that shows now, and with
// one that brings nothing back in the store: a process does not know which limits the other
// keys of the lineage have.
func (n RateNote) thatOnlyRaises(now time.Time) RateNote {
	full := RateState((millisOf(now) + spanMillis(n.Reach)) * rateUnit)
	return RateNote{n.Lineage, min(n.State, full), reachMax}
}

// Merged returns the state that a store without a clock of its own keeps: the later one of
// what was counted and what it has, which is held to [RateNote.Reach] if it lies more than
// that and a minute ahead.
func (n RateNote) Merged(stored RateState, now time.Time) RateState {
	full := RateState((millisOf(now) + spanMillis(n.Reach)) * rateUnit)
	if stored > full+rateSlack {
		stored = full
	}
	return max(stored, min(n.State, full))
}

// findWithUsage returns the record that a lookup names, and what its lineage has spent if
// anything of it is counted.
func findWithUsage(ctx context.Context, finder RecordFinder, usages UsageStore, lookup Lookup) (*Record, StoredUsage, error) {
	record, err := found(finder.Find(ctx, lookup))
	if err != nil || record == nil || usages == nil || (record.RateLimit == nil && record.RemainingUses == nil) {
		return record, StoredUsage{}, err
	}
	stored, err := usages.Usage(ctx, record.lineage())
	return record, stored, err
}

// claim decides about a key by what the store has, and writes what that costs. If another
// request was faster, again is set: read everything again.
func (v *Verifier) claim(ctx context.Context, usages UsageStore, key string, record *Record, stored StoredUsage, request Request, now time.Time) (decision Decision, left *uint64, again bool, err error) {
	var limit *RateLimit
	if record != nil {
		limit = record.RateLimit
	}
	seen, err := stored.SeenAt(limit, now)
	if err != nil {
		return Refuse(CauseStoreUnavailable), nil, false, err
	}
	if record != nil && record.RemainingUses != nil && seen.Remaining == nil {
		// The key was changed between the two readings: its uses are no longer counted.
		return Refuse(CauseStoreUnavailable), nil, true, nil
	}
	after := seen
	if decision, err = v.Verify(key, record, request, &after, now); err != nil {
		return decision, nil, false, err
	}
	written, err := stored.WrittenAt(limit, after, now)
	if err != nil {
		return Refuse(CauseStoreUnavailable), nil, false, err
	}
	if !decision.Allowed() {
		if decision.Cause() == CauseRateLimit {
			if limit, held := longestLimit(ctx, usages, record, stored, now); held {
				// What was held must be stored: otherwise it would be held to a later instant
				// at each check, and nothing would ever become free. A failure does not
				// change the decision: the next check tries again.
				hold(ctx, usages, record, stored, limit, now)
			}
		}
		return decision, nil, false, nil
	}
	if !after.Equal(seen) {
		// A late write is not begun, even if the store does not look at the context.
		if err := ctx.Err(); err != nil {
			return Refuse(CauseStoreUnavailable), nil, false, err
		}
		spent, err := usages.Spend(ctx, SpendRequestOf(record, stored.Usage, written))
		if err != nil || !spent {
			return Refuse(CauseStoreUnavailable), nil, err == nil, err
		}
	}
	return decision, after.Remaining, false, nil
}

// hold writes the state that a limit holds the stored one to.
func hold(ctx context.Context, usages UsageStore, record *Record, stored StoredUsage, limit RateLimit, now time.Time) {
	held, err := stored.SeenAt(&limit, now)
	if err == nil {
		held, err = stored.WrittenAt(&limit, held, now)
	}
	if err == nil {
		_, _ = usages.Spend(ctx, SpendRequestOf(record, stored.Usage, held))
	}
}

// spentOf returns what the lineage of a fetched record has spent, by a clock that shows now;
// nil if the store does not hold that.
//
// The store read its clock before the fetch ended, so the end is the reading of this clock
// to compare it with: nothing that was spent may be given back.
func (p *parts) spentOf(ctx context.Context, fetched fetchResult, now time.Time) (*capi.Usage, error) {
	if p.usage == nil || fetched.record == nil {
		return nil, nil
	}
	limit := fetched.record.RateLimit
	seen, err := fetched.usage.SeenAt(limit, now)
	if longest, isHeld := longestLimit(ctx, p.usage, fetched.record, fetched.usage, now); isHeld && p.tokens == nil {
		// What it counts as is recorded: otherwise each fetch would find a full burst spent
		// again, and a limit that takes longer than a TTL to be free would never be. If it
		// fails, the next fetch tries again.
		if held, err := fetched.usage.SeenAt(&longest, now); err == nil {
			note := RateNote{fetched.record.lineage(), held.Rate, longest.reach()}
			_ = p.usage.NoteRates(ctx, []RateNote{note}, now)
		}
	}
	seen.Rate = p.noted.exact(fetched.record.lineage(), fetched.usage, seen.Rate, time.Since(fetched.begun))
	raw := seen.raw()
	return &raw, err
}

// raw returns the usage for the library.
func (u Usage) raw() capi.Usage {
	raw := capi.Usage{RateState: uint64(u.Rate)}
	if u.Remaining != nil {
		raw.RemainingUses, raw.HasRemainingUses = *u.Remaining, 1
	}
	return raw
}
