package keystile

import (
	"context"
	"errors"
	"time"
)

// Change changes what a key may do, or whom it belongs to. A change of nothing leaves the key
// as it is. Uses that are set apply to the other keys of the lineage too, so these get a new
// version and an event as well; uses that are not set stay as they are, whatever is spent
// meanwhile. It returns [ErrNotFound], the errors of [ChangeKey], or a [CorruptRow]: mend the
// row first.
func (a *Authenticator) Change(ctx context.Context, id KeyID, change KeyChange) (Outcome, error) {
	return a.ChangeIf(ctx, id, change, func(_, _ *Record) error { return nil })
}

// ChangeIf changes a key as [Authenticator.Change] does, if permit agrees. It gets the record
// before and after the change, which are equal if nothing would change; both are copies. What it
// agrees to is what is written, even if others change the key meanwhile: it is then asked again.
// Its error is returned as it is.
func (a *Authenticator) ChangeIf(ctx context.Context, id KeyID, change KeyChange, permit func(before, after *Record) error) (Outcome, error) {
	if err := a.writable(); err != nil {
		return Outcome{}, err
	}
	// However it ends: a change that failed may have been written.
	defer a.Invalidate(id)
	for range triesMax {
		record, err := a.find(ctx, id)
		if err != nil {
			return Outcome{}, err
		}
		now := a.clock()
		switch alters, err := change.Alters(record, now); {
		case err != nil:
			return Outcome{}, err
		case !alters:
			if err := permit(record.Clone(), record.Clone()); err != nil {
				return Outcome{}, err
			}
			// No older record is accepted from now on, not even from a replica that lags.
			a.InvalidateAt(id, record.Version)
			return Outcome{Record: record}, nil
		}
		changed, err := ChangeKey(record, change, now)
		if err != nil {
			return Outcome{}, err
		}
		// Copies: what permit does to them must not be written, since nothing checks it.
		if err := permit(record.Clone(), changed.Record.Clone()); err != nil {
			return Outcome{}, err
		}
		batch := changed.Batch()
		if len(batch.SetUses) != 0 {
			if err := a.noteSiblings(ctx, &batch, record, now); err != nil {
				return Outcome{}, err
			}
		}
		switch err := a.commit(ctx, batch); {
		case err == nil:
			return Outcome{Record: changed.Record, Changed: true}, nil
		case !errors.Is(err, ErrStale):
			return Outcome{}, err
		}
	}
	return Outcome{}, ErrStale
}

// noteSiblings gives each other live key of a lineage a new version and an event, because the
// uses that it shares are changed.
func (a *Authenticator) noteSiblings(ctx context.Context, batch *Batch, of *Record, now time.Time) error {
	lineage, err := a.store.Lineage(ctx, of.lineage())
	if err != nil {
		return err
	}
	for _, sibling := range lineage.Records {
		if sibling.ID == of.ID || sibling.State == StateRevoked || sibling.hasEnded(now) {
			continue
		}
		next := sibling.Clone()
		next.Version++
		batch.Updates = append(batch.Updates, next)
		batch.Events = append(batch.Events, Event{Kind: EventChanged, KeyID: next.ID, At: timeOf(millisOf(now)),
			Version: next.Version, Changes: []FieldChange{{Field: "remaining_uses"}}})
	}
	return nil
}

// hasEnded reports whether the key has expired, or its overlap is over.
func (r *Record) hasEnded(now time.Time) bool {
	for _, end := range []time.Time{r.ExpiresAt, r.OverlapUntil} {
		if !end.IsZero() && !now.Before(end) {
			return true
		}
	}
	return false
}
