package keystile

import (
	"context"
	"errors"
	"time"
)

// Rotate issues a successor of a key in one step. It returns [ErrNotFound], or the errors
// of [Issuer.Rotate]. If the issuer has no format, the successor has the format of the key,
// but never a keyed checksum. A lifetime that it gets from the key is cut to the longest of
// [Options.Lifetimes].
//
// The successor of a key that derives from another ends no later than that one. It returns
// [ErrSourceNotLive] or [ErrExceedsSource] because of that one, [ErrTooManyDerived], or an
// [ExceedingError] if the successor would end before keys that derive from it.
//
// A sibling whose row cannot be read is refused anyway; unless it is revoked, its overlap ends
// with this rotation, so that it cannot become a third live key when the row is mended.
func (a *Authenticator) Rotate(ctx context.Context, issuer *Issuer, id KeyID, policy RotationPolicy) (*Change, error) {
	if err := a.issuable(issuer); err != nil {
		return nil, err
	}
	// However it ends: a change that failed may have been written.
	defer a.Invalidate(id)
	now := a.clock()
	for range triesMax {
		change, batch, err := a.rotated(ctx, issuer, id, policy, now)
		if err != nil {
			return nil, err
		}
		trying(ctx, change)
		switch err := a.commit(ctx, batch); {
		case err == nil:
			return change, nil
		case !errors.Is(err, ErrStale):
			return nil, err
		}
	}
	return nil, ErrStale
}

// rotated returns a rotation, and the batch that writes it.
func (a *Authenticator) rotated(ctx context.Context, issuer *Issuer, id KeyID, policy RotationPolicy, now time.Time) (change *Change, batch Batch, err error) {
	found, err := a.find(ctx, id)
	if err != nil {
		return nil, batch, err
	}
	// Read the whole lineage at once, so that its records are consistent.
	lineage, err := a.store.Lineage(ctx, found.lineage())
	if err != nil {
		return nil, batch, err
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
		return nil, batch, ErrNotFound
	}
	held := a.held(issuer)
	if held.Format == nil {
		if held.Format, err = FormatLike(record); err != nil {
			return nil, batch, err
		}
	}
	source, err := a.liveSource(ctx, record, now)
	if err != nil {
		return nil, batch, err
	}
	if source != nil {
		end := source.endsAt()
		rights := record.Clone()
		// The successor's end is limited, and not the key's.
		rights.ExpiresAt, rights.OverlapUntil = end, time.Time{}
		if rights.exceeds(source) {
			return nil, batch, ErrExceedsSource
		}
		if err := a.roomForASuccessor(ctx, source, now); err != nil {
			return nil, batch, err
		}
		if asked := policy.LatestEnd; asked == nil || asked.IsZero() || !end.IsZero() && end.Before(*asked) {
			policy.LatestEnd = &end
		}
	}
	if change, err = held.Rotate(record, siblings, policy, now); err != nil {
		return nil, batch, err
	}
	family, err := a.outliving(ctx, record, change.Record, now)
	if err != nil {
		return nil, batch, err
	}
	batch = change.Batch()
	if source != nil {
		batch.relyOn(source)
	}
	for _, sibling := range lineage.Damaged {
		if err := batch.endDamaged(sibling, now); err != nil {
			return nil, batch, err
		}
	}
	if family != nil {
		batch.relyOnFamily(family)
	}
	return change, batch, nil
}

// outliving returns the keys that derive from a key whose successor ends before the key itself
// would have; an [ExceedingError] if one of them would outlive it.
func (a *Authenticator) outliving(ctx context.Context, key, successor *Record, now time.Time) (*family, error) {
	end := successor.ExpiresAt
	if end.IsZero() || !key.ExpiresAt.IsZero() && !key.ExpiresAt.After(end) {
		return nil, nil
	}
	family, err := a.familyOf(ctx, key, now)
	if err != nil {
		return nil, err
	}
	var exceeding ExceedingError
	for _, own := range family.derived {
		if ownEnd := own.endsAt(); own.isLeft(now) && (ownEnd.IsZero() || ownEnd.After(end)) {
			exceeding.Keys = append(exceeding.Keys, own.ID)
		}
	}
	if len(exceeding.Keys) > 0 {
		return nil, &exceeding
	}
	return family, nil
}
