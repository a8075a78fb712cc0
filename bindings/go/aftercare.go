package keystile

import (
	"context"
	"errors"
	"sync"
)

// careQueue is the maximum number of keys in the queue; if it is full, the next use of the
// key tries again.
const careQueue = 256

// aftercare makes the writes that an allowed request asks for, in the background: a new
// digest, or the end of a predecessor's overlap.
type aftercare struct {
	queue chan care
	mutex sync.Mutex
	// under are the keys in the queue and the one in progress.
	under map[KeyID]struct{}
}

type care struct {
	id, predecessor KeyID
	// key is the text of the key, if a new digest is to be made of it.
	key secret
}

func newAftercare() *aftercare {
	return &aftercare{queue: make(chan care, careQueue), under: map[KeyID]struct{}{}}
}

// lookAfter queues a key, unless it is queued already.
func (p *parts) lookAfter(decision *Decision, key string) {
	if p.ledger == nil {
		return
	}
	asked := care{id: decision.KeyID(), predecessor: decision.EndsOverlapOf()}
	if decision.NeedsRehash() {
		asked.key = conceal(key)
	}
	p.care.mutex.Lock()
	defer p.care.mutex.Unlock()
	if _, waits := p.care.under[asked.id]; waits {
		return
	}
	select {
	case p.care.queue <- asked:
		p.care.under[asked.id] = struct{}{}
	default:
	}
}

// lookAfterAll processes the queue until the authenticator is closed.
func (p *parts) lookAfterAll() {
	for {
		select {
		case asked := <-p.care.queue:
			if err := p.lookAfterOne(asked); err != nil && p.stopped.Err() == nil {
				p.log.Warn("cannot renew a digest or end an overlap; the next use of the key tries again", "key_id", asked.id.String(), "error", err)
			}
			p.care.mutex.Lock()
			delete(p.care.under, asked.id)
			p.care.mutex.Unlock()
		case <-p.stopped.Done():
			return
		}
	}
}

func (p *parts) lookAfterOne(asked care) error {
	ctx, cancel := context.WithTimeout(p.stopped, p.timeout)
	defer cancel()
	if !asked.predecessor.IsZero() {
		if err := p.endPredecessor(ctx, asked); err != nil {
			return err
		}
	}
	if asked.key.reveal == nil {
		return nil
	}
	record, err := p.store.Find(ctx, Lookup{KeyID: asked.id})
	if err != nil || record == nil {
		return err
	}
	change, err := p.verifier.Rehash(record, asked.key.Expose(), p.clock())
	if errors.Is(err, ErrState) {
		// Another process has renewed the digest.
		p.invalidate(asked.id)
		return nil
	}
	if err != nil {
		return err
	}
	return p.commit(ctx, change.Batch())
}

// endPredecessor ends the overlap of the key that another one replaced.
func (p *parts) endPredecessor(ctx context.Context, asked care) error {
	old, err := p.store.Find(ctx, Lookup{KeyID: asked.predecessor})
	if err != nil || old == nil {
		return err
	}
	successor, err := p.store.Find(ctx, Lookup{KeyID: asked.id})
	if err != nil || successor == nil {
		return err
	}
	now := p.clock()
	change, err := EndOverlap(old, successor, now)
	if errors.Is(err, ErrState) {
		p.invalidate(asked.id)
		p.invalidate(asked.predecessor)
		return nil
	}
	if err != nil {
		return err
	}
	batch := change.Batch()
	if event, err := Expire(change.Record, now); err == nil {
		batch.Events = append(batch.Events, *event)
	}
	return p.commit(ctx, batch)
}

// commit writes changes and invalidates their keys.
func (p *parts) commit(ctx context.Context, batch Batch) error {
	err := p.ledger.Commit(ctx, batch)
	// Invalidate after an error too: the store may have written the change.
	for _, records := range [][]*Record{batch.Inserts, batch.Updates} {
		for _, record := range records {
			p.invalidate(record.ID)
		}
	}
	return err
}

func (p *parts) invalidate(id KeyID) {
	p.ring.Invalidate(&id.id)
}
