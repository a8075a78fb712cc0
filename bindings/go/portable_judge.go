package keystile

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"slices"
	"time"
)

// verdict is what becomes of a line, by what the store knows.
type verdict struct {
	result  LineResult
	problem *LineProblem
	// reliedOn are the keys of the store that a new line relies on.
	reliedOn []KeyVersion
}

func conflict(field, expected string) verdict {
	return verdict{result: LineConflict, problem: &LineProblem{field, expected}}
}

func waits(field, expected string) verdict {
	return verdict{result: lineWaiting, problem: &LineProblem{field, expected}}
}

func refused(field, expected string) verdict {
	return verdict{result: LineRefused, problem: &LineProblem{field, expected}}
}

// judge returns what becomes of a line, by these keys and those that a dry run has so far.
func (i *importIndex) judge(soFar *importIndex, line *PortableLine, lifetimes LifetimePolicy, now time.Time) verdict {
	both := bothIndexes{i, soFar}
	id := line.KeyID()
	if i.damaged[id] {
		return conflict("id", "the row of this key is damaged in the store")
	}
	stored, removed := both.record(id), both.removed(id)
	switch {
	case line.Removed != nil && removed != nil:
		return both.compareRemoved(line.Removed, removed)
	case line.Removed != nil && stored != nil:
		return conflict("key_id", "the store has this key, which was removed elsewhere")
	case line.Key != nil && removed != nil:
		return conflict("id", "this key was removed from the store")
	case line.Key != nil && stored != nil:
		record := line.Key.Record
		if i.records[id] == nil {
			record = condensed(record)
		}
		found := compareRecords(record, stored)
		isAnothers := func(digest DigestBytes) bool {
			holder, is := both.holder(digest)
			return !is || holder != id
		}
		if found.result == LinePresent && slices.ContainsFunc(line.Key.FormerDigests, isAnothers) {
			return conflict("former_digests", "the store does not remember all of them of this key")
		}
		return found
	}
	for _, digest := range line.digests() {
		holder, is := both.holder(digest)
		// What two revoked keys had is refused in any case.
		if is && holder != id && (line.Key != nil || holder.IsZero() || !both.isRevoked(holder)) {
			return conflict("digest", "another key of the store has or had this digest")
		}
	}
	if line.Removed != nil {
		return verdict{result: LineImported}
	}
	return both.judgeNew(line.Key.Record, lifetimes, now)
}

// compareRemoved compares a removed key with what is remembered of it. Of its digests the store may
// lack those that another revoked key has.
func (b bothIndexes) compareRemoved(line, known *RemovedKey) verdict {
	if !line.RevokedAt.IsZero() && known.RevokedAt.IsZero() {
		return conflict("revoked_at", "the export has this removed key revoked, and the store has not")
	}
	for _, digest := range line.Digests {
		holder, is := b.holder(digest)
		isAnothers := is && !holder.IsZero() && holder != line.KeyID && b.isRevoked(holder)
		if !slices.Contains(known.Digests, digest) && !isAnothers {
			return conflict("digests", "the store does not remember all of them of this removed key")
		}
	}
	if line.Version != known.Version || !line.RevokedAt.Equal(known.RevokedAt) || line.RevokedReason != known.RevokedReason ||
		!equalOptional(line.Owner, known.Owner) {
		return conflict("key_id", "the store remembers this removed key otherwise")
	}
	return verdict{result: LinePresent}
}

// equalOptional reports whether two optional values are equal.
func equalOptional[T comparable](one, other *T) bool {
	return (one == nil) == (other == nil) && (one == nil || *one == *other)
}

func (b bothIndexes) judgeNew(record *Record, lifetimes LifetimePolicy, now time.Time) verdict {
	lineage := record.lineage()
	if uses, is := b.uses(lineage); is && exceedsUses(uses, record.RemainingUses) {
		return conflict("remaining_uses", "the lineage of this key has more uses left in the store")
	}
	if !record.isLeft(now) {
		return verdict{result: LineImported}
	}
	if longest := lifetimes.Longest; longest != 0 {
		given, ends := record.lifetimeGiven()
		latest := now.UnixMilli() + longest.Milliseconds()
		if !ends || given > longest.Milliseconds() || record.ExpiresAt.UnixMilli() > latest {
			return refused("expires_at", "must be within the longest lifetime that the service allows")
		}
	}
	if !record.DerivedFrom.IsZero() && record.RemainingUses != nil {
		// The uses of a derived key were taken off those of its source. So it is imported only if the
		// source has what was left after that.
		uses, is := b.uses(record.DerivedLineage)
		if is && uses != nil && !b.isAgreed(record.DerivedLineage) {
			return waits("remaining_uses", "the key that it derives from must have as many uses left in the store as in the export: those of this key were taken off them")
		}
	}
	if record.State != StateActive {
		return verdict{result: LineImported}
	}
	var reliedOn []*Record
	for _, other := range b.lineage(lineage) {
		if other.isLeft(now) && other.State == StateActive {
			reliedOn = append(reliedOn, other)
		}
	}
	if len(reliedOn) >= 2 {
		return conflict("lineage", "two keys of this lineage are live in the store")
	}
	source, found := b.source(record, now)
	if found.problem != nil {
		return found
	}
	if source != nil {
		reliedOn = append(reliedOn, source)
	}
	found = verdict{result: LineImported}
	for _, key := range reliedOn {
		if !b.isNew(key.ID) {
			found.reliedOn = append(found.reliedOn, KeyVersion{key.ID, key.Version})
		}
	}
	return found
}

// source returns the source of a live key, if it derives from one. It has no more than its source,
// which has to be there: P4.
func (b bothIndexes) source(record *Record, now time.Time) (*Record, verdict) {
	if record.DerivedFrom.IsZero() {
		return nil, verdict{}
	}
	if record.DerivedLineage == record.lineage() {
		return nil, refused("derived_from", "a key must not derive from its own lineage")
	}
	// As for a key that is issued: the newest one, which ends last.
	var newest *Record
	for _, source := range b.lineage(record.DerivedLineage) {
		if source.isLeft(now) && (newest == nil || !source.isBefore(newest)) {
			newest = source
		}
	}
	if newest == nil || newest.State != StateActive {
		return nil, waits("derived_from", "the key that it derives from must be live in the store: import it first")
	}
	if record.exceeds(newest) {
		return nil, waits("derived_from", "must have no more than the key that it derives from")
	}
	return newest, verdict{}
}

// condensed returns the record as a dry run keeps it, with a digest of the metadata in its place.
func condensed(record *Record) *Record {
	if record.Metadata == nil {
		return record
	}
	clone, digest := record.Clone(), sha256.Sum256([]byte(*record.Metadata))
	clone.Metadata = Ptr("sha256:" + hex.EncodeToString(digest[:]))
	return clone
}

// exceedsUses reports whether the store has more uses left than a line.
func exceedsUses(stored, line *uint64) bool {
	return line != nil && (stored == nil || *stored > *line)
}

// compareRecords compares a line with the record that the store has, apart from what its use changes.
func compareRecords(line, stored *Record) verdict {
	given, ends := line.lifetimeGiven()
	storedGiven, storedEnds := stored.lifetimeGiven()
	same := line.Clone()
	same.RemainingUses, same.LastUsedAt = stored.RemainingUses, stored.LastUsedAt
	// A row may lack it, and then it is what it is in a line.
	same.Lifetime = stored.Lifetime
	text := recordText(same)
	isRevoked, wasRevoked := line.State == StateRevoked, stored.State == StateRevoked
	switch {
	case given == storedGiven && ends == storedEnds && text != "" && text == recordText(stored):
		return verdict{result: LinePresent}
	case isRevoked && !wasRevoked:
		return conflict("status", "the export has this key revoked, and the store has not: revoke it there")
	case !same.Digest.Equal(stored.Digest):
		return conflict("digest", "the store has this key with another digest")
	case wasRevoked && !isRevoked:
		return conflict("status", "the key is revoked in the store, and stays so")
	case same.Version != stored.Version:
		return conflict("version", "the store has another version of this key")
	}
	return conflict("id", "the store has this key with other content")
}

// recordText is a record as a text, to compare it; empty if it is none.
func recordText(record *Record) string {
	form, err := record.form()
	if err != nil {
		return ""
	}
	text, _ := json.Marshal(form)
	return string(text)
}

// lifetimeGiven returns the length of life that the key was given in milliseconds, or else the time
// from its beginning to its expiry; false if it never expires.
func (r *Record) lifetimeGiven() (int64, bool) {
	switch {
	case r.ExpiresAt.IsZero():
		return 0, false
	case r.Lifetime != 0:
		return r.Lifetime.Milliseconds(), true
	}
	return max(0, r.ExpiresAt.UnixMilli()-r.CreatedAt.UnixMilli()), true
}
