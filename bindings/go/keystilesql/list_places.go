package keystilesql

import (
	"cmp"
	"math"
	"slices"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// Places in an order by time: see the indexes in 0003_changes.sql.
const (
	placeNever   = math.MaxInt64
	placeUnread  = 0
	placeRevoked = -1
)

// span is a part of the rows in the order of a list, which one query reads.
type span struct {
	// at selects one place, and the rows after this one in it.
	at       bool
	row      int64
	from, to int64
}

// spans returns the places that the filter can select, after a place and a row in it.
func (q *listQuery) spans(known bool, place, row int64) (spans []span) {
	for _, part := range q.places() {
		switch {
		case part.from > part.to || known && place > part.to:
		case known && place >= part.from:
			spans = append(spans, span{at: true, from: place, row: row})
			if place < part.to {
				spans = append(spans, span{from: place + 1, to: part.to})
			}
		default:
			spans = append(spans, part)
		}
	}
	return spans
}

func (q *listQuery) places() []span {
	filter, part := q.filter, span{from: 1, to: placeNever}
	now := filter.Now.UnixMilli()
	switch {
	case q.sort == keystile.SortIssued && (!filter.IssuedFrom.IsZero() || !filter.IssuedBefore.IsZero()):
		if !filter.IssuedFrom.IsZero() {
			part.from = filter.IssuedFrom.UnixMilli()
		}
		if !filter.IssuedBefore.IsZero() {
			part.to = filter.IssuedBefore.UnixMilli()
		}
	case q.sort == keystile.SortEnds && (!filter.EndsBefore.IsZero() || filter.Status != "" &&
		filter.Status != keystile.StatusSuspended && filter.Status != keystile.StatusRevoked):
		if !filter.EndsBefore.IsZero() {
			part.from, part.to = now, filter.EndsBefore.UnixMilli()
		}
		switch filter.Status {
		case keystile.StatusActive, keystile.StatusRetiring:
			part.from = max(part.from, now)
		case keystile.StatusExpired, keystile.StatusReplaced:
			part.to = min(part.to, now)
		}
	default:
		return []span{{from: math.MinInt64, to: placeNever}}
	}
	return []span{{from: placeUnread, to: placeUnread}, part}
}

// arranged returns a page of all keys that a filter selects, in an order without an index.
func arranged(all keystile.Listed, sort keystile.Sort, page keystile.Page) (keystile.Listed, error) {
	if !all.Next.IsZero() {
		return keystile.Listed{}, keystile.ErrTooManyToSort
	}
	compare := func(place int64, id string, record *keystile.Record) int {
		return cmp.Or(cmp.Compare(place, placeOf(sort, record)), cmp.Compare(id, record.ID.String()))
	}
	slices.SortFunc(all.Records, func(a, b *keystile.Record) int {
		return compare(placeOf(sort, a), a.ID.String(), b)
	})
	byNumber := sort != keystile.SortID && sort != keystile.SortInserted
	if !page.After.IsZero() {
		place, known := page.After.Place()
		if page.After.KeyID().IsZero() || byNumber && !known {
			return keystile.Listed{}, keystile.ErrNotFound
		}
		if !byNumber {
			place = 0
		}
		all.Records = slices.DeleteFunc(all.Records, func(record *keystile.Record) bool {
			return compare(place, page.After.KeyID().String(), record) >= 0
		})
		// They were on the first page.
		all.Damaged = nil
	}
	limit := int(limited(page.Limit))
	if len(all.Records) >= limit {
		all.Records = all.Records[:limit]
		if limit > 0 {
			last := all.Records[limit-1]
			all.Next = keystile.CursorOf(last.ID)
			if byNumber {
				all.Next = all.Next.At(placeOf(sort, last))
			}
		}
	}
	return all, nil
}

// placeOf returns where a record is in an order; 0 if something else decides.
func placeOf(sort keystile.Sort, record *keystile.Record) int64 {
	number := func(at time.Time, none int64) int64 {
		if at.IsZero() {
			return none
		}
		return at.UnixMilli()
	}
	switch {
	case sort == keystile.SortIssued:
		return record.CreatedAt.UnixMilli()
	case sort == keystile.SortLastUsed:
		return number(record.LastUsedAt, placeUnread)
	case sort == keystile.SortEnds && record.State == keystile.StateRevoked:
		return placeRevoked
	case sort == keystile.SortEnds:
		return min(number(record.ExpiresAt, placeNever), number(record.OverlapUntil, placeNever))
	}
	return 0
}
