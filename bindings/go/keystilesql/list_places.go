package keystilesql

import (
	"math"

	keystile "github.com/keystile/keystile/bindings/go"
)

// Places in an order by time: see the indexes in 0003_changes.sql.
const (
	placeNever  = math.MaxInt64
	placeUnread = 0
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
