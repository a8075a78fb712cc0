package storetest

import (
	"context"

	keystile "github.com/keystile/keystile/bindings/go"
)

var meanwhileCases = map[string]func(*suite){
	"a key that is derived meanwhile is revoked too":   derivedMeanwhile,
	"a source that is revoked meanwhile gives no key":  revokedMeanwhile,
	"a source that gets less meanwhile gives no more":  narrowedMeanwhile,
	"uses that are spent meanwhile are not given away": spentMeanwhile,
}

// interposed is a store to which another process writes just before a commit.
type interposed struct {
	keystile.Store
	meanwhile func()
}

func (i *interposed) Commit(ctx context.Context, batch keystile.Batch) error {
	if meanwhile := i.meanwhile; meanwhile != nil {
		i.meanwhile = nil
		meanwhile()
	}
	return i.Store.Commit(ctx, batch)
}

// interposed returns two services over the store; what the first one commits next comes after what
// its store is told to do.
func (s *suite) interposed() (first, other *service, store *interposed) {
	s.Helper()
	store = &interposed{Store: s.store}
	first = (&suite{T: s.T, store: store}).service(acme(), nil)
	return first, s.service(acme(), nil), store
}

// The key is derived from one that is revoked with its source, after those were read.
func derivedMeanwhile(s *suite) {
	subject, other, store := s.interposed()
	top := subject.source(asks())
	child := subject.derive(top)
	var late keystile.KeyID
	store.meanwhile = func() { late = other.derive(child) }
	ended, err := subject.authenticator.RevokeIf(ctx, top, "leaked", keystile.ReachLast, nil)
	s.fine(err, "a revocation")
	s.is(len(ended.Derived) == 2, "it reaches both: %v", ended.Derived)
	s.states([]keystile.KeyID{top, child, late}, isRevoked, isRevoked, isRevoked)
}

func revokedMeanwhile(s *suite) {
	subject, other, store := s.interposed()
	top := subject.source(asks())
	store.meanwhile = func() {
		_, err := other.authenticator.Revoke(ctx, top, "leaked")
		s.fine(err, "a revocation")
	}
	_, err := subject.authenticator.Delegate(ctx, top, subject.issuer, asks())
	s.refused(err, keystile.ErrState, "a source that was revoked meanwhile")
}

func narrowedMeanwhile(s *suite) {
	subject, other, store := s.interposed()
	top := subject.source(asks())
	store.meanwhile = func() {
		_, err := other.authenticator.Change(ctx, top, onlyRead())
		s.fine(err, "a change")
	}
	_, err := subject.authenticator.Delegate(ctx, top, subject.issuer, asks())
	s.refused(err, keystile.ErrExceeds, "a source that got less meanwhile")
	// The other way round: the change is refused because of the key.
	top = subject.source(asks())
	store.meanwhile = func() { other.derive(top) }
	_, err = subject.authenticator.Change(ctx, top, onlyRead())
	s.is(err != nil && s.find(top).Version == 1, "a change is refused because of a key that was derived meanwhile: %v", err)
}

func spentMeanwhile(s *suite) {
	subject, other, store := s.interposed()
	request := asks()
	request.Uses = keystile.Ptr(uint64(5))
	top := subject.source(request)
	request.Uses = keystile.Ptr(uint64(4))
	store.meanwhile = func() { other.deriveAs(top, request) }
	_, err := subject.authenticator.Delegate(ctx, top, subject.issuer, request)
	s.refused(err, keystile.ErrExceeds, "uses that another key got meanwhile")
	s.is(*s.find(top).RemainingUses == 1, "they are taken once: %v", s.find(top))
}
