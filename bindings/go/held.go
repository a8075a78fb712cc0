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
	longest := *record.RateLimit
	if record.lineage() == record.ID && record.ReplacedBy.IsZero() {
		return longest, true
	}
	reader, reads := usages.(lineageReader)
	if !reads {
		return RateLimit{}, false
	}
	lineage, err := reader.Lineage(ctx, record.lineage())
	if err != nil || len(lineage.Damaged) > 0 {
		return RateLimit{}, false
	}
	for _, key := range lineage.Records {
		hasEnded := key.State == StateRevoked || isOver(key.ExpiresAt, now) || isOver(key.OverlapUntil, now)
		if !hasEnded && key.RateLimit != nil && key.RateLimit.reach() > longest.reach() {
			longest = *key.RateLimit
		}
	}
	return longest, stored.isHeld(longest, now)
}

// isOver reports whether an instant is reached; the zero time is no instant.
func isOver(end, now time.Time) bool { return !end.IsZero() && !end.After(now) }
