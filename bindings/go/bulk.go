package keystile

import (
	"context"
	"errors"
	"fmt"
)

const (
	// bulkPage is how many keys are held in memory at once.
	bulkPage = 200
	// bulkPassesMax is how often a filter is gone through, for keys that were issued meanwhile.
	bulkPassesMax = 16
)

// BulkOptions are how many keys are revoked or suspended.
type BulkOptions struct {
	// Reason is why, for the audit: at most 255 bytes; may be empty.
	Reason string
	// Reach is as for [Authenticator.RevokeIf].
	Reach Reach
	// DryRun changes nothing: the result has the keys that would be changed, without those that
	// derive from them.
	DryRun bool
	// Permit is asked for each key; those for which it does not agree stay as they are. If keys are
	// named by their ids, it is as if there were no such key. Nil always agrees.
	Permit Permit
}

// BulkEnded is what became of many keys.
type BulkEnded struct {
	// Changed are the keys that were changed.
	Changed []KeyID
	// Derived are the keys that derive from them and were changed with them; some may be in
	// Changed too.
	Derived []KeyID
	// Left is how many live keys that derive from them were left alive, because a successor lives.
	Left int
	// Failed are the keys that could not be changed, each with the reason.
	Failed []BulkFailure
	// Damaged are the rows that the filter selects and that cannot be read. They are not changed:
	// their keys are refused as they are, and can be revoked by their ids.
	Damaged []*CorruptRow
}

// BulkFailure is a key that could not be changed, and the reason.
type BulkFailure struct {
	KeyID KeyID
	Err   error
}

// Count returns how many keys were changed, each of them counted once.
func (b *BulkEnded) Count() int {
	if b == nil {
		return 0
	}
	ids := map[KeyID]bool{}
	for _, some := range [][]KeyID{b.Changed, b.Derived} {
		for _, id := range some {
			ids[id] = true
		}
	}
	return len(ids)
}

// RevokeAll revokes the keys that a filter selects, with an event each, and the keys that derive
// from them, as [Authenticator.RevokeIf] does. The filter must have an owner, client, environment,
// template or prefix of the id: [ErrRecord] otherwise, also if a text for the audit is too long.
//
// A key that cannot be revoked stops nothing: it is in Failed. Keys that the filter does not
// select any more, or that were revoked or deleted meanwhile, are passed over. The filter is gone
// through again until it selects no further key, at most 16 times, since keys can be issued
// meanwhile.
//
// If the store fails or the context ends, it stops with that error, and the result has what was
// done before: that stays, so call it again. The key at which it stopped is not in the result,
// and may have been changed.
func (a *Authenticator) RevokeAll(ctx context.Context, filter Filter, options BulkOptions) (BulkEnded, error) {
	return a.all(ctx, filter, options, a.revocation(ctx, options))
}

// SuspendAll suspends the keys that a filter selects, as [Authenticator.RevokeAll] revokes them.
// Keys that are suspended already stay as they are.
func (a *Authenticator) SuspendAll(ctx context.Context, filter Filter, options BulkOptions) (BulkEnded, error) {
	return a.all(ctx, filter, options, a.suspension(ctx, options))
}

// RevokeEach revokes the keys with these ids, as [Authenticator.RevokeAll] does. All of them are
// looked up first: if there is no key with one of them, or Permit does not agree for one, it
// returns [ErrNotFound] and changes nothing. Rows that cannot be read are revoked too.
func (a *Authenticator) RevokeEach(ctx context.Context, ids []KeyID, options BulkOptions) (BulkEnded, error) {
	return a.each(ctx, ids, options, a.revocation(ctx, options))
}

// SuspendEach suspends the keys with these ids, as [Authenticator.RevokeEach] revokes them.
func (a *Authenticator) SuspendEach(ctx context.Context, ids []KeyID, options BulkOptions) (BulkEnded, error) {
	return a.each(ctx, ids, options, a.suspension(ctx, options))
}

// bulkVerb is what is done to each key: whether it is due by its stored state, and how.
type bulkVerb struct {
	isDue func(State) bool
	end   func(KeyID, Permit) (Ended, error)
}

func (a *Authenticator) revocation(ctx context.Context, options BulkOptions) bulkVerb {
	return bulkVerb{
		func(state State) bool { return state != StateRevoked },
		func(id KeyID, permit Permit) (Ended, error) {
			return a.RevokeIf(ctx, id, options.Reason, options.Reach, permit)
		},
	}
}

func (a *Authenticator) suspension(ctx context.Context, options BulkOptions) bulkVerb {
	if options.Reason != "" {
		by, _ := ActorOf(ctx)
		by.Reason = options.Reason
		ctx = WithActor(ctx, by)
	}
	return bulkVerb{
		func(state State) bool { return state != StateSuspended && state != StateRevoked },
		func(id KeyID, permit Permit) (Ended, error) { return a.SuspendIf(ctx, id, options.Reach, permit) },
	}
}

func (a *Authenticator) all(ctx context.Context, filter Filter, options BulkOptions, verb bulkVerb) (all BulkEnded, err error) {
	if err := a.bulkable(ctx, options); err != nil {
		return all, err
	}
	if filter.Owner == nil && filter.ClientName == nil && filter.Environment == nil && filter.Template == nil && filter.IDPrefix == "" {
		return all, fmt.Errorf("keystile: a change of many keys must select them by owner, client, environment, template or a prefix of the id: %w", ErrRecord)
	}
	selected := func(record *Record, damaged *CorruptRow) bool {
		return record != nil && filter.Shows(record) && options.permits(record, damaged)
	}
	for range bulkPassesMax {
		before := all
		// What failed and what is damaged is named once.
		all.Failed, all.Damaged = nil, nil
		if err := a.pass(ctx, &all, filter, options, verb, selected); err != nil {
			all.keep(before)
			return all, err
		}
		if options.DryRun || len(all.Changed) == len(before.Changed) {
			break
		}
	}
	return all, nil
}

// pass goes through a filter once.
func (a *Authenticator) pass(ctx context.Context, all *BulkEnded, filter Filter, options BulkOptions, verb bulkVerb, selected Permit) error {
	for page := (Page{Limit: bulkPage}); ; {
		listed, err := a.store.List(ctx, filter, page)
		if err != nil {
			return err
		}
		for _, row := range listed.Damaged {
			// Of a row that the caller may not change, it learns nothing.
			if options.permits(nil, row) {
				all.Damaged = append(all.Damaged, row)
			}
		}
		for _, record := range listed.Records {
			switch {
			case !verb.isDue(record.State):
			case options.DryRun:
				if options.permits(record.Clone(), nil) {
					all.Changed = append(all.Changed, record.ID)
				}
			default:
				if err := all.add(ctx, record.ID, verb, selected); err != nil {
					return err
				}
			}
		}
		if listed.Next.IsZero() {
			return nil
		}
		page.After = listed.Next
	}
}

// keep adds what failed and what was damaged in the pass before one that was not completed.
func (b *BulkEnded) keep(before BulkEnded) {
	known := map[KeyID]bool{}
	for _, some := range [][]KeyID{b.Changed, b.Derived} {
		for _, id := range some {
			known[id] = true
		}
	}
	for _, failure := range b.Failed {
		known[failure.KeyID] = true
	}
	for _, failure := range before.Failed {
		if !known[failure.KeyID] {
			b.Failed = append(b.Failed, failure)
		}
	}
	rows := map[int64]bool{}
	for _, row := range b.Damaged {
		rows[row.Row] = true
	}
	for _, row := range before.Damaged {
		if !rows[row.Row] {
			b.Damaged = append(b.Damaged, row)
		}
	}
}

func (a *Authenticator) each(ctx context.Context, ids []KeyID, options BulkOptions, verb bulkVerb) (all BulkEnded, err error) {
	if err := a.bulkable(ctx, options); err != nil {
		return all, err
	}
	var due []KeyID
	seen := map[KeyID]bool{}
	for _, id := range ids {
		if seen[id] {
			continue
		}
		seen[id] = true
		record, err := a.find(ctx, id)
		var row *CorruptRow
		var state State
		switch {
		case errors.As(err, &row):
			state, err = row.State, nil
		case err == nil:
			state, record = record.State, record.Clone()
		}
		// A caller that may not change a key does not learn that it exists.
		if err == nil && !options.permits(record, row) {
			err = ErrNotFound
		}
		if err != nil {
			return all, fmt.Errorf("keystile: %s, and no key was changed: %w", id, err)
		}
		if verb.isDue(state) {
			due = append(due, id)
		}
	}
	if options.DryRun {
		return BulkEnded{Changed: due}, nil
	}
	for _, id := range due {
		if err := all.add(ctx, id, verb, options.permits); err != nil {
			return all, err
		}
	}
	return all, nil
}

// bulkable refuses what no key could be changed with, also if none is selected.
func (a *Authenticator) bulkable(ctx context.Context, options BulkOptions) error {
	by, _ := ActorOf(ctx)
	if options.Reason != "" {
		by.Reason = options.Reason
	}
	if err := by.Check(); err != nil {
		return err
	}
	return a.writable()
}

func (o *BulkOptions) permits(record *Record, damaged *CorruptRow) bool {
	return o.Permit == nil || o.Permit(record, damaged)
}

// add changes a key, and notes what became of it. It returns why no further key can be changed:
// the store is unavailable, or the context has ended.
func (b *BulkEnded) add(ctx context.Context, id KeyID, verb bulkVerb, permit Permit) error {
	ended, err := verb.end(id, permit)
	switch {
	case err == nil:
		if ended.Changed {
			b.Changed = append(b.Changed, id)
		}
		for _, derived := range ended.Derived {
			b.Derived = append(b.Derived, derived.ID)
		}
		b.Left += ended.Left
	// Not selected any more, or revoked meanwhile.
	case errors.Is(err, ErrNotFound), errors.Is(err, ErrState):
	case ctx.Err() != nil || !isOfOneKey(err):
		return err
	default:
		b.Failed = append(b.Failed, BulkFailure{id, err})
	}
	return nil
}

// isOfOneKey reports whether an error says nothing about other keys: it is not that of a store
// that is unavailable.
func isOfOneKey(err error) bool {
	var status statusError
	for _, own := range []error{ErrStale, ErrDuplicate, ErrCorrupt, ErrWithoutEvent, ErrOutOfRange} {
		if errors.Is(err, own) {
			return true
		}
	}
	return errors.As(err, &status) && !errors.Is(err, ErrStoreUnavailable)
}
