package storetest

import (
	"errors"
	"fmt"
	"math"
	"sync"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var changesCases = map[string]func(*suite){
	"a batch is written whole or not at all": wholeOrNot,
	"a record without an event is refused":   withoutEvent,
	"upkeep writes one field":                upkeepOneField,
	"an update needs the version before":     versionBefore,
	"a revocation stands":                    revocationStands,
	"an update leaves usage and last use":    leavesUsage,
	"of changes at once one wins":            oneChangeWins,
	"of inserts at once one wins":            oneInsertWins,
	"a revocation stands among many writers": standsAmongWriters,
}

// K3, L4: a batch that fails leaves nothing behind.
func wholeOrNot(s *suite) {
	first, second := plain(1), plain(2)
	s.insert(first, second)
	counted := plain(3)
	counted.RemainingUses = keystile.Ptr(uint64(5))
	changed, stale := next(first), second.Clone()
	changed.Owner = keystile.Ptr("changed")
	stale.Version = 7
	taken := plain(4)
	taken.Digest = first.Digest
	before := s.allEvents()
	for number, batch := range []keystile.Batch{
		{Inserts: []*keystile.Record{counted, taken}},
		{Inserts: []*keystile.Record{counted}, Updates: []*keystile.Record{stale}},
		{Updates: []*keystile.Record{changed, stale}},
		{Updates: []*keystile.Record{changed, changed}},
		{Inserts: []*keystile.Record{counted}, Updates: []*keystile.Record{changed, stale}},
	} {
		batch.Events = []keystile.Event{event(1), event(2)}
		err := s.store.Commit(ctx, noted(batch))
		s.is(errors.Is(err, keystile.ErrStale) || errors.Is(err, keystile.ErrDuplicate), "half of batch %d cannot be written: %v", number, err)
		context := fmt.Sprintf("after refused batch %d, which changes nothing", number)
		s.same(s.find(first.ID), first, context)
		s.same(s.find(second.ID), second, context)
		s.is(s.find(counted.ID) == nil, "%s: no record", context)
		s.is(s.usage(counted.Lineage).Equal(keystile.Usage{}), "%s: no usage", context)
		s.sameEvents(s.allEvents(), before, context+": no event")
	}
	whole := noted(keystile.Batch{Inserts: []*keystile.Record{counted}, Updates: []*keystile.Record{changed},
		Events: []keystile.Event{event(1), event(2)}})
	s.fine(s.store.Commit(ctx, whole), "without its wrong half it is written")
	s.same(s.find(first.ID), changed, "after a whole batch")
	s.same(s.find(counted.ID), counted, "after a whole batch")
	s.sameEvents(s.allEvents(), append(before, whole.Events...), "after a whole batch")
	s.fine(s.store.Commit(ctx, keystile.Batch{}), "an empty batch is nothing, and no error")
}

// A change without an event would not reach the processes that cache the record.
func withoutEvent(s *suite) {
	record := plain(1)
	s.insert(record)
	before := s.allEvents()
	changed := next(record)
	changed.Owner = keystile.Ptr("changed")
	renewed := keystile.Upkeep{KeyID: record.ID, Version: 2, Digest: keystile.Ptr(digest(7))}
	versioned := func(number int, version uint64) keystile.Event {
		event := event(number)
		event.Version = version
		return event
	}
	for _, events := range [][]keystile.Event{nil, {event(1)}, {versioned(2, 2)}, {versioned(1, 1)}, {versioned(1, 3)}} {
		for _, batch := range []keystile.Batch{
			{Inserts: []*keystile.Record{plain(2)}},
			{Updates: []*keystile.Record{changed}},
			{Upkeep: []keystile.Upkeep{renewed}},
			{Inserts: []*keystile.Record{plain(3)}, Updates: []*keystile.Record{changed}},
		} {
			batch.Events = events
			s.refused(s.store.Commit(ctx, batch), keystile.ErrWithoutEvent, "a record without an event of its id and version")
		}
	}
	s.same(s.find(record.ID), record, "after changes without events")
	s.is(s.find(id(2)) == nil && s.find(id(3)) == nil, "no record")
	s.sameEvents(s.allEvents(), before, "no event")
}

// Upkeep writes its field and the version, and leaves all others as they are stored.
func upkeepOneField(s *suite) {
	record := full(1)
	record.State, record.RevokedAt, record.RevokedReason = keystile.StateActive, time.Time{}, ""
	s.insert(record)
	expected := record.Clone()
	until := at(77)
	for number, upkeep := range []keystile.Upkeep{
		{Digest: keystile.Ptr(digest(7))},
		{OverlapUntil: &until},
		{EndsAtFirstUse: &keystile.KeyID{}},
		{Digest: &record.Digest},
		{Status: &keystile.UpkeepStatus{State: keystile.StateSuspended}},
		{Status: &keystile.UpkeepStatus{State: keystile.StateRevoked, RevokedAt: at(7), RevokedReason: "leaked"}},
	} {
		upkeep.KeyID, upkeep.Version = record.ID, expected.Version+1
		batch := noted(keystile.Batch{Upkeep: []keystile.Upkeep{upkeep}})
		s.fine(s.store.Commit(ctx, batch), "upkeep is written")
		expected.Version++
		switch number {
		case 0, 3:
			expected.Digest = *upkeep.Digest
		case 1:
			expected.OverlapUntil = until
		case 2:
			expected.EndsAtFirstUse = keystile.KeyID{}
		default:
			status := upkeep.Status
			expected.State, expected.RevokedAt, expected.RevokedReason = status.State, status.RevokedAt, status.RevokedReason
		}
		s.same(s.find(record.ID), expected, "after upkeep of "+upkeep.Field())
		s.refused(s.store.Commit(ctx, batch), keystile.ErrStale, "upkeep on an older version")
	}
	for _, late := range []keystile.Upkeep{{Digest: keystile.Ptr(digest(7))}, {Status: &keystile.UpkeepStatus{State: keystile.StateSuspended}}} {
		late.KeyID, late.Version = record.ID, expected.Version+1
		s.refused(s.store.Commit(ctx, noted(keystile.Batch{Upkeep: []keystile.Upkeep{late}})), keystile.ErrStale, "upkeep of a revoked key")
		s.same(s.find(record.ID), expected, "after upkeep of a revoked key")
	}
	resumed := keystile.Upkeep{KeyID: record.ID, Version: expected.Version + 1, Status: &keystile.UpkeepStatus{State: keystile.StateActive}}
	s.refused(s.store.Commit(ctx, noted(keystile.Batch{Upkeep: []keystile.Upkeep{resumed}})), keystile.ErrRecord, "upkeep resumes no key")
}

func versionBefore(s *suite) {
	first := plain(1)
	s.insert(first)
	second := next(first)
	second.ClientName = "second"
	s.fine(s.store.Commit(ctx, updates(second)), "the next version is accepted")
	for _, version := range []uint64{1, 2, 4, 5, math.MaxInt64} {
		other := first.Clone()
		other.ClientName, other.Version = "other", version
		s.refused(s.store.Commit(ctx, updates(other)), keystile.ErrStale, "not accepted over version 2")
		s.same(s.find(first.ID), second, "after a stale update")
	}
	moved := next(second)
	moved.Lineage = id(9)
	s.refused(s.store.Commit(ctx, updates(moved)), keystile.ErrStale, "a key stays in its lineage")

	all := full(1)
	all.State, all.RevokedAt, all.RevokedReason, all.Version = keystile.StateSuspended, time.Time{}, "", 3
	s.fine(s.store.Commit(ctx, updates(all)), "every other field can change")
	all.RemainingUses, all.LastUsedAt = second.RemainingUses, second.LastUsedAt
	s.same(s.find(first.ID), all, "with every field changed")
	none := plain(1)
	none.Version = 4
	s.fine(s.store.Commit(ctx, updates(none)), "and every field can be emptied")
	s.same(s.find(first.ID), none, "with every field emptied")
}

// P2, K10: a revocation is final, whatever version a writer has.
func revocationStands(s *suite) {
	active := plain(1)
	s.insert(active)
	ended := revoked(active, "leaked")
	s.fine(s.store.Commit(ctx, updates(ended)), "an active key is revoked")
	before := s.allEvents()
	late := next(active)
	late.Owner = keystile.Ptr("late")
	resumed, suspended := next(ended), next(ended)
	resumed.State, resumed.RevokedAt, resumed.RevokedReason = keystile.StateActive, time.Time{}, ""
	suspended.State, suspended.RevokedAt, suspended.RevokedReason = keystile.StateSuspended, time.Time{}, ""
	otherInstant := next(ended)
	otherInstant.RevokedAt = at(8)
	for what, record := range map[string]*keystile.Record{
		"a change of the record as it was before": late,
		"an active state of the right version":    resumed,
		"a suspended state of the right version":  suspended,
		"another reason":                          revoked(ended, "another reason"),
		"another instant":                         otherInstant,
	} {
		batch := updates(record)
		batch.Events = append(batch.Events, event(1))
		s.refused(s.store.Commit(ctx, batch), keystile.ErrStale, what+" does not take the place of a revocation")
		s.same(s.find(active.ID), ended, "after "+what)
		s.sameEvents(s.allEvents(), before, "after "+what+": no event")
	}
	s.refused(s.store.Commit(ctx, inserts(active)), keystile.ErrDuplicate, "nor does a new record")
	s.fine(s.store.NoteUses(ctx, []keystile.Use{{KeyID: active.ID, LastUsedAt: at(9), Count: 1}}), "a use")
	tidied := next(ended)
	tidied.Owner = keystile.Ptr("kept")
	s.fine(s.store.Commit(ctx, updates(tidied)), "a revoked record may change otherwise")
	tidied.LastUsedAt = at(9)
	s.same(s.find(active.ID), tidied, "still revoked")
}

func leavesUsage(s *suite) {
	record := plain(1)
	record.RemainingUses = keystile.Ptr(uint64(3))
	s.insert(record)
	s.fine(s.store.NoteUses(ctx, []keystile.Use{{KeyID: record.ID, LastUsedAt: at(50), Count: 1}}), "a use")
	stale := next(record)
	stale.RemainingUses, stale.LastUsedAt = keystile.Ptr(uint64(1_000)), at(99)
	s.fine(s.store.Commit(ctx, updates(stale)), "an update")
	stale.RemainingUses, stale.LastUsedAt = keystile.Ptr(uint64(3)), at(50)
	s.same(s.find(record.ID), stale, "after an update")
	s.is(*s.usage(record.Lineage).Remaining == 3, "an update gives no uses back")
}

// atOnce runs work count times at once, and returns the errors.
func atOnce(count int, work func(number int) error) []error {
	errs := make([]error, count)
	var running sync.WaitGroup
	for number := range count {
		running.Add(1)
		go func() {
			defer running.Done()
			errs[number] = work(number)
		}()
	}
	running.Wait()
	return errs
}

func oneChangeWins(s *suite) {
	current := plain(1)
	s.insert(current)
	for round := range 10 {
		rivals := make([]*keystile.Record, 8)
		for rival := range rivals {
			rivals[rival] = next(current)
			rivals[rival].ClientName = fmt.Sprintf("rival %d", rival)
		}
		winners := 0
		for rival, err := range atOnce(len(rivals), func(rival int) error {
			batch := updates(rivals[rival])
			return s.store.Commit(ctx, batch)
		}) {
			if err == nil {
				winners++
				current = rivals[rival]
			} else {
				s.refused(err, keystile.ErrStale, "a change that loses is stale")
			}
		}
		s.is(winners == 1, "in round %d, of 8 changes at once %d won", round, winners)
		s.same(s.find(current.ID), current, "the one that won")
		s.is(len(s.allEvents()) == round+2, "losers leave no event")
	}
}

func oneInsertWins(s *suite) {
	for number := 1; number <= 10; number++ {
		winners := 0
		for _, err := range atOnce(8, func(rival int) error {
			record := plain(number)
			record.ClientName = fmt.Sprintf("rival %d", rival)
			return s.store.Commit(ctx, inserts(record))
		}) {
			if err == nil {
				winners++
			} else {
				s.refused(err, keystile.ErrDuplicate, "an insert that loses is a duplicate")
			}
		}
		s.is(winners == 1, "of 8 inserts of one id at once %d won", winners)
	}
}

// L4: writers that read the record as active do not undo its revocation.
func standsAmongWriters(s *suite) {
	s.insert(plain(1))
	read := func() (*keystile.Record, error) {
		record, err := s.store.Find(ctx, keystile.Lookup{KeyID: id(1)})
		if err == nil && record == nil {
			err = keystile.ErrNotFound
		}
		return record, err
	}
	var writers sync.WaitGroup
	failures := make(chan error, 4)
	for writer := range 4 {
		writers.Add(1)
		go func() {
			defer writers.Done()
			for round := range 25 {
				record, err := read()
				if err == nil {
					record = next(record)
					record.ClientName = fmt.Sprintf("writer %d, round %d", writer, round)
					err = s.store.Commit(ctx, updates(record))
				}
				if err != nil && !errors.Is(err, keystile.ErrStale) {
					failures <- err
					return
				}
			}
		}()
	}
	for {
		record, err := read()
		s.fine(err, "the record is there")
		if err = s.store.Commit(ctx, updates(revoked(record, "now"))); err == nil {
			break
		}
		s.refused(err, keystile.ErrStale, "a change that loses is stale")
	}
	for range 50 {
		s.is(s.find(id(1)).State == keystile.StateRevoked, "once a revocation was answered, every reader sees it")
	}
	writers.Wait()
	close(failures)
	for err := range failures {
		s.fine(err, "no writer fails")
	}
	s.is(s.find(id(1)).State == keystile.StateRevoked, "and no writer undid it")
}
