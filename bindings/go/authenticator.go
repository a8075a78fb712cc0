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
)

// roundsMax is how often a check fetches before it gives up on invalidations that overtake
// it, and roundPause the time between the later rounds: a replica may lag behind.
const (
	roundsMax  = 8
	roundPause = 5 * time.Millisecond
	// absentTTL is the default for how long a key that the store did not know is refused.
	absentTTL = 10 * time.Second
)

// Authenticator decides about requests by records that it keeps, and fetches those that it has
// not. Any number of goroutines may call any of its methods at once.
//
//   - It keeps records, never decisions: state, expiry, endpoint, permission and limit are
//     judged on each check. A check of a key whose record is kept takes no lock and
//     allocates nothing.
//   - Requests that wait for the same key share one fetch. One that goes away does not fail
//     the others.
//   - What is kept and has not run out is answered while the store is down. All else is
//     then refused, with [ErrStoreUnavailable].
//   - Once [Authenticator.Invalidate] or one of the verbs has returned, no check that begins later
//     goes by an older record. What other processes change is in force within about a
//     second where the store is a [EventSource], and when the TTL is over at the latest.
//   - Rate limits are kept by each process for itself. Counted uses are spent in the store
//     where it is a [UsageStore], and else by each process for itself too.
//
// Call [Authenticator.Close] to note the last uses and to end its background work. An authenticator
// that is dropped without it loses the uses not yet noted, and nothing else.
type Authenticator struct{ *parts }

// parts are what the background work needs; it must not hold the Authenticator itself, or that
// would never be let go of.
type parts struct {
	ring      *capi.Keyring
	verifier  *Verifier
	store     RecordFinder
	usage     UsageStore
	noter     UseNoter
	ledger    Store
	clock     func() time.Time
	log       *slog.Logger
	timeout   time.Duration
	flights   *flights
	directory *directory
	uses      uses
	care      *aftercare
	closed    atomic.Bool
	stop      context.CancelFunc
	stopped   context.Context
	running   sync.WaitGroup
}

// NewAuthenticator is an authenticator for the keys that a verifier accepts, over a store. A [Store] is
// the most that the store can be; [RecordFinder] alone is enough to check keys.
func NewAuthenticator(store RecordFinder, verifier *Verifier, options Options) (*Authenticator, error) {
	if store == nil || verifier == nil {
		return nil, errors.New("keystile: an authenticator needs a store and a verifier")
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
	if options.AbsentTTL == 0 && options.TTL > 0 && options.TTL < absentTTL {
		// The default, as long as the TTL has room for it.
		asked.AbsentTTLMillis = asked.TTLMillis
	}
	ring, status := capi.NewKeyring(verifier.verifier, &asked)
	if err := failure(status); err != nil {
		return nil, err
	}
	capacity := orDefault(options.Capacity, 100_000)
	shared := &parts{
		ring:     ring,
		verifier: verifier,
		store:    store,
		clock:    options.Clock,
		log:      options.Logger,
		timeout:  orDefault(options.StoreTimeout, 5*time.Second),
	}
	if shared.clock == nil {
		shared.clock = time.Now
	}
	if shared.log == nil {
		shared.log = slog.New(slog.DiscardHandler)
	}
	shared.usage, _ = store.(UsageStore)
	shared.noter, _ = store.(UseNoter)
	shared.ledger, _ = store.(Store)
	shared.stopped, shared.stop = context.WithCancel(context.Background())
	shared.flights = newFlights(shared, orDefault(options.Fetches, 64))
	shared.directory = newDirectory(capacity)
	shared.uses.most = capacity
	shared.care = newAftercare()
	if shared.noter != nil {
		shared.run(func() { shared.noteUses(orDefault(options.FlushInterval, 5*time.Second)) })
	}
	if shared.ledger != nil {
		shared.run(shared.lookAfterAll)
	}
	if feed, follows := store.(EventSource); follows && options.PollInterval >= 0 {
		shared.run(func() { shared.follow(feed, orDefault(options.PollInterval, time.Second)) })
	}
	authenticator := &Authenticator{shared}
	runtime.AddCleanup(authenticator, func(shared *parts) {
		shared.closed.Store(true)
		shared.stop()
	}, shared)
	return authenticator, nil
}

// Check decides about a presented key, and fetches its record where that is not kept. The
// key is whatever was presented, of any length and content.
//
// The decision alone says whether the request may go on. With an error it refuses too: the
// error says why no key was judged, as [ErrStoreUnavailable], joined with the store's own
// or the context's.
func (k *Authenticator) Check(ctx context.Context, key string, request Request) (Decision, error) {
	var decision Decision
	if k.closed.Load() {
		return Refuse(CauseStoreUnavailable), unavailable(ErrClosed)
	}
	if request.Requirement.isUninitialized() {
		return Refuse(CausePermission), ErrPermission
	}
	now := uint64(k.clock().UnixMilli())
	asked := request.raw()
	decision.requirement = request.Requirement
	asOf, status := k.ring.Check(key, &asked, now, &decision.raw)
	decision.status = status
	if status == capi.OK {
		if decision.NeedsRehash() || decision.raw.EndsOverlapOf != (capi.ID{}) {
			k.lookAfter(&decision, key)
		}
		return decision, nil
	}
	if status == capi.NeedsRecord {
		return k.fetchAndAdmit(ctx, key, request, now, asOf)
	}
	return decision.orMisuse()
}

// fetchAndAdmit is the way of a key whose record is not kept.
func (k *Authenticator) fetchAndAdmit(ctx context.Context, key string, request Request, now, asOf uint64) (Decision, error) {
	defer runtime.KeepAlive(k)
	lookup, err := k.verifier.LookUp(key)
	if err != nil {
		return Refuse(CauseMalformed), nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	asked := request.raw()
	for round := range roundsMax {
		if round > 1 && !pause(ctx, roundPause) {
			return Refuse(CauseStoreUnavailable), unavailable(ctx.Err())
		}
		landed, err := k.flights.fetch(ctx, lookup, asOf, round > 0)
		if err != nil {
			return Refuse(CauseStoreUnavailable), unavailable(err)
		}
		if landed.record != nil && landed.record.RemainingUses != nil && k.usage != nil {
			decision, proved, err := k.checkCounted(ctx, key, request, lookup, landed.record, now)
			if err != nil {
				return Refuse(CauseStoreUnavailable), unavailable(err)
			}
			if !decision.Allowed() && landed.asOf < asOf && round == 0 {
				// Refused by a fetch that began before something was invalidated.
				continue
			}
			if proved {
				return decision, nil
			}
		}
		if landed.record != nil {
			// Before it is admitted: whoever goes by it finds it here.
			k.directory.keep(landed.record)
		}
		decision := Decision{requirement: request.Requirement}
		// Who joined a fetch answers for what was invalidated since that began, which was
		// before its own ticket.
		asOf, decision.status = k.ring.Admit(min(asOf, landed.asOf), key, &asked, landed.own, now, &decision.raw)
		if decision.status == capi.NeedsRecord {
			continue
		}
		if decision.Allowed() && (decision.NeedsRehash() || !decision.EndsOverlapOf().IsZero()) {
			k.lookAfter(&decision, key)
		}
		return decision.orMisuse()
	}
	return Refuse(CauseStoreUnavailable), unavailable(ErrStale)
}

// checkCounted judges a key whose uses are counted by what the store has spent of them.
// Where its secret is not proved, the authenticator is to remember that.
func (k *Authenticator) checkCounted(ctx context.Context, key string, request Request, lookup Lookup, record *Record, now uint64) (decision Decision, proved bool, err error) {
	at := timeOf(now)
	for range triesMax {
		if record == nil {
			return Decision{}, false, nil
		}
		usage, err := k.usage.Usage(ctx, record.lineage())
		if err != nil {
			return Decision{}, false, err
		}
		before := usage
		if decision, err = k.verifier.Verify(key, record, request, &usage, at); err != nil {
			return Decision{}, false, err
		}
		if !decision.Allowed() {
			return decision, !decision.KeyID().IsZero(), nil
		}
		spent, err := k.usage.Spend(ctx, SpendRequestOf(record, before, usage))
		if err != nil {
			return Decision{}, false, err
		}
		if spent {
			k.directory.keep(record)
			k.uses.note(Use{KeyID: record.ID, Lineage: record.lineage(), LastUsedAt: at, Count: 1})
			if decision.NeedsRehash() || !decision.EndsOverlapOf().IsZero() {
				k.lookAfter(&decision, key)
			}
			return decision, true, nil
		}
		// Somebody else was faster: all is read and judged anew.
		if record, err = k.store.Find(ctx, lookup); err != nil {
			return Decision{}, false, err
		}
	}
	return Decision{}, false, ErrStale
}

// Record is the record of a key that a decision allowed, for whoever may know whose key it
// was: the one that is kept, else the store's. Its last use, and the uses that are left, are
// as they were when it was read.
func (k *Authenticator) Record(ctx context.Context, id KeyID) (*Record, error) {
	if id.IsZero() {
		return nil, ErrNotFound
	}
	if record := k.directory.find(id); record != nil {
		return record, nil
	}
	ctx, cancel := context.WithTimeout(ctx, k.timeout)
	defer cancel()
	record, err := k.store.Find(ctx, Lookup{KeyID: id})
	if err != nil {
		return nil, unavailable(err)
	}
	if record == nil {
		return nil, ErrNotFound
	}
	k.directory.keep(record)
	return record, nil
}

// Invalidate voids what is kept of a key, and fetches of it that are under way. Call it
// after each change that the store has accepted, and after issuing; the verbs of the
// authenticator do so themselves.
func (k *Authenticator) Invalidate(id KeyID) {
	k.directory.forget(id)
	k.ring.Invalidate(&id.id)
}

// InvalidateOwner voids what is kept of all keys of an owner, at once.
func (k *Authenticator) InvalidateOwner(owner string) {
	k.directory.forgetAll()
	k.ring.InvalidateOwner(owner)
}

// InvalidateAll voids all that is kept, at once.
func (k *Authenticator) InvalidateAll() {
	k.directory.forgetAll()
	k.ring.InvalidateAll()
}

// Reset voids all that is kept, and forgets which versions were seen: for a store that was
// put back from a backup, whose records are older than those that were kept. They would else be
// taken for those of a replica that lags, and each check refused. A revocation that the backup
// does not have is forgotten with the rest.
//
// An authenticator that follows a [EventSource] sees for itself that its events became fewer.
func (k *Authenticator) Reset() {
	k.directory.forgetAll()
	k.ring.Reset()
}

// Stats is what was done so far.
func (k *Authenticator) Stats() Stats {
	ring := k.ring.Stats()
	waiting, dropped := k.uses.stats()
	return Stats{ring.Entries, ring.Fetches, k.flights.stats(), ring.Overtaken, ring.Evictions, ring.Invalidations,
		ring.AbsentHits, ring.UsesLost, dropped, waiting}
}

// Close ends the background work, waits for it, and notes the last uses, as long as the
// context lasts. From now on each check is refused, since nobody hears of changes any more.
// It may be called again, and then notes what could not be noted before.
func (k *Authenticator) Close(ctx context.Context) error {
	k.closed.Store(true)
	k.stop()
	ended := make(chan struct{})
	go func() {
		k.running.Wait()
		close(ended)
	}()
	select {
	case <-ended:
	case <-ctx.Done():
		return ctx.Err()
	}
	if k.noter == nil {
		return nil
	}
	return k.flushUses(ctx)
}

// Format shows nothing of what the authenticator holds.
func (k *Authenticator) Format(state fmt.State, _ rune) {
	_, _ = state.Write([]byte("keystile.Authenticator"))
}

func (p *parts) run(work func()) {
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		work()
	}()
}

// unavailable is the error of a check for which no key was judged.
func unavailable(reason error) error { return errors.Join(ErrStoreUnavailable, reason) }

// pause waits, and says whether the context lasted.
func pause(ctx context.Context, span time.Duration) bool {
	timer := time.NewTimer(span)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

func orDefault[T comparable](value, otherwise T) T {
	var zero T
	if value == zero {
		return otherwise
	}
	return value
}

// orZeroMillis is a span for the library: 0 is its default, and a negative one none at all.
func orZeroMillis(span time.Duration) uint64 {
	if span < 0 {
		return capi.ZeroMillis
	}
	return orDefaultMillis(span)
}

// orDefaultMillis is a span for the library, where 0 is its default: what is shorter than a
// millisecond never becomes that.
func orDefaultMillis(span time.Duration) uint64 {
	if span > 0 && span < time.Millisecond {
		return math.MaxUint64 - 1
	}
	return spanMillis(span)
}
