package keystile

import (
	"strings"
	"time"
)

// Filter selects the records of a list. A zero field selects all; all fields that are set apply
// together.
//
// There is an index for each field but UnusedSince. If several are set, one of them selects the
// rows by its index, and the others are compared row by row: see [Filter.Order]. A store reads at
// most 100 rows more than the limit of a page, and for UnusedSince at most [PageMax]. PostgreSQL may
// read all rows that an index selects if it takes them for few. So a page can have fewer records than
// its limit, or none, and a next page. A row that cannot be read is named, unless one of the columns
// that are compared can be read and excludes it.
type Filter struct {
	Owner       *string
	ClientName  *string
	Environment *string
	// Template selects the records that were issued from a template with this name.
	Template *string
	// IDPrefix selects the records whose id begins with this text.
	IDPrefix string
	// Status selects the records that have this status at Now.
	Status KeyStatus
	// EndsBefore selects the records that have not ended at Now, and end before this instant:
	// by their expiry, or by the end of their overlap. A revoked record has ended.
	EndsBefore time.Time
	// UnusedSince selects the records that were issued before this instant, and were not used
	// at it or later.
	UnusedSince time.Time
	// IssuedFrom selects the records that were issued at this instant or later.
	IssuedFrom time.Time
	// IssuedBefore selects the records that were issued before this instant.
	IssuedBefore time.Time
	// Now is the time for Status and EndsBefore; if it is zero, the current time.
	Now time.Time
}

// Shows reports whether the list contains this record. Texts are compared byte by byte.
func (f Filter) Shows(record *Record) bool {
	if record == nil {
		return false
	}
	now := f.Now
	if now.IsZero() {
		now = time.Now()
	}
	end := record.endsAt()
	ends := record.State != StateRevoked && !end.IsZero() && now.Before(end) && end.Before(f.EndsBefore)
	unused := record.CreatedAt.Before(f.UnusedSince) && record.LastUsedAt.Before(f.UnusedSince)
	return isText(f.Owner, record.Owner) &&
		(f.ClientName == nil || *f.ClientName == record.ClientName) &&
		isText(f.Environment, record.Environment) &&
		isText(f.Template, record.ScopeType) &&
		strings.HasPrefix(record.ID.String(), f.IDPrefix) &&
		(f.Status == "" || f.Status == StatusOf(record, now)) &&
		(f.EndsBefore.IsZero() || ends) &&
		(f.UnusedSince.IsZero() || unused) &&
		(f.IssuedFrom.IsZero() || !record.CreatedAt.Before(f.IssuedFrom)) &&
		(f.IssuedBefore.IsZero() || record.CreatedAt.Before(f.IssuedBefore))
}

func isText(wanted, value *string) bool {
	return wanted == nil || value != nil && *wanted == *value
}

// KeyStatus is the status of a key at an instant, in one word, as lists show it. It says more
// than [State], which does not depend on the time.
type KeyStatus string

// The statuses of keys.
const (
	// StatusActive means that the key is accepted, and has no successor.
	StatusActive KeyStatus = "active"
	// StatusRetiring means that the key is accepted until its overlap ends.
	StatusRetiring KeyStatus = "retiring"
	// StatusReplaced means that the key is refused because its overlap has ended.
	StatusReplaced KeyStatus = "replaced"
	// StatusExpired means that the key is refused because it has expired.
	StatusExpired KeyStatus = "expired"
	// StatusSuspended means that the key is refused until it is resumed.
	StatusSuspended KeyStatus = "suspended"
	// StatusRevoked means that the key is refused permanently.
	StatusRevoked KeyStatus = "revoked"
)

// StatusOf returns the status of a key at now. A key that is both expired and past its overlap
// is expired; a suspended or revoked one is that at any time.
func StatusOf(record *Record, now time.Time) KeyStatus {
	past := func(end time.Time) bool { return !end.IsZero() && !now.Before(end) }
	switch {
	case record == nil:
		return StatusRevoked
	case record.State != StateActive:
		return KeyStatus(record.State)
	case past(record.ExpiresAt):
		return StatusExpired
	case past(record.OverlapUntil):
		return StatusReplaced
	case !record.ReplacedBy.IsZero():
		return StatusRetiring
	}
	return StatusActive
}

// EndsAt returns the instant from which the key is refused: its expiry, or the end of its overlap
// if that is earlier. It is the zero time if there is none. A revoked key has ended before.
func (r *Record) EndsAt() time.Time {
	if r == nil {
		return time.Time{}
	}
	return r.endsAt()
}

func (r *Record) endsAt() time.Time {
	if r.ExpiresAt.IsZero() || !r.OverlapUntil.IsZero() && r.OverlapUntil.Before(r.ExpiresAt) {
		return r.OverlapUntil
	}
	return r.ExpiresAt
}
