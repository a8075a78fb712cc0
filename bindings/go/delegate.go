package keystile

import (
	"context"
	"errors"
	"time"
)

// nearlyTooManyDerived is the number of derived keys from which on they are counted as exactly as
// concurrent calls need it.
const nearlyTooManyDerived = DerivedKeysMax - 1_000

// Delegate issues a key that derives from another and never has more than it, and stores its
// record. The uses that it gets are taken off the source's in the same step. The change holds the
// key's text: show it once.
//
// The key ends no later than its source, and so do its successors. If the source is revoked or
// suspended, so is the key.
//
// It returns [ErrNotFound]; the errors of [Issuer.Delegate], also under [Options.Lifetimes];
// [ErrExceedsSource] if the key would exceed the source's successor; [ErrTooManyDerived] or
// [ErrDerivedTooDeep]; or a [CorruptRow] if the row of the source, or of a key that it derives
// from, cannot be read.
func (a *Authenticator) Delegate(ctx context.Context, source KeyID, issuer *Issuer, request IssueRequest) (*Change, error) {
	if err := a.issuable(issuer); err != nil {
		return nil, err
	}
	// Its uses are fewer from now on.
	defer a.Invalidate(source)
	now, held := a.clock(), a.held(issuer)
	for range triesMax {
		found, err := a.find(ctx, source)
		if err != nil {
			return nil, err
		}
		issued, err := held.Delegate(found, request, now)
		if err != nil {
			return nil, err
		}
		batch := issued.Batch()
		if err := a.relyOnChain(ctx, &batch, found, issued.Record, now); err != nil {
			return nil, err
		}
		trying(ctx, issued)
		switch err := a.commit(ctx, batch); {
		case err == nil:
			return issued, nil
		case !errors.Is(err, ErrStale):
			return nil, err
		}
	}
	return nil, ErrStale
}

// relyOnChain lets a new key be written only if the keys that it derives from are as they were
// read, and leave room for it.
func (a *Authenticator) relyOnChain(ctx context.Context, batch *Batch, source, issued *Record, now time.Time) error {
	batch.relyOn(source)
	if source.RemainingUses != nil && issued.RemainingUses != nil {
		batch.TakeUses = append(batch.TakeUses, TakenUses{source.lineage(), *issued.RemainingUses})
	}
	// The keys of a lineage may differ: what derives from an older one must be within the newest
	// too, since that is its source from then on.
	if !source.ReplacedBy.IsZero() {
		newest, err := a.liveSource(ctx, issued, now)
		if err != nil {
			return err
		}
		if newest.ID != source.ID {
			if issued.exceeds(newest) {
				return ErrExceedsSource
			}
			batch.relyOn(newest)
		}
	}
	root, err := a.root(ctx, source)
	if err != nil {
		return err
	}
	family, err := a.familyOf(ctx, root, now)
	if err != nil {
		return err
	}
	if family.size() >= DerivedKeysMax {
		return ErrTooManyDerived
	}
	if family.size() >= nearlyTooManyDerived {
		if root.ID != source.ID {
			batch.relyOn(root)
		}
		family.state.Keys++
		family.state.Versions += issued.Version
		batch.relyOnFamily(family)
	}
	return nil
}

// roomForASuccessor returns [ErrTooManyDerived] if there are too many keys for a successor of one
// that derives from source: those in their overlap are written too if the first key of the chain
// is revoked.
func (a *Authenticator) roomForASuccessor(ctx context.Context, source *Record, now time.Time) error {
	const most = 2 * DerivedKeysMax
	root, err := a.root(ctx, source)
	if err != nil {
		return err
	}
	state, err := a.derivedState(ctx, root)
	// So few are within the limit, whether they have ended or not.
	if err != nil || state.Keys < most {
		return err
	}
	family, err := a.familyOf(ctx, root, now)
	if err == nil && family.size() >= most {
		return ErrTooManyDerived
	}
	return err
}

// root returns the first key of the chain that ends with source: one of its lineage, if that key's
// row was deleted.
func (a *Authenticator) root(ctx context.Context, source *Record) (*Record, error) {
	root := source
	// The key that is to be issued is a step too.
	for range DerivedDepthMax {
		if root.DerivedFrom.IsZero() {
			return root, nil
		}
		lineage, err := a.store.Lineage(ctx, root.DerivedLineage)
		if err != nil || len(lineage.Records) == 0 {
			return root, err
		}
		root = lineage.Records[len(lineage.Records)-1]
	}
	return nil, ErrDerivedTooDeep
}
