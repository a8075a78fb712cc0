package keystile

import (
	"context"
	"errors"
	"fmt"
)

// triesMax is how many tries a change makes before it gives up on others that are faster.
const triesMax = 256

// The verbs write to the store, which has to be a [Store], and are in force in this process
// when they return. Where somebody else changes the same key meanwhile, they read and decide
// anew.

// Issue issues a key and keeps it. Its text is in the change: show it once.
func (k *Authenticator) Issue(ctx context.Context, issuer *Issuer, request IssueRequest) (*Change, error) {
	if err := k.writable(); err != nil {
		return nil, err
	}
	change, err := issuer.Issue(request, k.clock())
	if err != nil {
		return nil, err
	}
	return change, k.commit(ctx, change.Batch())
}

// Revoke revokes a key, for good; [ErrNotFound], or the errors of [Revoke].
func (k *Authenticator) Revoke(ctx context.Context, id KeyID, reason string) (*Record, error) {
	return k.change(ctx, id, func(record *Record) (*Change, error) { return Revoke(record, reason, k.clock()) })
}

// Suspend suspends a key until it is resumed; [ErrNotFound], or the errors of [Suspend].
func (k *Authenticator) Suspend(ctx context.Context, id KeyID) (*Record, error) {
	return k.change(ctx, id, func(record *Record) (*Change, error) { return Suspend(record, k.clock()) })
}

// Resume resumes a suspended key; [ErrNotFound], or the errors of [Resume].
func (k *Authenticator) Resume(ctx context.Context, id KeyID) (*Record, error) {
	return k.change(ctx, id, func(record *Record) (*Change, error) { return Resume(record, k.clock()) })
}

// Rotate gives a key a successor, in one step; [ErrNotFound], or the errors of
// [Issuer.Rotate]. An issuer without a format spells the successor like the key itself,
// which cannot tell that a check is keyed.
func (k *Authenticator) Rotate(ctx context.Context, issuer *Issuer, id KeyID, policy RotationPolicy) (*Change, error) {
	if err := k.writable(); err != nil {
		return nil, err
	}
	like := *issuer
	for range triesMax {
		found, err := k.find(ctx, id)
		if err != nil {
			return nil, err
		}
		// The key as it stands among its siblings: one read, so that they fit together.
		lineage, err := k.ledger.Lineage(ctx, found.lineage())
		if err != nil {
			return nil, err
		}
		var record *Record
		var siblings []*Record
		for _, one := range lineage {
			if one.ID == id {
				record = one
			} else {
				siblings = append(siblings, one)
			}
		}
		if record == nil {
			return nil, ErrNotFound
		}
		if issuer.Format == nil {
			if like.Format, err = FormatLike(record); err != nil {
				return nil, err
			}
		}
		change, err := like.Rotate(record, siblings, policy, k.clock())
		if err != nil {
			return nil, err
		}
		if err = k.commit(ctx, change.Batch()); !errors.Is(err, ErrStale) {
			return change, err
		}
	}
	return nil, ErrStale
}

// Commit writes a change of your own making and puts it in force.
func (k *Authenticator) Commit(ctx context.Context, change *Change) error {
	if err := k.writable(); err != nil {
		return err
	}
	return k.commit(ctx, change.Batch())
}

// change reads, changes and writes a record until nobody comes in between.
func (k *Authenticator) change(ctx context.Context, id KeyID, verb func(*Record) (*Change, error)) (*Record, error) {
	if err := k.writable(); err != nil {
		return nil, err
	}
	for range triesMax {
		record, err := k.find(ctx, id)
		if err != nil {
			return nil, err
		}
		change, err := verb(record)
		if err != nil {
			return nil, err
		}
		switch err := k.commit(ctx, change.Batch()); {
		case err == nil:
			return change.Record, nil
		case !errors.Is(err, ErrStale):
			return nil, err
		}
	}
	return nil, ErrStale
}

func (k *Authenticator) find(ctx context.Context, id KeyID) (*Record, error) {
	record, err := k.store.Find(ctx, Lookup{KeyID: id})
	if err == nil && record == nil {
		return nil, ErrNotFound
	}
	return record, err
}

func (k *Authenticator) writable() error {
	if k.ledger == nil {
		return fmt.Errorf("keystile: the store is no Store and cannot be written to: %w", errors.ErrUnsupported)
	}
	return nil
}
