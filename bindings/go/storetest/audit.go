package storetest

import (
	"math"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var auditCases = map[string]func(*suite){
	"events come back in order":    eventsInOrder,
	"events of one key":            eventsOfOne,
	"a page of events has a bound": boundedEvents,
	"the last event is known":      lastEvent,
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
