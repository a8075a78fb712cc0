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

// Issue issues a key and stores its record. The change holds the key's text: show it once.
func (a *Authenticator) Issue(ctx context.Context, issuer *Issuer, request IssueRequest) (*Change, error) {
	if err := a.writable(); err != nil {
		return nil, err
	}
	change, err := issuer.Issue(request, a.clock())
	if err != nil {
		return nil, err
	}
	return change, a.commit(ctx, change.Batch())
}

// Revoke revokes a key for good. A key that is already revoked is not changed, and keeps its
// first reason. If its row cannot be read, only its state is written. It returns [ErrNotFound],
// the errors of [Revoke], or a [CorruptRow] if not even the key's id and version can be read.
func (a *Authenticator) Revoke(ctx context.Context, id KeyID, reason string) (Outcome, error) {
	return a.change(ctx, id, StateRevoked, func(record *Record) (*Change, error) {
		return Revoke(record, reason, a.clock())
	})
}

// Suspend suspends a key until it is resumed. A key that is already suspended is not changed.
// If its row cannot be read, only its state is written. It returns [ErrNotFound], the errors of
// [Suspend], or a [CorruptRow] as [Authenticator.Revoke] does.
func (a *Authenticator) Suspend(ctx context.Context, id KeyID) (Outcome, error) {
	return a.change(ctx, id, StateSuspended, func(record *Record) (*Change, error) {
		return Suspend(record, a.clock())
	})
}

// Resume resumes a suspended key. A key that is already active is not changed. It returns
// [ErrNotFound], the errors of [Resume], or a [CorruptRow]: mend the row first.
func (a *Authenticator) Resume(ctx context.Context, id KeyID) (Outcome, error) {
	return a.change(ctx, id, StateActive, func(record *Record) (*Change, error) {
		return Resume(record, a.clock())
	})
}

// Rotate issues a successor of a key in one step. It returns [ErrNotFound], or the errors
// of [Issuer.Rotate]. If the issuer has no format, the successor has the format of the key,
// but never a keyed checksum.
//
// A sibling whose row cannot be read is refused anyway; unless it is revoked, its overlap ends
// with this rotation, so that it cannot become a third live key when the row is mended.
func (a *Authenticator) Rotate(ctx context.Context, issuer *Issuer, id KeyID, policy RotationPolicy) (*Change, error) {
	if err := a.writable(); err != nil {
		return nil, err
	}
	// However it ends: a change that failed may have been written.
	defer a.Invalidate(id)
	like := *issuer
	for range triesMax {
		found, err := a.find(ctx, id)
		if err != nil {
			return nil, err
		}
		// Read the whole lineage at once, so that its records are consistent.
		lineage, err := a.store.Lineage(ctx, found.lineage())
		if err != nil {
			return nil, err
		}
		var record *Record
		var siblings []*Record
		for _, one := range lineage.Records {
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
		change, err := like.Rotate(record, siblings, policy, a.clock())
		if err != nil {
			return nil, err
		}
		batch := change.Batch()
		for _, sibling := range lineage.Damaged {
			if err := batch.endDamaged(sibling, a.clock()); err != nil {
				return nil, err
			}
		}
		if err = a.commit(ctx, batch); !errors.Is(err, ErrStale) {
			return change, err
		}
	}
	return nil, ErrStale
}

// Commit writes a change that the caller made, and puts it in force. If the change sets remaining
// uses, the other keys of the lineage, which share them, get a new version and an event as well.
func (a *Authenticator) Commit(ctx context.Context, change *Change) error {
	if err := a.writable(); err != nil {
		return err
	}
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

// change reads, changes and writes a record until no other writer interferes. A key that is
// in the requested state is left as it is.
func (a *Authenticator) change(ctx context.Context, id KeyID, state State, verb func(*Record) (*Change, error)) (Outcome, error) {
	if err := a.writable(); err != nil {
		return Outcome{}, err
	}
	// However it ends: a change that failed may have been written, and one that another
	// process has made may not be in force here.
	defer a.Invalidate(id)
	for range triesMax {
		record, err := a.find(ctx, id)
		var row *CorruptRow
		if errors.As(err, &row) && state != StateActive {
			outcome, err := a.changeDamaged(ctx, row, id, state, verb)
			if errors.Is(err, ErrStale) {
				continue
			}
			return outcome, err
		}
		if err != nil {
			return Outcome{}, err
		}
		if record.State == state {
			// No older record is accepted from now on, not even from a replica that lags.
			a.InvalidateAt(id, record.Version)
			return Outcome{Record: record}, nil
		}
		change, err := verb(record)
		if err != nil {
			return Outcome{}, err
		}
		switch err := a.commit(ctx, change.Batch()); {
		case err == nil:
			return Outcome{Record: change.Record, Changed: true}, nil
		case !errors.Is(err, ErrStale):
			return Outcome{}, err
		}
	}
	return Outcome{}, ErrStale
}

func (a *Authenticator) find(ctx context.Context, id KeyID) (*Record, error) {
	record, err := a.finder.Find(ctx, Lookup{KeyID: id})
	if err == nil && record == nil {
		return nil, ErrNotFound
	}
	return record, err
}

func (a *Authenticator) writable() error {
	if a.store == nil {
		return fmt.Errorf("keystile: the store must implement Store to be written to: %w", errors.ErrUnsupported)
	}
	return nil
}
