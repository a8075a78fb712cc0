package keystile

import (
	"context"
	"sync"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// group holds the fetches in progress: one for all requests that wait for the same key
// (single flight).
//
// Each fetch has its own goroutine: if the request that started it is cancelled, the others
// still get their answer. The number of concurrent fetches is limited.
type group struct {
	parts   *parts
	permits chan struct{}
	mutex   sync.Mutex
	calls   map[callKey]*call
	// shared counts the requests that joined the fetch of another one.
	shared uint64
}

// callKey is what is fetched. The first digest identifies the text of an opaque key.
type callKey struct {
	id     KeyID
	digest Digest
}

// call is a fetch; its result and err are valid after done is closed.
type call struct {
	asOf uint64
	// begun is a reading of the lease's clock from before it began; 0 without a lease.
	begun  uint64
	done   chan struct{}
	result fetchResult
	err    error
}

// wanted is what a caller needs of a fetch.
type wanted struct {
	// asOf is the number of invalidations before the caller asked; if again is set, fetches
	// that began before that are not joined.
	asOf  uint64
	again bool
	// earliest is the earliest reading of the lease's clock that a fetch which is joined may
	// have begun at.
	earliest uint64
}

// fetchResult is what a fetch found, and the number of invalidations before it began.
type fetchResult struct {
	asOf   uint64
	record *Record
	handle *capi.Record
	// usage is what the record's lineage has spent.
	usage StoredUsage
	// begun is when the store was asked.
	begun time.Time
}

func newGroup(parts *parts, most int) *group {
	return &group{
		parts:   parts,
		permits: make(chan struct{}, max(most, 1)),
		calls:   map[callKey]*call{},
	}
}

// fetch returns what the store has, from a fetch in progress or from a new one.
func (g *group) fetch(ctx context.Context, lookup Lookup, wanted wanted) (fetchResult, error) {
	own, err := g.joinOrStart(ctx, lookup, wanted)
	if err != nil {
		return fetchResult{}, err
	}
	select {
	case <-own.done:
		return own.result, own.err
	case <-ctx.Done():
		return fetchResult{}, ctx.Err()
	}
}

func (g *group) joinOrStart(ctx context.Context, lookup Lookup, wanted wanted) (*call, error) {
	var begun uint64
	if g.parts.lease != nil {
		begun = g.parts.lease.now()
	}
	what := callKey{id: lookup.KeyID}
	if len(lookup.Digests) > 0 {
		what.digest = lookup.Digests[0]
	}
	joined := func() *call {
		other := g.calls[what]
		if other != nil && (!wanted.again || other.asOf >= wanted.asOf) && other.begun >= wanted.earliest {
			g.shared++
			return other
		}
		return nil
	}
	g.mutex.Lock()
	other := joined()
	g.mutex.Unlock()
	if other != nil {
		return other, nil
	}
	select {
	case g.permits <- struct{}{}:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	g.mutex.Lock()
	defer g.mutex.Unlock()
	if other := joined(); other != nil {
		<-g.permits
		return other, nil
	}
	own := &call{asOf: wanted.asOf, begun: begun, done: make(chan struct{})}
	g.calls[what] = own
	// The fetch keeps the values of the request, such as a trace, but does not end with it.
	go g.run(context.WithoutCancel(ctx), what, lookup, own)
	return own, nil
}

func (g *group) stats() uint64 {
	g.mutex.Lock()
	defer g.mutex.Unlock()
	return g.shared
}

func (g *group) run(ctx context.Context, what callKey, lookup Lookup, own *call) {
	ctx, cancel := context.WithTimeout(ctx, g.parts.timeout)
	defer cancel()
	own.result.asOf, own.result.begun = own.asOf, time.Now()
	// If the store panics, neither the process nor the waiting requests end.
	own.err = ErrInternal
	defer func() {
		if recover() != nil {
			own.err = ErrInternal
		}
		// Remove the fetch first: later requests must begin a new one.
		g.mutex.Lock()
		if g.calls[what] == own {
			delete(g.calls, what)
		}
		g.mutex.Unlock()
		<-g.permits
		close(own.done)
	}()
	record, usage, err := findWithUsage(ctx, g.parts.finder, g.parts.usage, lookup)
	if err == nil && record != nil {
		own.result.handle, err = record.handle()
	}
	own.result.record, own.result.usage, own.err = record, usage, err
}
