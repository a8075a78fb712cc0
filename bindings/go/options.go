package keystile

import (
	"log/slog"
	"time"
)

// Options configure an [Authenticator]. The zero value of a field selects its default.
type Options struct {
	// Capacity is the maximum number of cached records: 1 to 100,000,000; by default
	// 100,000.
	Capacity int
	// TTL is how long a record is used before it is fetched again: 1 ms to a day; by
	// default 300 s.
	TTL time.Duration
	// AbsentTTL is how long a key that the store does not know is refused without another
	// fetch: at most the TTL; by default 10 s. A negative value turns this off.
	AbsentTTL time.Duration
	// ClockSkew is by how much the clock may go back before an expired key could be
	// accepted again; by default 60 s. A negative value turns this off.
	ClockSkew time.Duration
	// StoreTimeout is how long a check waits for the store; by default 5 s. With a key whose
	// uses are counted in the store, it waits as long for its turn, and then as long again.
	StoreTimeout time.Duration
	// Fetches is the maximum number of concurrent fetches; further ones wait. By default
	// 64.
	Fetches int
	// FlushInterval is how often last uses are written, if the store is a [UseNoter]; by
	// default every 5 s. If it is a [UsageStore], what was spent of rate limits is written
	// each second, or as often as last uses if that is more often.
	FlushInterval time.Duration
	// PollInterval is how often changes by other processes are fetched, if the store is an
	// [EventSource]; by default every second, or four times within the RevocationBound if
	// that is more often. A [ChangeListener] is polled as well. A negative value turns this off.
	PollInterval time.Duration
	// RevocationBound is how long cached records are used if the changes by other processes
	// cannot be read: 1 s to a day, and at least twice the PollInterval; by default 60 s.
	// After that, each record is read again, and if the store does not answer, one request
	// at a time tries it and all others are refused at once.
	//
	// No request that is sent later than this after a revocation was committed is allowed
	// by its key, even if this process is cut off from the store, or was suspended. This
	// holds if the records and the changes are read from the server that commits, if that
	// server loses no commit, and if ServeStale is not set. Without an [EventSource] that is
	// polled there is no such bound, but the TTL.
	RevocationBound time.Duration
	// ServeStale is how long cached records are used instead of the RevocationBound, which
	// is shorter; at most a day. A revoked key may be accepted for as long. By default there
	// is no such time.
	ServeStale time.Duration
	// Limits are where rate limits are counted for all processes of the service. By default each
	// process counts for itself. Keys with counted uses are counted in the store in any case.
	Limits Limits
	// Leases are how tokens are taken of the Limits.
	Leases Leases
	// LimitsTimeout is how long a request waits for the Limits, by default 1 s. While they do not
	// answer, one request at a time waits for them and the others do not.
	LimitsTimeout time.Duration
	// Wake notifies the processes of a service of changes, beside what the store does: this one's
	// are notified to the others, and those of others are read at once. It needs an [EventSource]
	// that is polled. By default there is none.
	Wake Wake
	// Lifetimes is how long keys may live that the methods of the authenticator issue, derive,
	// rotate and change.
	Lifetimes LifetimePolicy
	// Clock returns the current time; by default [time.Now].
	Clock func() time.Time
	// Logger logs failures in the background; by default nothing is logged. Logs never
	// contain any part of a key.
	Logger *slog.Logger
	// leaseClock is the clock of the RevocationBound in tests, in nanoseconds.
	leaseClock func() uint64
}

// Stats are counters of an authenticator.
type Stats struct {
	// Entries is the number of cached records.
	Entries uint64
	// Fetches counts checks that needed a record, Shared those of them that joined another
	// fetch, and Overtaken those that an invalidation overtook.
	Fetches, Shared, Overtaken uint64
	// Evictions counts records that were evicted to make room.
	Evictions uint64
	// Invalidations counts invalidations of ids, owners and everything.
	Invalidations uint64
	// AbsentHits counts checks that were refused because the store recently did not know
	// the key.
	AbsentHits uint64
	// UsesLost counts uses that were not drained in time, and UsesDropped those that did
	// not fit in the queue.
	UsesLost, UsesDropped uint64
	// UsesWaiting is the number of last uses that are not yet written.
	UsesWaiting int
	// VersionsLost counts written versions that were forgotten before the TTL was over,
	// because there were more than 65,536; see [Authenticator.InvalidateAt].
	VersionsLost uint64
	// RevocationBound is that of the options; 0 if changes by other processes are not
	// followed.
	RevocationBound time.Duration
	// LeaseAge is how long ago the last read of changes was sent that found no further one:
	// what was committed before it is in force. Cached records are used while this is at
	// most the RevocationBound.
	LeaseAge time.Duration
	// BoundExceeded reports whether the LeaseAge is beyond the RevocationBound.
	BoundExceeded bool
	// Revalidated counts requests beyond the bound whose records were read again,
	// RefusedBeyondBound those that were refused at once because the store did not answer,
	// and ServedStale those that cached records could decide.
	Revalidated, RefusedBeyondBound, ServedStale uint64
	// LimitsAsked counts calls of the [Options.Limits] for tokens, and LimitsFailed those that
	// failed.
	LimitsAsked, LimitsFailed uint64
	// TokensTaken counts tokens that were taken of them, TokensReturned those of them that were
	// not used and were to be given back, and TokensLost those for which there was no room.
	TokensTaken, TokensReturned, TokensLost uint64
	// RefusedFromMemory counts checks that were refused by what the Limits had answered shortly
	// before, and Degraded those that were decided while tokens could not be taken.
	RefusedFromMemory, Degraded uint64
}
