package keystile

import (
	"context"
	"sync"
	"time"
)

var (
	_ Store         = (*MemoryStore)(nil)
	_ DerivedLister = (*MemoryStore)(nil)
	_ EventLister   = (*MemoryStore)(nil)
	_ EventPruner   = (*MemoryStore)(nil)
	_ TemplateStore = (*MemoryStore)(nil)
	_ PortableStore = (*MemoryStore)(nil)
	_ RequestStore  = (*MemoryStore)(nil)
)

// MemoryStore is a [Store] in memory, for tests and for programs whose keys may end with the
// process: nothing is written anywhere. It behaves as a store on a disk does, and implements all
// that the store of keystilesql implements. One lock protects all of it, and lists look at each
// record, so it is for thousands of keys and not for millions.
//
// The zero value is an empty store. It must not be copied after it was used.
type MemoryStore struct {
	mutex sync.Mutex
	state memoryState
}

// NewMemoryStore returns an empty store.
func NewMemoryStore() *MemoryStore { return &MemoryStore{} }

// with runs a step alone. A context that has ended is an error, as in other stores.
func (s *MemoryStore) with(ctx context.Context, step func(*memoryState) error) error {
	if s == nil {
		return uninitialized("MemoryStore")
	}
	if err := ctx.Err(); err != nil {
		return unavailable(err)
	}
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.state.begin()
	return step(&s.state)
}

// Find returns the record that a lookup names, or nil.
func (s *MemoryStore) Find(ctx context.Context, lookup Lookup) (found *Record, err error) {
	return found, s.with(ctx, func(state *memoryState) error {
		if !lookup.KeyID.IsZero() {
			found = state.shown(state.byID(lookup.KeyID))
			return nil
		}
		for _, digest := range lookup.Digests {
			row, some := state.rowOfDigest[digest.Bytes()]
			if some && state.rows[row].Digest.Equal(digest) {
				found = state.shown(state.rows[row])
				return nil
			}
		}
		return nil
	})
}

// Lineage returns every record of a lineage, the oldest first.
func (s *MemoryStore) Lineage(ctx context.Context, lineage KeyID) (listed Listed, err error) {
	return listed, s.with(ctx, func(state *memoryState) error {
		for _, row := range state.stored() {
			if record := state.rows[row]; record.lineage() == lineage {
				listed.Records = append(listed.Records, state.shown(record))
			}
		}
		return nil
	})
}

// Derived returns every key that derives from a lineage, is not revoked and has not ended before
// an instant.
func (s *MemoryStore) Derived(ctx context.Context, lineage KeyID, since time.Time) (listed Listed, err error) {
	return listed, s.with(ctx, func(state *memoryState) error {
		for _, record := range descendants(state.records(), lineage) {
			if record.isLeft(since) {
				listed.Records = append(listed.Records, state.shown(record))
			}
		}
		return nil
	})
}

// DerivedState returns how many keys derive from the lineage of source, and the sum of their
// versions.
func (s *MemoryStore) DerivedState(ctx context.Context, source *Record) (derived DerivedState, err error) {
	if source == nil {
		return derived, ErrRecord
	}
	return derived, s.with(ctx, func(state *memoryState) error {
		derived = DerivedStateOf(source, descendants(state.records(), source.lineage())...)
		return nil
	})
}

// Usage returns what a lineage has spent.
func (s *MemoryStore) Usage(ctx context.Context, lineage KeyID) (usage StoredUsage, err error) {
	return usage, s.with(ctx, func(state *memoryState) error {
		if spent := state.usage[lineage]; spent != nil {
			usage.Usage = spent.clone()
		}
		return nil
	})
}

// Spend writes usage back if it has not changed since the decision.
func (s *MemoryStore) Spend(ctx context.Context, request SpendRequest) (spent bool, err error) {
	return spent, s.with(ctx, func(state *memoryState) error {
		record, usage := state.byID(request.KeyID), state.usage[request.Lineage]
		spent = record != nil && usage != nil && record.Version == request.Version &&
			record.lineage() == request.Lineage && usage.Equal(request.Before)
		if spent {
			*usage = request.After.clone()
		}
		return nil
	})
}

// ReplaceRate replaces the state of a lineage's rate limit if it has not changed.
func (s *MemoryStore) ReplaceRate(ctx context.Context, lineage KeyID, before, after RateState) (replaced bool, err error) {
	return replaced, s.with(ctx, func(state *memoryState) error {
		usage := state.usage[lineage]
		replaced = usage != nil && usage.Rate == before
		if replaced {
			usage.Rate = after
		}
		return nil
	})
}

// NoteRates records what a process has counted against rate limits.
func (s *MemoryStore) NoteRates(ctx context.Context, rates []RateNote, now time.Time) error {
	return s.with(ctx, func(state *memoryState) error {
		for _, note := range rates {
			if usage := state.usage[note.Lineage]; usage != nil {
				usage.Rate = note.Merged(usage.Rate, now)
			}
		}
		return nil
	})
}

// NoteUses records when keys were last used.
func (s *MemoryStore) NoteUses(ctx context.Context, uses []Use) error {
	return s.with(ctx, func(state *memoryState) error {
		for _, use := range uses {
			row, some := state.rowOfID[use.KeyID]
			if at := timeOf(millisOf(use.LastUsedAt)); some && at.After(state.rows[row].LastUsedAt) {
				// A reader may have the record.
				used := state.rows[row].Clone()
				used.LastUsedAt = at
				state.rows[row] = used
			}
		}
		return nil
	})
}

// Commit inserts and updates records and appends events, all or nothing.
func (s *MemoryStore) Commit(ctx context.Context, batch Batch) error {
	if err := batch.Check(); err != nil {
		return err
	}
	return s.with(ctx, func(state *memoryState) error { return state.commit(batch) })
}

// clone returns a copy that shares nothing.
func (u Usage) clone() Usage {
	if u.Remaining != nil {
		u.Remaining = Ptr(*u.Remaining)
	}
	return u
}
