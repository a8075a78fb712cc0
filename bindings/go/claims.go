package keystile

import (
	"context"
	"errors"
	"sync"
	"time"
)

// claimPlaces is how many claims run at once, each of another lineage; claimsPerLineage and
// claimsMax are how many wait.
const (
	claimPlaces      = 16
	claimsPerLineage = 1_024
	claimsMax        = 16_384
)

var errTooManyClaims = errors.New("keystile: too many requests wait for counted uses")

// claims are the requests for counted uses that are under way.
//
// Two claims of one lineage at once would both read the same usage, and only one of them
// could write: the other would have to begin again. So they take turns, in the order in
// which they came. A claim writes, and so may wait for a lock that others hold: claims have
// places of their own, and take one only when they have their turn.
type claims struct {
	places  chan struct{}
	mutex   sync.Mutex
	queues  map[KeyID]*claimQueue
	waiting int
}

type claimQueue struct {
	turn    chan struct{}
	waiting int
}

func newClaims() *claims {
	return &claims{places: make(chan struct{}, claimPlaces), queues: map[KeyID]*claimQueue{}}
}

// run runs a claim when it has its turn and a place. It is not begun if the context ends
// before.
//
// It may wait for its turn as long as a request waits for the store, and then take as long
// again. With one limit on both, an overloaded queue would begin each claim when nothing of
// its time is left, and cut it off after its write was sent: it would spend uses, and answer
// no one. For the same reason the wait takes at most half of the time that the context has.
func (c *claims) run(ctx context.Context, limit time.Duration, lineage KeyID, claim func(context.Context) error) error {
	queue, err := c.join(lineage)
	if err != nil {
		return err
	}
	defer c.leave(lineage, queue)
	patience := limit
	if end, ends := ctx.Deadline(); ends {
		patience = min(patience, time.Until(end)/2)
	}
	waiting, stop := context.WithTimeout(ctx, patience)
	defer stop()
	for _, free := range []chan struct{}{queue.turn, c.places} {
		select {
		case free <- struct{}{}:
			defer func() { <-free }()
		case <-waiting.Done():
			return waiting.Err()
		}
	}
	if err := ctx.Err(); err != nil {
		return err
	}
	claiming, cancel := context.WithTimeout(ctx, limit)
	defer cancel()
	return claim(claiming)
}

func (c *claims) join(lineage KeyID) (*claimQueue, error) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	queue := c.queues[lineage]
	if c.waiting >= claimsMax || (queue != nil && queue.waiting >= claimsPerLineage) {
		return nil, errTooManyClaims
	}
	if queue == nil {
		queue = &claimQueue{turn: make(chan struct{}, 1)}
		c.queues[lineage] = queue
	}
	c.waiting++
	queue.waiting++
	return queue, nil
}

func (c *claims) leave(lineage KeyID, queue *claimQueue) {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.waiting--
	if queue.waiting--; queue.waiting == 0 {
		delete(c.queues, lineage)
	}
}

// checkCounted decides about a key with counted uses, by what the store says is spent; isGone
// is set if its row was deleted since it was fetched.
func (a *Authenticator) checkCounted(ctx context.Context, key string, request Request, lookup Lookup, lineage KeyID, now uint64) (decision Decision, isGone bool, err error) {
	at := timeOf(now)
	err = a.claims.run(ctx, a.timeout, lineage, func(ctx context.Context) error {
		for range triesMax {
			record, stored, err := findWithUsage(ctx, a.finder, a.usage, lookup)
			if err != nil {
				return err
			}
			if record == nil {
				isGone = true
				return nil
			}
			var again bool
			decision, _, again, err = a.verifier.claim(ctx, a.usage, key, record, stored, request, at)
			if err != nil {
				return err
			}
			if again {
				// Another process was faster.
				continue
			}
			if decision.Allowed() {
				a.uses.note(Use{KeyID: record.ID, Lineage: record.lineage(), LastUsedAt: at, Count: 1})
				if decision.NeedsRehash() || !decision.EndsOverlapOf().IsZero() {
					a.schedule(&decision, key, record)
				}
			}
			return nil
		}
		return ErrStale
	})
	if err != nil {
		return Decision{}, false, err
	}
	return decision, isGone, nil
}
