package keystile

import (
	"context"
	"fmt"
	"io"
	"time"
)

// DigestBytes are the bytes of a digest, without its kind: a digest that was revoked is refused under
// any. They do not print.
type DigestBytes [32]byte

// Format shows nothing of the digest.
func (d DigestBytes) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// MarshalText shows nothing of the digest.
func (d DigestBytes) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// PortableKey is all that a store holds of a key.
type PortableKey struct {
	// Record is the record, with the uses that its lineage has left.
	Record *Record
	// Rate is the state of its lineage's rate limit, in the time of the store's clock.
	Rate RateState
	// FormerDigests are the digests that it had before the present one, in ascending order.
	FormerDigests []DigestBytes
}

// RemovedKey is what a store remembers of a key that was removed: its id is not given to another
// key, and if it was revoked, its digests stay refused.
type RemovedKey struct {
	KeyID KeyID
	// Version is that of its removal.
	Version uint64
	// RevokedAt is when it was revoked; zero if it was not. Then it has no reason.
	RevokedAt     time.Time
	RevokedReason string
	// Owner is the last owner.
	Owner *string
	// Digests are those that are remembered of it, in ascending order.
	Digests []DigestBytes
}

// Exported is a page of keys for an export.
type Exported struct {
	// Keys are in the order of their insertion.
	Keys []PortableKey
	// Damaged are the rows that cannot be read, in the same order.
	Damaged []*CorruptRow
	// Next is where the next page starts; zero if this is the last one.
	Next Cursor
}

// RemovedKeys is a page of removed keys.
type RemovedKeys struct {
	// Keys are in the order of their ids.
	Keys []RemovedKey
	// Damaged are the rows that cannot be read.
	Damaged []*CorruptRow
	// Next is the text that the next page starts after; empty if this is the last one.
	Next string
}

// Asked is what an import asks a store about, before it writes: each without duplicates.
type Asked struct {
	IDs []KeyID
	// Lineages are asked for all of their records, and for what they have left.
	Lineages []KeyID
	// Digests are asked for the keys that have or had them.
	Digests []DigestBytes
}

// Known is what a store knows of what an import asks about.
type Known struct {
	// Records are those with one of the ids, in one of the lineages or with one of the digests. A
	// record may be there twice.
	Records []*Record
	// Damaged are the rows among them that cannot be read.
	Damaged []*CorruptRow
	// Removed are those of the ids whose keys were removed. One that cannot be read has version 0.
	Removed []RemovedKey
	// FormerDigests are those of the digests that a key had before.
	FormerDigests []FormerDigest
	// Uses are those of the lineages that have a usage.
	Uses []LineageUses
}

// FormerDigest is a digest that a key had before its present one.
type FormerDigest struct {
	Digest DigestBytes
	// KeyID is that key; zero if its id cannot be read.
	KeyID KeyID
}

// LineageUses are the uses that a lineage has left; nil if they are not counted.
type LineageUses struct {
	Lineage KeyID
	Left    *uint64
}

// LineageRate is the state of the rate limit of a lineage.
type LineageRate struct {
	Lineage KeyID
	State   RateState
}

// Imported is what an import writes beside records: see [Batch.Imported].
type Imported struct {
	// Rates are the states of the rate limits of lineages that the batch creates, in the time of the
	// store's clock; of several of a lineage the first counts.
	Rates []LineageRate
	// FormerDigests are digests that keys had before. If another key has or had one of them, the
	// batch is stale.
	FormerDigests []FormerDigest
	// Removed are keys that were removed elsewhere. If the store has one of them, or remembers it, or
	// a key that is not revoked has or had one of the digests, the batch is stale.
	Removed []RemovedKey
}

// PortableStore is a [Store] that keys can be exported from and imported to: its Commit writes
// [Batch.Imported]. The store of keystilesql is one.
type PortableStore interface {
	Store
	// Export returns a page of keys in the order of their insertion, whatever the order of the page.
	// A row that cannot be read is named, and is no error. It returns [ErrNotFound] if there never was
	// a key page.After.
	Export(ctx context.Context, filter Filter, page Page) (Exported, error)
	// RemovedKeys returns what is remembered of removed keys, in the byte order of their ids, starting
	// after a text; at most limit and [PageMax].
	RemovedKeys(ctx context.Context, after string, limit int) (RemovedKeys, error)
	// Known returns what the store knows of what an import asks about.
	Known(ctx context.Context, asked Asked) (Known, error)
}
