package keystile

import (
	"context"
	"errors"
	"sync"
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
func (c *claims) run(ctx context.Context, lineage KeyID, claim func() error) error {
	queue, err := c.join(lineage)
	if err != nil {
		return err
	}
	defer c.leave(lineage, queue)
	for _, free := range []chan struct{}{queue.turn, c.places} {
		select {
		case free <- struct{}{}:
			defer func() { <-free }()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
	// A place and the end may have come together.
	if err := ctx.Err(); err != nil {
		return err
	}
	return claim()
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
