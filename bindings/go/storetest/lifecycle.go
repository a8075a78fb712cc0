package storetest

import (
	"bytes"
	"reflect"
	"sync"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var lifecycleCases = map[string]func(*suite){
	"a key lives and ends":                            livesAndEnds,
	"what is not proved tells nothing":                tellsNothing,
	"at least one key lives while others are rotated": oneLives,
	"the first use ends the overlap":                  firstUse,
	"a digest is renewed":                             digestRenewed,
}

// service is an authenticator over the store, with a clock that the test sets.
type service struct {
	*suite
	mutex         sync.Mutex
	now           time.Time
	issuer        *keystile.Issuer
	verifier      *keystile.Verifier
	authenticator *keystile.Authenticator
}

func (s *suite) service(format *keystile.KeyFormat, peppers *keystile.PepperRing) *service {
	subject := &service{suite: s, now: at(0), issuer: &keystile.Issuer{Format: format},
		verifier: keystile.Must(keystile.NewVerifier(peppers, format))}
	authenticator, err := keystile.NewAuthenticator(s.store, subject.verifier, keystile.Options{Clock: subject.clock})
	s.fine(err, "an authenticator")
	subject.authenticator = authenticator
	s.Cleanup(func() { _ = authenticator.Close(ctx) })
	return subject
}

func (s *service) clock() time.Time {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	return s.now
}

func (s *service) at(millis int64) *service {
	s.mutex.Lock()
	defer s.mutex.Unlock()
	s.now = at(millis)
	return s
}

func (s *service) issued() *keystile.Change {
	s.Helper()
	change, err := s.authenticator.Issue(ctx, s.issuer, keystile.IssueRequest{ClientName: "Acme Ltd", Environment: "live"})
	s.fine(err, "a new key is kept")
	return change
}

// checked returns the decision of [keystile.Check], which must be equal to that of the
// authenticator.
func (s *service) checked(key string) keystile.Checked {
	s.Helper()
	checked, err := keystile.Check(ctx, s.store, s.verifier, key, keystile.Request{}, s.clock())
	s.fine(err, "a check is answered")
	decision, err := s.authenticator.Check(ctx, key, keystile.Request{})
	s.fine(err, "a check is answered")
	s.is(decision.Cause() == checked.Decision.Cause(), "the authenticator says %v, the store %v", decision, checked.Decision)
	return checked
}

func (s *service) cause(key string, expected keystile.Cause, what string) keystile.Checked {
	s.Helper()
	checked := s.checked(key)
	s.is(checked.Decision.Cause() == expected, "%s: %v", what, checked.Decision.Cause())
	return checked
}

func (s *suite) kinds(expected ...keystile.EventKind) {
	s.Helper()
	var kinds []keystile.EventKind
	for _, event := range s.allEvents() {
		kinds = append(kinds, event.Kind)
	}
	s.is(reflect.DeepEqual(kinds, expected), "the events are %v", kinds)
}

func acme() *keystile.KeyFormat { return keystile.Must(keystile.StructuredFormat("acme")) }

func livesAndEnds(s *suite) {
	subject := s.service(acme(), nil)
	issued := subject.issued()
	key, id := issued.Key.Expose(), issued.Record.ID

	answer := subject.at(100).cause(key, 0, "a new key is allowed")
	used := issued.Record.Clone()
	used.LastUsedAt = at(100)
	s.same(answer.Record, used, "with the decision")
	s.same(s.find(id), used, "with the last use")

	suspended, err := subject.at(200).authenticator.Suspend(ctx, id)
	s.fine(err, "an active key is suspended")
	answer = subject.at(201).cause(key, keystile.CauseSuspended, "a suspended key is refused")
	s.is(suspended.Changed, "it was changed")
	s.same(answer.Record, suspended.Record, "its secret was proved")
	again, err := subject.at(202).authenticator.Suspend(ctx, id)
	s.fine(err, "a suspended key stays suspended")
	s.is(!again.Changed, "nothing is written")
	s.same(again.Record, suspended.Record, "nothing is written")
	_, err = subject.at(300).authenticator.Resume(ctx, id)
	s.fine(err, "a suspended key is resumed")
	subject.at(301).cause(key, 0, "and allowed again")

	rotated, err := subject.at(400).authenticator.Rotate(ctx, &keystile.Issuer{}, id, keystile.DefaultRotationPolicy())
	s.fine(err, "an active key is rotated")
	subject.at(401).cause(key, 0, "both keys live")
	subject.cause(rotated.Key.Expose(), 0, "both keys live")
	s.is(s.find(rotated.Record.ID).Lineage == issued.Record.Lineage, "of the same lineage")
	_, err = subject.at(402).authenticator.Rotate(ctx, subject.issuer, id, keystile.DefaultRotationPolicy())
	s.refused(err, keystile.ErrState, "a replaced key is not rotated")

	_, err = subject.at(500).authenticator.Revoke(ctx, id, "old")
	s.fine(err, "a replaced key is revoked")
	subject.at(501).cause(key, keystile.CauseRevoked, "a revoked key is refused")
	subject.cause(rotated.Key.Expose(), 0, "its successor lives on")
	again, err = subject.at(502).authenticator.Revoke(ctx, id, "again")
	s.fine(err, "a revoked key stays revoked")
	s.is(!again.Changed && again.Record.RevokedReason == "old", "the first reason stays")
	_, err = subject.at(503).authenticator.Resume(ctx, id)
	s.refused(err, keystile.ErrState, "nothing follows")
	_, err = subject.at(504).authenticator.Suspend(ctx, id)
	s.refused(err, keystile.ErrState, "nothing follows")
	s.kinds(keystile.EventIssued, keystile.EventSuspended, keystile.EventResumed, keystile.EventRotated, keystile.EventRevoked)
	events := s.allEvents()
	s.is(events[3].Successor == rotated.Record.ID, "the successor is named")
	s.is(*events[4].Reason == "old", "and the reason")
}

func tellsNothing(s *suite) {
	subject := s.service(acme(), nil)
	unknown := keystile.Must(subject.issuer.Issue(keystile.IssueRequest{ClientName: "client 1"}, at(0)))
	wrong := keystile.Must(subject.issuer.Issue(keystile.IssueRequest{ClientName: "client 2"}, at(0)))
	wrong.Record.Digest = digest(2)
	s.fine(s.store.Commit(ctx, wrong.Batch()), "a key")
	subject.at(1)
	for text, expected := range map[string]keystile.Cause{
		"": keystile.CauseMalformed, "acme_live_1": keystile.CauseMalformed,
		unknown.Key.Expose(): keystile.CauseUnknownKey, wrong.Key.Expose(): keystile.CauseWrongSecret,
	} {
		answer := subject.cause(text, expected, "what is not proved")
		s.is(answer.Record == nil, "no record without proof of the secret: %v", expected)
	}
	s.same(s.find(wrong.Record.ID), wrong.Record, "a wrong secret is no use")
	_, err := subject.authenticator.Revoke(ctx, unknown.Record.ID, "")
	s.refused(err, keystile.ErrNotFound, "no such key")
}

// K3, P10: readers of a lineage during a rotation see one or two live keys.
func oneLives(s *suite) {
	subject := s.service(acme(), nil)
	first := subject.issued().Record
	done := make(chan struct{})
	failures := atOnceUntil(done, 2, func() error {
		lineage, err := s.store.Lineage(ctx, first.ID)
		live := 0
		for _, record := range lineage.Records {
			if record.IsLive(at(1)) {
				live++
			}
		}
		if err == nil && (live < 1 || live > 2) {
			s.Errorf("one live key or two, not %d", live)
		}
		return err
	})
	current := first.ID
	for round := range 30 {
		policy := keystile.DefaultRotationPolicy()
		if round%2 == 0 {
			policy.Overlap = 0
		}
		rotated, err := subject.at(1).authenticator.Rotate(ctx, subject.issuer, current, policy)
		s.fine(err, "the newest key is rotated")
		current = rotated.Record.ID
	}
	close(done)
	for err := range failures {
		s.fine(err, "a reader never fails")
	}
	s.is(len(s.lineage(first.ID)) == 31, "no key of it is lost")
}

// atOnceUntil repeats work in count goroutines until done is closed.
func atOnceUntil(done <-chan struct{}, count int, work func() error) <-chan error {
	failures := make(chan error, count)
	var running sync.WaitGroup
	for range count {
		running.Add(1)
		go func() {
			defer running.Done()
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := work(); err != nil {
					failures <- err
					return
				}
			}
		}()
	}
	go func() {
		running.Wait()
		close(failures)
	}()
	return failures
}

func firstUse(s *suite) {
	subject := s.service(acme(), nil)
	old := subject.issued()
	policy := keystile.DefaultRotationPolicy()
	policy.EndOnFirstUse = true
	fresh, err := subject.at(10).authenticator.Rotate(ctx, subject.issuer, old.Record.ID, policy)
	s.fine(err, "a rotation")
	check := func(millis int64, key string, expected keystile.Cause, what string) {
		s.Helper()
		checked, err := keystile.Check(ctx, s.store, subject.verifier, key, keystile.Request{}, at(millis))
		s.fine(err, "a check is answered")
		s.is(checked.Decision.Cause() == expected, "%s: %v", what, checked.Decision)
	}
	check(20, old.Key.Expose(), 0, "the old key lives until the new one is used")
	check(30, fresh.Key.Expose(), 0, "the new key is used")
	check(30, old.Key.Expose(), keystile.CauseReplaced, "and the old one ends at that instant")
	check(40, fresh.Key.Expose(), 0, "and the new one goes on")
	s.kinds(keystile.EventIssued, keystile.EventRotated, keystile.EventExpired, keystile.EventChanged)
}

func digestRenewed(s *suite) {
	ring := keystile.Must(keystile.NewPepperRing(7, bytes.Repeat([]byte{7}, 32)))
	for _, format := range []*keystile.KeyFormat{acme(), keystile.Must(keystile.OpaqueFormat("dt"))} {
		old := s.service(format, nil).issued()
		verifier := keystile.Must(keystile.NewVerifier(ring, format))
		for _, now := range []time.Time{at(1), at(2)} {
			checked, err := keystile.Check(ctx, s.store, verifier, old.Key.Expose(), keystile.Request{}, now)
			s.fine(err, "a check is answered")
			s.is(checked.Decision.Allowed(), "a key is found by its old digest, then its new one")
			found := s.find(old.Record.ID)
			s.is(found.Digest.Kind() == keystile.DigestHMACSHA256 && found.Digest.Pepper() == 7, "its digest is renewed at the first use")
			s.is(found.Version == 2, "and once")
		}
	}
	s.kinds(keystile.EventIssued, keystile.EventRehashed, keystile.EventIssued, keystile.EventRehashed)
}
