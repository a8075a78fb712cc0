package keystile

// Sort is the order of a list, always ascending. Keys that are equal in it are in the order of
// their insertion, or of their ids if there is no index for the order.
//
// The zero value is the order of the index that the filter uses: see [Filter.Order]. In another
// one, the keys of an owner must be fewer than [PageMax]; otherwise the list is refused with
// [ErrTooManyToSort].
type Sort string

// The orders of lists.
const (
	// SortInserted is by insertion.
	SortInserted Sort = "inserted"
	// SortID is by the id, byte by byte.
	SortID Sort = "id"
	// SortIssued is by the instant of issuing.
	SortIssued Sort = "issued"
	// SortEnds is by the end: the expiry, or the end of the overlap if that is earlier. Revoked
	// keys come first, and keys that never end come last.
	//
	// SQLite has no type for instants. Rows in which other code has written one in a form that
	// its index does not know, such as one with an offset, come after the revoked keys; in
	// SortIssued, such rows come first.
	SortEnds Sort = "expires"
	// SortLastUsed is by the last use; keys that were never used come first. It has no index, so
	// the filter must select fewer than [PageMax] keys by one.
	SortLastUsed Sort = "last-used"
)

// IsKnown reports whether it is one of the orders, or zero.
func (s Sort) IsKnown() bool {
	switch s {
	case "", SortInserted, SortID, SortIssued, SortEnds, SortLastUsed:
		return true
	}
	return false
}

// Order returns the order in which a list has the keys, unless the page asks for another one. It
// is that of an index: by insertion for an owner and a client, by id for a prefix of it, by
// insertion for [StatusSuspended] and [StatusRevoked], by end for the other statuses and
// EndsBefore, by issue for IssuedFrom and IssuedBefore, and otherwise by insertion. The first of
// these that is set decides, and the other fields are compared row by row.
func (f Filter) Order() Sort {
	switch {
	case f.Owner != nil, f.ClientName != nil:
		return SortInserted
	case f.IDPrefix != "":
		return SortID
	case f.Status == StatusSuspended, f.Status == StatusRevoked:
		return SortInserted
	case f.Status != "", !f.EndsBefore.IsZero():
		return SortEnds
	case !f.IssuedFrom.IsZero(), !f.IssuedBefore.IsZero():
		return SortIssued
	}
	return SortInserted
}
