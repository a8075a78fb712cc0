package keystile

import "slices"

// memoryState is what a [MemoryStore] holds.
type memoryState struct {
	// rows are the records in the order of their insertion, also what is kept of those that were removed,
	// so that no other one changes its place. A record is replaced and never changed: readers have it.
	rows []*Record
	// rowOfID and rowOfDigest are those of stored records, and rowOfRemoved of removed ones.
	rowOfID, rowOfRemoved map[KeyID]int
	rowOfDigest           map[DigestBytes]int
	// former are the digests that keys had before, and those of removed keys.
	former map[DigestBytes]KeyID
	// elsewhere are keys that another store has removed.
	elsewhere map[KeyID]RemovedKey
	answers   map[requestOf]IssueAnswer
	// usage is by lineage.
	usage map[KeyID]*Usage
	// events have increasing numbers.
	events    []NumberedEvent
	lastEvent uint64
	templates map[string]*StoredTemplate
}

// begin makes an empty store of the zero value.
func (s *memoryState) begin() {
	if s.rowOfID == nil {
		s.rowOfID, s.rowOfRemoved = map[KeyID]int{}, map[KeyID]int{}
		s.rowOfDigest, s.former = map[DigestBytes]int{}, map[DigestBytes]KeyID{}
		s.elsewhere, s.answers = map[KeyID]RemovedKey{}, map[requestOf]IssueAnswer{}
		s.usage, s.templates = map[KeyID]*Usage{}, map[string]*StoredTemplate{}
	}
}

// byID returns the stored record of a key, or nil.
func (s *memoryState) byID(id KeyID) *Record {
	if row, some := s.rowOfID[id]; some {
		return s.rows[row]
	}
	return nil
}

// removed returns the record of a removed key as it was, or nil.
func (s *memoryState) removed(id KeyID) *Record {
	if row, some := s.rowOfRemoved[id]; some {
		return s.rows[row]
	}
	return nil
}

// stored returns the rows that were not removed.
func (s *memoryState) stored() []int {
	rows := make([]int, 0, len(s.rowOfID))
	for row, record := range s.rows {
		if at, some := s.rowOfID[record.ID]; some && at == row {
			rows = append(rows, row)
		}
	}
	return rows
}

// records returns the stored records in the order of their insertion.
func (s *memoryState) records() []*Record {
	var records []*Record
	for _, row := range s.stored() {
		records = append(records, s.rows[row])
	}
	return records
}

// shown returns a record as a reader gets it, with the current remaining uses.
func (s *memoryState) shown(record *Record) *Record {
	if record == nil {
		return nil
	}
	shown := record.Clone()
	shown.ClientEmail, shown.Owner, shown.Environment = copied(record.ClientEmail), copied(record.Owner), copied(record.Environment)
	shown.RateLimit, shown.ScopeType, shown.Metadata = copied(record.RateLimit), copied(record.ScopeType), copied(record.Metadata)
	shown.RemainingUses = nil
	if usage := s.usage[record.lineage()]; usage != nil {
		shown.RemainingUses = usage.clone().Remaining
	}
	return shown
}

// wasRevoked reports whether a key that is revoked had this digest, though it may be removed.
func (s *memoryState) wasRevoked(digest DigestBytes) bool {
	holder, some := s.former[digest]
	if !some {
		return false
	}
	if elsewhere, some := s.elsewhere[holder]; some {
		return !elsewhere.RevokedAt.IsZero()
	}
	record := s.byID(holder)
	if record == nil {
		record = s.removed(holder)
	}
	return record != nil && record.State == StateRevoked
}

// write writes a record to its row, which may be a new one.
func (s *memoryState) write(row int, record *Record) {
	if row == len(s.rows) {
		s.rows = append(s.rows, record)
		s.rowOfID[record.ID] = row
		delete(s.rowOfRemoved, record.ID)
		delete(s.elsewhere, record.ID)
		if s.usage[record.lineage()] == nil {
			s.usage[record.lineage()] = Ptr(UsageOf(record).clone())
		}
	} else {
		before := s.rows[row]
		if before.Digest.Bytes() != record.Digest.Bytes() {
			delete(s.rowOfDigest, before.Digest.Bytes())
			s.former[before.Digest.Bytes()] = before.ID
		}
		// A batch does not change the last use.
		record.LastUsedAt = before.LastUsedAt
		s.rows[row] = record
	}
	s.rowOfDigest[record.Digest.Bytes()] = row
}

// remove removes a key. Its row stays, so that a list continues after it.
func (s *memoryState) remove(id KeyID) {
	row := s.rowOfID[id]
	delete(s.rowOfID, id)
	s.rowOfRemoved[id] = row
	record := s.rows[row]
	digest := record.Digest.Bytes()
	delete(s.rowOfDigest, digest)
	s.former[digest] = id
	// Nothing else of it is kept, such as an e-mail address.
	s.rows[row] = &Record{ID: id, Digest: record.Digest, Version: record.Version, Owner: record.Owner,
		State: record.State, RevokedAt: record.RevokedAt, RevokedReason: record.RevokedReason}
}

// append appends an event with the next number.
func (s *memoryState) append(event Event) {
	s.lastEvent++
	event = event.clone()
	event.At = timeOf(millisOf(event.At))
	s.events = append(s.events, NumberedEvent{Number: s.lastEvent, Event: event})
}

// clone returns a copy that shares nothing.
func (e Event) clone() Event {
	e.Reason, e.Actor, e.Origin, e.Changes = copied(e.Reason), copied(e.Actor), copied(e.Origin), slices.Clone(e.Changes)
	for at, change := range e.Changes {
		e.Changes[at].From, e.Changes[at].To = copied(change.From), copied(change.To)
	}
	return e
}

// copied returns a copy of an optional value.
func copied[T any](value *T) *T {
	if value == nil {
		return nil
	}
	return Ptr(*value)
}
