package keystile

import (
	"context"
	"sync"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// flights are the fetches in progress: one for all requests that wait for the same key.
//
// Each fetch has its own goroutine: if the request that started it is cancelled, the others
// still get their answer. The number of concurrent fetches is limited.
type flights struct {
	parts  *parts
	places chan struct{}
	mutex  sync.Mutex
	open   map[sought]*flight
	// shared counts the requests that joined the fetch of another one.
	shared uint64
}

// sought is what is fetched. The first digest identifies the text of an opaque key.
type sought struct {
	id     KeyID
	digest Digest
}

// flight is a fetch; landed and err are valid after done is closed.
type flight struct {
	asOf   uint64
	done   chan struct{}
	landed landed
	err    error
}

// landed is the result of a fetch, and the number of invalidations before it began.
type landed struct {
	asOf   uint64
	record *Record
	own    *capi.Record
}

func newFlights(parts *parts, most int) *flights {
	return &flights{
		parts:  parts,
		places: make(chan struct{}, max(most, 1)),
		open:   map[sought]*flight{},
	}
}

// fetch returns what the store has, from a fetch in progress or from a new one.
//
// asOf is the number of invalidations before the caller asked; if anew is set, fetches that
// began before that are not joined.
func (f *flights) fetch(ctx context.Context, lookup Lookup, asOf uint64, anew bool) (landed, error) {
	own, err := f.joinOrBegin(ctx, lookup, asOf, anew)
	if err != nil {
		return landed{}, err
	}
	select {
	case <-own.done:
		return own.landed, own.err
	case <-ctx.Done():
		return landed{}, ctx.Err()
	}
}

func (f *flights) joinOrBegin(ctx context.Context, lookup Lookup, asOf uint64, anew bool) (*flight, error) {
	what := sought{id: lookup.KeyID}
	if len(lookup.Digests) > 0 {
		what.digest = lookup.Digests[0]
	}
	joined := func() *flight {
		if other := f.open[what]; other != nil && (!anew || other.asOf >= asOf) {
			f.shared++
			return other
		}
		return nil
	}
	f.mutex.Lock()
	other := joined()
	f.mutex.Unlock()
	if other != nil {
		return other, nil
	}
	select {
	case f.places <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	f.mutex.Lock()
	defer f.mutex.Unlock()
	if other := joined(); other != nil {
		<-f.places
		return other, nil
	}
	own := &flight{asOf: asOf, done: make(chan struct{})}
	f.open[what] = own
	// The fetch keeps the values of the request, such as a trace, but does not end with it.
	go f.fly(context.WithoutCancel(ctx), what, lookup, own)
	return own, nil
}

func (f *flights) stats() uint64 {
	f.mutex.Lock()
	defer f.mutex.Unlock()
	return f.shared
}

func (f *flights) fly(ctx context.Context, what sought, lookup Lookup, own *flight) {
	ctx, cancel := context.WithTimeout(ctx, f.parts.timeout)
	defer cancel()
	own.landed.asOf = own.asOf
	// If the store panics, neither the process nor the waiting requests end.
	own.err = ErrInternal
	defer func() {
		if recover() != nil {
			own.err = ErrInternal
		}
		// Remove the fetch first: later requests must begin a new one.
		f.mutex.Lock()
		if f.open[what] == own {
			delete(f.open, what)
		}
		f.mutex.Unlock()
		<-f.places
		close(own.done)
	}()
	record, err := f.parts.store.Find(ctx, lookup)
	if err == nil && record != nil {
		own.landed.own, err = record.handle()
	}
	own.landed.record, own.err = record, err
}
