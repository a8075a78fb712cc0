package keystile

import (
	"log/slog"
	"time"
)

// Options are how a [Authenticator] is set up. What is left at zero is the default.
type Options struct {
	// Capacity is how many records are kept at most: 1 to 100,000,000; by default 100,000.
	Capacity int
	// TTL is how long a record is used without asking again: 1 ms to a day; by default 300 s.
	TTL time.Duration
	// AbsentTTL is how long a key that the store did not know is refused without asking
	// again: no longer than the TTL; by default 10 s. A negative one is not at all.
	AbsentTTL time.Duration
	// ClockSkew is by how much the clock may step back without reviving what was seen
	// expired; by default 60 s. A negative one is not at all.
	ClockSkew time.Duration
	// StoreTimeout is how long a check waits for the store; by default 5 s.
	StoreTimeout time.Duration
	// Fetches is how many fetches are under way at once; who comes on top waits. By default
	// 64.
	Fetches int
	// FlushInterval is how often last uses are noted, where the store is a [UseNoter]; by
	// default every 5 s.
	FlushInterval time.Duration
	// PollInterval is how often changes by other processes are asked for, where the store is a
	// [EventSource]; by default every second. A negative one is not at all.
	PollInterval time.Duration
	// Clock is what time it is; by default [time.Now].
	Clock func() time.Time
	// Logger hears of failures in the background; by default nobody does. No key text is
	// logged.
	Logger *slog.Logger
}

// Stats are what an authenticator has done so far, and what it holds.
type Stats struct {
	// Entries are records that are kept.
	Entries uint64
	// Fetches are checks that asked for a record, Shared those of them that waited for the
	// fetch of another, and Overtaken those that an invalidation overtook.
	Fetches, Shared, Overtaken uint64
	// Evictions are records that were let go of for want of room.
	Evictions uint64
	// Invalidations are those of ids, owners and everything.
	Invalidations uint64
	// AbsentHits are checks that were refused by what the store said shortly before.
	AbsentHits uint64
	// UsesLost were not drained in time, and UsesDropped found no room to wait in.
	UsesLost, UsesDropped uint64
	// UsesWaiting are last uses that wait to be noted.
	UsesWaiting int
}
