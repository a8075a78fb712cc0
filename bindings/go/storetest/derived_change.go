package storetest

import (
	"errors"
	"reflect"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// What a change, a resumption or a rotation of a key means for those that derive from it.
var derivedChangeCases = map[string]func(*suite){
	"a source may not get less than its derived keys":   notLess,
	"what derives from an exceeding key ends too":       belowEndsToo,
	"a limit of uses concerns derived keys":             usesConcern,
	"what exceeds its source is not resumed":            notResumed,
	"a derived key may not get more than its source":    notMore,
	"a successor of a derived key ends with the source": successorEnds,
}

func notLess(s *suite) {
	for rule, state := range map[keystile.OfDerived]keystile.State{
		keystile.SuspendDerived: suspended, keystile.RevokeDerived: isRevoked, keystile.KeepDerived: active,
	} {
		subject := s.service(acme(), nil)
		top := subject.source(asks())
		writes := subject.derive(top)
		below := subject.derive(writes)
		request := asks()
		request.Permissions = []string{"read"}
		reads := subject.deriveAs(top, request)
		before := len(s.allEvents())
		_, err := subject.at(3).authenticator.Change(ctx, top, onlyRead())
		var exceeding *keystile.ExceedingError
		s.is(errors.As(err, &exceeding) && reflect.DeepEqual(exceeding.Keys, []keystile.KeyID{writes, below}), "the error names them: %v", err)
		s.is(len(s.allEvents()) == before && s.find(top).Version == 1, "and nothing is written")
		outcome, err := subject.at(4).authenticator.ChangeDerived(ctx, top, onlyRead(), rule, nil)
		s.fine(err, "a change that says what becomes of them")
		s.is(outcome.Changed, "it was changed")
		s.states([]keystile.KeyID{top, writes, below, reads}, active, state, state, active)
		_, err = subject.authenticator.ChangeDerived(ctx, top, onlyRead(), "delete", nil)
		s.refused(err, keystile.ErrRecord, "an unknown rule")
	}
	// More, or another name, concerns none of them.
	subject := s.service(acme(), nil)
	top := subject.source(asks())
	subject.derive(top)
	more := keystile.KeyChange{AddPermissions: []string{"audit"}, ClientName: keystile.Ptr("Acme Pro")}
	_, err := subject.authenticator.Change(ctx, top, more)
	s.fine(err, "more")
}

func belowEndsToo(s *suite) {
	for rule, state := range map[keystile.OfDerived]keystile.State{keystile.SuspendDerived: suspended, keystile.RevokeDerived: isRevoked} {
		subject := s.service(acme(), nil)
		top := subject.source(asks())
		writes := subject.derive(top)
		request := asks()
		request.Permissions = []string{"read"}
		below := subject.deriveAs(writes, request)
		_, err := subject.authenticator.ChangeDerived(ctx, top, onlyRead(), rule, nil)
		s.fine(err, "a change")
		s.states([]keystile.KeyID{writes, below}, state, state)
		s.is((s.find(below).SuspendedWith == writes) == (state == suspended), "it waits for the key that it derives from")
	}
}

func usesConcern(s *suite) {
	subject := s.service(acme(), nil)
	top := subject.source(asks())
	free := subject.derive(top)
	five := keystile.KeyChange{Uses: keystile.Set(uint64(5))}
	_, err := subject.authenticator.Change(ctx, top, five)
	var exceeding *keystile.ExceedingError
	s.is(errors.As(err, &exceeding) && len(exceeding.Keys) == 1, "uses that are not counted are more: %v", err)
	_, err = subject.authenticator.ChangeDerived(ctx, top, five, keystile.RevokeDerived, nil)
	s.fine(err, "a change")
	s.states([]keystile.KeyID{top, free}, active, isRevoked)
}

func notResumed(s *suite) {
	subject := s.service(acme(), nil)
	top := subject.source(asks())
	writes := subject.derive(top)
	request := asks()
	request.Permissions = []string{"read"}
	below, beside := subject.deriveAs(writes, request), subject.deriveAs(top, request)
	_, err := subject.at(2).authenticator.Suspend(ctx, top)
	s.fine(err, "a source is suspended")
	_, err = subject.at(3).authenticator.ChangeDerived(ctx, top, onlyRead(), keystile.KeepDerived, nil)
	s.fine(err, "it gets less")
	ended, err := subject.at(4).authenticator.ResumeIf(ctx, top, nil)
	s.fine(err, "it is resumed")
	s.sameIDs(ids(ended.Derived), []keystile.KeyID{beside}, "with what has no more than it")
	s.states([]keystile.KeyID{top, writes, below, beside}, active, suspended, suspended, active)
	_, err = subject.at(5).authenticator.Resume(ctx, writes)
	s.refused(err, keystile.ErrExceedsSource, "a key that has more than its source")
	_, err = subject.at(6).authenticator.Change(ctx, top, keystile.KeyChange{Permissions: keystile.Set([]string{"*"})})
	s.fine(err, "the source gets more")
	_, err = subject.at(7).authenticator.Resume(ctx, writes)
	s.fine(err, "now it is resumed")
	// Kept with more than its source, it gets no successor.
	_, err = subject.at(8).authenticator.ChangeDerived(ctx, top, onlyRead(), keystile.KeepDerived, nil)
	s.fine(err, "the source gets less")
	_, err = subject.at(9).authenticator.Rotate(ctx, subject.issuer, writes, keystile.DefaultRotationPolicy())
	s.refused(err, keystile.ErrExceedsSource, "a successor with more than the source")
}

func notMore(s *suite) {
	subject := s.service(acme(), nil)
	days := func(count int) *time.Duration { return keystile.Ptr(time.Duration(count) * 24 * time.Hour) }
	request := asks()
	request.Lifetime = days(9)
	top := subject.source(request)
	child := subject.derive(top)
	for what, more := range map[string]keystile.KeyChange{
		"a permission": {AddPermissions: []string{"admin"}}, "a later end": {Lifetime: days(10)},
		"no end": {NeverExpires: true}, "another owner": {Owner: keystile.Set("other")},
	} {
		_, err := subject.at(3).authenticator.Change(ctx, child, more)
		s.refused(err, keystile.ErrExceedsSource, what)
	}
	_, err := subject.authenticator.Change(ctx, child, keystile.KeyChange{Lifetime: days(8)})
	s.fine(err, "an end before that of the source")
}

func successorEnds(s *suite) {
	subject := s.service(acme(), nil)
	request := asks()
	request.Lifetime = keystile.Ptr(10 * 24 * time.Hour)
	top := subject.source(request)
	child := subject.at(1).derive(top)
	end := s.find(top).ExpiresAt
	heir := subject.at(2).successor(child)
	s.is(heir.ExpiresAt.Equal(end), "a successor ends with the source: %v for %v", heir.ExpiresAt, end)
	// After the source was rotated, its successor is the source.
	newTop := subject.successor(top)
	heir = subject.at(3).successor(heir.ID)
	s.is(heir.ExpiresAt.After(end) && !heir.ExpiresAt.After(newTop.ExpiresAt), "now with the successor of the source: %v", heir.ExpiresAt)
	// A shorter life of the source must not end before the keys that derive from it.
	hour := keystile.DefaultRotationPolicy()
	hour.Lifetime = time.Hour
	_, err := subject.authenticator.Rotate(ctx, subject.issuer, newTop.ID, hour)
	var exceeding *keystile.ExceedingError
	s.is(errors.As(err, &exceeding) && len(exceeding.Keys) > 0, "a shorter life of the source: %v", err)
	// Revoked by other code, which does not reach the derived keys.
	for _, key := range s.lineage(top) {
		s.fine(s.store.Commit(ctx, updates(revoked(key, ""))), "a revocation")
	}
	_, err = subject.authenticator.Rotate(ctx, subject.issuer, heir.ID, keystile.DefaultRotationPolicy())
	s.refused(err, keystile.ErrSourceNotLive, "the source has ended")
}
