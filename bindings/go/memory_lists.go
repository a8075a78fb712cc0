package keystile

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math"
	"slices"
	"time"
)

// List returns records in the order of page.Sort.
func (s *MemoryStore) List(ctx context.Context, filter Filter, page Page) (listed Listed, err error) {
	if !page.Sort.IsKnown() {
		return listed, fmt.Errorf("keystile: unknown order %q", page.Sort)
	}
	if filter.Now.IsZero() {
		// One instant for all records.
		filter.Now = time.Now()
	}
	return listed, s.with(ctx, func(state *memoryState) (err error) {
		if page.Sort.Streams(filter) {
			listed, err = state.list(filter, page)
			return err
		}
		all, err := state.list(filter, Page{Limit: PageMax})
		if err == nil {
			listed, err = all.Arranged(page.Sort, page)
		}
		return err
	})
}

// listPlace is where a row is in an order: by its place, then by its id if that is the order, and
// then by its insertion.
type listPlace struct {
	place int64
	id    string
	row   int64
}

func (p listPlace) compare(other listPlace) int {
	return cmp.Or(cmp.Compare(p.place, other.place), cmp.Compare(p.id, other.id), cmp.Compare(p.row, other.row))
}

// list returns a page in an order that is read page by page.
func (s *memoryState) list(filter Filter, page Page) (Listed, error) {
	sort := page.Sort
	if sort == "" {
		sort = filter.Order()
	}
	placeOf := func(row int) listPlace {
		place := listPlace{sort.Place(s.rows[row]), "", int64(row)}
		if sort == SortID {
			place.id = s.rows[row].ID.String()
		}
		return place
	}
	after, err := s.start(page.After, sort)
	if err != nil {
		return Listed{}, err
	}
	rows := slices.DeleteFunc(s.stored(), func(row int) bool {
		return !filter.Shows(s.rows[row]) || placeOf(row).compare(after) <= 0
	})
	slices.SortFunc(rows, func(a, b int) int { return placeOf(a).compare(placeOf(b)) })
	limit := pageLimit(page.Limit)
	var listed Listed
	for _, row := range rows[:min(limit, len(rows))] {
		listed.Records = append(listed.Records, s.shown(s.rows[row]))
	}
	if len(rows) < limit || limit == 0 {
		return listed, nil
	}
	last := rows[limit-1]
	listed.Next = CursorAt(int64(last), s.rows[last].ID)
	if sort == SortIssued || sort == SortEnds {
		listed.Next = listed.Next.At(sort.Place(s.rows[last]))
	}
	return listed, nil
}

// start returns the place that a cursor names, also of a removed row.
func (s *memoryState) start(after Cursor, sort Sort) (listPlace, error) {
	if after.IsZero() {
		return listPlace{place: math.MinInt64}, nil
	}
	if sort == SortID {
		if after.KeyID().IsZero() {
			return listPlace{}, ErrNotFound
		}
		return listPlace{0, after.KeyID().String(), math.MaxInt64}, nil
	}
	row, known := after.Row()
	if !known {
		at, some := s.rowOfID[after.KeyID()]
		if !some {
			at, some = s.rowOfRemoved[after.KeyID()]
		}
		if !some {
			return listPlace{}, ErrNotFound
		}
		row = int64(at)
	}
	place, known := after.Place()
	if sort != SortIssued && sort != SortEnds {
		place = 0
	} else if !known {
		return listPlace{}, ErrNotFound
	}
	return listPlace{place, "", row}, nil
}

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
				events = append(events, event)
			}
		}
		return nil
	})
}

// isSelected reports whether a filter selects an event.
func (s *memoryState) isSelected(event *Event, filter *EventFilter) bool {
	if filter.Owner != nil {
		record := s.byID(event.KeyID)
		if record == nil {
			record = s.removed(event.KeyID)
		}
		if record == nil || !isText(filter.Owner, record.Owner) {
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

// Template returns the template with this name, or nil.
func (s *MemoryStore) Template(ctx context.Context, name string) (found *StoredTemplate, err error) {
	return found, s.with(ctx, func(state *memoryState) error {
		found = state.templates[name].clone()
		return nil
	})
}

// ListTemplates returns templates in the order of their names.
func (s *MemoryStore) ListTemplates(ctx context.Context, after string, limit int) (listed ListedTemplates, err error) {
	limit = min(max(limit, 0), TemplatesPageMax)
	return listed, s.with(ctx, func(state *memoryState) error {
		for _, name := range slices.Sorted(maps.Keys(state.templates)) {
			if name > after && len(listed.Templates) < limit {
				listed.Templates = append(listed.Templates, state.templates[name].clone())
			}
		}
		if count := len(listed.Templates); count > 0 && count == limit {
			listed.Next = listed.Templates[count-1].Template.Name()
		}
		return nil
	})
}

// SaveTemplate inserts a template, or replaces the version before.
func (s *MemoryStore) SaveTemplate(ctx context.Context, template *StoredTemplate) error {
	if err := template.Check(); err != nil {
		return err
	}
	return s.with(ctx, func(state *memoryState) error {
		name := template.Template.Name()
		switch stored := state.templates[name]; {
		case template.Version == 1 && stored != nil:
			return ErrTemplateExists
		case template.Version == 1:
		case stored == nil, stored.Version+1 != template.Version, !stored.CreatedAt.Equal(template.CreatedAt):
			return ErrStale
		}
		state.templates[name] = template.clone()
		return nil
	})
}

// RemoveTemplate removes a template.
func (s *MemoryStore) RemoveTemplate(ctx context.Context, name string, only *StoredTemplate) error {
	return s.with(ctx, func(state *memoryState) error {
		stored := state.templates[name]
		switch {
		case only == nil && stored == nil:
			return ErrNoTemplate
		case only != nil && (stored == nil || stored.Version != only.Version || !stored.CreatedAt.Equal(only.CreatedAt)):
			return ErrStale
		}
		delete(state.templates, name)
		return nil
	})
}

// clone returns a copy with instants as a store has them.
func (t *StoredTemplate) clone() *StoredTemplate {
	if t == nil {
		return nil
	}
	clone := *t
	clone.Former = slices.Clone(t.Former)
	clone.CreatedAt, clone.ChangedAt = timeOf(millisOf(t.CreatedAt)), timeOf(millisOf(t.ChangedAt))
	return &clone
}
