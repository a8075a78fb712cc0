package keystile

import "slices"

// importIndex are keys, by all that a line of an import is compared with.
type importIndex struct {
	records map[KeyID]*Record
	// lineages are the keys of each lineage.
	lineages map[KeyID][]KeyID
	// digests are the keys that have or had a digest; zero if the id of that one cannot be read.
	digests map[DigestBytes]KeyID
	damaged map[KeyID]bool
	removed map[KeyID]*RemovedKey
	// uses are those that lineages have left; nil if they are not counted.
	uses map[KeyID]*uint64
	// agreed are the lineages whose uses are counted and were, when a line of them was judged, those of
	// the line: so what others were given of them was taken off.
	agreed map[KeyID]bool
	// disagreed are those of which a later line had other uses.
	disagreed map[KeyID]bool
	// fresh are the keys that the store does not have yet.
	fresh map[KeyID]bool
}

func newImportIndex() *importIndex {
	return &importIndex{
		records: map[KeyID]*Record{}, lineages: map[KeyID][]KeyID{}, digests: map[DigestBytes]KeyID{},
		damaged: map[KeyID]bool{}, removed: map[KeyID]*RemovedKey{}, uses: map[KeyID]*uint64{},
		agreed: map[KeyID]bool{}, disagreed: map[KeyID]bool{}, fresh: map[KeyID]bool{},
	}
}

func importIndexOf(known Known) *importIndex {
	index := newImportIndex()
	for _, former := range known.FormerDigests {
		index.digests[former.Digest] = former.KeyID
	}
	for _, row := range known.Damaged {
		if !row.KeyID.IsZero() {
			index.damaged[row.KeyID] = true
		}
		if row.Digest.Kind() != 0 {
			index.digests[row.Digest.Bytes()] = row.KeyID
		}
	}
	for at := range known.Removed {
		index.removed[known.Removed[at].KeyID] = &known.Removed[at]
	}
	for _, uses := range known.Uses {
		index.uses[uses.Lineage] = uses.Left
	}
	for _, record := range known.Records {
		index.insert(record)
	}
	return index
}

func (i *importIndex) insert(record *Record) {
	lineage := record.lineage()
	if !slices.Contains(i.lineages[lineage], record.ID) {
		i.lineages[lineage] = append(i.lineages[lineage], record.ID)
	}
	i.digests[record.Digest.Bytes()] = record.ID
	i.records[record.ID] = record
}

// startUses notes the uses of a lineage that has none yet.
func (i *importIndex) startUses(record *Record) {
	if _, is := i.uses[record.lineage()]; !is {
		i.uses[record.lineage()] = record.RemainingUses
	}
}

// add adds what a line that is new brings.
func (i *importIndex) add(line *PortableLine) {
	id := line.KeyID()
	for _, digest := range line.digests() {
		i.digests[digest] = id
	}
	if line.Removed != nil {
		i.removed[id] = line.Removed
		return
	}
	i.startUses(line.Key.Record)
	i.fresh[id] = true
	i.insert(line.Key.Record)
}

// agree notes whether the lineage of a line has its uses.
func (i *importIndex) agree(soFar *importIndex, line *PortableLine) {
	if line.Key == nil || line.Key.Record.RemainingUses == nil {
		return
	}
	lineage, uses := line.Key.Record.lineage(), line.Key.Record.RemainingUses
	if stored, is := (bothIndexes{i, soFar}).uses(lineage); !is || stored != nil && *stored == *uses {
		i.agreed[lineage] = true
		return
	}
	// A later line of another export, whose derived keys were given other uses.
	delete(i.agreed, lineage)
	i.disagreed[lineage] = true
}

// agreeAs keeps of another index which lineages have the uses of their lines.
func (i *importIndex) agreeAs(other *importIndex) {
	for lineage := range other.agreed {
		i.agreed[lineage] = true
	}
	for lineage := range other.disagreed {
		i.disagreed[lineage] = true
	}
	for lineage := range i.disagreed {
		delete(i.agreed, lineage)
	}
}

// merge adds what is new in another index.
func (i *importIndex) merge(other *importIndex) {
	for id, record := range other.records {
		if other.fresh[id] {
			record = condensed(record)
			i.startUses(record)
			i.insert(record)
		}
	}
	for id, removed := range other.removed {
		i.removed[id] = removed
	}
	for digest, id := range other.digests {
		i.digests[digest] = id
	}
	for id := range other.fresh {
		i.fresh[id] = true
	}
	i.agreeAs(other)
}

// bothIndexes are what the store has, and what a dry run has added to it.
type bothIndexes [2]*importIndex

func (b bothIndexes) record(id KeyID) *Record {
	for _, index := range b {
		if record, is := index.records[id]; is {
			return record
		}
	}
	return nil
}

func (b bothIndexes) removed(id KeyID) *RemovedKey {
	for _, index := range b {
		if removed, is := index.removed[id]; is {
			return removed
		}
	}
	return nil
}

func (b bothIndexes) isRevoked(id KeyID) bool {
	record, removed := b.record(id), b.removed(id)
	return record != nil && record.State == StateRevoked || removed != nil && !removed.RevokedAt.IsZero()
}

// uses returns those that a lineage has left; false if there is no such lineage.
func (b bothIndexes) uses(lineage KeyID) (*uint64, bool) {
	for _, index := range b {
		if uses, is := index.uses[lineage]; is {
			return uses, true
		}
	}
	return nil, false
}

func (b bothIndexes) isNew(id KeyID) bool { return b[0].fresh[id] || b[1].fresh[id] }

// holder returns the key that has or had a digest, zero if its id cannot be read; false if there is
// none.
func (b bothIndexes) holder(digest DigestBytes) (KeyID, bool) {
	for _, index := range b {
		if holder, is := index.digests[digest]; is {
			return holder, true
		}
	}
	return KeyID{}, false
}

func (b bothIndexes) lineage(lineage KeyID) []*Record {
	var records []*Record
	seen := map[KeyID]bool{}
	for _, index := range b {
		for _, id := range index.lineages[lineage] {
			if record := b.record(id); record != nil && !seen[id] {
				records = append(records, record)
			}
			seen[id] = true
		}
	}
	return records
}

// isAgreed reports whether a lineage has the uses of its lines.
func (b bothIndexes) isAgreed(lineage KeyID) bool {
	return (b[0].agreed[lineage] || b[1].agreed[lineage]) && !b[0].disagreed[lineage] && !b[1].disagreed[lineage]
}

// digests returns all digests of a line.
func (l *PortableLine) digests() []DigestBytes {
	if l.Key == nil {
		return l.Removed.Digests
	}
	return append([]DigestBytes{l.Key.Record.Digest.Bytes()}, l.Key.FormerDigests...)
}
