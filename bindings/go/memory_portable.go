package keystile

import (
	"bytes"
	"context"
	"maps"
	"slices"
	"strings"
	"time"
)

// Export returns a page of keys in the order of their insertion.
func (s *MemoryStore) Export(ctx context.Context, filter Filter, page Page) (exported Exported, err error) {
	if filter.Now.IsZero() {
		// One instant for all records.
		filter.Now = time.Now()
	}
	page.Sort = SortInserted
	return exported, s.with(ctx, func(state *memoryState) error {
		listed, err := state.list(filter, page)
		if err != nil {
			return err
		}
		for _, record := range listed.Records {
			key := PortableKey{Record: record, FormerDigests: state.formerDigests(record.ID)}
			if usage := state.usage[record.lineage()]; usage != nil {
				key.Rate = usage.Rate
			}
			exported.Keys = append(exported.Keys, key)
		}
		exported.Next = listed.Next
		return nil
	})
}

// RemovedKeys returns what is remembered of removed keys.
func (s *MemoryStore) RemovedKeys(ctx context.Context, after string, limit int) (page RemovedKeys, err error) {
	limit = pageLimit(limit)
	return page, s.with(ctx, func(state *memoryState) error {
		ids := slices.AppendSeq(slices.Collect(maps.Keys(state.rowOfRemoved)), maps.Keys(state.elsewhere))
		slices.SortFunc(ids, func(a, b KeyID) int { return strings.Compare(a.String(), b.String()) })
		for _, id := range ids {
			if id.String() > after && len(page.Keys) < limit {
				page.Keys = append(page.Keys, *state.removedKey(id))
			}
		}
		if count := len(page.Keys); count > 0 && count == limit {
			page.Next = page.Keys[count-1].KeyID.String()
		}
		return nil
	})
}

// Known returns what the store knows of what an import asks about.
func (s *MemoryStore) Known(ctx context.Context, asked Asked) (known Known, err error) {
	ids, lineages, digests := setOf(asked.IDs), setOf(asked.Lineages), setOf(asked.Digests)
	return known, s.with(ctx, func(state *memoryState) error {
		for _, record := range state.records() {
			if ids[record.ID] || lineages[record.lineage()] || digests[record.Digest.Bytes()] {
				known.Records = append(known.Records, state.shown(record))
			}
		}
		for id := range ids {
			if removed := state.removedKey(id); removed != nil {
				known.Removed = append(known.Removed, *removed)
			}
		}
		for digest := range digests {
			if holder, some := state.rememberedHolder(digest); some {
				known.FormerDigests = append(known.FormerDigests, FormerDigest{digest, holder})
			}
		}
		for lineage := range lineages {
			if usage := state.usage[lineage]; usage != nil {
				known.Uses = append(known.Uses, LineageUses{lineage, usage.clone().Remaining})
			}
		}
		return nil
	})
}

func setOf[T comparable](values []T) map[T]bool {
	set := make(map[T]bool, len(values))
	for _, value := range values {
		set[value] = true
	}
	return set
}

// rememberedHolder returns the key that had a digest. The last digest of a removed key that was not
// revoked may be used again.
func (s *memoryState) rememberedHolder(digest DigestBytes) (KeyID, bool) {
	holder, some := s.former[digest]
	if !some {
		return KeyID{}, false
	}
	removed := s.removed(holder)
	return holder, removed == nil || removed.State == StateRevoked || removed.Digest.Bytes() != digest
}

// formerDigests returns the digests that are remembered of a key, in ascending order.
func (s *memoryState) formerDigests(id KeyID) []DigestBytes {
	var own []DigestBytes
	for digest, holder := range s.former {
		if _, remembered := s.rememberedHolder(digest); remembered && holder == id {
			own = append(own, digest)
		}
	}
	sortDigests(own)
	return own
}

func sortDigests(digests []DigestBytes) {
	slices.SortFunc(digests, func(a, b DigestBytes) int { return bytes.Compare(a[:], b[:]) })
}

// removedKey returns what is remembered of a key that was removed here or elsewhere, or nil.
func (s *memoryState) removedKey(id KeyID) *RemovedKey {
	if elsewhere, some := s.elsewhere[id]; some {
		return Ptr(elsewhere.clone())
	}
	record := s.removed(id)
	if record == nil {
		return nil
	}
	return &RemovedKey{KeyID: id, Version: record.Version + 1, RevokedAt: record.RevokedAt,
		RevokedReason: record.RevokedReason, Owner: copied(record.Owner), Digests: s.formerDigests(id)}
}

// clone returns a copy that shares nothing, as a store on a disk would return it.
func (r RemovedKey) clone() RemovedKey {
	r.RevokedAt, r.Owner, r.Digests = timeOf(millisOf(r.RevokedAt)), copied(r.Owner), slices.Clone(r.Digests)
	if r.RevokedAt.IsZero() {
		r.RevokedReason = ""
	}
	sortDigests(r.Digests)
	return r
}

// canRemember reports whether what an import has beside records can be written: it was judged by what
// is still so.
func (b *stagedBatch) canRemember(batch Batch) bool {
	for _, former := range batch.Imported.FormerDigests {
		holder, had := b.state.rememberedHolder(former.Digest)
		row, has := b.state.rowOfDigest[former.Digest]
		if had && holder != former.KeyID || has && b.state.rows[row].ID != former.KeyID {
			return false
		}
	}
	// Digests that keys which are not revoked have, or had by this batch.
	live := map[DigestBytes]bool{}
	inserted := map[KeyID]bool{}
	for _, record := range b.records {
		inserted[record.ID] = true
		if record.State != StateRevoked {
			live[record.Digest.Bytes()] = true
		}
	}
	for _, former := range batch.Imported.FormerDigests {
		if row, some := b.rowOf[former.KeyID]; some && b.records[row].State != StateRevoked {
			live[former.Digest] = true
		}
	}
	seen := map[KeyID]bool{}
	for _, removed := range batch.Imported.Removed {
		if seen[removed.KeyID] || inserted[removed.KeyID] || b.state.byID(removed.KeyID) != nil || b.state.removedKey(removed.KeyID) != nil {
			return false
		}
		seen[removed.KeyID] = true
		for _, digest := range removed.Digests {
			row, has := b.state.rowOfDigest[digest]
			_, had := b.state.rememberedHolder(digest)
			if live[digest] || has && b.state.rows[row].State != StateRevoked || had && !b.state.wasRevoked(digest) {
				return false
			}
		}
	}
	return true
}

// remember writes what an import has beside records. Created are the lineages that the batch began.
func (s *memoryState) remember(imported Imported, created map[KeyID]bool) {
	for _, rate := range imported.Rates {
		if created[rate.Lineage] {
			s.usage[rate.Lineage].Rate = rate.State
			// The first one counts.
			delete(created, rate.Lineage)
		}
	}
	for _, former := range imported.FormerDigests {
		s.hold(former.Digest, former.KeyID)
	}
	for _, removed := range imported.Removed {
		for _, digest := range removed.Digests {
			s.hold(digest, removed.KeyID)
		}
		s.elsewhere[removed.KeyID] = removed.clone()
	}
}

// hold remembers that a key had a digest, unless another one is remembered.
func (s *memoryState) hold(digest DigestBytes, id KeyID) {
	if _, remembered := s.rememberedHolder(digest); !remembered {
		s.former[digest] = id
	}
}
