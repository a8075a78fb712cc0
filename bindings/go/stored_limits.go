package keystile

import (
	"context"
	"errors"
	"fmt"
	"time"
)

// StoredLimits are [Limits] that are counted in a store, for all processes that share it.
//
// A state is read, and replaced if it is still the same. If another process has spent meanwhile,
// it is read again. On PostgreSQL the server's clock counts, and otherwise the machine's, which
// the processes share.
//
// A lineage has one state in a store, also if its keys have different limits. What a slower one
// has spent is not given back while a key with it lives; until then the faster ones may be
// refused. What a faster one takes counts by the slower one as the time that it takes at the
// faster rate.
//
// Each take is two statements, and again two for each other process that took between them.
// Processes that take several tokens at once for a key in heavy use are not in each other's way.
//
// A lineage that the store does not know is [ErrNotFound].
type StoredLimits struct {
	store UsageStore
	clock func() time.Time
}

// NewStoredLimits returns limits that are counted in a store.
func NewStoredLimits(store UsageStore) *StoredLimits { return NewStoredLimitsWithClock(store, nil) }

// NewStoredLimitsWithClock returns limits with another clock than the machine's, for a store that
// has none.
func NewStoredLimitsWithClock(store UsageStore, clock func() time.Time) *StoredLimits {
	return &StoredLimits{store, clock}
}

// Take implements [Limits].
func (s *StoredLimits) Take(ctx context.Context, take Take) (Taken, error) {
	if s == nil || s.store == nil {
		return Taken{}, uninitialized("StoredLimits")
	}
	if err := take.check(ctx); err != nil {
		return Taken{}, err
	}
	for attempt := range triesMax {
		stored, now, err := s.read(ctx, take.Lineage)
		if err != nil {
			return Taken{}, err
		}
		seen, err := stored.SeenAt(&take.Limit, now)
		if err != nil {
			return Taken{}, err
		}
		tokens, after := take.Limit.take(seen.Rate, now, take.Tokens)
		if tokens == 0 {
			if take.Tokens > 0 {
				s.keepHeld(ctx, take, stored, now)
			}
			return Taken{0, seen.Rate, now}, nil
		}
		replaced, err := s.replace(ctx, take.Lineage, stored.Rate, after)
		if err != nil {
			return Taken{}, err
		}
		if replaced {
			return Taken{tokens, after, now}, nil
		}
		if attempt == 0 && stored.Rate == 0 {
			if err := s.require(ctx, take.Lineage); err != nil {
				return Taken{}, err
			}
		}
	}
	return Taken{}, ErrStale
}

// GiveBack implements [Limits].
func (s *StoredLimits) GiveBack(ctx context.Context, rests []Rest) error {
	if s == nil || s.store == nil {
		return uninitialized("StoredLimits")
	}
	var first error
	for _, rest := range rests {
		err := s.giveBack(ctx, rest)
		if err != nil && !isOfOneLineage(err) {
			return err
		}
		// A damaged row must not keep the tokens of the others.
		if first == nil {
			first = err
		}
	}
	return first
}

func (s *StoredLimits) giveBack(ctx context.Context, rest Rest) error {
	for range triesMax {
		stored, now, err := s.read(ctx, rest.Lineage)
		if err != nil {
			return err
		}
		if !rest.IsTimely(now) || !rest.isIn(stored.Rate) {
			return nil
		}
		replaced, err := s.replace(ctx, rest.Lineage, stored.Rate, rest.Limit.giveBack(stored.Rate, rest.Tokens))
		if err != nil || replaced {
			return err
		}
	}
	// Others take tokens all the time. These few are lost, and nothing is given twice.
	return nil
}

// isIn reports whether a state has these tokens. If it does not, it was lost, or brought back for
// another limit of which they would free more than they had spent.
//
// The state was ahead of the clock by all of them when they were taken. Since then others may have
// given back what they took before, within the same time: so it lies no further back than that
// time.
func (r Rest) isIn(state RateState) bool {
	if state == 0 {
		return false
	}
	_, taken := r.Limit.take(0, r.TakenAt, r.Tokens)
	return state.Move(r.TakenAt, r.TakenAt.Add(r.Within)) == nil && state >= taken
}

// read returns what is stored and the clock that it counts by, which is read after it, so that
// the clocks come in the order of the states.
func (s *StoredLimits) read(ctx context.Context, lineage KeyID) (StoredUsage, time.Time, error) {
	stored, err := s.store.Usage(ctx, lineage)
	now := stored.Clock
	if now.IsZero() {
		now = readClock(s.clock)
	}
	return stored, now, err
}

func (s *StoredLimits) replace(ctx context.Context, lineage KeyID, before, after RateState) (bool, error) {
	// A late write is not begun, even if the store does not look at the context.
	if err := ctx.Err(); err != nil {
		return false, err
	}
	return s.store.ReplaceRate(ctx, lineage, before, after)
}

// keepHeld stores what a state was held to: otherwise it would be held to a later instant each
// time, and nothing would ever become free. A failure does not change the answer.
func (s *StoredLimits) keepHeld(ctx context.Context, take Take, stored StoredUsage, now time.Time) {
	longest, isHeld := longestOfLineage(ctx, s.store, take.Lineage, take.Limit, stored, now)
	if !isHeld {
		return
	}
	if held, err := stored.SeenAt(&longest, now); err == nil {
		_, _ = s.replace(ctx, take.Lineage, stored.Rate, held.Rate)
	}
}

// require fails if there is no such lineage: its state cannot be replaced.
func (s *StoredLimits) require(ctx context.Context, lineage KeyID) error {
	reader, reads := s.store.(lineageReader)
	if !reads {
		return nil
	}
	listed, err := reader.Lineage(ctx, lineage)
	if err == nil && len(listed.Records) == 0 && len(listed.Damaged) == 0 {
		return ErrNotFound
	}
	return err
}

// isOfOneLineage reports whether an error of limits says nothing about other lineages.
func isOfOneLineage(err error) bool {
	return errors.Is(err, ErrNotFound) || errors.Is(err, ErrStale) || errors.Is(err, ErrCorrupt) || errors.Is(err, ErrLimit)
}

// Format shows nothing of the store.
func (s *StoredLimits) Format(state fmt.State, _ rune) {
	_, _ = state.Write([]byte("keystile.StoredLimits"))
}
