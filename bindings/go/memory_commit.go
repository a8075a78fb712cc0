package keystile

import "math"

// commit writes a batch, after all of it was found to be possible.
func (s *memoryState) commit(batch Batch) error {
	if relied := batch.TemplateUnchanged; relied != nil {
		stored := s.templates[relied.Name]
		if stored == nil || stored.Version != relied.Version || !stored.CreatedAt.Equal(timeOf(millisOf(relied.CreatedAt))) {
			return ErrTemplateChanged
		}
	}
	staged := &stagedBatch{state: s, rowOf: map[KeyID]int{}, records: map[int]*Record{}}
	if err := staged.stage(batch); err != nil {
		return err
	}
	if !staged.reliesOnWhatIs(batch) || !staged.canRemember(batch) || batch.IssueRequest != nil && s.isAnswered(batch.IssueRequest) {
		return ErrStale
	}
	// Nothing that can fail follows.
	if batch.IssueRequest != nil {
		s.answer(batch.IssueRequest)
	}
	for _, event := range batch.Events {
		s.append(event)
	}
	created := map[KeyID]bool{}
	for _, row := range staged.order {
		lineage := staged.records[row].lineage()
		created[lineage] = created[lineage] || s.usage[lineage] == nil
		s.write(row, staged.records[row])
	}
	s.remember(batch.Imported, created)
	for _, removed := range batch.Deletes {
		s.remove(removed.KeyID)
	}
	for _, taken := range batch.TakeUses {
		*s.usage[taken.Lineage].Remaining -= taken.Uses
	}
	set := map[KeyID]bool{}
	for _, id := range batch.SetUses {
		set[id] = true
	}
	for _, record := range batch.Updates {
		if usage := s.usage[record.lineage()]; set[record.ID] && usage != nil {
			usage.Remaining = UsageOf(record).clone().Remaining
		}
	}
	for _, event := range staged.raised {
		s.append(event)
	}
	return nil
}

// stagedBatch is what a batch would write.
type stagedBatch struct {
	state *memoryState
	// rowOf and records are the rows that are written, and order is their order.
	rowOf   map[KeyID]int
	records map[int]*Record
	order   []int
	// inserted is how many of them are new.
	inserted int
	// raised are the events of keys whose versions are not those of the batch.
	raised []Event
}

// latest returns the record of a key as the batch has written it so far, and its row.
func (b *stagedBatch) latest(id KeyID) (int, *Record) {
	if row, some := b.rowOf[id]; some {
		return row, b.records[row]
	}
	if row, some := b.state.rowOfID[id]; some {
		return row, b.state.rows[row]
	}
	return 0, nil
}

func (b *stagedBatch) put(row int, record *Record) {
	if _, some := b.records[row]; !some {
		b.order = append(b.order, row)
	}
	b.rowOf[record.ID], b.records[row] = row, record
}

// stage finds out what each part of the batch writes, or why it cannot be written.
func (b *stagedBatch) stage(batch Batch) error {
	for _, record := range batch.Inserts {
		if err := b.insert(record); err != nil {
			return err
		}
	}
	for _, record := range batch.Updates {
		if err := b.update(record); err != nil {
			return err
		}
	}
	for _, upkeep := range batch.Upkeep {
		row, stored := b.latest(upkeep.KeyID)
		if stored == nil || stored.Version+1 != upkeep.Version || stored.State == StateRevoked {
			return ErrStale
		}
		kept, err := upkeep.applied(stored)
		if err != nil {
			return err
		}
		b.put(row, kept)
	}
	for _, removed := range batch.Deletes {
		stored := b.state.byID(removed.KeyID)
		if _, written := b.rowOf[removed.KeyID]; written || stored == nil || stored.Version+1 != removed.Version {
			return ErrStale
		}
	}
	digests := map[[32]byte]bool{}
	for _, row := range b.order {
		digest := b.records[row].Digest.Bytes()
		// A digest that its key gives up in the same batch is still taken: no verb moves a digest
		// to another key.
		if holder, some := b.state.rowOfDigest[digest]; some && holder != row || digests[digest] {
			return ErrDuplicate
		}
		digests[digest] = true
	}
	for _, event := range batch.Events {
		if event.Version > math.MaxInt64 {
			return ErrOutOfRange
		}
	}
	return nil
}

func (b *stagedBatch) insert(record *Record) error {
	own, err := record.owned()
	if err != nil {
		return err
	}
	removed := b.state.removedKey(own.ID)
	if removed != nil && !removed.RevokedAt.IsZero() || b.state.wasRevoked(own.Digest.Bytes()) {
		return ErrDuplicate
	}
	if _, taken := b.latest(own.ID); taken != nil {
		return ErrDuplicate
	}
	if removed != nil && own.Version <= removed.Version {
		// Its versions continue after that of its removal.
		own.Version = removed.Version + 1
		b.raised = append(b.raised, Event{Kind: EventImported, KeyID: own.ID, At: own.CreatedAt, Version: own.Version})
	}
	b.put(len(b.state.rows)+b.inserted, own)
	b.inserted++
	return nil
}

func (b *stagedBatch) update(record *Record) error {
	own, err := record.owned()
	if err != nil {
		return err
	}
	row, stored := b.latest(own.ID)
	switch {
	case stored == nil, stored.Version+1 != own.Version, stored.lineage() != own.lineage():
		return ErrStale
	case stored.State == StateRevoked && (own.State != stored.State ||
		!own.RevokedAt.Equal(stored.RevokedAt) || own.RevokedReason != stored.RevokedReason):
		return ErrStale
	case own.State != StateRevoked && !own.Digest.Equal(stored.Digest) && b.state.wasRevoked(own.Digest.Bytes()):
		return ErrStale
	}
	b.put(row, own)
	return nil
}

// reliesOnWhatIs reports whether what the batch relies on is so.
func (b *stagedBatch) reliesOnWhatIs(batch Batch) bool {
	for _, one := range batch.Unchanged {
		if stored := b.state.byID(one.KeyID); stored == nil || stored.Version != one.Version {
			return false
		}
	}
	taken := map[KeyID]uint64{}
	for _, one := range batch.TakeUses {
		usage := b.state.usage[one.Lineage]
		if usage == nil || usage.Remaining == nil || *usage.Remaining-taken[one.Lineage] < one.Uses {
			return false
		}
		taken[one.Lineage] += one.Uses
	}
	if len(batch.Derived) == 0 {
		return true
	}
	after := b.state.records()
	for at, record := range after {
		_, after[at] = b.latest(record.ID)
	}
	for _, row := range b.order {
		if row >= len(b.state.rows) {
			after = append(after, b.records[row])
		}
	}
	for _, expected := range batch.Derived {
		source := b.state.byID(expected.KeyID)
		if source == nil || source.lineage() != expected.Lineage ||
			DerivedStateOf(source, descendants(after, expected.Lineage)...) != expected {
			return false
		}
	}
	return true
}

// owned returns the record as a store on a disk would return it, which shares nothing with what
// its caller has.
func (r *Record) owned() (*Record, error) {
	text, err := EncodeRecord(r)
	if err != nil {
		return nil, err
	}
	own, err := DecodeRecord(text)
	if err == nil && r.Lifetime == 0 {
		// A length of life that is not known is not derived from the ends.
		own.Lifetime = 0
	}
	return own, err
}

// applied returns the record with the field that upkeep writes, and the version.
func (u *Upkeep) applied(record *Record) (*Record, error) {
	kept := record.Clone()
	kept.Version = u.Version
	switch {
	case u.Digest != nil:
		kept.Digest = *u.Digest
	case u.OverlapUntil != nil:
		kept.OverlapUntil = *u.OverlapUntil
	case u.Status != nil:
		kept.State, kept.RevokedAt, kept.RevokedReason = u.Status.State, u.Status.RevokedAt, ""
		if u.Status.State == StateRevoked {
			kept.RevokedReason = u.Status.RevokedReason
		}
	case u.EndsAtFirstUse != nil:
		kept.EndsAtFirstUse = *u.EndsAtFirstUse
	default:
		return nil, ErrRecord
	}
	return kept.owned()
}
