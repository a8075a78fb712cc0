package keystile

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"
)

// Permit reports whether the caller of a method may change a key, by its record or by what is
// readable of a damaged row; the other one is nil. It is asked about the very state that the
// method then replaces, so that a key that was given to another owner meanwhile stays as it is.
// The record is a copy.
type Permit func(record *Record, damaged *CorruptRow) bool

// unspecified is the reason of a revocation without one.
const unspecified = "unspecified"

// Ended is what a method did to a key, and to the keys that derive from it.
type Ended struct {
	// Outcome is what became of the key itself.
	Outcome
	// Derived are the keys that derive from it and were changed with it, without those whose rows
	// cannot be read.
	Derived []*Record
	// Left is how many live keys that derive from it were left alive, because its successor lives.
	Left int
}

// Revoke revokes a key for good, and the keys that derive from it, unless its successor lives. A
// key that is already revoked keeps its first reason. Without a reason it is that of [WithActor], or
// "unspecified". If its row cannot be read, only its state is
// written, and no other key is reached. It returns [ErrNotFound], the errors of [Revoke], or a
// [CorruptRow] if not even the id and version of one of the keys can be read.
func (a *Authenticator) Revoke(ctx context.Context, id KeyID, reason string) (Outcome, error) {
	ended, err := a.RevokeIf(ctx, id, reason, ReachLast, nil)
	return ended.Outcome, err
}

// RevokeIf revokes a key as [Authenticator.Revoke] does, if permit agrees: otherwise it returns
// [ErrNotFound]. A nil permit always agrees. If the key's successor lives, the keys that derive
// from it stay as they are, unless reach is [ReachOwn].
func (a *Authenticator) RevokeIf(ctx context.Context, id KeyID, reason string, reach Reach, permit Permit) (Ended, error) {
	if err := a.writable(); err != nil {
		return Ended{}, err
	}
	if reason == "" {
		by, _ := ActorOf(ctx)
		reason = cmp.Or(by.Reason, unspecified)
	}
	now := a.clock()
	verb := func(key *Record) (*Change, error) {
		if key.State == StateRevoked {
			return nil, nil
		}
		return Revoke(key, reason, now)
	}
	status := func(of *Record) UpkeepStatus {
		return UpkeepStatus{State: StateRevoked, RevokedAt: of.RevokedAt, RevokedReason: of.RevokedReason}
	}
	with := func(key, _ *Record, _ map[KeyID]bool) (*Change, error) { return verb(key) }
	return a.end(ctx, ending{id, reach, permit, now, verb, with, StateRevoked, status})
}

// Suspend suspends a key until it is resumed, and with it the keys that derive from it, unless its
// successor lives; they are resumed with it. What was suspended before stays suspended then. If
// its row cannot be read, only its state is written. It returns [ErrNotFound], the errors of
// [Suspend], or a [CorruptRow] as [Authenticator.Revoke] does.
func (a *Authenticator) Suspend(ctx context.Context, id KeyID) (Outcome, error) {
	ended, err := a.SuspendIf(ctx, id, ReachLast, nil)
	return ended.Outcome, err
}

// SuspendIf suspends a key as [Authenticator.Suspend] does, with a reach and a permit as for
// [Authenticator.RevokeIf].
func (a *Authenticator) SuspendIf(ctx context.Context, id KeyID, reach Reach, permit Permit) (Ended, error) {
	if err := a.writable(); err != nil {
		return Ended{}, err
	}
	now := a.clock()
	verb := func(key *Record) (*Change, error) {
		switch {
		case key.State != StateSuspended:
			return Suspend(key, now)
		case key.SuspendedWith.IsZero():
			return nil, nil
		}
		// Suspended with its source, and from now on by itself: it is not resumed with that.
		return marked(key, KeyID{}, now)
	}
	with := func(key, source *Record, family map[KeyID]bool) (*Change, error) {
		switch other := key.SuspendedWith; {
		case key.State == StateActive:
			return suspendedWith(key, source.ID, now)
		case key.State == StateSuspended && !other.IsZero() && other != source.ID && !family[other]:
			// It was suspended with a key that the source itself derives from: from now on it
			// waits for the nearer one.
			return marked(key, source.ID, now)
		}
		return nil, nil
	}
	status := func(*Record) UpkeepStatus { return UpkeepStatus{State: StateSuspended} }
	return a.end(ctx, ending{id, reach, permit, now, verb, with, StateSuspended, status})
}

// suspendedWith suspends a key with its source.
func suspendedWith(key *Record, source KeyID, now time.Time) (*Change, error) {
	change, err := Suspend(key, now)
	if err != nil {
		return nil, err
	}
	change.Record.SuspendedWith = source
	change.Event.Reason = Ptr("with " + source.String())
	return change, nil
}

// marked returns a suspended key with another key that it is to be resumed with.
func marked(key *Record, with KeyID, now time.Time) (*Change, error) {
	active := key.Clone()
	active.State, active.SuspendedWith = StateActive, KeyID{}
	change, err := Suspend(active, now)
	if err != nil {
		return nil, err
	}
	change.Record.SuspendedWith = with
	return change, nil
}

// ending is which key is to be ended, and how. A verb without a change leaves the key as it is.
type ending struct {
	id     KeyID
	reach  Reach
	permit Permit
	now    time.Time
	// verb changes the key itself, and with a key that derives from it, given the ids of all that
	// do and of the key's lineage.
	verb  func(key *Record) (*Change, error)
	with  func(key, source *Record, family map[KeyID]bool) (*Change, error)
	state State
	// status is what is written of damaged rows, from a record that the verb was applied to.
	status func(of *Record) UpkeepStatus
}

func (a *Authenticator) end(ctx context.Context, asked ending) (Ended, error) {
	if err := a.writable(); err != nil {
		return Ended{}, err
	}
	// However it ends: a change that failed may have been written, and one that another
	// process has made may not be in force here.
	defer a.Invalidate(asked.id)
	for range triesMax {
		found, err := a.find(ctx, asked.id)
		var row *CorruptRow
		if errors.As(err, &row) {
			if asked.permit != nil && !asked.permit(nil, row) {
				return Ended{}, ErrNotFound
			}
			outcome, err := a.changeDamaged(ctx, row, asked.id, asked.state, asked.verb)
			if errors.Is(err, ErrStale) {
				continue
			}
			if err == nil && !outcome.Changed {
				a.InvalidateAll()
			}
			return Ended{Outcome: outcome}, err
		}
		if err != nil {
			return Ended{}, err
		}
		if asked.permit != nil && !asked.permit(found.Clone(), nil) {
			return Ended{}, ErrNotFound
		}
		ended, batch, err := a.ended(ctx, &asked, found)
		if err != nil {
			return Ended{}, err
		}
		if len(batch.written()) == 0 {
			a.othersInForce(ctx, found)
			return ended, nil
		}
		switch err := a.commit(ctx, batch); {
		case err == nil:
			if !ended.Changed {
				a.othersInForce(ctx, found)
			}
			return ended, nil
		case !errors.Is(err, ErrStale):
			return Ended{}, err
		}
	}
	return Ended{}, ErrStale
}

// ended returns what ending a key does, and the batch that does it.
func (a *Authenticator) ended(ctx context.Context, asked *ending, found *Record) (ended Ended, batch Batch, err error) {
	family, err := a.familyOf(ctx, found, asked.now)
	if err != nil {
		return ended, batch, err
	}
	reached, err := a.reached(ctx, family, found, asked.reach, asked.now)
	if err != nil {
		return ended, batch, err
	}
	change, err := asked.verb(found)
	if err != nil {
		return ended, batch, err
	}
	ids := idsOf(family.derived)
	if !found.ReplacedBy.IsZero() {
		// What was suspended with its successor waits for that.
		lineage, err := a.store.Lineage(ctx, found.lineage())
		if err != nil {
			return ended, batch, err
		}
		for _, key := range lineage.Records {
			ids[key.ID] = true
		}
	}
	err = batch.change(reached.keys, func(key *Record) (*Change, error) { return asked.with(key, found, ids) })
	if err != nil {
		return ended, batch, err
	}
	ended = Ended{Outcome: Outcome{Record: found}, Derived: slices.Clone(batch.Updates), Left: reached.left}
	if len(reached.damaged) > 0 {
		known, err := standIn(&CorruptRow{State: StateActive, Version: 1}, found.ID, asked.now)
		if err != nil {
			return ended, batch, err
		}
		example, err := asked.verb(known)
		if err != nil {
			return ended, batch, err
		}
		if err := batch.endAllDamaged(reached.damaged, asked.status(example.Record)); err != nil {
			return ended, batch, err
		}
	}
	switch {
	case change != nil:
		batch.add(change.Batch())
		ended.Record, ended.Changed = change.Record, true
	case len(batch.written()) > 0:
		batch.relyOn(found)
	}
	batch.noteTheRest(asked.now)
	batch.relyOnFamily(family)
	return ended, batch, nil
}

// othersInForce invalidates what another process, which was faster, has changed: the derived keys
// too, which may have other owners. No older record is accepted from now on, not even from a
// replica that lags.
func (a *Authenticator) othersInForce(ctx context.Context, found *Record) {
	state, err := a.derivedState(ctx, found)
	if err != nil || state.Keys > 0 || found.Owner == nil {
		a.InvalidateAll()
	} else {
		a.InvalidateOwner(*found.Owner)
	}
	a.InvalidateAt(found.ID, found.Version)
}

// change adds changes of keys to a batch.
func (b *Batch) change(keys []*Record, verb func(*Record) (*Change, error)) error {
	for _, key := range keys {
		change, err := verb(key)
		if err != nil {
			return err
		}
		if change != nil {
			b.add(change.Batch())
		}
	}
	return nil
}

// Resume resumes a suspended key, and the keys that were suspended with it, without those that
// have more than the keys that they derive from, and what derives from those. A key that is
// already active is not changed. It returns [ErrNotFound]; the errors of [Resume];
// [ErrSourceNotLive] or [ErrExceedsSource]; or a [CorruptRow]: mend the row first.
func (a *Authenticator) Resume(ctx context.Context, id KeyID) (Outcome, error) {
	ended, err := a.ResumeIf(ctx, id, nil)
	return ended.Outcome, err
}

// ResumeIf resumes a key as [Authenticator.Resume] does, if permit returns no error for its
// record; otherwise it returns that error. It is asked for each key that was suspended with it,
// too: those for which it returns an error stay suspended. A nil permit always agrees.
func (a *Authenticator) ResumeIf(ctx context.Context, id KeyID, permit func(*Record) error) (Ended, error) {
	if err := a.writable(); err != nil {
		return Ended{}, err
	}
	if err := a.writable(); err != nil {
		return Ended{}, err
	}
	defer a.Invalidate(id)
	now := a.clock()
	if permit == nil {
		permit = func(*Record) error { return nil }
	}
	for range triesMax {
		found, err := a.find(ctx, id)
		if err != nil {
			return Ended{}, err
		}
		if err := permit(found.Clone()); err != nil {
			return Ended{}, err
		}
		if found.State == StateActive {
			a.othersInForce(ctx, found)
			return Ended{Outcome: Outcome{Record: found}}, nil
		}
		ended, batch, err := a.resumed(ctx, found, permit, now)
		if err != nil {
			return Ended{}, err
		}
		switch err := a.commit(ctx, batch); {
		case err == nil:
			return ended, nil
		case !errors.Is(err, ErrStale):
			return Ended{}, err
		}
	}
	return Ended{}, ErrStale
}

// resumed returns what resuming a key does, and the batch that does it.
func (a *Authenticator) resumed(ctx context.Context, found *Record, permit func(*Record) error, now time.Time) (ended Ended, batch Batch, err error) {
	change, err := Resume(found, now)
	if err != nil {
		return ended, batch, err
	}
	source, err := a.liveSource(ctx, found, now)
	if err != nil {
		return ended, batch, err
	}
	if source != nil {
		// Its source may have got less while it was suspended.
		if found.exceeds(source) {
			return ended, batch, ErrExceedsSource
		}
		batch.relyOn(source)
	}
	family, err := a.familyOf(ctx, found, now)
	if err != nil {
		return ended, batch, err
	}
	lineage, err := a.store.Lineage(ctx, found.lineage())
	if err != nil {
		return ended, batch, err
	}
	var sources []*Record
	for _, key := range lineage.Records {
		if key.ID != found.ID && key.IsLive(now) {
			batch.relyOn(key)
			sources = append(sources, key)
		}
	}
	sources = append(sources, change.Record)
	with := family.resumable(found, sources, now, func(key *Record) bool { return permit(key.Clone()) == nil })
	if err := batch.change(with, func(key *Record) (*Change, error) { return Resume(key, now) }); err != nil {
		return ended, batch, err
	}
	ended = Ended{Outcome: Outcome{Record: change.Record, Changed: true}, Derived: slices.Clone(batch.Updates)}
	batch.add(change.Batch())
	batch.relyOnFamily(family)
	return ended, batch, nil
}
