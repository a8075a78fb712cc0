package storetest

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

// RunRequests tests a store for everything that [keystile.RequestStore] documents. Open must return a
// new, empty store each time.
func RunRequests(t *testing.T, open func(t *testing.T) keystile.RequestStore) {
	for name, act := range requestsCases {
		t.Run(name, func(t *testing.T) { act(&suite{T: t, store: open(t)}) })
	}
}

var requestsCases = map[string]func(*suite){
	"a request has one key":                    oneKey,
	"a request that rotates has one successor": oneSuccessor,
	"requests are per caller and for a day":    forADay,
	"one of concurrent requests issues":        oneOfConcurrent,
}

func request(caller, key, body string) *keystile.IssueOnce {
	return keystile.Must(keystile.NewIssueOnce(caller, key, []byte(body)))
}

// once issues a key for a request, in the name of a client.
func (s *service) once(request *keystile.IssueOnce, client string) (keystile.OnceIssued, error) {
	return s.authenticator.Once(ctx, request, func(ctx context.Context) (*keystile.Change, error) {
		return s.authenticator.Issue(ctx, s.issuer, keystile.IssueRequest{ClientName: client})
	})
}

func (s *service) fresh(once keystile.OnceIssued, err error) keystile.KeyID {
	s.Helper()
	s.fine(err, "a request is answered")
	s.is(once.Change != nil && once.Before.IsZero(), "it has a key already: %v", once.Before)
	return once.Change.Record.ID
}

func (s *service) before(once keystile.OnceIssued, err error) keystile.KeyID {
	s.Helper()
	s.fine(err, "a request is answered again")
	s.is(once.Change == nil && !once.Before.IsZero(), "it has a second key")
	return once.Before
}

func (s *suite) answer(request *keystile.IssueOnce) *keystile.IssueAnswer {
	s.Helper()
	answer, err := s.store.(keystile.RequestStore).IssueAnswer(ctx, request)
	s.fine(err, "asking for an answer does not fail")
	return answer
}

func (s *suite) count(expected int) {
	s.Helper()
	count := len(s.list(keystile.Filter{}, keystile.Page{Limit: 100}))
	s.is(count == expected, "%d keys for %d", count, expected)
}

func oneKey(s *suite) {
	subject := s.moving().at(0)
	once := request("ana", "k1", "body")
	first := subject.fresh(subject.once(once, "Acme"))
	s.is(subject.before(subject.at(1).once(once, "Acme")) == first, "the same request again")
	_, err := subject.once(request("ana", "k1", "other"), "Acme")
	s.refused(err, keystile.ErrAnotherRequest, "another body")
	s.count(1)
	// A process that did not see the first one.
	batch := inserts(plain(3))
	batch.IssueRequest = &keystile.IssueNote{Request: once, KeyID: id(3), At: at(2)}
	s.refused(s.store.Commit(ctx, batch), keystile.ErrStale, "a second answer")
	s.is(s.find(id(3)) == nil, "nothing of it is written")
	for _, unmade := range []*keystile.IssueOnce{nil, {}} {
		_, err := s.store.(keystile.RequestStore).IssueAnswer(ctx, unmade)
		s.refused(err, keystile.ErrIdempotencyKey, "no request")
	}
	// What was not written has no answer.
	once = request("ana", "k2", "body")
	_, err = subject.once(once, "")
	s.refused(err, keystile.ErrRecord, "no client")
	s.is(s.answer(once) == nil, "nothing was written")
	answer := s.answer(request("ana", "k1", "any"))
	s.is(answer != nil && answer.KeyID == first && answer.At.Equal(at(0)) && answer.Body == request("ana", "k1", "body").Body(), "%+v", answer)
	subject.fresh(subject.once(once, "Acme"))
	s.count(2)
}

func oneSuccessor(s *suite) {
	subject := s.moving().at(0)
	old := subject.issued().Record.ID
	policy := keystile.DefaultRotationPolicy()
	rotate := func() (keystile.OnceIssued, error) {
		return subject.authenticator.Once(ctx, request("ana", "k", "rotate"), func(ctx context.Context) (*keystile.Change, error) {
			return subject.authenticator.Rotate(ctx, subject.issuer, old, policy)
		})
	}
	successor := subject.fresh(rotate())
	s.is(subject.before(rotate()) == successor, "the same request again")
	s.count(2)
}

func forADay(s *suite) {
	subject, day := s.moving(), keystile.RequestRememberedFor.Milliseconds()
	ana, bob := request("ana", "k", "body"), request("bob", "k", "other")
	first := subject.fresh(subject.at(0).once(ana, "Acme"))
	subject.fresh(subject.at(1).once(bob, "Acme"))
	for _, other := range []string{"Ana", "ana "} {
		s.is(s.answer(request(other, "k", "body")) == nil, "another caller, %q", other)
	}
	s.is(subject.before(subject.at(day-1).once(ana, "Acme")) == first, "within a day")
	later := request("ana", "k", "a later body")
	third := subject.fresh(subject.at(day).once(later, "Acme"))
	answer := s.answer(later)
	s.is(answer != nil && answer.KeyID == third, "%+v", answer)
	// The next request removes what is older than a day.
	subject.fresh(subject.at(day+1).once(request("cleo", "k", "body"), "Acme"))
	s.is(s.answer(bob) == nil, "it was removed")
	s.is(s.answer(later) != nil, "it is remembered")
}

func oneOfConcurrent(s *suite) {
	subject := s.moving().at(0)
	var group sync.WaitGroup
	var answers [16]keystile.OnceIssued
	var failures [16]error
	for at := range answers {
		group.Add(1)
		go func() {
			defer group.Done()
			answers[at], failures[at] = subject.once(request("ana", "k", "body"), fmt.Sprint("Acme ", at))
		}()
	}
	group.Wait()
	s.fine(errors.Join(failures[:]...), "a request does not fail")
	s.count(1)
	key, issued := s.list(keystile.Filter{}, keystile.Page{Limit: 100})[0].ID, 0
	for _, answer := range answers {
		if answer.Change != nil {
			issued++
		} else {
			s.is(answer.Before == key, "%v for %v", answer.Before, key)
		}
	}
	s.is(issued == 1, "%d new keys", issued)
}
