package keystile

import (
	"context"
	"errors"
	"fmt"
	"math"
	"sync/atomic"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Limits of [Options.RevocationBound] and defaults.
const (
	boundMin     = time.Second
	boundMax     = 24 * time.Hour
	boundDefault = time.Minute
	pollDefault  = time.Second
	// patience is after which time an unanswered call is a sign that the store is away.
	patience = 250 * time.Millisecond
	// answeredBit is set in lease.asked if the store has answered.
	answeredBit = 1
)

var errBoundExceeded = errors.New("keystile: changes were not read within the revocation bound, and the store does not answer")

// lease is how long memory may answer after the changes by other processes were read.
//
// It begins before the read is sent that finds no further change, and is renewed after the
// changes that it found were put in force. So if a revocation was committed before a lease
// began, it is in force under that lease; if it was committed later, the lease ends at most
// the bound after it. No clock is compared with another machine's.
//
// A nil lease never ends: the store has no events, or they are not followed.
type lease struct {
	// bound is the revocation bound, and usable for how long cached records are used; in
	// nanoseconds, as all readings of the clock.
	bound, usable uint64
	// clock is nil but in tests.
	clock func() uint64
	// begun is the reading from before the last read that found no further change.
	begun atomic.Uint64
	// readingSince is when the read that is under way was sent; 0 if there is none.
	readingSince atomic.Uint64
	// failing reports whether the last read has failed.
	failing atomic.Bool
	// asked is the start of a lease that has ended, doubled, and whether the store answered
	// the last request that asked it since; 0 if none has asked it.
	asked   atomic.Uint64
	probing atomic.Bool
	// wanted asks for a read before it is due.
	wanted                            chan struct{}
	servedStale, revalidated, refused atomic.Uint64
}

// newLease returns a lease that begins now, and how often changes are read. It is nil if
// they are not.
func newLease(options *Options, followed bool) (*lease, time.Duration, error) {
	if !followed {
		if options.RevocationBound != 0 || options.ServeStale != 0 {
			return nil, 0, fmt.Errorf("%w: RevocationBound and ServeStale need an EventSource that is polled", ErrLimit)
		}
		return nil, 0, nil
	}
	bound := orDefault(options.RevocationBound, boundDefault)
	every := orDefault(options.PollInterval, min(pollDefault, bound/4))
	stale := options.ServeStale
	switch {
	case bound < boundMin || bound > boundMax:
		return nil, 0, fmt.Errorf("%w: RevocationBound must be 1 s to a day", ErrLimit)
	case every > bound/2:
		return nil, 0, fmt.Errorf("%w: RevocationBound must be at least twice PollInterval", ErrLimit)
	case stale != 0 && (stale <= bound || stale > boundMax):
		return nil, 0, fmt.Errorf("%w: ServeStale must be longer than RevocationBound, and at most a day", ErrLimit)
	}
	own := &lease{
		bound:  uint64(bound),
		usable: uint64(max(bound, stale)),
		clock:  options.leaseClock,
		wanted: make(chan struct{}, 1),
	}
	own.begun.Store(own.now())
	return own, every, nil
}

func (l *lease) now() uint64 {
	if l.clock != nil {
		return l.clock()
	}
	return capi.BootNanos()
}

// window returns what the keyring compares the clock with before it reads its cache; a span
// of 0 is no limit.
func (l *lease) window() capi.Window {
	if l == nil {
		return capi.Window{}
	}
	return l.windowOf(l.bound)
}

func (l *lease) windowOf(span uint64) capi.Window {
	window := capi.Window{Begun: l.begun.Load(), Span: span}
	if l.clock != nil {
		// The keyring's clock is not the test's.
		if now := l.clock(); now >= window.Begun && now-window.Begun <= span {
			return capi.Window{}
		}
		return capi.Window{Begun: math.MaxUint64, Span: span}
	}
	return window
}

// earliestFetch returns the earliest start of a fetch that may decide a request which
// arrived at this reading: a fetch is a read of the store as that of the changes is.
func (l *lease) earliestFetch(arrived uint64) uint64 {
	return arrived - min(arrived, l.bound)
}

// reads notes that a read of changes is about to be sent; it returns when.
func (l *lease) reads() uint64 {
	sent := l.now()
	l.readingSince.Store(sent)
	return sent
}

// renew renews the lease, after everything was put in force that a read sent at this
// reading has found.
func (l *lease) renew(sent uint64) {
	l.begun.Store(sent)
	l.hasRead(true)
}

// hasRead notes that no read of changes is under way, and whether the last one succeeded.
func (l *lease) hasRead(ok bool) {
	l.readingSince.Store(0)
	l.failing.Store(!ok)
}

// requestRead asks for a read of changes before it is due.
func (l *lease) requestRead() {
	select {
	case l.wanted <- struct{}{}:
	default:
	}
}

// requested returns what a poll waits for beside its interval. While reads fail, requests
// do not make them more frequent.
func (l *lease) requested() <-chan struct{} {
	if l.failing.Load() {
		return nil
	}
	return l.wanted
}

// turn is the permission of a request to ask the store.
type turn struct {
	begun uint64
	probe bool
}

// turn returns a permission to ask the store though the lease has ended. There is none if
// the store seems to be away, and another request is trying it.
func (l *lease) turn() (turn, bool) {
	begun, asked := l.begun.Load(), l.asked.Load()
	answers := asked&answeredBit != 0
	if asked == 0 || asked>>1 != begun {
		// None has asked it under this lease: by the reads of changes.
		since := l.readingSince.Load()
		late := since != 0 && l.now()-since >= uint64(patience)
		answers = !l.failing.Load() && !late
	}
	if !answers && l.probing.Swap(true) {
		l.refused.Add(1)
		return turn{}, false
	}
	l.revalidated.Add(1)
	return turn{begun, !answers}, true
}

// answered notes whether the store has answered.
func (l *lease) answered(turn turn, answered bool) {
	asked := turn.begun << 1
	if answered {
		asked |= answeredBit
	}
	l.asked.Store(asked)
}

// ends lets another request try the store.
func (l *lease) ends(turn turn) {
	if turn.probe {
		l.probing.Store(false)
	}
}

// addTo fills in the fields of the lease.
func (l *lease) addTo(stats *Stats) {
	if l == nil {
		return
	}
	begun, now := l.begun.Load(), l.now()
	age := now - min(now, begun)
	stats.RevocationBound = time.Duration(l.bound)
	stats.LeaseAge = time.Duration(min(age, math.MaxInt64))
	stats.BoundExceeded = age > l.bound
	stats.Revalidated = l.revalidated.Load()
	stats.RefusedBeyondBound = l.refused.Load()
	stats.ServedStale = l.servedStale.Load()
}

// revalidate decides by a record that is read for this request, because what is cached may
// be too old.
func (a *Authenticator) revalidate(ctx context.Context, key string, request Request, now uint64) (Decision, error) {
	earliest := a.lease.earliestFetch(a.lease.now())
	asOf := a.ring.Stats().Invalidations
	if _, err := a.verifier.Lookup(key); err != nil {
		return Refuse(CauseMalformed), nil
	}
	a.lease.requestRead()
	turn, permitted := a.lease.turn()
	if !permitted {
		return Refuse(CauseStoreUnavailable), unavailable(errBoundExceeded)
	}
	defer a.lease.ends(turn)
	decision, err := a.fetchAndAdmit(ctx, key, request, now, asOf, earliest, capi.NeedsRecord)
	// A request that was cancelled has learned nothing.
	if ctx.Err() == nil {
		answered := err == nil || errors.Is(err, ErrStale) || errors.Is(err, ErrCorrupt)
		a.lease.answered(turn, answered)
	}
	return decision, err
}
