package keystile

import (
	"context"
	"time"
)

// Limits are rate limits that are counted in one place for all processes of a service, for
// [Options.Limits].
//
// Each process takes requests here before it lets them pass: one at a time, or several at once,
// which it may use for a while. The state is kept by the clock of that one place, so the clocks
// of the processes need not agree.
//
// [MemoryLimits] are for one process. [StoredLimits] count in the store that has the keys, by
// compare-and-set. The module keystileredis counts on a Redis or Valkey server. Package storetest
// has the tests for an implementation of your own.
//
// In any time T, at most burst + limit × T / window tokens of a limit are granted, by the clock
// of the limits, however many processes ask. A process that uses a token only within a time L of
// its request for it, and gives others back within L, adds at most limit × L / window to what
// passes in any time T. If the state is lost, one burst more may pass.
//
// The keys of a lineage share what they spend. If their limits differ, as while a change has
// reached one of two keys, none of the limits gives back what was spent by another.
type Limits interface {
	// Take takes up to take.Tokens requests of a lineage, as many as pass now; with 0, it only
	// returns the state. Each token lets one request pass.
	//
	// A state that cannot be read is an error, and so is no answer: neither lets a request pass.
	// If no answer came, the tokens may have been taken. An error of one lineage only is
	// [ErrNotFound], [ErrStale] or [ErrCorrupt]; any other means that the limits are unavailable
	// for all.
	Take(ctx context.Context, take Take) (Taken, error)
	// GiveBack gives back tokens that were not used. What was taken longer ago than Rest.Within
	// by the clock of the limits is not taken back; neither is that of a lineage whose state was
	// lost.
	//
	// Give back each token at most once: do not repeat a call that failed.
	GiveBack(ctx context.Context, rests []Rest) error
}

// Take is a request for tokens of a lineage's rate limit.
type Take struct {
	// Lineage is the first key of the lineage, whose keys share one state.
	Lineage KeyID
	// Limit is that of the key which is asked for.
	Limit RateLimit
	// Tokens is how many requests are to pass at most.
	Tokens uint32
}

// Taken is what was taken.
type Taken struct {
	// Tokens is how many requests may pass; 0 if none may, which is a refusal if any was asked
	// for.
	Tokens uint32
	// State is that of the limit afterwards, by the Clock.
	State RateState
	// Clock is the clock of the limits at that moment.
	Clock time.Time
}

// Rest is tokens that were taken and not used.
type Rest struct {
	Lineage KeyID
	// Limit is what they were taken of.
	Limit  RateLimit
	Tokens uint32
	// TakenAt is when they were taken, by the clock of the limits.
	TakenAt time.Time
	// Within is until how long after that they are taken back: see [Leases.Within].
	Within time.Duration
}

// IsTimely reports whether it is in time, by the clock of the limits.
func (r Rest) IsTimely(clock time.Time) bool {
	taken, now := millisOf(r.TakenAt), millisOf(clock)
	return taken <= now && r.Within >= 0 && now-taken <= uint64(r.Within.Milliseconds())
}
