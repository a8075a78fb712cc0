package storetest

import (
	"math"
	"slices"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var auditCases = map[string]func(*suite){
	"events come back in order":    eventsInOrder,
	"events of one key":            eventsOfOne,
	"a page of events has a bound": boundedEvents,
	"the last event is known":      lastEvent,
	"events are selected":          selectedEvents,
	"old events are removed":       prunedEvents,
}

func batchOf(events ...keystile.Event) keystile.Batch { return keystile.Batch{Events: events} }

func eventsInOrder(s *suite) {
	// Their times run backwards, but the order is that of writing.
	var events []keystile.Event
	for number, kind := range []keystile.EventKind{keystile.EventIssued, keystile.EventRotated, keystile.EventRevoked,
		keystile.EventSuspended, keystile.EventResumed, keystile.EventExpired, keystile.EventRehashed, keystile.EventImported,
		keystile.EventChanged, keystile.EventDeleted} {
		events = append(events, keystile.Event{Kind: kind, KeyID: id(number), At: at(int64(1_000 - number))})
	}
	events[1].Successor = id(77)
	events[2].Reason, events[3].Reason = keystile.Ptr("leaked in a log"), keystile.Ptr("")
	events[4].At, events[5].At = time.UnixMilli(100_000_000_000).UTC(), time.UnixMilli(253_402_300_799_999).UTC()
	events[6].Version = math.MaxInt64
	events[7].Actor, events[7].Origin = keystile.Ptr("a person"), keystile.Ptr("2001:db8::7")
	events[8].Changes = []keystile.FieldChange{{Field: "owner"}, {Field: "ünïcödé \"quoted\""}}
	events[9].KeyID = keystile.KeyID{}
	s.fine(s.store.Commit(ctx, batchOf(events[:3]...)), "events alone are a batch")
	s.fine(s.store.Commit(ctx, batchOf(events[3:]...)), "and so are these")
	numbered := s.events(keystile.KeyID{}, 0, 100)
	s.sameEvents(bare(numbered), events, "each event as it was, in the order of writing")
	last := uint64(0)
	for _, one := range numbered {
		s.is(one.Number > last, "numbers grow, from 1 on: %d behind %d", one.Number, last)
		last = one.Number
	}
	var read []keystile.Event
	after := uint64(0)
	for page := s.events(keystile.KeyID{}, after, 3); len(page) > 0; page = s.events(keystile.KeyID{}, after, 3) {
		s.is(page[0].Number > after, "a page begins behind the number that was asked for")
		after = page[len(page)-1].Number
		read = append(read, bare(page)...)
	}
	s.sameEvents(read, events, "in pages of 3, each event once")
	for _, after := range []uint64{after, after + 1, math.MaxInt64, math.MaxUint64} {
		s.is(len(s.events(keystile.KeyID{}, after, 9)) == 0, "nothing is behind the last event")
	}
}

func eventsOfOne(s *suite) {
	rotated := keystile.Event{Kind: keystile.EventRotated, KeyID: id(1), Successor: id(2), At: at(3)}
	expected := []keystile.Event{event(1), rotated, {Kind: keystile.EventRevoked, KeyID: id(2), At: at(5)}}
	s.fine(s.store.Commit(ctx, batchOf(expected[0])), "an event")
	s.fine(s.store.Commit(ctx, batchOf(event(3))), "an event")
	s.fine(s.store.Commit(ctx, batchOf(expected[1:]...)), "events")
	of := func(key int, after uint64, limit int) []keystile.Event { return bare(s.events(id(key), after, limit)) }
	s.sameEvents(of(1, 0, 9), expected[:2], "what happened to a key")
	s.sameEvents(of(2, 0, 9), expected[1:], "a successor's begin with the rotation")
	s.sameEvents(of(3, 0, 9), []keystile.Event{event(3)}, "and no other's")
	s.is(len(of(4, 0, 9)) == 0, "nothing happened to a key that is not there")
	s.sameEvents(of(2, 0, 1), expected[1:2], "a page of one key's")
	s.sameEvents(of(2, s.events(id(2), 0, 1)[0].Number, 9), expected[2:], "and the page behind it")
}

func many(count int) []keystile.Event {
	events := make([]keystile.Event, count)
	for at := range events {
		events[at] = event(1)
	}
	return events
}

func boundedEvents(s *suite) {
	s.fine(s.store.Commit(ctx, batchOf(many(keystile.PageMax+1)...)), "events")
	for _, one := range [][2]int{{0, 0}, {1, 1}, {keystile.PageMax, keystile.PageMax}, {1 << 62, keystile.PageMax}} {
		for _, key := range []keystile.KeyID{{}, id(1)} {
			page := s.events(key, 0, one[0])
			s.is(len(page) == one[1], "a page that was asked to hold %d holds %d", one[0], len(page))
		}
	}
}

func lastEvent(s *suite) {
	last := func() uint64 {
		number, err := s.store.LastEvent(ctx)
		s.fine(err, "the last event")
		return number
	}
	s.is(last() == 0, "there is no event yet")
	for _, count := range []int{1, keystile.PageMax + 1} {
		s.fine(s.store.Commit(ctx, batchOf(many(count)...)), "events")
		number := last()
		s.is(len(s.events(keystile.KeyID{}, number, 9)) == 0, "nothing is behind the last event")
		page := s.events(keystile.KeyID{}, number-1, 9)
		s.is(len(page) == 1 && page[0].Number == number, "the last event is one")
	}
}

func numbersOf(events []keystile.NumberedEvent) []uint64 {
	var numbers []uint64
	for _, event := range events {
		numbers = append(numbers, event.Number)
	}
	return numbers
}

// selectedEvents tests stores that are a [keystile.EventLister].
func selectedEvents(s *suite) {
	lister, ok := s.store.(keystile.EventLister)
	if !ok {
		s.Skip("the store does not select events")
	}
	own, other := plain(1), plain(2)
	own.Owner, other.Owner = keystile.Ptr("tenant-7"), keystile.Ptr("Tenant-7")
	s.insert(own, other)
	events := []keystile.Event{
		{Kind: keystile.EventSuspended, KeyID: id(1), At: at(50)},
		{Kind: keystile.EventSuspended, KeyID: id(2), At: at(20)},
		{Kind: keystile.EventRotated, KeyID: id(1), Successor: id(3), At: at(30)},
		{Kind: keystile.EventDeleted, KeyID: id(9), At: at(60)},
		{Kind: keystile.EventChanged, At: at(70)},
	}
	first, err := s.store.LastEvent(ctx)
	s.fine(err, "the last event")
	s.fine(s.store.Commit(ctx, batchOf(events...)), "events")
	all := numbersOf(s.events(keystile.KeyID{}, first, 99))
	since := at(20)
	for what, one := range map[string]struct {
		filter   keystile.EventFilter
		expected []int
	}{
		"since an instant":  {keystile.EventFilter{Since: since}, []int{0, 1, 2, 3, 4}},
		"until an instant":  {keystile.EventFilter{Since: since, Until: at(50)}, []int{1, 2}},
		"of a kind":         {keystile.EventFilter{Kind: keystile.EventSuspended}, []int{0, 1}},
		"of an owner":       {keystile.EventFilter{Since: since, Owner: keystile.Ptr("tenant-7")}, []int{0, 2}},
		"of another case":   {keystile.EventFilter{Since: since, Owner: keystile.Ptr("TENANT-7")}, nil},
		"of a successor":    {keystile.EventFilter{KeyID: id(3)}, []int{2}},
		"of a key that was": {keystile.EventFilter{KeyID: id(9), Kind: keystile.EventDeleted}, []int{3}},
	} {
		for _, size := range []int{1, 2, 99} {
			var found []uint64
			after := uint64(0)
			for {
				page, err := lister.ListEvents(ctx, one.filter, after, size)
				s.fine(err, "a page of events")
				s.is(len(page) <= size, "a page has a limit")
				if len(page) == 0 {
					break
				}
				found = append(found, numbersOf(page)...)
				after = page[len(page)-1].Number
			}
			var expected []uint64
			for _, index := range one.expected {
				expected = append(expected, all[index])
			}
			s.is(slices.Equal(found, expected), "events %s, in pages of %d: %v for %v", what, size, found, expected)
		}
	}
}

// prunedEvents tests stores that are a [keystile.EventPruner].
func prunedEvents(s *suite) {
	pruner, ok := s.store.(keystile.EventPruner)
	if !ok {
		s.Skip("the store does not remove events")
	}
	var events []keystile.Event
	for number, time := range []int64{10, 20, 90, 30, 80, 40} {
		events = append(events, keystile.Event{Kind: keystile.EventIssued, KeyID: id(number), At: at(time)})
	}
	s.fine(s.store.Commit(ctx, batchOf(events...)), "events")
	numbers := numbersOf(s.events(keystile.KeyID{}, 0, 99))
	by := keystile.WithActor(ctx, keystile.By{Actor: "ana", Origin: "host-3"})
	prune := func(before int64, limit, expected int) {
		removed, err := pruner.PruneEvents(by, at(before), limit)
		s.fine(err, "removing events")
		s.is(removed == expected, "%d events were removed, not %d", removed, expected)
	}
	prune(10, 99, 0)
	prune(50, 2, 2)
	mark := s.events(keystile.KeyID{}, 0, 1)[0]
	s.is(mark.Number == numbers[1] && mark.Kind == keystile.EventPruned && mark.KeyID.IsZero() && mark.At.Equal(at(20)),
		"the last removed event stays as one of no key: %v", mark)
	s.is(mark.Actor != nil && *mark.Actor == "ana" && mark.Origin != nil && *mark.Origin == "host-3", "and says who it was: %v", mark)
	prune(50, 99, 2)
	left := s.events(keystile.KeyID{}, 0, 99)
	s.is(slices.Equal(numbersOf(left), []uint64{numbers[2], numbers[4], numbers[5]}), "later events stay: %v", numbersOf(left))
	prune(50, 99, 0)
	last, err := s.store.LastEvent(ctx)
	s.fine(err, "the last event")
	s.is(last == numbers[5], "the last event keeps its number")
	s.fine(s.store.Commit(ctx, batchOf(event(7))), "an event")
	s.is(len(s.events(keystile.KeyID{}, last, 9)) == 1, "numbers go on")
}
