package keystile

import (
	"context"
	"errors"
	"time"
)

// PageMax is the maximum number of records or events of a page.
const PageMax = 1000

// RecordFinder finds records for an [Authenticator].
//
// Find returns the record that a lookup names, with its current remaining uses. If there is none,
// it returns nil, or [ErrNotFound]; both mean the same. That a text is no key of the store is
// its answer and not a failure, and it is remembered for a while. Any other error means that the
// store is unavailable, and never allows a request; a [CorruptRow], that the record cannot be
// read. Ids and digests are compared byte by byte. Many goroutines call Find at once.
type RecordFinder interface {
	Find(ctx context.Context, lookup Lookup) (*Record, error)
}

// found returns what a store found: nil and no error if there is no such record.
func found(record *Record, err error) (*Record, error) {
	if record == nil && errors.Is(err, ErrNotFound) {
		return nil, nil
	}
	return record, err
}

// UseNoter is a [RecordFinder] that records when keys were last used. An authenticator
// calls it every few seconds, with at most 1,000 uses at a time. It ignores a use that is
// older than the recorded one, and a use of a key that does not exist.
type UseNoter interface {
	NoteUses(ctx context.Context, uses []Use) error
}

// Use is how many times a key was used since the last report.
type Use struct {
	KeyID KeyID
	// Lineage is the first key of the key's lineage.
	Lineage KeyID
	// LastUsedAt is precise to the second.
	LastUsedAt time.Time
	Count      uint64
}

// UsageStore is a [RecordFinder] that holds what lineages have spent. With one, an
// authenticator checks keys with counted uses against the store each time: this is exact
// with any number of processes. Rate limits survive a restart: what is spent is recorded
// each second, and read with the record.
type UsageStore interface {
	// Usage returns what a lineage has spent, and the store's clock; the zero usage if there
	// is no such lineage.
	Usage(ctx context.Context, lineage KeyID) (StoredUsage, error)
	// Spend writes usage back if it still is request.Before and the key's record still has
	// the version that the decision was made on. It reports whether it did.
	Spend(ctx context.Context, request SpendRequest) (bool, error)
	// ReplaceRate replaces the state of a lineage's rate limit if it still is before; both are in
	// the time of the store's clock. It reports whether it did. Remaining uses do not change, and
	// no key is looked at; an unknown lineage has no state to replace.
	ReplaceRate(ctx context.Context, lineage KeyID, before, after RateState) (bool, error)
	// NoteRates records what a process has counted against rate limits, whose clock shows
	// now; at most 1,000 states at a time. A store with a clock of its own converts them. A
	// state is only raised, with one exception: one that lies further ahead of the store's
	// clock than [RateNote.Reach] is brought back to that; a store without a clock of its
	// own tolerates a minute more. Of several states of a lineage, the latest counts. One of
	// an unknown lineage changes nothing. Remaining uses do not change.
	NoteRates(ctx context.Context, rates []RateNote, now time.Time) error
}

// SpendRequest is what a decision spends.
type SpendRequest struct {
	KeyID   KeyID
	Version uint64
	Lineage KeyID
	// Before is the usage before the decision, as it is stored.
	Before Usage
	// After is the usage after it, in the time of the store's clock.
	After Usage
}

// SpendRequestOf returns what a decision about a record spends.
func SpendRequestOf(record *Record, before, after Usage) SpendRequest {
	if record == nil {
		return SpendRequest{}
	}
	return SpendRequest{KeyID: record.ID, Version: record.Version, Lineage: record.lineage(), Before: before, After: after}
}

// EventSource is a [RecordFinder] that returns the events of keys in the order in which
// they were written. With one, an authenticator is notified of changes by other processes.
type EventSource interface {
	// Events returns events with numbers above after; at most limit and [PageMax] of them.
	// If key is not zero, these are only its own events, and the rotation that it came
	// from. An event must not become visible after one with a higher number. An event that
	// cannot be read has only its number and Damaged, and is no error.
	Events(ctx context.Context, key KeyID, after uint64, limit int) ([]NumberedEvent, error)
	// LastEvent returns the number of the last event; 0 if there is none.
	LastEvent(ctx context.Context) (uint64, error)
}

// NumberedEvent is an event with its number, 1 or more.
type NumberedEvent struct {
	Number uint64
	Event
	// Damaged is why the event cannot be read; nil if it can be. What it changed is then not
	// known: a cache must invalidate everything.
	Damaged *CorruptRow
}

// Store is a [RecordFinder] that can be written to. The methods of an authenticator that
// change keys need one. Each method takes effect as a whole or not at all. The package
// keystilesql implements it for SQLite and PostgreSQL, and the package storetest tests
// implementations.
type Store interface {
	RecordFinder
	UseNoter
	UsageStore
	EventSource
	// Lineage returns every record of a lineage, the oldest first, all as they were at one
	// instant. It is not limited, and has no next page.
	Lineage(ctx context.Context, lineage KeyID) (Listed, error)
	// List returns records in the order of page.Sort, starting after page.After. A row that
	// cannot be read is named, and is no error. It returns [ErrNotFound] if there never was a
	// key page.After, and [ErrTooManyToSort] if there is no index for the order.
	List(ctx context.Context, filter Filter, page Page) (Listed, error)
	// Commit inserts and updates records and appends events, all or nothing. It returns
	// [ErrDuplicate] for an id or digest that already exists. An inserted record brings its
	// lineage's usage with it, unless the lineage has some. An update replaces only the
	// version before it, and never gives a revoked record another state, instant or reason:
	// otherwise Commit returns [ErrStale]. An update does not change the stored lineage and
	// last use, nor the remaining uses unless batch.SetUses names it. A record without an event in the batch is
	// [ErrWithoutEvent]: other processes are notified of changes by their events.
	//
	// A removal is accepted as an update is, whatever the state. The usage of the lineage stays,
	// and so does the place of the key, so that a list continues after it. A digest or an id of a
	// key that was revoked and removed is never that of a live key again: a store refuses it with
	// [ErrDuplicate], or stores the record as revoked.
	//
	// A store that is no [PortableStore] refuses a batch with batch.Imported, one that is no
	// [RequestStore] one with batch.IssueRequest, and one that is no [TemplateStore] one with
	// batch.TemplateUnchanged: an [errors.ErrUnsupported]. If it only left them out, a key that was revoked
	// elsewhere could be inserted, a request be answered twice, and rights be written that were taken back.
	//
	// If a record of batch.Unchanged has another version, a lineage of batch.TakeUses has fewer
	// uses left, or other keys derive from a lineage of batch.Derived, it returns [ErrStale].
	// If batch.TemplateUnchanged is not the version of its template, it returns [ErrTemplateChanged],
	// whatever became of the records.
	Commit(ctx context.Context, batch Batch) error
}
