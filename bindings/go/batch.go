package keystile

import (
	"math"
	"slices"
	"time"
)

// Batch holds changes that are written all or not at all.
type Batch struct {
	// Inserts are new records. The first record of a lineage brings its usage with it.
	Inserts []*Record
	// Updates are changed records, whose version follows the stored one.
	Updates []*Record
	// SetUses are those of Updates whose remaining uses are written too, for all keys of the
	// lineage. The uses of others stay: what was spent since the record was read is not given
	// back. The other live keys of the lineage share these uses and belong to Updates too, each with
	// a new version and an event; [Authenticator.Commit] adds them.
	SetUses []KeyID
	// TakeUses are uses that are taken off what lineages have left, whatever is spent meanwhile,
	// before those of SetUses are written. If a lineage has fewer left, or its uses are not
	// counted, the batch is stale.
	TakeUses []TakenUses
	// Upkeep are changes of single fields.
	Upkeep []Upkeep
	// Deletes are keys that are removed, each with the version after its stored one.
	Deletes []KeyVersion
	// Unchanged are keys that the batch relies on, and does not change: it is written only if
	// their records still have these versions.
	Unchanged []KeyVersion
	// TemplateUnchanged is the version of a template that the batch relies on; nil if it relies on none.
	// It is written only if this is still the version, and no one changes it before the batch is
	// written: see [ErrTemplateChanged]. Only a [TemplateStore] writes such a batch.
	TemplateUnchanged *TemplateVersion
	// Derived are the keys that derive from lineages, as they must be when all of this is written.
	Derived []DerivedState
	// Events are those for the audit: at least one of each record, with its version.
	Events []Event
	// Imported is what an import writes beside the records of Inserts; only a [PortableStore] does.
	Imported Imported
	// IssueRequest is the request that the batch is the answer to; only a [RequestStore] writes it. If
	// it has another answer of less than a day before, the batch is stale. Older answers of any request
	// are removed, at most 100.
	IssueRequest *IssueNote
}

// KeyVersion is a key, and a version of its record.
type KeyVersion struct {
	KeyID   KeyID
	Version uint64
}

// TakenUses are uses that are taken off those of a lineage.
type TakenUses struct {
	Lineage KeyID
	Uses    uint64
}

// Upkeep is a change of one field: one that the use of a key brought about, or one of a row
// that cannot be read. Its version follows the stored one. A store writes only this field and
// the version, and none of a revoked record; the rest of the row need not be readable. Exactly
// one of the pointers is set.
type Upkeep struct {
	KeyID   KeyID
	Version uint64
	// Digest is the digest under the current pepper.
	Digest *Digest
	// OverlapUntil is the end of a key's overlap.
	OverlapUntil *time.Time
	// EndsAtFirstUse is the key that ends when this one is first used; zero for none.
	EndsAtFirstUse *KeyID
	// Status ends or suspends the key.
	Status *UpkeepStatus
}

// UpkeepStatus is a state that [Upkeep] writes: [StateSuspended], or [StateRevoked] with its
// instant and reason. Upkeep never resumes a key.
type UpkeepStatus struct {
	State         State
	RevokedAt     time.Time
	RevokedReason string
}

// Field returns the name of the field in a record.
func (u *Upkeep) Field() string {
	switch {
	case u == nil:
		return ""
	case u.Digest != nil:
		return "digest"
	case u.OverlapUntil != nil:
		return "overlap_until"
	case u.Status != nil:
		return "status"
	default:
		return "ends_at_first_use"
	}
}

// Check returns an error if a record is not one that every store can hold: [ErrRecord] or
// [ErrOutOfRange]; or if it has no event in the batch, or uses are set of a key that is not
// updated: [ErrWithoutEvent]. A store calls it before it writes.
func (b *Batch) Check() error {
	if b == nil {
		return ErrRecord
	}
	for _, records := range [][]*Record{b.Inserts, b.Updates} {
		for _, record := range records {
			if err := record.Check(); err != nil {
				return err
			}
			if uses := record.RemainingUses; uses != nil && *uses > math.MaxInt64 {
				return ErrOutOfRange
			}
		}
	}
	for _, upkeep := range b.Upkeep {
		if status := upkeep.Status; status != nil && status.State != StateSuspended && status.State != StateRevoked {
			return ErrRecord
		}
	}
	for _, taken := range b.TakeUses {
		if taken.Uses > math.MaxInt64 {
			return ErrOutOfRange
		}
	}
	for _, written := range slices.Concat(b.written(), b.Unchanged) {
		if written.Version == 0 || written.Version > math.MaxInt64 {
			return ErrOutOfRange
		}
	}
	if template := b.TemplateUnchanged; template != nil && (template.Version == 0 || template.Version > math.MaxInt64) {
		return ErrOutOfRange
	}
	if note := b.IssueRequest; note != nil && (note.Request.isUninitialized() || note.KeyID.IsZero()) {
		return ErrRecord
	}
	if len(b.withoutEvent()) > 0 {
		return ErrWithoutEvent
	}
	for _, id := range b.SetUses {
		if !slices.ContainsFunc(b.Updates, func(record *Record) bool { return record.ID == id }) {
			return ErrWithoutEvent
		}
	}
	return nil
}

// written returns the keys that are written, with their new versions.
func (b *Batch) written() []KeyVersion {
	var written []KeyVersion
	for _, records := range [][]*Record{b.Inserts, b.Updates} {
		for _, record := range records {
			if record != nil {
				written = append(written, KeyVersion{record.ID, record.Version})
			}
		}
	}
	for _, upkeep := range b.Upkeep {
		written = append(written, KeyVersion{upkeep.KeyID, upkeep.Version})
	}
	for _, removed := range b.Imported.Removed {
		written = append(written, KeyVersion{removed.KeyID, removed.Version})
	}
	return append(written, b.Deletes...)
}

// withoutEvent returns those that are written and have no event. A successor is noted with the
// rotation.
func (b *Batch) withoutEvent() []KeyVersion {
	noted := map[KeyVersion]bool{}
	for _, event := range b.Events {
		noted[KeyVersion{event.KeyID, event.Version}] = true
		if !event.Successor.IsZero() {
			noted[KeyVersion{event.Successor, 1}] = true
		}
	}
	return slices.DeleteFunc(b.written(), func(one KeyVersion) bool { return noted[one] })
}

// noteTheRest adds an event of each record that has none.
func (b *Batch) noteTheRest(now time.Time) {
	for _, one := range b.withoutEvent() {
		event := Event{Kind: EventChanged, KeyID: one.KeyID, At: timeOf(millisOf(now)), Version: one.Version}
		for _, upkeep := range b.Upkeep {
			if upkeep.KeyID == one.KeyID {
				event.Changes = []FieldChange{{Field: upkeep.Field()}}
			}
		}
		b.Events = append(b.Events, event)
	}
}

// add adds the changes of another batch.
func (b *Batch) add(other Batch) {
	b.Inserts = append(b.Inserts, other.Inserts...)
	b.Updates = append(b.Updates, other.Updates...)
	b.SetUses = append(b.SetUses, other.SetUses...)
	b.Upkeep = append(b.Upkeep, other.Upkeep...)
	b.Deletes = append(b.Deletes, other.Deletes...)
	b.Events = append(b.Events, other.Events...)
}

// relyOn lets the batch be written only if this record is still the stored one.
func (b *Batch) relyOn(record *Record) {
	b.Unchanged = append(b.Unchanged, KeyVersion{record.ID, record.Version})
}
