package keystile

import (
	"context"
	"sync"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// flights are the fetches that are under way: one for all who wait for the same key.
//
// Each is a goroutine of its own: whoever asked first may go away, and the others still get
// their answer. How many run at once is bounded.
type flights struct {
	parts  *parts
	places chan struct{}
	mutex  sync.Mutex
	open   map[sought]*flight
	// shared counts those who joined a fetch of somebody else's.
	shared uint64
}

// sought is what is looked for. The first of an opaque key's digests names its text.
type sought struct {
	id     KeyID
	digest Digest
}

// flight is a fetch; landed is of meaning once done is closed.
type flight struct {
	asOf   uint64
	done   chan struct{}
	landed landed
	err    error
}

// landed is what a fetch came to, and how much was invalidated before it began.
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

// fetch is what the store has, by a fetch that is under way or by a new one.
//
// asOf is how much was invalidated before the caller asked; anew leaves out fetches that
// began before that.
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
	// The values of the request stay, as a trace; its end does not end the fetch.
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
	// A store that panics ends neither the process nor those who wait.
	own.err = ErrInternal
	defer func() {
		if recover() != nil {
			own.err = ErrInternal
		}
		// Off the board first: who comes from here on begins a fetch of its own.
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
