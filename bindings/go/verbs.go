package keystile

import (
	"context"
	"errors"
	"fmt"
)

// triesMax is the maximum number of tries of a change that conflicts with other writers.
const triesMax = 256

// These methods write to the store, which must be a [Store]. Their changes are in force in
// this process when they return. If another writer changes the same key, they read it and
// decide again.

// Issue issues a key and stores its record. The change holds the key's text: show it once. It
// returns the errors of [Issuer.Issue], also under [Options.Lifetimes].
func (a *Authenticator) Issue(ctx context.Context, issuer *Issuer, request IssueRequest) (*Change, error) {
	if err := a.issuable(issuer); err != nil {
		return nil, err
	}
	change, err := a.held(issuer).Issue(request, a.clock())
	if err != nil {
		return nil, err
	}
	trying(ctx, change)
	return change, a.commit(ctx, change.Batch())
}

// Commit writes a change that the caller made, and puts it in force. If the change sets remaining
// uses, the other keys of the lineage, which share them, get a new version and an event as well.
// Keys that derive from the key stay as they are: [Authenticator.Revoke], [Authenticator.Suspend]
// and [Authenticator.Change] reach them.
func (a *Authenticator) Commit(ctx context.Context, change *Change) error {
	if err := a.writable(); err != nil {
		return err
	}
	if change == nil {
		return ErrRecord
	}
	trying(ctx, change)
	for range triesMax {
		batch := change.Batch()
		if len(batch.SetUses) == 0 {
			return a.commit(ctx, batch)
		}
		if err := a.noteSiblings(ctx, &batch, change.Record, a.clock()); err != nil {
			return err
		}
		if err := a.commit(ctx, batch); !errors.Is(err, ErrStale) {
			return err
		}
		// Perhaps another writer changed only another key of the lineage.
		stored, err := a.find(ctx, change.Record.ID)
		if err != nil {
			return err
		}
		if stored.Version+1 != change.Record.Version {
			return ErrStale
		}
	}
	return ErrStale
}

// held returns an issuer whose keys live no longer than the service allows.
func (a *Authenticator) held(issuer *Issuer) *Issuer {
	held := *issuer
	held.Lifetimes = issuer.Lifetimes.within(a.lifetimes)
	return &held
}

func (p *parts) find(ctx context.Context, id KeyID) (*Record, error) {
	record, err := found(p.finder.Find(ctx, Lookup{KeyID: id}))
	if err == nil && record == nil {
		return nil, ErrNotFound
	}
	return record, err
}

func (a *Authenticator) writable() error {
	if a.isUninitialized() {
		return uninitialized("Authenticator")
	}
	if a.store == nil {
		return fmt.Errorf("keystile: the store must implement Store to be written to: %w", errors.ErrUnsupported)
	}
	return nil
}

// issuable returns an error if the issuer is nil, or the store cannot be written to.
func (a *Authenticator) issuable(issuer *Issuer) error {
	if issuer == nil {
		return ErrFormat
	}
	return a.writable()
}
