package keystile

import (
	"context"
	"slices"
	"time"
)

// Events returns events in the order in which they were written.
func (s *MemoryStore) Events(ctx context.Context, key KeyID, after uint64, limit int) ([]NumberedEvent, error) {
	return s.ListEvents(ctx, EventFilter{KeyID: key}, after, limit)
}

// LastEvent returns the number of the last event; 0 if there is none.
func (s *MemoryStore) LastEvent(ctx context.Context) (number uint64, err error) {
	return number, s.with(ctx, func(state *memoryState) error {
		number = state.lastEvent
		return nil
	})
}

// ListEvents returns the events that a filter selects.
func (s *MemoryStore) ListEvents(ctx context.Context, filter EventFilter, after uint64, limit int) (events []NumberedEvent, err error) {
	return events, s.with(ctx, func(state *memoryState) error {
		for _, event := range state.events {
			if len(events) == pageLimit(limit) {
				break
			}
			if event.Number > after && state.isSelected(&event.Event, &filter) {
				event.Event = event.clone()
				events = append(events, event)
			}
		}
		return nil
	})
}

// isSelected reports whether a filter selects an event.
func (s *memoryState) isSelected(event *Event, filter *EventFilter) bool {
	if filter.Owner != nil {
		owner := s.elsewhere[event.KeyID].Owner
		for _, record := range []*Record{s.removed(event.KeyID), s.byID(event.KeyID)} {
			if record != nil {
				owner = record.Owner
			}
		}
		if !isText(filter.Owner, owner) {
			return false
		}
	}
	return (filter.KeyID.IsZero() || filter.KeyID == event.KeyID || filter.KeyID == event.Successor) &&
		(filter.Kind == "" || filter.Kind == event.Kind) &&
		(filter.Since.IsZero() || !event.At.Before(filter.Since)) &&
		(filter.Until.IsZero() || event.At.Before(filter.Until))
}

// PruneEvents removes events before an instant.
func (s *MemoryStore) PruneEvents(ctx context.Context, before time.Time, limit int) (removed int, err error) {
	by, _ := ActorOf(ctx)
	if err := by.Check(); err != nil {
		return 0, err
	}
	return removed, s.with(ctx, func(state *memoryState) error {
		var last uint64
		for _, event := range state.events {
			// The mark of an earlier removal does not count.
			if removed < pageLimit(limit) && event.At.Before(before) && event.Kind != EventPruned {
				removed, last = removed+1, event.Number
			}
		}
		// The last one stays, as one of no key: a reader that has not read the others finds it,
		// and invalidates everything.
		state.events = slices.DeleteFunc(state.events, func(event NumberedEvent) bool {
			return event.Number < last && event.At.Before(before)
		})
		for at := range state.events {
			if event := &state.events[at]; event.Number == last {
				event.Event = Event{Kind: EventPruned, At: event.At, Reason: textOf(by.Reason),
					Actor: textOf(by.Actor), Origin: textOf(by.Origin)}
			}
		}
		return nil
	})
}
