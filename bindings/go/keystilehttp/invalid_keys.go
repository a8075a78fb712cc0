package keystilehttp

import (
	"context"
	"hash/maphash"
	"net/netip"
	"sync"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

const (
	// invalidKeysPerMinute is the default limit on invalid keys from one address.
	invalidKeysPerMinute = 60
	// sources and slots are how many addresses are remembered, 16,384, in about 400 KiB, and
	// how many of them share a lock.
	buckets, slots = 2048, 8
	// lookupsMax is the number of look-ups at once for addresses over the limit, and lookupWait
	// how long one takes at most, waiting for its turn included.
	lookupsMax = 2
	lookupWait = 10 * time.Second
)

// invalidKeys limits invalid keys by the address that sent them. Only keys that are refused
// because they are not known count. A valid key passes from any address, however many invalid
// ones came from there: no one can lock an owner out.
//
// An IPv6 address counts as its /64, which is what one client is given. A new address replaces
// the one in its bucket that would be forgotten first.
type invalidKeys struct {
	limit   keystile.RateLimit
	seed    maphash.Seed
	buckets [buckets]bucket
	// turns are the look-ups that may run at once for addresses over the limit.
	turns chan struct{}
}

type bucket struct {
	mutex sync.Mutex
	slots [slots]slot
}

type slot struct {
	source netip.Addr
	state  keystile.RateState
}

func newInvalidKeys(limit keystile.RateLimit) *invalidKeys {
	return &invalidKeys{limit: limit, seed: maphash.MakeSeed(), turns: make(chan struct{}, lookupsMax)}
}

// count counts an invalid key. If the limit is reached, it returns how long until one more
// would be taken, and false.
func (l *invalidKeys) count(address netip.Addr, now time.Time) (time.Duration, bool) {
	source := sourceOf(address)
	own := l.bucket(source)
	own.mutex.Lock()
	defer own.mutex.Unlock()
	nearest := &own.slots[0]
	for at := range own.slots {
		if own.slots[at].source == source {
			nearest = &own.slots[at]
			break
		}
		if own.slots[at].state.FullAt().Before(nearest.state.FullAt()) {
			nearest = &own.slots[at]
		}
	}
	var state keystile.RateState
	if nearest.source == source {
		state = nearest.state
	}
	quota, isAdmitted, err := l.limit.Admit(&state, now)
	if err != nil || isAdmitted {
		*nearest = slot{source, state}
		return 0, true
	}
	wait, some := quota.RetryAfter()
	if !some {
		wait = l.limit.Window()
	}
	return wait, false
}

// isReached reports whether the limit is reached for an address.
func (l *invalidKeys) isReached(address netip.Addr, now time.Time) bool {
	source := sourceOf(address)
	own := l.bucket(source)
	own.mutex.Lock()
	defer own.mutex.Unlock()
	for _, known := range own.slots {
		if known.source == source {
			state := known.state
			_, isAdmitted, err := l.limit.Admit(&state, now)
			return err == nil && !isAdmitted
		}
	}
	return false
}

// inTurn runs a look-up as soon as fewer than two others run; it returns false if that takes too
// long. So an owner at the same address gets through, and invalid keys keep the store no busier
// than this.
func (l *invalidKeys) inTurn(ctx context.Context, lookup func(context.Context)) bool {
	ctx, cancel := context.WithTimeout(ctx, lookupWait)
	defer cancel()
	select {
	case l.turns <- struct{}{}:
		defer func() { <-l.turns }()
		lookup(ctx)
		return true
	case <-ctx.Done():
		return false
	}
}

func (l *invalidKeys) bucket(source netip.Addr) *bucket {
	bytes := source.As16()
	return &l.buckets[maphash.Bytes(l.seed, bytes[:])%buckets]
}

// sourceOf returns what counts as one source: an IPv4 address, or the first address of an IPv6
// network.
func sourceOf(address netip.Addr) netip.Addr {
	address = address.Unmap()
	if address.Is4() {
		return address
	}
	network, err := address.WithZone("").Prefix(64)
	if err != nil {
		return netip.Addr{}
	}
	return network.Addr()
}
