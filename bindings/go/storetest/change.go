package storetest

import (
	"errors"
	"reflect"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var changeCases = map[string]func(*suite){
	"a key is changed with an event":           keyChanged,
	"a change of other fields leaves uses":     usesLeft,
	"a raise by a change is in force":          raised,
	"a raise that is committed is in force":    raiseCommitted,
	"what is not agreed to is not written":     notAgreed,
	"what permit alters is not written":        notAltered,
	"a change does not undo what others wrote": nothingUndone,
}

func value(field, from, to string) keystile.FieldChange {
	change := keystile.FieldChange{Field: field}
	if from != "none" {
		change.From = &from
	}
	if to != "none" {
		change.To = &to
	}
	return change
}

// What a change writes is read again, and its event has the values before and after.
func keyChanged(s *suite) {
	key := plain(1)
	key.ClientEmail, key.RemainingUses = keystile.Ptr("old@acme.example"), keystile.Ptr(uint64(5))
	s.insert(key)
	subject := s.service(acme(), nil).at(5)
	change := keystile.KeyChange{
		ClientName:  keystile.Ptr("Acme Pro"),
		ClientEmail: keystile.Set("new@acme.example"),
		Uses:        keystile.Set(uint64(70)),
		Permissions: keystile.Set([]string{"read"}),
		RateLimit:   keystile.Set(keystile.Must(keystile.NewRateLimit(9, time.Second))),
	}
	before := len(s.allEvents())
	outcome, err := subject.authenticator.Change(ctx, key.ID, change)
	s.fine(err, "a key is changed")
	s.is(outcome.Changed, "it was changed")
	found := s.find(key.ID)
	s.same(outcome.Record, found, "the record of the outcome")
	s.is(found.Version == key.Version+1 && *found.RemainingUses == 70 && found.ClientName == "Acme Pro", "what was set: %+v", found)
	events := s.allEvents()
	s.is(len(events) == before+1, "one event, of this key only")
	event := events[before]
	s.is(event.Kind == keystile.EventChanged && event.Version == found.Version, "the event: %+v", event)
	s.is(reflect.DeepEqual(event.Changes, []keystile.FieldChange{
		value("client_name", "Acme Ltd", "Acme Pro"),
		value("client_email", "none", "none"),
		value("permissions", "", "read"),
		value("rate_limit", "none", "9 in 1000 ms, burst 9"),
		value("remaining_uses", "5", "70"),
	}), "the changes are read again: %+v", event.Changes)

	again, err := subject.at(6).authenticator.Change(ctx, key.ID, change)
	s.fine(err, "the same again")
	s.is(!again.Changed && len(s.allEvents()) == before+1, "writes nothing")

	_, err = subject.at(7).authenticator.Suspend(ctx, key.ID)
	s.fine(err, "a key is suspended")
	_, err = subject.at(8).authenticator.Change(ctx, key.ID, keystile.KeyChange{Uses: keystile.Clear[uint64]()})
	s.fine(err, "a suspended key is changed")
	found = s.find(key.ID)
	s.is(found.RemainingUses == nil && found.State == keystile.StateSuspended, "not counted any more: %+v", found)
	_, err = subject.at(9).authenticator.Revoke(ctx, key.ID, "leaked")
	s.fine(err, "a key is revoked")
	_, err = subject.at(10).authenticator.Change(ctx, key.ID, change)
	s.refused(err, keystile.ErrState, "a revoked key is not changed")
	_, err = subject.authenticator.Change(ctx, id(99), change)
	s.refused(err, keystile.ErrNotFound, "no such key")
}

// An update gives back no use that was spent since its record was read, unless the uses are
// set.
func usesLeft(s *suite) {
	key := plain(1)
	key.RemainingUses = keystile.Ptr(uint64(5))
	s.insert(key)
	left := func(expected uint64, what string) {
		s.Helper()
		uses := s.usage(key.ID).Remaining
		s.is(uses != nil && *uses == expected, "%s: %v", what, uses)
	}
	changed := next(key)
	changed.RemainingUses = keystile.Ptr(uint64(100))
	s.fine(s.store.Commit(ctx, updates(changed)), "an update")
	left(5, "an update does not write the uses")
	changed = next(changed)
	batch := updates(changed)
	batch.SetUses = []keystile.KeyID{key.ID}
	s.fine(s.store.Commit(ctx, batch), "uses are set")
	left(100, "as they were set")
	s.is(s.find(key.ID).Version == changed.Version, "the version is the update's")
	// Under the version: a change of an older record sets nothing.
	stale := changed.Clone()
	stale.RemainingUses = keystile.Ptr(uint64(7000))
	batch = updates(stale)
	batch.SetUses = []keystile.KeyID{key.ID}
	s.refused(s.store.Commit(ctx, batch), keystile.ErrStale, "a change of an older record")
	left(100, "nothing of a refused batch is written")
	alone := keystile.Batch{SetUses: []keystile.KeyID{key.ID}}
	s.refused(s.store.Commit(ctx, alone), keystile.ErrWithoutEvent, "uses of a key that is not updated")
}

// Spent uses are available again after a raise; and the other key of the lineage, which
// shares the uses, gets a new version and an event.
func raised(s *suite) {
	subject := s.service(acme(), nil)
	issued, err := subject.authenticator.Issue(ctx, subject.issuer, keystile.IssueRequest{ClientName: "Acme Ltd", Uses: keystile.Ptr(uint64(2))})
	s.fine(err, "a key")
	old := issued.Record.ID
	rotated, err := subject.authenticator.Rotate(ctx, subject.issuer, old, keystile.DefaultRotationPolicy())
	s.fine(err, "a rotation")
	successor := rotated.Record.ID
	keys := []string{issued.Key.Expose(), rotated.Key.Expose()}
	check := func(number int, expected keystile.Cause, what string) {
		s.Helper()
		decision, err := subject.authenticator.Check(ctx, keys[number], keystile.Request{})
		s.fine(err, "a check is answered")
		s.is(decision.Cause() == expected, "%s: %v", what, decision)
	}
	check(0, 0, "the first use")
	check(1, 0, "the second use")
	check(0, keystile.CauseUsesSpent, "no use is left")
	check(1, keystile.CauseUsesSpent, "nor for the successor")
	before := s.find(old)
	outcome, err := subject.at(3).authenticator.Change(ctx, successor, keystile.KeyChange{Uses: keystile.Set(uint64(3))})
	s.fine(err, "a raise")
	s.is(*outcome.Record.RemainingUses == 3, "of the key: %+v", outcome.Record)
	after := s.find(old)
	s.is(after.Version == before.Version+1 && *after.RemainingUses == 3, "of the other key: %+v", after)
	noted := func(id keystile.KeyID, version uint64) (count int) {
		for _, event := range s.allEvents() {
			if event.KeyID == id && event.Version == version {
				count++
			}
		}
		return count
	}
	s.is(noted(old, after.Version) == 1, "one event of the other key")
	s.is(noted(successor, outcome.Record.Version) == 1, "one event of the key")
	subject.at(4)
	check(0, 0, "the first of three")
	check(1, 0, "the second of three")
	check(1, 0, "the third of three")
	check(0, keystile.CauseUsesSpent, "three, and no more")
}

// A change of uses that the caller made concerns the other key of the lineage too, which was
// cached as one whose uses are not counted.
func raiseCommitted(s *suite) {
	subject := s.service(acme(), nil)
	issued, err := subject.authenticator.Issue(ctx, subject.issuer, keystile.IssueRequest{ClientName: "Acme Ltd"})
	s.fine(err, "a key")
	old := issued.Record.ID
	rotated, err := subject.authenticator.Rotate(ctx, subject.issuer, old, keystile.DefaultRotationPolicy())
	s.fine(err, "a rotation")
	check := func(expected keystile.Cause, what string) {
		s.Helper()
		decision, err := subject.authenticator.Check(ctx, issued.Key.Expose(), keystile.Request{})
		s.fine(err, "a check is answered")
		s.is(decision.Cause() == expected, "%s: %v", what, decision)
	}
	check(0, "not counted")
	before, successor := s.find(old), s.find(rotated.Record.ID)
	subject.at(3)
	changed, err := keystile.ChangeKey(successor, keystile.KeyChange{Uses: keystile.Set(uint64(1))}, at(3))
	s.fine(err, "a change")
	s.fine(subject.authenticator.Commit(ctx, changed), "it is committed")
	after := s.find(old)
	s.is(after.Version == before.Version+1 && *after.RemainingUses == 1, "of the other key: %+v", after)
	events := s.allEvents()
	last := events[len(events)-1]
	s.is(last.Kind == keystile.EventChanged && last.KeyID == old && last.Version == after.Version, "an event of it: %+v", last)
	check(0, "the only use")
	check(keystile.CauseUsesSpent, "no use is left")
	s.refused(subject.authenticator.Commit(ctx, changed), keystile.ErrStale, "the same again")
}

// What permit does to the records that it gets changes neither what is written nor the outcome.
func notAltered(s *suite) {
	key := plain(1)
	s.insert(key)
	subject := s.service(acme(), nil).at(1)
	all := keystile.Must(keystile.NewPermissionSet("*"))
	alters := func(before, after *keystile.Record) error {
		for _, record := range []*keystile.Record{before, after} {
			record.Permissions, record.Owner = all, nil
		}
		return nil
	}
	change := keystile.KeyChange{Owner: keystile.Set("tenant-2")}
	for _, expected := range []bool{true, false} {
		outcome, err := subject.authenticator.ChangeIf(ctx, key.ID, change, alters)
		s.fine(err, "a change")
		s.is(outcome.Changed == expected, "it is changed once")
		found := s.find(key.ID)
		s.is(!found.Permissions.Grants("x") && *found.Owner == "tenant-2" && found.Version == 2, "what is written: %+v", found)
		s.same(outcome.Record, found, "the record of the outcome")
	}
}

// The record that permit agrees to is the one that is written.
func notAgreed(s *suite) {
	key := plain(1)
	s.insert(key)
	subject := s.service(acme(), nil).at(1)
	refusal := errors.New("not by this caller")
	_, err := subject.authenticator.ChangeIf(ctx, key.ID, keystile.KeyChange{Permissions: keystile.Set([]string{"*"})}, func(before, after *keystile.Record) error {
		s.is(!before.Permissions.Grants("x") && after.Permissions.Grants("x"), "the records before and after")
		return refusal
	})
	s.refused(err, refusal, "the error of permit")
	s.same(s.find(key.ID), key, "nothing is written")
	// Also when nothing would change: a caller that may not see the key gets no record.
	outcome, err := subject.authenticator.ChangeIf(ctx, key.ID, keystile.KeyChange{}, func(before, after *keystile.Record) error {
		s.is(before.Version == after.Version, "the same record twice")
		return refusal
	})
	s.refused(err, refusal, "the error of permit")
	s.is(outcome.Record == nil && !outcome.Changed, "no record comes with a refusal")
}

// A change that meets another writer is decided again.
func nothingUndone(s *suite) {
	key := plain(1)
	s.insert(key)
	subject := s.service(acme(), nil).at(1)
	asked := 0
	outcome, err := subject.authenticator.ChangeIf(ctx, key.ID, keystile.KeyChange{Owner: keystile.Set("tenant-2")}, func(before, _ *keystile.Record) error {
		if asked++; asked == 1 {
			other := next(before)
			other.ClientName = "Renamed meanwhile"
			s.fine(s.store.Commit(ctx, updates(other)), "another writer")
		}
		return nil
	})
	s.fine(err, "a change")
	s.is(asked == 2 && outcome.Changed, "permit is asked again: %d", asked)
	found := s.find(key.ID)
	s.is(found.ClientName == "Renamed meanwhile" && *found.Owner == "tenant-2" && found.Version == 3, "both changes stay: %+v", found)
	// A revocation is not undone.
	_, err = subject.authenticator.ChangeIf(ctx, key.ID, keystile.KeyChange{Owner: keystile.Clear[string]()}, func(before, _ *keystile.Record) error {
		if before.State == keystile.StateActive {
			s.fine(s.store.Commit(ctx, updates(revoked(before, "leaked"))), "a revocation meanwhile")
		}
		return nil
	})
	s.refused(err, keystile.ErrState, "a key that was revoked meanwhile")
	s.is(s.find(key.ID).State == keystile.StateRevoked, "it stays revoked")
}
