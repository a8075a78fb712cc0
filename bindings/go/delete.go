package keystile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// removalStep is the maximum number of keys that are removed in one step.
const removalStep = 200

// Removal returns the event of a key that is removed from a store, with the version after its
// last: see [Batch.Deletes]. It returns [ErrState] if the key has not ended: it is neither
// revoked, nor expired, nor past its overlap.
func Removal(record *Record, now time.Time) (*Event, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	event, status := capi.Delete(handle, millisOf(now))
	return eventOf(event), failure(status)
}

// removalOf returns the batch that removes keys.
func removalOf(now time.Time, records ...*Record) (Batch, error) {
	var batch Batch
	for _, record := range records {
		event, err := Removal(record, now)
		if err != nil {
			return batch, err
		}
		batch.Deletes = append(batch.Deletes, KeyVersion{record.ID, event.Version})
		batch.Events = append(batch.Events, *event)
	}
	return batch, nil
}

// Delete removes a key that has ended, with an event, and returns the record that it was. Its
// events stay, and the digest of a revoked key stays refused. It returns [ErrNotFound]; [ErrState]
// if the key has not ended; [ErrSourceOfLive] if keys that have not ended derive from its lineage,
// which could then not be ended with it; or a [CorruptRow]: whether it has ended is not known.
func (a *Authenticator) Delete(ctx context.Context, id KeyID) (*Record, error) {
	return a.DeleteIf(ctx, id, nil)
}

// DeleteIf removes a key as [Authenticator.Delete] does, if permit agrees: otherwise it returns
// [ErrNotFound]. A nil permit always agrees.
func (a *Authenticator) DeleteIf(ctx context.Context, id KeyID, permit Permit) (*Record, error) {
	if err := a.writable(); err != nil {
		return nil, err
	}
	defer a.Invalidate(id)
	now := a.clock()
	for range triesMax {
		found, err := a.find(ctx, id)
		if err != nil {
			return nil, err
		}
		if permit != nil && !permit(found.Clone(), nil) {
			return nil, ErrNotFound
		}
		batch, err := removalOf(now, found)
		if err != nil {
			return nil, err
		}
		switch isSource, err := a.isSource(ctx, found, now); {
		case err != nil:
			return nil, err
		case isSource:
			return nil, ErrSourceOfLive
		}
		switch err := a.commit(ctx, batch); {
		case err == nil:
			if err := a.isGone(ctx, found); err != nil {
				return nil, err
			}
			return found, nil
		case !errors.Is(err, ErrStale):
			return nil, err
		}
	}
	return nil, ErrStale
}

// Prune removes all keys that ended before an instant, at most 200 in one step, with an event
// each, and returns how many. If it fails or the context ends, the steps before stay done: call it
// again.
//
// A key ends when it is revoked, when it expires, or when its overlap is over, whichever is first.
// Rows that cannot be read stay, and so do keys from whose lineage keys derive that have not
// ended.
func (a *Authenticator) Prune(ctx context.Context, endedBefore time.Time) (int, error) {
	return a.prune(ctx, endedBefore, func(now time.Time, due []*Record) (int, error) {
		batch, err := removalOf(now, due...)
		if err != nil {
			return 0, err
		}
		err = a.commit(ctx, batch)
		if err == nil {
			return len(due), a.isGone(ctx, due[0])
		}
		if !errors.Is(err, ErrStale) {
			return 0, err
		}
		// Another writer changed one of them: each for itself.
		removed := 0
		for _, record := range due {
			if batch, err = removalOf(now, record); err != nil {
				return removed, err
			}
			if err = a.commit(ctx, batch); err == nil {
				removed++
			} else if !errors.Is(err, ErrStale) {
				return removed, err
			}
		}
		return removed, nil
	})
}

// CountEnded returns how many keys [Authenticator.Prune] would remove now.
func (a *Authenticator) CountEnded(ctx context.Context, endedBefore time.Time) (int, error) {
	return a.prune(ctx, endedBefore, func(_ time.Time, due []*Record) (int, error) { return len(due), nil })
}

func (a *Authenticator) prune(ctx context.Context, endedBefore time.Time, remove func(now time.Time, due []*Record) (int, error)) (int, error) {
	if err := a.writable(); err != nil {
		return 0, err
	}
	now, all := a.clock(), 0
	if endedBefore.After(now) {
		endedBefore = now
	}
	for page := (Page{Limit: removalStep}); ; {
		listed, err := a.store.List(ctx, Filter{}, page)
		if err != nil {
			return all, err
		}
		var due []*Record
		for _, record := range listed.Records {
			if !record.hasEndedBefore(endedBefore) {
				continue
			}
			isSource, err := a.isSource(ctx, record, now)
			if err != nil {
				return all, err
			}
			if !isSource {
				due = append(due, record)
			}
		}
		if len(due) > 0 {
			removed, err := remove(now, due)
			all += removed
			if err != nil {
				return all, err
			}
		}
		if listed.Next.IsZero() {
			return all, nil
		}
		page.After = listed.Next
	}
}

// PruneEvents removes the events before an instant, at most [PageMax] in one step, and returns how
// many. If it fails or the context ends, the steps before stay done: call it again. The actor of
// the context is named, as [EventPruner] describes. It returns [errors.ErrUnsupported] if the
// store is not one.
func (a *Authenticator) PruneEvents(ctx context.Context, before time.Time) (int, error) {
	if a.isUninitialized() {
		return 0, uninitialized("Authenticator")
	}
	pruner, ok := a.finder.(EventPruner)
	if !ok {
		return 0, fmt.Errorf("keystile: the store must implement EventPruner to remove events: %w", errors.ErrUnsupported)
	}
	for all := 0; ; {
		removed, err := pruner.PruneEvents(ctx, before, PageMax)
		all += removed
		if err != nil || removed == 0 {
			return all, err
		}
	}
}

// isGone returns an error if the store ignores removals. A key that was inserted again since has a
// later version.
func (a *Authenticator) isGone(ctx context.Context, removed *Record) error {
	left, err := found(a.finder.Find(ctx, Lookup{KeyID: removed.ID}))
	if err == nil && left != nil && left.Version == removed.Version {
		return fmt.Errorf("keystile: the store removes no keys: %w", errors.ErrUnsupported)
	}
	if errors.Is(err, ErrCorrupt) {
		return nil
	}
	return err
}

// isSource reports whether keys that have not ended derive from the lineage of a key. A key that
// has ended does not become a source later, unless its lineage lives in a successor.
func (a *Authenticator) isSource(ctx context.Context, record *Record, now time.Time) (bool, error) {
	family, err := a.familyOf(ctx, record, now)
	return err == nil && family.size() > 0, err
}

func (r *Record) hasEndedBefore(instant time.Time) bool {
	end := r.endsAt()
	return !end.IsZero() && end.Before(instant) || r.State == StateRevoked && r.RevokedAt.Before(instant)
}
