package keystile

import (
	"context"
	"slices"
	"time"
)

// clocksApartMax is how far apart clocks are expected to be: for so long after its end a derived
// key is treated as if it had not ended, since another process may still accept it.
const clocksApartMax = time.Minute

// family is the keys that derive from a lineage, are not revoked, and have not ended long ago, as
// they were read.
//
// Keys that have ended need no revocation: without that, the rows of short lives would be read and
// written for as long as they are kept, and could be too many.
type family struct {
	// state is all that derive from it, also ended ones, before the others were read: what was
	// added since then makes a batch stale that relies on it.
	state   DerivedState
	derived []*Record
	damaged []*CorruptRow
}

func (p *parts) familyOf(ctx context.Context, source *Record, now time.Time) (*family, error) {
	state, err := p.derivedState(ctx, source)
	if err != nil {
		return nil, err
	}
	if state.Keys == 0 {
		// What is added from now on makes a batch stale that relies on this.
		return &family{state: state}, nil
	}
	listed, err := p.derived(ctx, source.lineage(), now.Add(-clocksApartMax))
	return &family{state, listed.Records, listed.Damaged}, err
}

// size is how many are written if the first key of the chain is revoked.
func (f *family) size() int { return len(f.derived) + len(f.damaged) }

// reachedKeys are those that a change of the source reaches, and how many live ones it leaves.
type reachedKeys struct {
	keys    []*Record
	damaged []*CorruptRow
	left    int
}

// reached returns what revoking or suspending source reaches. Whether damaged rows derive from
// this very key is not known: they are reached if it is asked for.
func (p *parts) reached(ctx context.Context, f *family, source *Record, reach Reach, now time.Time) (reachedKeys, error) {
	all := reachedKeys{keys: f.derived, damaged: f.damaged}
	if f.size() == 0 || source.ReplacedBy.IsZero() {
		return all, nil
	}
	lineage, err := p.store.Lineage(ctx, source.lineage())
	if err != nil {
		return all, err
	}
	// A suspended one may be resumed.
	hasHeir := slices.ContainsFunc(lineage.Records, func(key *Record) bool { return key.ID != source.ID && key.isLeft(now) })
	if !hasHeir {
		return all, nil
	}
	if reach == ReachOwn {
		all.keys = f.ofKey(source.ID)
	} else {
		all.keys, all.damaged = nil, nil
	}
	reached := idsOf(all.keys)
	for _, key := range f.derived {
		if key.isLeft(now) && !reached[key.ID] {
			all.left++
		}
	}
	return all, nil
}

// ofKey returns those that this key was the source of, and those that derive from them.
func (f *family) ofKey(source KeyID) []*Record {
	lineages := map[KeyID]bool{}
	derives := func(key *Record) bool { return key.DerivedFrom == source || lineages[key.DerivedLineage] }
	for count := -1; count != len(lineages); {
		count = len(lineages)
		for _, key := range f.derived {
			if derives(key) {
				lineages[key.lineage()] = true
			}
		}
	}
	var own []*Record
	for _, key := range f.derived {
		if derives(key) {
			own = append(own, key)
		}
	}
	return own
}

// belowKey is a key, and the one that it derives from.
type belowKey struct {
	key    *Record
	source KeyID
}

// below returns the keys that derive from some of these, and are none of them. An old key of a
// lineage is no source if it has a successor.
func (f *family) below(some []*Record) []belowKey {
	own, sources := idsOf(some), map[KeyID]KeyID{}
	for _, key := range some {
		if key.ReplacedBy.IsZero() {
			sources[key.lineage()] = key.ID
		}
	}
	for count := -1; count != len(sources); {
		count = len(sources)
		for _, key := range f.derived {
			source, derives := sources[key.DerivedLineage]
			if _, known := sources[key.lineage()]; derives && !known {
				sources[key.lineage()] = source
			}
		}
	}
	var below []belowKey
	for _, key := range f.derived {
		if source, derives := sources[key.DerivedLineage]; derives && !own[key.ID] {
			below = append(below, belowKey{key, source})
		}
	}
	return below
}

// resumable returns those that were suspended with a key, and have no more than the keys that they
// derive from: those of sources, live ones of this family, or one of these.
func (f *family) resumable(source *Record, sources []*Record, now time.Time, permits func(*Record) bool) []*Record {
	var left, resumed []*Record
	for _, key := range f.derived {
		if key.State == StateSuspended && key.SuspendedWith == source.ID {
			left = append(left, key)
		} else if key.IsLive(now) {
			sources = append(sources, key)
		}
	}
	// A source before what derives from it.
	for {
		var rest, more []*Record
		for _, key := range left {
			newest := newestOf(sources, key.DerivedLineage)
			if newest != nil && !key.exceeds(newest) && permits(key) {
				more = append(more, key)
			} else {
				rest = append(rest, key)
			}
		}
		if len(more) == 0 {
			return resumed
		}
		left = rest
		sources, resumed = append(sources, more...), append(resumed, more...)
	}
}

// newestOf returns the last record of a lineage that has no successor, or else its last.
func newestOf(records []*Record, lineage KeyID) *Record {
	var newest *Record
	for _, record := range records {
		if record.lineage() == lineage && (newest == nil || record.ReplacedBy.IsZero() || !newest.ReplacedBy.IsZero()) {
			newest = record
		}
	}
	return newest
}

// endAllDamaged adds the end of damaged keys to a batch: of each, only the state is written.
func (b *Batch) endAllDamaged(rows []*CorruptRow, status UpkeepStatus) error {
	for _, row := range rows {
		if row.State == StateRevoked || row.State == StateSuspended && status.State == StateSuspended {
			continue
		}
		if row.KeyID.IsZero() || row.Version == 0 {
			return row
		}
		b.Upkeep = append(b.Upkeep, Upkeep{KeyID: row.KeyID, Version: row.Version + 1, Status: &status})
	}
	return nil
}

// relyOnFamily lets the batch be written only if the keys that derive from the lineage are still
// those that were read.
func (b *Batch) relyOnFamily(f *family) {
	own := idsOf(f.derived)
	for _, row := range f.damaged {
		own[row.KeyID] = true
	}
	state := f.state
	// Each of them is the next version of a key.
	for _, record := range b.Updates {
		if own[record.ID] {
			state.Versions++
		}
	}
	for _, upkeep := range b.Upkeep {
		if own[upkeep.KeyID] {
			state.Versions++
		}
	}
	b.Derived = append(b.Derived, state)
}

func idsOf(records []*Record) map[KeyID]bool {
	ids := map[KeyID]bool{}
	for _, record := range records {
		ids[record.ID] = true
	}
	return ids
}

// isLeft reports whether the key is not revoked and its time is not over.
func (r *Record) isLeft(now time.Time) bool { return r.State != StateRevoked && !r.hasEnded(now) }

// exceeds reports whether a key has more than another one, or ends later; without their uses,
// which were taken off when it got them.
func (r *Record) exceeds(source *Record) bool {
	own := r.Clone()
	// Uses that are not counted are more than any number of them.
	if own.RemainingUses != nil {
		own.RemainingUses = source.RemainingUses
	}
	own.ExpiresAt = own.endsAt()
	return !own.IsWithin(source)
}

// liveSource returns the key that a key derives from: the one of its lineage that has no
// successor, or else the last; nil if it derives from none. It returns [ErrSourceNotLive] if that
// one is not live.
func (p *parts) liveSource(ctx context.Context, key *Record, now time.Time) (*Record, error) {
	if key.DerivedFrom.IsZero() {
		return nil, nil
	}
	lineage, err := p.store.Lineage(ctx, key.DerivedLineage)
	if err != nil {
		return nil, err
	}
	// The newest one: an older one may end later, but only by the overlap.
	var last *Record
	for _, source := range lineage.Records {
		if source.isLeft(now) && (last == nil || !source.isBefore(last)) {
			last = source
		}
	}
	if last == nil || !last.IsLive(now) {
		return nil, ErrSourceNotLive
	}
	return last, nil
}

// isBefore reports whether another key of the lineage, rather than this one, is a source: the one
// without a successor, then the one that ends later.
func (r *Record) isBefore(other *Record) bool {
	if r.ReplacedBy.IsZero() != other.ReplacedBy.IsZero() {
		return other.ReplacedBy.IsZero()
	}
	own, end := r.endsAt(), other.endsAt()
	if own.IsZero() || end.IsZero() {
		return end.IsZero() && !own.IsZero()
	}
	return own.Before(end)
}
