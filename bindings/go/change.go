package keystile

import (
	"context"
	"errors"
	"time"
)

// Change changes what a key may do, or whom it belongs to. A change of nothing leaves the key
// as it is. Uses that are set apply to the other keys of the lineage too, so these get a new
// version and an event as well; uses that are not set stay as they are, whatever is spent
// meanwhile. It returns [ErrNotFound], the errors of [ChangeKey], also under [Options.Lifetimes],
// or a [CorruptRow]: mend the row first.
//
// A key that derives from another gets no more than that one has: otherwise it returns
// [ErrExceedsSource] or [ErrSourceNotLive]. Uses that it gets in addition are taken off the
// source's. If keys that derive from the key would exceed it afterwards, the change is refused
// with an [ExceedingError], which names them: [Authenticator.ChangeDerived] can say what becomes
// of them.
func (a *Authenticator) Change(ctx context.Context, id KeyID, change KeyChange) (Outcome, error) {
	return a.ChangeDerived(ctx, id, change, RefuseDerived, nil)
}

// ChangeIf changes a key as [Authenticator.Change] does, if permit agrees. It gets the record
// before and after the change, which are equal if nothing would change; both are copies. What it
// agrees to is what is written, even if others change the key meanwhile: it is then asked again.
// Its error is returned as it is.
func (a *Authenticator) ChangeIf(ctx context.Context, id KeyID, change KeyChange, permit func(before, after *Record) error) (Outcome, error) {
	return a.ChangeDerived(ctx, id, change, RefuseDerived, permit)
}

// ChangeDerived changes a key as [Authenticator.ChangeIf] does, and says what becomes of the keys
// that derive from it and would exceed it. A nil permit always agrees. It returns [ErrRecord] if
// ofDerived is none of the constants.
func (a *Authenticator) ChangeDerived(ctx context.Context, id KeyID, change KeyChange, ofDerived OfDerived, permit func(before, after *Record) error) (Outcome, error) {
	if err := a.writable(); err != nil {
		return Outcome{}, err
	}
	if err := ofDerived.check(); err != nil {
		return Outcome{}, err
	}
	outcome, _, err := a.change(ctx, id, change.Within(a.lifetimes), ofDerived, nil, permit)
	return outcome, err
}

// check returns [ErrRecord] if it is none of the constants.
func (o OfDerived) check() error {
	switch o {
	case RefuseDerived, SuspendDerived, RevokeDerived, KeepDerived:
		return nil
	}
	return ErrRecord
}

// change changes a key, and returns the other keys that were changed with it. Unless template is nil,
// it writes only as long as that is its version.
func (a *Authenticator) change(ctx context.Context, id KeyID, change KeyChange, ofDerived OfDerived, template *TemplateVersion, permit func(before, after *Record) error) (Outcome, []KeyID, error) {
	// However it ends: a change that failed may have been written.
	defer a.Invalidate(id)
	now := a.clock()
	for range triesMax {
		batch, outcome, err := a.prepareChange(ctx, id, change, ofDerived, permit, now)
		if err != nil {
			return Outcome{}, nil, err
		}
		if !outcome.Changed {
			// No older record is accepted from now on, not even from a replica that lags.
			a.InvalidateAt(id, outcome.Record.Version)
			return outcome, nil, nil
		}
		batch.TemplateUnchanged = template
		switch err := a.commit(ctx, batch); {
		case err == nil:
			return outcome, batch.othersThan(id), nil
		case !errors.Is(err, ErrStale), errors.Is(err, ErrTemplateChanged):
			return Outcome{}, nil, err
		}
	}
	return Outcome{}, nil, ErrStale
}

// othersThan returns the other keys that are updated.
func (b *Batch) othersThan(id KeyID) []KeyID {
	var others []KeyID
	for _, record := range b.Updates {
		if record.ID != id {
			others = append(others, record.ID)
		}
	}
	return others
}

// prepareChange returns a change that is ready to be written, and what it makes of the key. A nil
// permit always agrees.
func (a *Authenticator) prepareChange(ctx context.Context, id KeyID, change KeyChange, ofDerived OfDerived, permit func(before, after *Record) error, now time.Time) (batch Batch, outcome Outcome, err error) {
	if permit == nil {
		permit = func(_, _ *Record) error { return nil }
	}
	record, err := a.find(ctx, id)
	if err != nil {
		return batch, outcome, err
	}
	switch alters, err := change.Alters(record, now); {
	case err != nil:
		return batch, outcome, err
	case !alters:
		return batch, Outcome{Record: record}, permit(record.Clone(), record.Clone())
	}
	changed, err := ChangeKey(record, change, now)
	if err != nil {
		return batch, outcome, err
	}
	// Copies: what permit does to them must not be written, since nothing checks it.
	if err := permit(record.Clone(), changed.Record.Clone()); err != nil {
		return batch, outcome, err
	}
	batch = changed.Batch()
	if len(batch.SetUses) != 0 {
		if err := a.noteSiblings(ctx, &batch, record, now); err != nil {
			return batch, outcome, err
		}
		// Those of a derived key were taken off its source's, so none may be given twice:
		// they are replaced only if none was spent since they were read.
		if !record.DerivedFrom.IsZero() && record.RemainingUses != nil {
			batch.TakeUses = append(batch.TakeUses, TakenUses{record.lineage(), *record.RemainingUses})
		}
	}
	if err := a.relyOnSource(ctx, &batch, record, changed.Record, now); err != nil {
		return batch, outcome, err
	}
	err = a.ofThoseThatDerive(ctx, &batch, record, changed.Record, ofDerived, now)
	return batch, Outcome{Record: changed.Record, Changed: true}, err
}

// noteSiblings gives each other live key of a lineage a new version and an event, because the
// uses that it shares are changed.
func (a *Authenticator) noteSiblings(ctx context.Context, batch *Batch, of *Record, now time.Time) error {
	lineage, err := a.store.Lineage(ctx, of.lineage())
	if err != nil {
		return err
	}
	for _, sibling := range lineage.Records {
		if sibling.ID == of.ID || !sibling.isLeft(now) {
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

// relyOnSource refuses a change that gives a derived key more than its source has. Uses that it
// gets in addition are taken off the source's.
func (a *Authenticator) relyOnSource(ctx context.Context, batch *Batch, before, after *Record, now time.Time) error {
	if before.DerivedFrom.IsZero() || after.IsWithin(before) {
		return nil
	}
	source, err := a.liveSource(ctx, before, now)
	if err != nil {
		return err
	}
	asked := after.Clone()
	if source.RemainingUses != nil && asked.RemainingUses != nil {
		more, had := *asked.RemainingUses, uint64(0)
		if before.RemainingUses != nil {
			had = *before.RemainingUses
		}
		more -= min(more, had)
		asked.RemainingUses = &more
		if more > 0 && more <= *source.RemainingUses {
			batch.TakeUses = append(batch.TakeUses, TakenUses{source.lineage(), more})
		}
	}
	if !asked.IsWithin(source) {
		return ErrExceedsSource
	}
	batch.relyOn(source)
	return nil
}

// exceeded is why a derived key was ended by a change of its source.
const exceeded = "it exceeded the key that it derives from"

// ofThoseThatDerive adds what becomes of the keys that derive from the changed one and would
// exceed it.
func (a *Authenticator) ofThoseThatDerive(ctx context.Context, batch *Batch, before, after *Record, ofDerived OfDerived, now time.Time) error {
	// Uses were taken off when a derived key got them.
	counted := before.Clone()
	if counted.RemainingUses != nil {
		counted.RemainingUses = after.RemainingUses
	}
	if counted.IsWithin(after) {
		return nil
	}
	family, err := a.familyOf(ctx, before, now)
	if err != nil {
		return err
	}
	var exceeding []*Record
	var refused ExceedingError
	for _, key := range family.derived {
		if key.isLeft(now) && key.exceeds(after) {
			exceeding, refused.Keys = append(exceeding, key), append(refused.Keys, key.ID)
		}
	}
	if ofDerived == RefuseDerived && len(exceeding) > 0 {
		return &refused
	}
	err = batch.change(exceeding, func(key *Record) (*Change, error) {
		switch {
		case ofDerived == RevokeDerived:
			return Revoke(key, exceeded, now)
		case ofDerived == SuspendDerived && key.State == StateActive:
			change, err := Suspend(key, now)
			if err == nil {
				change.Event.Reason = Ptr(exceeded)
			}
			return change, err
		case ofDerived == SuspendDerived && !key.SuspendedWith.IsZero():
			// Otherwise it would be resumed with its source.
			return marked(key, KeyID{}, now)
		}
		return nil, nil
	})
	if err != nil {
		return err
	}
	for _, below := range family.below(exceeding) {
		err := batch.change([]*Record{below.key}, func(key *Record) (*Change, error) {
			switch {
			case ofDerived == RevokeDerived:
				return Revoke(key, exceeded, now)
			case ofDerived == SuspendDerived && key.State == StateActive:
				return suspendedWith(key, below.source, now)
			case ofDerived == SuspendDerived && key.SuspendedWith == before.ID:
				return marked(key, below.source, now)
			}
			return nil, nil
		})
		if err != nil {
			return err
		}
	}
	batch.relyOnFamily(family)
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
