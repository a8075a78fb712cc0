package keystile

import (
	"cmp"
	"math"
	"slices"
	"time"
)

// Places in an order by time of what has no time.
const (
	placeNever   = math.MaxInt64
	placeUnused  = 0
	placeRevoked = -1
)

// Streams reports whether a store can read the keys that a filter selects in this order page by
// page. Otherwise they must be fewer than [PageMax], and [Listed.Arranged] sorts them.
//
// The keys of one owner are always found by their owner: the place of a page in another order
// would be at a key of another owner, and tell of it.
func (s Sort) Streams(filter Filter) bool {
	return s != SortLastUsed && (s == "" || s == filter.Order() || filter.Owner == nil)
}

// Place returns where a record is in an order by time: the milliseconds of its time since 1970, or
// a number for what has no such time. It is 0 in the other orders.
func (s Sort) Place(record *Record) int64 {
	number := func(at time.Time, none int64) int64 {
		if at.IsZero() {
			return none
		}
		return at.UnixMilli()
	}
	switch {
	case record == nil:
		return 0
	case s == SortIssued:
		return record.CreatedAt.UnixMilli()
	case s == SortLastUsed:
		return number(record.LastUsedAt, placeUnused)
	case s == SortEnds && record.State == StateRevoked:
		return placeRevoked
	case s == SortEnds:
		return min(number(record.ExpiresAt, placeNever), number(record.OverlapUntil, placeNever))
	}
	return 0
}

// Arranged returns a page of all keys that a filter selects, for an order in which the store
// cannot read them: see [Sort.Streams]. Listed is their first page of [PageMax]. It returns
// [ErrTooManyToSort] if there are more, and [ErrNotFound] for a cursor of another order.
func (l Listed) Arranged(sort Sort, page Page) (Listed, error) {
	if !l.Next.IsZero() {
		return Listed{}, ErrTooManyToSort
	}
	records, damaged := slices.Clone(l.Records), l.Damaged
	compare := func(place int64, id string, record *Record) int {
		return cmp.Or(cmp.Compare(place, sort.Place(record)), cmp.Compare(id, record.ID.String()))
	}
	slices.SortFunc(records, func(a, b *Record) int { return compare(sort.Place(a), a.ID.String(), b) })
	byNumber := sort != SortID && sort != SortInserted
	if after := page.After; !after.IsZero() {
		place, known := after.Place()
		if after.KeyID().IsZero() || byNumber && !known {
			return Listed{}, ErrNotFound
		}
		if !byNumber {
			place = 0
		}
		records = slices.DeleteFunc(records, func(record *Record) bool {
			return compare(place, after.KeyID().String(), record) >= 0
		})
		// They were on the first page.
		damaged = nil
	}
	arranged := Listed{Records: records, Damaged: damaged}
	limit := pageLimit(page.Limit)
	if len(records) < limit {
		return arranged, nil
	}
	arranged.Records = records[:limit]
	if limit > 0 {
		last := records[limit-1]
		arranged.Next = CursorOf(last.ID)
		if byNumber {
			arranged.Next = arranged.Next.At(sort.Place(last))
		}
	}
	return arranged, nil
}

// pageLimit returns how many rows a page may have.
func pageLimit(asked int) int { return min(max(asked, 0), PageMax) }
