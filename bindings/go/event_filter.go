package keystile

import (
	"context"
	"time"
)

// EventFilter selects events. A zero field selects all; all fields that are set apply together.
type EventFilter struct {
	// KeyID selects the events of this key, and the rotation that it came from. It may have
	// been deleted.
	KeyID KeyID
	// Owner selects the events of keys that belong to this owner now, or did when they were
	// deleted.
	Owner *string
	Kind  EventKind
	// Since selects what happened at this instant or later.
	Since time.Time
	// Until selects what happened before this instant.
	Until time.Time
}

// EventLister is a [Store] that selects events.
type EventLister interface {
	// ListEvents returns the events that a filter selects, with numbers above after; at most
	// limit and [PageMax] of them. An event that cannot be read has only its number and
	// Damaged, and is no error. The number of the last one is the after of the next page.
	ListEvents(ctx context.Context, filter EventFilter, after uint64, limit int) ([]NumberedEvent, error)
}

// EventPruner is a [Store] whose old events can be removed.
type EventPruner interface {
	// PruneEvents removes events before an instant, the ones with the lowest numbers first, and
	// returns how many: at most limit and [PageMax], and 0 if there are none. Call it until it
	// returns 0. Keys are not changed, and what was revoked stays revoked.
	//
	// The last one of them stays, as an [EventPruned] of no key with its number and its instant,
	// by whom [WithActor] names. So a process that has not read the removed ones reads all
	// records again. Such an event is removed too, and is not counted.
	PruneEvents(ctx context.Context, before time.Time, limit int) (int, error)
}

// ActorOf returns the actor of a context from [WithActor]. Stores that implement [EventPruner]
// call it.
func ActorOf(ctx context.Context) (By, bool) {
	by, ok := ctx.Value(byKey{}).(By)
	return by, ok
}
