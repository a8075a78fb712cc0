package keystile

import (
	"context"
	"math"
	"time"
)

// PageMax is how many records or events a page holds at most.
const PageMax = 1000

// RecordFinder is where a [Authenticator] finds records.
//
// Find answers with the record that a look-up names, with its remaining uses as they are
// now, or with nil and no error where there is none. An error means that the store could
// not be asked, and never lets a request pass. Ids and digests are compared byte by byte.
// Find is called by many goroutines at once.
type RecordFinder interface {
	Find(ctx context.Context, lookup Lookup) (*Record, error)
}

// UseNoter is a [RecordFinder] that keeps when keys were last used. An authenticator calls it every few
// seconds, with at most 1,000 uses at a time. A use older than the one noted changes
// nothing; neither does one of a key that is not there.
type UseNoter interface {
	NoteUses(ctx context.Context, uses []Use) error
}

// Use is how often a key was used since the last time it was told.
type Use struct {
	KeyID KeyID
	// Lineage is the first key of its lineage.
	Lineage KeyID
	// LastUsedAt is to the second.
	LastUsedAt time.Time
	Count      uint64
}

// UsageStore is a [RecordFinder] that keeps what lineages have spent. With one, an authenticator judges
// keys whose uses are counted by the store, each time: exact over any number of processes.
type UsageStore interface {
	// Usage is what a lineage has spent; of one that is not there, the zero value.
	Usage(ctx context.Context, lineage KeyID) (Usage, error)
	// Spend writes usage back if it is still claim.Before and the key's record still has the
	// version that was judged, and answers whether it did.
	Spend(ctx context.Context, claim SpendRequest) (bool, error)
}

// SpendRequest is a decision's claim on what it spends.
type SpendRequest struct {
	KeyID   KeyID
	Version uint64
	Lineage KeyID
	Before  Usage
	After   Usage
}

// ClaimOf is a claim for a decision on a record.
func ClaimOf(record *Record, before, after Usage) SpendRequest {
	return SpendRequest{KeyID: record.ID, Version: record.Version, Lineage: record.lineage(), Before: before, After: after}
}

// EventSource is a [RecordFinder] that tells what happened to keys, in the order in which it was written.
// With one, an authenticator hears of changes that other processes make.
type EventSource interface {
	// Events begin behind the number after; at most limit and [PageMax] of them. Of one key,
	// where it is not zero, they are those that happened to it, and the rotation that it came
	// from. An event never becomes visible behind one with a higher number.
	Events(ctx context.Context, key KeyID, after uint64, limit int) ([]NumberedEvent, error)
	// LastEvent is the number of the last event; 0 where there is none.
	LastEvent(ctx context.Context) (uint64, error)
}

// NumberedEvent is an event with its number, 1 or more.
type NumberedEvent struct {
	Number uint64
	Event
}

// Store is a [RecordFinder] that can be written to: all that the authenticator's verbs need. Each
// method is one step that takes effect whole or not at all. The package keystilesql has
// one for SQLite and PostgreSQL, and the package storetest holds an implementation to all
// of this.
type Store interface {
	RecordFinder
	UseNoter
	UsageStore
	EventSource
	// Lineage is every record of a lineage, the oldest first, all as they were at one
	// instant.
	Lineage(ctx context.Context, lineage KeyID) ([]*Record, error)
	// List is records in the order they were inserted in, beginning behind page.After:
	// [ErrNotFound] where there is no such record.
	List(ctx context.Context, filter Filter, page Page) ([]*Record, error)
	// Commit inserts and updates records and appends events, all or nothing. An id or digest
	// that is there already is [ErrDuplicate]. An inserted record brings its lineage's usage
	// with it, unless the lineage has some. An update is accepted only over the version
	// before its own, and never gives a revoked record another state, instant or reason: else
	// [ErrStale]. It leaves the lineage, the last use and the uses that are left as they are
	// stored.
	Commit(ctx context.Context, batch Batch) error
}

// Filter is which records a list shows. What is nil does not restrict it.
type Filter struct {
	Owner      *string
	ClientName *string
}

// Page is a part of a list.
type Page struct {
	// After is the record that the page begins behind; none for the start.
	After KeyID
	// Limit is how many records at most, and never more than [PageMax].
	Limit int
}

// Batch is changes that are written all or not at all.
type Batch struct {
	// Inserts are new records. The first of a lineage brings the lineage's usage with it.
	Inserts []*Record
	// Updates are changed records, each of the version after the stored one.
	Updates []*Record
	// Events are what the audit keeps.
	Events []Event
}

// Check says whether the records are within what any store can keep; a store looks at this
// before it writes. It is [ErrRecord] or [ErrOutOfRange].
func (b *Batch) Check() error {
	for _, records := range [][]*Record{b.Inserts, b.Updates} {
		for _, record := range records {
			if err := record.Check(); err != nil {
				return err
			}
			if record.Version == 0 || record.Version > math.MaxInt64 {
				return ErrOutOfRange
			}
			if uses := record.RemainingUses; uses != nil && *uses > math.MaxInt64 {
				return ErrOutOfRange
			}
		}
	}
	return nil
}
