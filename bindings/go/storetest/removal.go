package storetest

import (
	"errors"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var removalCases = map[string]func(*suite){
	"a key is removed": keyRemoved,
	"an expired key that was removed comes again":    comesAgain,
	"keys that ended are pruned":                     pruned,
	"events of a removed key stay with its owner":    eventsStay,
	"a former digest of a removed key stays refused": formerDigest,
	"a source of live keys is not removed":           sourceNotRemoved,
	"a batch is not written in part":                 notWritten,
}

func removal(record *keystile.Record) keystile.Batch {
	event := keystile.Must(keystile.Removal(record, at(9_999)))
	return keystile.Batch{Deletes: []keystile.KeyVersion{{KeyID: record.ID, Version: record.Version + 1}}, Events: []keystile.Event{*event}}
}

// isNeverLive fails if a record becomes a live key (P2).
func (s *suite) isNeverLive(record *keystile.Record) {
	s.Helper()
	err := s.store.Commit(ctx, inserts(record))
	found := s.find(record.ID)
	s.is(found == nil || found.State == keystile.StateRevoked, "P2: a digest that was revoked is live again: %v", err)
}

func keyRemoved(s *suite) {
	ended := revoked(plain(1), "leaked")
	s.insert(plain(1), plain(2), plain(3))
	s.fine(s.store.Commit(ctx, updates(ended)), "a revocation")
	page := s.listed(keystile.Filter{}, keystile.Page{Limit: 1})
	silent := removal(ended)
	silent.Events = nil
	s.refused(s.store.Commit(ctx, silent), keystile.ErrWithoutEvent, "a removal without an event")
	older := noted(keystile.Batch{Deletes: []keystile.KeyVersion{{KeyID: id(1), Version: 2}}})
	s.refused(s.store.Commit(ctx, older), keystile.ErrStale, "a removal of an older version")
	s.is(s.find(id(1)) != nil, "a refused removal removes nothing")

	s.fine(s.store.Commit(ctx, removal(ended)), "a removal")
	s.is(s.find(id(1)) == nil && len(s.lineage(id(1))) == 0, "a removed key is not found")
	s.is(len(s.list(keystile.Filter{}, keystile.Page{Limit: 9})) == 2, "nor listed")
	s.is(len(s.list(keystile.Filter{}, keystile.Page{After: page.Next, Limit: 9})) == 2, "a list goes on after it")
	count := 0
	events := s.events(id(1), 0, 9)
	for _, event := range events {
		if event.Kind == keystile.EventDeleted {
			count++
		}
	}
	s.is(count == 1 && events[len(events)-1].Kind == keystile.EventDeleted, "its events stay, and the last one says so once: %v", events)
	again := plain(7)
	again.Digest = digest(1)
	s.isNeverLive(again)
	s.isNeverLive(plain(1))
}

func formerDigest(s *suite) {
	s.insert(plain(1))
	renewed := next(plain(1))
	renewed.Digest = digest(11)
	s.fine(s.store.Commit(ctx, updates(renewed)), "a new digest")
	ended := revoked(renewed, "leaked")
	s.fine(s.store.Commit(ctx, updates(ended)), "a revocation")
	for round := range 2 {
		for _, used := range []int{1, 11} {
			again := plain(20 + used + 100*round)
			again.Digest = digest(used)
			s.isNeverLive(again)
		}
		if round == 0 {
			s.fine(s.store.Commit(ctx, removal(ended)), "a removal")
		}
	}
}

// What only expired may come again, with versions that no process has read.
func comesAgain(s *suite) {
	expired := plain(1)
	expired.ExpiresAt = at(5)
	s.insert(expired, plain(2))
	s.fine(s.store.Commit(ctx, removal(expired)), "a removal")
	if portable, is := s.store.(keystile.PortableStore); is {
		known, err := portable.Known(ctx, keystile.Asked{IDs: []keystile.KeyID{id(1)}, Digests: digests(1)})
		s.fine(err, "what is known of it")
		s.is(len(known.FormerDigests) == 0 && len(known.Removed) == 1 && len(known.Removed[0].Digests) == 0, "its digest may be used again: %+v", known)
	}
	s.insert(plain(1))
	found := s.find(id(1))
	s.is(found.State == keystile.StateActive && found.Version > 2, "after its removal: %+v", found)
	s.sameIDs(ids(s.list(keystile.Filter{}, keystile.Page{Limit: 9})), []keystile.KeyID{id(2), id(1)}, "in a new place")
}

// If a part was left out, what was revoked elsewhere could be live here, and a request have two keys.
func notWritten(s *suite) {
	isWritten := func(batch keystile.Batch) bool {
		before, err := s.lastEvent(), s.store.Commit(ctx, batch)
		if errors.Is(err, errors.ErrUnsupported) {
			s.is(s.lastEvent() == before, "nothing of it is written")
			return false
		}
		s.fine(err, "it is written, or not supported")
		return true
	}
	if isWritten(removalElsewhere(1, 1)) {
		again := plain(7)
		again.Digest = digest(1)
		s.isNeverLive(plain(1))
		s.isNeverLive(again)
	}
	answer := func(number int) keystile.Batch {
		batch := inserts(plain(number))
		batch.IssueRequest = &keystile.IssueNote{Request: request("ana", "k", "body"), KeyID: id(number), At: at(0)}
		return batch
	}
	if isWritten(answer(2)) {
		s.refused(s.store.Commit(ctx, answer(3)), keystile.ErrStale, "a second answer")
	}
}

// Who it belonged to may still read what happened to it.
func eventsStay(s *suite) {
	lister, ok := s.store.(keystile.EventLister)
	if !ok {
		s.Skip("the store does not select events")
	}
	for number, owner := range []string{"tenant-7", "Tenant-7"} {
		record := plain(number + 1)
		record.Owner = keystile.Ptr(owner)
		s.insert(record)
		ended := revoked(record, "leaked")
		s.fine(s.store.Commit(ctx, updates(ended)), "a revocation")
		s.fine(s.store.Commit(ctx, removal(ended)), "a removal")
	}
	if _, portable := s.store.(keystile.PortableStore); portable {
		elsewhere := removalElsewhere(3)
		elsewhere.Imported.Removed[0].Owner = keystile.Ptr("tenant-8")
		s.fine(s.store.Commit(ctx, elsewhere), "a key that was removed elsewhere")
		events, err := lister.ListEvents(ctx, keystile.EventFilter{Owner: keystile.Ptr("tenant-8")}, 0, 9)
		s.fine(err, "the events of its owner")
		s.is(len(events) == 1 && events[0].KeyID == id(3), "its event: %v", events)
	}
	events, err := lister.ListEvents(ctx, keystile.EventFilter{Owner: keystile.Ptr("tenant-7")}, 0, 9)
	s.fine(err, "the events of an owner")
	s.is(len(events) == 3 && events[2].Kind == keystile.EventDeleted, "all of the removed key: %v", events)
	for _, event := range events {
		s.is(event.KeyID == id(1), "and of no other: %v", event)
	}
}

func pruned(s *suite) {
	subject := s.service(acme(), nil)
	live, gone := subject.issued().Record.ID, subject.issued().Record.ID
	request := keystile.IssueRequest{ClientName: "Acme", Lifetime: keystile.Ptr(time.Second)}
	short := subject.source(request)
	_, err := subject.at(10).authenticator.Delete(ctx, gone)
	s.refused(err, keystile.ErrState, "a live key")
	_, err = subject.authenticator.Revoke(ctx, gone, "left")
	s.fine(err, "a revocation")
	count := func(before int64, expected int) {
		s.Helper()
		due, err := subject.authenticator.CountEnded(ctx, at(before))
		s.fine(err, "a count")
		s.is(due == expected, "%d keys ended before %d: %d", expected, before, due)
	}
	subject.at(2_000)
	count(10, 0)
	count(11, 1)
	count(1_001, 2)
	count(1<<40, 2)
	removed, err := subject.authenticator.Prune(ctx, at(11))
	s.fine(err, "a removal")
	s.is(removed == 1 && s.find(gone) == nil && s.find(short) != nil, "only what ended before: %d", removed)
	record, err := subject.authenticator.Delete(ctx, short)
	s.fine(err, "an expired key")
	s.is(record.ID == short && s.find(short) == nil && s.find(live) != nil, "is removed, and no other")
	_, err = subject.authenticator.Delete(ctx, short)
	s.refused(err, keystile.ErrNotFound, "a removed key")
	s.kinds(keystile.EventIssued, keystile.EventIssued, keystile.EventIssued, keystile.EventRevoked, keystile.EventDeleted, keystile.EventDeleted)
}

func sourceNotRemoved(s *suite) {
	subject := s.service(acme(), nil)
	top := subject.source(asks())
	child := subject.derive(top)
	// Revoked by other code, which does not reach the derived key.
	s.fine(s.store.Commit(ctx, updates(revoked(s.find(top), ""))), "a revocation")
	subject.at(100)
	_, err := subject.authenticator.Delete(ctx, top)
	s.refused(err, keystile.ErrSourceOfLive, "a source of a live key")
	removed, err := subject.authenticator.Prune(ctx, at(100))
	s.fine(err, "a removal")
	s.is(removed == 0 && s.find(top) != nil, "nor is it pruned")
	_, err = subject.authenticator.Revoke(ctx, child, "left")
	s.fine(err, "a revocation")
	refused := func(*keystile.Record, *keystile.CorruptRow) bool { return false }
	_, err = subject.authenticator.DeleteIf(ctx, top, refused)
	s.is(errors.Is(err, keystile.ErrNotFound), "a removal that is not permitted: %v", err)
	_, err = subject.authenticator.Delete(ctx, top)
	s.fine(err, "now it is removed")
}

func (s *suite) lastEvent() uint64 {
	s.Helper()
	number, err := s.store.LastEvent(ctx)
	s.fine(err, "the number of the last event")
	return number
}
