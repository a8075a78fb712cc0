package storetest

import (
	"errors"
	"reflect"
	"sync"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var derivedCases = map[string]func(*suite){
	"a revocation reaches derived keys":                    revocationReaches,
	"a revocation leaves what ended before":                revocationLeaves,
	"the end of an old key leaves derived keys":            oldKeyEnds,
	"what was suspended with a source is resumed with it":  suspendedAndResumed,
	"a derived key is suspended by itself too":             suspendedByItself,
	"uses are taken off the source":                        usesTakenOff,
	"a chain of derived keys has an end":                   chainEnds,
	"no derived key escapes a revocation":                  noneEscapes,
	"a permit is asked about the state that is replaced":   permitAsked,
	"derived keys are in force in other handles by events": derivedNoted,
}

// asks is a request with the permissions read and write.
func asks() keystile.IssueRequest {
	return keystile.IssueRequest{ClientName: "Acme Ltd", Permissions: []string{"read", "write"}}
}

func onlyRead() keystile.KeyChange {
	return keystile.KeyChange{Permissions: keystile.Set([]string{"read"})}
}

func (s *service) source(request keystile.IssueRequest) keystile.KeyID {
	s.Helper()
	issued, err := s.authenticator.Issue(ctx, s.issuer, request)
	s.fine(err, "a source")
	return issued.Record.ID
}

func (s *service) derive(source keystile.KeyID) keystile.KeyID { return s.deriveAs(source, asks()) }

func (s *service) deriveAs(source keystile.KeyID, request keystile.IssueRequest) keystile.KeyID {
	s.Helper()
	issued, err := s.authenticator.Delegate(ctx, source, s.issuer, request)
	s.fine(err, "a derived key")
	s.same(s.find(issued.Record.ID), issued.Record, "a derived key")
	return issued.Record.ID
}

func (s *service) successor(id keystile.KeyID) *keystile.Record {
	s.Helper()
	rotated, err := s.authenticator.Rotate(ctx, s.issuer, id, keystile.DefaultRotationPolicy())
	s.fine(err, "a successor")
	return rotated.Record
}

// states fails unless the keys have these states.
func (s *suite) states(keys []keystile.KeyID, expected ...keystile.State) {
	s.Helper()
	var found []keystile.State
	for _, key := range keys {
		found = append(found, s.find(key).State)
	}
	s.is(reflect.DeepEqual(found, expected), "%v for %v", found, expected)
}

const (
	active    = keystile.StateActive
	suspended = keystile.StateSuspended
	isRevoked = keystile.StateRevoked
)

func revocationReaches(s *suite) {
	subject := s.service(acme(), nil)
	top := subject.source(asks())
	child := subject.derive(top)
	grandchild, sibling := subject.derive(child), subject.derive(top)
	all := []keystile.KeyID{top, child, grandchild, sibling}
	ended, err := subject.at(3).authenticator.RevokeIf(ctx, child, "leaked", keystile.ReachLast, nil)
	s.fine(err, "a revocation")
	s.is(ended.Changed && ended.Left == 0 && len(ended.Derived) == 1, "it reaches one key: %+v", ended)
	s.states(all, active, isRevoked, isRevoked, active)
	events := s.allEvents()
	for _, event := range events[len(events)-2:] {
		s.is(event.Kind == keystile.EventRevoked && event.At.Equal(at(3)), "an event of each: %+v", event)
	}
	again, err := subject.at(4).authenticator.RevokeIf(ctx, child, "again", keystile.ReachOwn, nil)
	s.fine(err, "once more")
	s.is(!again.Changed && len(again.Derived) == 0 && len(s.allEvents()) == len(events), "changes nothing: %+v", again)
	_, err = subject.at(5).authenticator.Revoke(ctx, top, "leaked")
	s.fine(err, "a revocation")
	s.states(all, isRevoked, isRevoked, isRevoked, isRevoked)
}

// Otherwise short lives would make the revocation of their source larger and larger.
func revocationLeaves(s *suite) {
	subject := s.service(acme(), nil)
	top := subject.source(asks())
	lives := func(span time.Duration) keystile.KeyID {
		request := asks()
		request.Lifetime = &span
		return subject.deriveAs(top, request)
	}
	short := lives(time.Second)
	// By a process whose clock is late, it may still be used.
	recent := lives(2 * time.Minute)
	now := int64(2*60_000 + 30_000)
	ended, err := subject.at(now).authenticator.RevokeIf(ctx, top, "leaked", keystile.ReachLast, nil)
	s.fine(err, "a revocation")
	s.sameIDs(ids(ended.Derived), []keystile.KeyID{recent}, "what ended less than a minute ago")
	s.states([]keystile.KeyID{top, short, recent}, isRevoked, active, isRevoked)
}

func oldKeyEnds(s *suite) {
	subject := s.service(acme(), nil)
	old := subject.source(asks())
	child := subject.derive(old)
	grandchild := subject.derive(child)
	heir := subject.at(2).successor(old).ID
	ofHeir := subject.derive(heir)
	all := []keystile.KeyID{old, heir, child, grandchild, ofHeir}
	ended, err := subject.at(3).authenticator.RevokeIf(ctx, old, "old", keystile.ReachLast, nil)
	s.fine(err, "an old key is revoked")
	s.is(len(ended.Derived) == 0 && ended.Left == 3, "they have another source: %+v", ended)
	s.states(all, isRevoked, active, active, active, active)
	// It can be asked for afterwards, and then reaches those of the old key.
	ended, err = subject.at(4).authenticator.RevokeIf(ctx, old, "old", keystile.ReachOwn, nil)
	s.fine(err, "its derived keys are revoked")
	s.is(!ended.Changed && len(ended.Derived) == 2 && ended.Left == 1, "those of the old key: %+v", ended)
	s.states(all, isRevoked, active, isRevoked, isRevoked, active)
	_, err = subject.at(5).authenticator.Revoke(ctx, heir, "last")
	s.fine(err, "the last one is revoked")
	s.states(all, isRevoked, isRevoked, isRevoked, isRevoked, isRevoked)
}

func suspendedAndResumed(s *suite) {
	subject := s.service(acme(), nil)
	top := subject.source(asks())
	child, own := subject.derive(top), subject.derive(top)
	grandchild := subject.derive(child)
	all := []keystile.KeyID{top, child, own, grandchild}
	_, err := subject.at(2).authenticator.Suspend(ctx, own)
	s.fine(err, "a derived key is suspended")
	ended, err := subject.at(3).authenticator.SuspendIf(ctx, top, keystile.ReachLast, nil)
	s.fine(err, "a source is suspended")
	s.is(len(ended.Derived) == 2, "with the two others: %+v", ended)
	s.states(all, suspended, suspended, suspended, suspended)
	s.is(s.find(grandchild).SuspendedWith == top && s.find(own).SuspendedWith.IsZero(), "it says with which key")
	last := s.allEvents()
	reason := last[len(last)-2].Reason
	s.is(reason != nil && *reason == "with "+top.String(), "and so does its event: %v", last[len(last)-2])
	_, err = subject.at(4).authenticator.Resume(ctx, child)
	s.refused(err, keystile.ErrSourceNotLive, "its source is suspended")
	before := len(s.allEvents())
	ended, err = subject.at(5).authenticator.ResumeIf(ctx, top, nil)
	s.fine(err, "a source is resumed")
	s.is(len(ended.Derived) == 2 && len(s.allEvents()) == before+3, "an event of each: %+v", ended)
	s.states(all, active, active, suspended, active)
	s.is(s.find(grandchild).SuspendedWith.IsZero(), "it waits for nothing")
}

func suspendedByItself(s *suite) {
	subject := s.service(acme(), nil)
	top := subject.source(asks())
	child := subject.derive(top)
	grandchild := subject.derive(child)
	all := []keystile.KeyID{top, child, grandchild}
	_, err := subject.at(2).authenticator.Suspend(ctx, top)
	s.fine(err, "a source is suspended")
	// The child is suspended with its source already; from now on by itself, too.
	ended, err := subject.at(3).authenticator.SuspendIf(ctx, child, keystile.ReachLast, nil)
	s.fine(err, "and so is the derived key")
	s.is(ended.Changed, "by itself")
	_, err = subject.at(4).authenticator.Resume(ctx, top)
	s.fine(err, "the source is resumed")
	s.states(all, active, suspended, suspended)
	_, err = subject.at(5).authenticator.Resume(ctx, child)
	s.fine(err, "the derived key is resumed")
	s.states(all, active, active, active)
}

func usesTakenOff(s *suite) {
	subject := s.service(acme(), nil)
	request := asks()
	request.Uses = keystile.Ptr(uint64(10))
	top := subject.source(request)
	request.Uses = keystile.Ptr(uint64(4))
	uses := func(id keystile.KeyID, expected uint64) {
		s.Helper()
		found := s.find(id)
		s.is(found.RemainingUses != nil && *found.RemainingUses == expected, "%d uses are left: %+v", expected, found)
	}
	for _, left := range []uint64{6, 2} {
		subject.deriveAs(top, request)
		uses(top, left)
		s.is(s.find(top).Version == 1, "uses are no part of the record")
	}
	_, err := subject.authenticator.Delegate(ctx, top, subject.issuer, request)
	s.refused(err, keystile.ErrExceeds, "more uses than are left")
	rest := subject.derive(top)
	uses(rest, 2)
	uses(top, 0)
	// A raise is taken off too.
	set := func(id keystile.KeyID, uses uint64) error {
		_, err := subject.authenticator.Change(ctx, id, keystile.KeyChange{Uses: keystile.Set(uses)})
		return err
	}
	s.refused(set(rest, 3), keystile.ErrExceedsSource, "a raise without uses")
	s.fine(set(top, 7), "a raise of the source")
	s.fine(set(rest, 3), "a raise")
	uses(rest, 3)
	uses(top, 6)
}

func chainEnds(s *suite) {
	subject := s.service(acme(), nil)
	last := subject.source(asks())
	for range keystile.DerivedDepthMax {
		last = subject.derive(last)
	}
	_, err := subject.authenticator.Delegate(ctx, last, subject.issuer, asks())
	s.refused(err, keystile.ErrDerivedTooDeep, "a chain that is too long")
	_, err = subject.authenticator.Delegate(ctx, id(99), subject.issuer, asks())
	s.refused(err, keystile.ErrNotFound, "no such source")
}

// Keys are derived from a key and from those that derive from it, while it is revoked: each is
// refused, or is revoked with it.
func noneEscapes(s *suite) {
	subject := s.service(acme(), nil)
	top := subject.source(asks())
	child := subject.derive(top)
	var made sync.Map
	var running sync.WaitGroup
	for number := range 8 {
		from := []keystile.KeyID{top, child}[number%2]
		running.Add(1)
		go func() {
			defer running.Done()
			for range 4 {
				issued, err := subject.authenticator.Delegate(ctx, from, subject.issuer, asks())
				if err != nil {
					made.Store(err, err)
				} else {
					made.Store(issued.Record.ID, nil)
				}
			}
		}()
	}
	_, err := subject.authenticator.Revoke(ctx, top, "leaked")
	running.Wait()
	s.fine(err, "a revocation")
	s.states([]keystile.KeyID{top, child}, isRevoked, isRevoked)
	made.Range(func(key, err any) bool {
		if err != nil {
			s.refused(err.(error), keystile.ErrState, "a source that is revoked")
		} else if found := s.find(key.(keystile.KeyID)); found.State != isRevoked {
			s.Errorf("it escaped: %v", found)
		}
		return true
	})
}

// A permit that does not agree changes nothing, and tells nothing.
func permitAsked(s *suite) {
	subject := s.service(acme(), nil)
	top := subject.source(asks())
	child := subject.derive(top)
	before := len(s.allEvents())
	none := func(record *keystile.Record, _ *keystile.CorruptRow) bool {
		record.State = isRevoked
		return false
	}
	_, err := subject.authenticator.RevokeIf(ctx, top, "", keystile.ReachLast, none)
	s.refused(err, keystile.ErrNotFound, "a revocation that is not permitted")
	_, err = subject.authenticator.SuspendIf(ctx, top, keystile.ReachLast, none)
	s.refused(err, keystile.ErrNotFound, "a suspension that is not permitted")
	s.is(len(s.allEvents()) == before, "nothing is written")
	_, err = subject.authenticator.Suspend(ctx, top)
	s.fine(err, "a suspension")
	refusal := errors.New("not by this caller")
	only := func(allowed keystile.KeyID) func(*keystile.Record) error {
		return func(record *keystile.Record) error {
			if record.ID != allowed {
				return refusal
			}
			return nil
		}
	}
	_, err = subject.authenticator.ResumeIf(ctx, top, only(child))
	s.refused(err, refusal, "the error of permit")
	_, err = subject.authenticator.ResumeIf(ctx, top, only(top))
	s.fine(err, "a resumption of the source only")
	s.states([]keystile.KeyID{top, child}, active, suspended)
}

// Each derived key has an event with its version, so that other processes notice it.
func derivedNoted(s *suite) {
	subject := s.service(acme(), nil)
	top := subject.source(asks())
	issued, err := subject.authenticator.Delegate(ctx, top, subject.issuer, asks())
	s.fine(err, "a derived key")
	other := s.service(acme(), nil)
	for _, service := range []*service{subject, other} {
		decision, err := service.authenticator.Check(ctx, issued.Key.Expose(), keystile.Request{})
		s.fine(err, "a check")
		s.is(decision.Allowed(), "both have it cached: %v", decision)
	}
	_, err = subject.authenticator.Revoke(ctx, top, "leaked")
	s.fine(err, "a revocation of the source")
	decision, err := subject.authenticator.Check(ctx, issued.Key.Expose(), keystile.Request{})
	s.fine(err, "a check")
	s.is(decision.Cause() == keystile.CauseRevoked, "it is in force at once: %v", decision)
	for deadline := time.Now().Add(time.Minute); ; time.Sleep(10 * time.Millisecond) {
		decision, err := other.authenticator.Check(ctx, issued.Key.Expose(), keystile.Request{})
		s.fine(err, "a check")
		if decision.Cause() == keystile.CauseRevoked {
			return
		}
		s.is(time.Now().Before(deadline), "the other process never noticed it")
	}
}
