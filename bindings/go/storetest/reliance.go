package storetest

import (
	keystile "github.com/keystile/keystile/bindings/go"
)

var relianceCases = map[string]func(*suite){
	"a batch may rely on what was read":        reliesOnWhatWasRead,
	"a batch relies on ended keys too":         reliesOnEndedKeys,
	"derived keys are found":                   derivedFound,
	"a damaged or unknown lineage is no error": derivedOfNone,
}

// derivedOf returns a record that derives from another.
func derivedOf(number int, source *keystile.Record) *keystile.Record {
	record := plain(number)
	record.DerivedFrom, record.DerivedLineage = source.ID, source.Lineage
	return record
}

func (s *suite) lister() keystile.DerivedLister {
	s.Helper()
	lister, ok := s.store.(keystile.DerivedLister)
	if !ok {
		s.Skip("the store does not find derived keys itself")
	}
	return lister
}

func reliesOnWhatWasRead(s *suite) {
	key, other := plain(1), plain(3)
	key.RemainingUses = keystile.Ptr(uint64(5))
	child := derivedOf(2, key)
	s.insert(key, child, other)
	before := s.allEvents()
	state := keystile.DerivedStateOf
	for what, fill := range map[string]func(*keystile.Batch){
		"another version":           func(b *keystile.Batch) { b.Unchanged = []keystile.KeyVersion{{KeyID: id(1), Version: 2}} },
		"no such key":               func(b *keystile.Batch) { b.Unchanged = []keystile.KeyVersion{{KeyID: id(9), Version: 1}} },
		"too many uses":             func(b *keystile.Batch) { b.TakeUses = []keystile.TakenUses{{Lineage: id(1), Uses: 6}} },
		"uses that are not counted": func(b *keystile.Batch) { b.TakeUses = []keystile.TakenUses{{Lineage: id(3), Uses: 1}} },
		"uses of no lineage":        func(b *keystile.Batch) { b.TakeUses = []keystile.TakenUses{{Lineage: id(9), Uses: 1}} },
		"no derived key":            func(b *keystile.Batch) { b.Derived = []keystile.DerivedState{state(key)} },
		"a later derived key":       func(b *keystile.Batch) { b.Derived = []keystile.DerivedState{state(key, next(child))} },
		"two derived keys":          func(b *keystile.Batch) { b.Derived = []keystile.DerivedState{state(key, child, child)} },
	} {
		batch := updates(next(other))
		fill(&batch)
		s.refused(s.store.Commit(ctx, batch), keystile.ErrStale, what)
		s.sameEvents(s.allEvents(), before, what)
		s.is(s.find(other.ID).Version == 1, "%s: nothing is written", what)
	}
	batch := updates(next(other))
	batch.Unchanged = []keystile.KeyVersion{{KeyID: id(1), Version: 1}, {KeyID: id(2), Version: 1}}
	batch.TakeUses = []keystile.TakenUses{{Lineage: id(1), Uses: 2}, {Lineage: id(1), Uses: 3}}
	batch.Derived = []keystile.DerivedState{state(key, child)}
	s.fine(s.store.Commit(ctx, batch), "a batch that relies on what is so")
	found := s.find(id(1))
	s.is(*found.RemainingUses == 0 && found.Version == 1, "uses are taken, and are no part of the record: %+v", found)
	s.is(len(s.allEvents()) == len(before)+1, "one event, of the updated key")
}

// One is revoked and one is added: as many live ones as before, with the same versions.
func reliesOnEndedKeys(s *suite) {
	key, other := plain(1), plain(3)
	child := derivedOf(2, key)
	s.insert(key, child, other)
	read := keystile.DerivedStateOf(key, child)
	s.fine(s.store.Commit(ctx, updates(revoked(child, ""))), "a revocation")
	added := derivedOf(4, key)
	s.insert(added)
	batch := updates(next(other))
	batch.Derived = []keystile.DerivedState{read}
	s.refused(s.store.Commit(ctx, batch), keystile.ErrStale, "another key derives from it")
	batch.Derived = []keystile.DerivedState{keystile.DerivedStateOf(key, next(child), added)}
	s.fine(s.store.Commit(ctx, batch), "the keys as they are")
}

func derivedFound(s *suite) {
	lister := s.lister()
	one, other := plain(1), plain(2)
	first := derivedOf(3, one)
	second, heir, ended := derivedOf(5, first), derivedOf(6, one), derivedOf(7, one)
	heir.Lineage = first.ID
	ended.ExpiresAt = at(50)
	s.insert(one, other, first, derivedOf(4, other), second, heir, ended)
	found := func(since int64, expected ...*keystile.Record) {
		s.Helper()
		listed, err := lister.Derived(ctx, one.ID, at(since))
		s.fine(err, "the keys that derive from a lineage")
		s.is(listed.Next.IsZero() && len(listed.Damaged) == 0, "one page, without damage")
		s.sameIDs(ids(listed.Records), ids(expected), "in order, and no others, since %d", since)
	}
	found(49, first, second, heir, ended)
	found(50, first, second, heir)
	state, err := lister.DerivedState(ctx, one)
	s.fine(err, "the state of the derived keys")
	s.is(state == keystile.DerivedStateOf(one, first, second, heir, ended), "also of ended ones: %+v", state)
	// Revoked by other code, which reaches no other key.
	s.fine(s.store.Commit(ctx, updates(revoked(first, ""))), "a revocation")
	s.fine(s.store.Commit(ctx, updates(revoked(heir, ""))), "a revocation")
	found(50, second)
}

func derivedOfNone(s *suite) {
	lister := s.lister()
	listed, err := lister.Derived(ctx, id(77), at(0))
	s.fine(err, "an unknown lineage")
	s.is(len(listed.Records) == 0, "has no derived keys")
	state, err := lister.DerivedState(ctx, plain(77))
	s.fine(err, "an unknown lineage")
	s.is(state == keystile.DerivedStateOf(plain(77)), "has no derived keys: %+v", state)
}
