package keystile

import (
	"context"
	"errors"
	"time"
)

// lastUseInterval is the minimum time between two writes of a key's last use by [Check], so
// that a check seldom writes.
const lastUseInterval = time.Minute

// Checked is a decision and the record that it was made on.
type Checked struct {
	Decision Decision
	// Record is the key's record if its secret was verified, otherwise nil.
	Record *Record
}

// Check checks a presented key against a store, without an authenticator, and spends what
// an allowed request costs. It is for programs that check a key now and then.
//
// Rate limits and counted uses are spent in the store by compare-and-set: if another writer
// was faster, Check reads everything again and decides again. A rate limit is decided by the
// store's clock if it has one, and otherwise by now. An allowed request also ends
// the overlap of a predecessor that was to end at the first use, renews an outdated digest,
// and records the last use, at most once a minute. If any of these fails, the decision
// stays.
//
// An error means that no decision about the key was made; the returned decision refuses. If the
// key's row cannot be read, it is [ErrRecordDamaged], joined with the [CorruptRow].
func Check(ctx context.Context, store Store, verifier *Verifier, key string, request Request, now time.Time) (Checked, error) {
	refused := Checked{Decision: Refuse(CauseStoreUnavailable)}
	if store == nil {
		return refused, uninitialized("Store")
	}
	because := func(err error) (Checked, error) {
		decision, err := verifier.refusedBecause(err, key, now)
		return Checked{Decision: decision}, err
	}
	lookup, err := verifier.Lookup(key)
	if err != nil {
		return Checked{Decision: Refuse(CauseMalformed)}, nil
	}
	for range triesMax {
		record, stored, err := findWithUsage(ctx, store, store, lookup)
		if err != nil {
			return because(err)
		}
		decision, left, again, err := verifier.claim(ctx, store, key, record, stored, request, now)
		if err != nil {
			return refused, unavailable(err)
		}
		if again {
			continue
		}
		if !decision.Allowed() {
			if decision.KeyID().IsZero() {
				record = nil
			}
			return Checked{decision, record}, nil
		}
		record = record.Clone()
		record.RemainingUses = left
		return Checked{decision, maintained(ctx, store, verifier, key, &decision, record, now)}, nil
	}
	return refused, unavailable(ErrStale)
}

// maintained makes the writes that an allowed request asks for, and returns the resulting
// record.
func maintained(ctx context.Context, store Store, verifier *Verifier, key string, decision *Decision, record *Record, now time.Time) *Record {
	if id := decision.EndsOverlapOf(); !id.IsZero() {
		old, err := found(store.Find(ctx, Lookup{KeyID: id}))
		var row *CorruptRow
		if errors.As(err, &row) || (err == nil && old == nil) {
			if batch, err := endUnreadPredecessor(row, record, now); err == nil && store.Commit(ctx, batch) == nil {
				record = record.Clone()
				record.EndsAtFirstUse, record.Version = KeyID{}, record.Version+1
			}
		} else if err == nil {
			if change, err := EndOverlap(old, record, now); err == nil {
				if store.Commit(ctx, change.Batch()) == nil {
					record = change.Records[len(change.Records)-1]
				}
			}
		}
	}
	if decision.NeedsRehash() {
		if change, err := verifier.Rehash(record, key, now); err == nil && store.Commit(ctx, change.Batch()) == nil {
			record = change.Record
		}
	}
	if now.Sub(record.LastUsedAt) >= lastUseInterval {
		use := Use{KeyID: record.ID, Lineage: record.lineage(), LastUsedAt: now, Count: 1}
		if store.NoteUses(ctx, []Use{use}) == nil {
			record = record.Clone()
			record.LastUsedAt = timeOf(millisOf(now))
		}
	}
	return record
}
