package keystile

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"runtime"
	"sync"
	"sync/atomic"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
	"github.com/keystile/keystile/bindings/go/internal/oneline"
)

// roundsMax is the maximum number of fetches of a check that invalidations overtake, and
// roundPause the time between the later ones, because a replica may lag.
const (
	roundsMax  = 8
	roundPause = 5 * time.Millisecond
	// panicPause is the time before background work that panicked begins again.
	panicPause = time.Second
)

// Authenticator decides about requests by cached records, and fetches those that it does
// not have. Any number of goroutines may call its methods at once.
//
//   - It caches records, never decisions: each check evaluates state, expiry, endpoint,
//     permission and limit. A check with a cached record takes no lock and allocates
//     nothing.
//   - Requests that wait for the same key share one fetch. A request that is cancelled does
//     not fail the others.
//   - While the store is down, requests with a cached record are still answered, for as long
//     as [Options.RevocationBound] allows. All others are refused, with
//     [ErrStoreUnavailable].
//   - If the row of a key is damaged, its requests are refused, with [ErrRecordDamaged].
//   - After [Authenticator.Invalidate] or a method that changes keys has returned, no later
//     check uses an older record. Changes by other processes are in force within about a
//     second if they write an event and the store is an [EventSource]: no request that is
//     sent later than the RevocationBound after a change is decided without it, even if
//     this process is cut off. Without an EventSource they are in force when the TTL has
//     passed. The tables of SQLite and PostgreSQL write an event for any program. If the store
//     is a [ChangeListener] too, changes are in force as soon as the database has told it.
//     A record that is older than such a change is not accepted, not even from a replica
//     that lags.
//   - Each process applies rate limits separately: with n processes a key passes at most n
//     times its limit, unless [Options.Limits] count them in one place. Counted uses are spent in the store if it is a [UsageStore],
//     otherwise by each process separately.
//   - Rate limits survive a restart if the store is a [UsageStore]. What is spent is
//     recorded each second, except for limits that are free again within two seconds, and
//     is read with the record.
//
// Call [Authenticator.Close] to write the last uses and what was spent, and to end the
// background work. An authenticator that is not closed loses the uses that are not yet
// written, and gives away what was spent of rate limits in the last second.
type Authenticator struct{ *parts }

// parts are what the background work needs. They must not refer to the Authenticator
// itself, which would then never be collected.
type parts struct {
	ring      *capi.Keyring
	verifier  *Verifier
	finder    RecordFinder
	usage     UsageStore
	noter     UseNoter
	store     Store
	clock     func() time.Time
	lifetimes LifetimePolicy
	log       *slog.Logger
	timeout   time.Duration
	fetches   *group
	claims    *claims
	lease     *lease
	// tokens are nil if this process counts rate limits itself. leasesTokens is whether several
	// are taken at once.
	tokens       *tokenCalls
	leasesTokens bool
	leases       Leases
	uses         uses
	noted        noted
	maintenance  *maintenance
	closed       atomic.Bool
	position     position
	// others notifies the other processes of changes; nil if nothing does.
	others Wake
	// changed is told that there are changes to read.
	changed chan struct{}
	stop    context.CancelFunc
	stopped context.Context
	running sync.WaitGroup
}

// NewAuthenticator returns an authenticator for the keys that a verifier accepts, over a
// store. To check keys, the store need only be a [RecordFinder]; a [Store] enables all
// methods.
func NewAuthenticator(store RecordFinder, verifier *Verifier, options Options) (*Authenticator, error) {
	if store == nil {
		return nil, errors.New("keystile: the store must not be nil")
	}
	if verifier.isUninitialized() {
		return nil, uninitialized("Verifier")
	}
	asked := capi.KeyringOptions{
		TTLMillis:       orDefaultMillis(options.TTL),
		AbsentTTLMillis: orZeroMillis(options.AbsentTTL),
		ClockSkewMillis: orZeroMillis(options.ClockSkew),
	}
	if options.Capacity < 0 {
		return nil, ErrLimit
	}
	asked.Capacity = uint64(options.Capacity)
	if err := options.shareLimits(&asked); err != nil {
		return nil, err
	}
	ring, status := capi.NewKeyring(verifier.verifier, &asked)
	if err := failure(status); err != nil {
		return nil, err
	}
	if err := options.Lifetimes.Check(); err != nil {
		return nil, err
	}
	feed, follows := store.(EventSource)
	follows = follows && options.PollInterval >= 0
	if options.Wake != nil && !follows {
		return nil, fmt.Errorf("%w: Wake needs an EventSource that is polled", ErrLimit)
	}
	lease, pollInterval, err := newLease(&options, follows)
	if err != nil {
		return nil, err
	}
	capacity := orDefault(options.Capacity, 100_000)
	shared := &parts{
		ring:     ring,
		verifier: verifier,
		finder:   store,
		clock:    options.Clock,
		log:      options.Logger,
		timeout:  orDefault(options.StoreTimeout, 5*time.Second),
		lease:    lease,

		lifetimes: options.Lifetimes,
		others:    options.Wake,
		changed:   make(chan struct{}, 1),
	}
	if shared.clock == nil {
		shared.clock = time.Now
	}
	if shared.log == nil {
		shared.log = slog.New(slog.DiscardHandler)
	}
	shared.usage, _ = store.(UsageStore)
	shared.noter, _ = store.(UseNoter)
	shared.store, _ = store.(Store)
	shared.stopped, shared.stop = context.WithCancel(context.Background())
	shared.fetches = newGroup(shared, orDefault(options.Fetches, 64))
	shared.claims = newClaims()
	if options.Limits != nil {
		shared.tokens = newTokenCalls(options.Limits, orDefault(options.LimitsTimeout, limitsTimeoutDefault), options.Leases.within())
		shared.leases, shared.leasesTokens = options.Leases, options.Leases.usable() > 0
		shared.run(func() { shared.returnTokens(orDefault(options.Leases.Length, leaseLengthDefault)) })
	}
	shared.uses.most = capacity
	shared.maintenance = newMaintenance()
	if shared.noter != nil || shared.usage != nil {
		shared.run(func() { shared.noteUses(orDefault(options.FlushInterval, 5*time.Second)) })
	}
	if shared.store != nil {
		shared.run(shared.maintain)
	}
	if follows {
		shared.run(func() { shared.follow(feed, pollInterval) })
		if listener, listens := store.(ChangeListener); listens {
			shared.run(func() { shared.listen(listener.Listen) })
		}
		if options.Wake != nil {
			shared.run(func() { shared.listen(options.Wake.Listen) })
		}
	}
	authenticator := &Authenticator{shared}
	runtime.AddCleanup(authenticator, func(shared *parts) {
		shared.closed.Store(true)
		shared.stop()
	}, shared)
	return authenticator, nil
}

// Verifier returns the verifier whose keys it accepts.
func (a *Authenticator) Verifier() *Verifier {
	if a.isUninitialized() {
		return nil
	}
	return a.verifier
}

// isUninitialized reports whether it was not made by [NewAuthenticator]. It then refuses all.
func (a *Authenticator) isUninitialized() bool { return a == nil || a.parts == nil }

// Check decides about a presented key, and fetches its record if it is not cached. The key
// may have any length and content.
//
// Only the decision says whether the request may go on. It also refuses if there is an
// error, which says why no decision about the key was made: for example
// [ErrStoreUnavailable], joined with the error of the store or of the context, or
// [ErrRecordDamaged], joined with the [CorruptRow].
func (a *Authenticator) Check(ctx context.Context, key string, request Request) (Decision, error) {
	if a.isUninitialized() {
		return Refuse(CauseStoreUnavailable), uninitialized("Authenticator")
	}
	var decision Decision
	if a.closed.Load() {
		return Refuse(CauseStoreUnavailable), unavailable(ErrClosed)
	}
	if request.Requirement.isUninitialized() {
		return Refuse(CausePermission), ErrPermission
	}
	now, asOf, status := a.checkCached(key, &request, &decision)
	switch status {
	case capi.OK:
		return decision, nil
	case capi.LeaseEnded:
		return a.revalidate(ctx, key, request, now)
	case capi.NeedsRecord, capi.NeedsTokens:
		return a.fetchAndAdmit(ctx, key, request, now, asOf, 0, status)
	default:
		return decision.orMisuse()
	}
}

// TryCheck decides about a presented key by what is cached: it neither waits nor asks the
// store. If it reports false, only [Authenticator.Check] can decide, and the decision refuses.
func (a *Authenticator) TryCheck(key string, request Request) (Decision, bool) {
	var decision Decision
	if a.isUninitialized() || a.closed.Load() || request.Requirement.isUninitialized() {
		return Refuse(CauseStoreUnavailable), false
	}
	_, _, status := a.checkCached(key, &request, &decision)
	if status != capi.OK && !status.IsRefusal() {
		return Refuse(CauseStoreUnavailable), false
	}
	return decision, true
}

// checkCached decides by what is cached, within the lease. The status may also be LeaseEnded,
// NeedsRecord or NeedsTokens.
func (a *Authenticator) checkCached(key string, request *Request, decision *Decision) (now, asOf uint64, status capi.Status) {
	now = uint64(a.clock().UnixMilli())
	asked := request.raw()
	decision.requirement = request.Requirement
	asOf, status = a.ring.Check(key, &asked, now, a.lease.window(), &decision.raw)
	if status == capi.LeaseEnded && a.lease.usable > a.lease.bound {
		asOf, status = a.ring.Check(key, &asked, now, a.lease.windowOf(a.lease.usable), &decision.raw)
		if status != capi.LeaseEnded {
			a.lease.servedStale.Add(1)
		}
	}
	decision.status = status
	if status == capi.OK && (decision.NeedsRehash() || decision.raw.EndsOverlapOf != (capi.ID{})) {
		a.schedule(decision, key, nil)
	}
	return now, asOf, status
}

// Record returns the record of a key that a decision allowed: the cached one, otherwise the
// store's. Its last use and remaining uses are as they were when it was read. That of a key
// whose uses are counted in the store is read at each call.
func (a *Authenticator) Record(ctx context.Context, id KeyID) (*Record, error) {
	if a.isUninitialized() {
		return nil, uninitialized("Authenticator")
	}
	if id.IsZero() {
		return nil, ErrNotFound
	}
	if record, cached := a.ring.Value(&id.id, millisOf(a.clock())).(*Record); cached {
		return record, nil
	}
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	record, err := found(a.finder.Find(ctx, Lookup{KeyID: id}))
	if err != nil {
		_, err = unreadable(err)
		return nil, err
	}
	if record == nil {
		return nil, ErrNotFound
	}
	return record, nil
}

// Stats returns the counters so far.
func (a *Authenticator) Stats() Stats {
	if a.isUninitialized() {
		return Stats{}
	}
	ring := a.ring.Stats()
	waiting, dropped := a.uses.stats()
	stats := Stats{
		Entries: ring.Entries, Fetches: ring.Fetches, Shared: a.fetches.stats(), Overtaken: ring.Overtaken,
		Evictions: ring.Evictions, Invalidations: ring.Invalidations, AbsentHits: ring.AbsentHits,
		UsesLost: ring.UsesLost, UsesDropped: dropped, UsesWaiting: waiting, VersionsLost: ring.VersionsLost,
	}
	if a.tokens != nil {
		stats.LimitsAsked, stats.LimitsFailed = a.tokens.asked.Load(), a.tokens.failed.Load()
		stats.TokensTaken, stats.TokensReturned, stats.TokensLost = ring.TokensTaken, ring.TokensReturned, ring.TokensLost
		stats.RefusedFromMemory, stats.Degraded = ring.RefusedFromMemory, ring.Degraded
	}
	a.lease.addTo(&stats)
	return stats
}

// Close ends the background work, waits for it, gives back the tokens of [Options.Limits] that
// are left, and writes the last uses and what was spent of rate limits, unless the context ends first. From now on each check is refused, because
// changes are no longer followed. Call it again to write what could not be written before.
//
// If the context has ended already, as that of a service that was told to stop has, Close
// writes all the same, and takes at most the [Options.StoreTimeout] for it.
func (a *Authenticator) Close(ctx context.Context) error {
	if a.isUninitialized() {
		return uninitialized("Authenticator")
	}
	if ctx.Err() != nil {
		own, cancel := context.WithTimeout(context.WithoutCancel(ctx), a.timeout)
		defer cancel()
		ctx = own
	}
	a.closed.Store(true)
	a.stop()
	ended := make(chan struct{})
	go func() {
		a.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	if a.tokens != nil {
		a.giveBackTokens(ctx, 0)
	}
	return a.flush(ctx, flushRest)
}

// Format shows nothing of what the authenticator holds.
func (a *Authenticator) Format(state fmt.State, _ rune) {
	_, _ = state.Write([]byte("keystile.Authenticator"))
}

// unavailable returns the error of a check that made no decision about a key.
func unavailable(reason error) error {
	if errors.Is(reason, ErrStoreUnavailable) {
		return reason
	}
	return oneline.Join(ErrStoreUnavailable, reason)
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// orZeroMillis returns a duration for the library: 0 for the default, and none for a
// negative one.
func orZeroMillis(span time.Duration) uint64 {
	if span < 0 {
		return capi.DurationNone
	}
	return orDefaultMillis(span)
}

// orDefaultMillis returns a duration for the library, for which 0 means the default. A
// duration below a millisecond is out of range, and must not become 0.
func orDefaultMillis(span time.Duration) uint64 {
	if span > 0 && span < time.Millisecond {
		return math.MaxUint64 - 1
	}
	return spanMillis(span)
}
