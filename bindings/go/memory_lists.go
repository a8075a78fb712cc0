package keystile

import (
	"cmp"
	"context"
	"fmt"
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
