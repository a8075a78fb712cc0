package keystile

import (
	"context"
	"time"
)

// lineageReader is what a [Store] has, and a [UsageStore] may have.
type lineageReader interface {
	Lineage(ctx context.Context, lineage KeyID) (Listed, error)
}

// longestLimit returns the limit that the state of a record's lineage is held to in the
// store; false if that brings nothing back.
//
// The keys of a lineage share one state, and may have different limits. A state that is too
// far ahead for one of them may be what the slower limit of another has counted. Brought
// back, it would give that one all of its requests again. So the longest reach among the live
// keys counts, and if they cannot all be read, nothing is brought back.
func longestLimit(ctx context.Context, usages UsageStore, record *Record, stored StoredUsage, now time.Time) (RateLimit, bool) {
	if record == nil || record.RateLimit == nil || !stored.isHeld(*record.RateLimit, now) {
		return RateLimit{}, false
	}
	if record.lineage() == record.ID && record.ReplacedBy.IsZero() {
		return *record.RateLimit, true
	}
	return longestOfLineage(ctx, usages, record.lineage(), *record.RateLimit, stored, now)
}

// longestOfLineage is [longestLimit] for a lineage of which only one limit is known.
func longestOfLineage(ctx context.Context, usages UsageStore, lineage KeyID, own RateLimit, stored StoredUsage, now time.Time) (RateLimit, bool) {
	reader, reads := usages.(lineageReader)
	if !reads || !stored.isHeld(own, now) {
		return RateLimit{}, false
	}
	listed, err := reader.Lineage(ctx, lineage)
	if err != nil || len(listed.Damaged) > 0 {
		return RateLimit{}, false
	}
	longest := own
	for _, key := range listed.Records {
		hasEnded := key.State == StateRevoked || isOver(key.ExpiresAt, now) || isOver(key.OverlapUntil, now)
		if !hasEnded && key.RateLimit != nil && key.RateLimit.reach() > longest.reach() {
			longest = *key.RateLimit
		}
	}
	return longest, stored.isHeld(longest, now)
}

// isOver reports whether an instant is reached; the zero time is no instant.
func isOver(end, now time.Time) bool { return !end.IsZero() && !end.After(now) }
