package keystile

import (
	"context"
	"errors"
	"sync"
)

// maintenanceQueue is the maximum number of keys in the queue; if it is full, the next use
// of the key tries again.
const maintenanceQueue = 256

// maintenance makes the writes that an allowed request asks for, in the background: a new
// digest, or the end of a predecessor's overlap.
type maintenance struct {
	queue chan maintenanceTask
	mutex sync.Mutex
	// scheduled are the keys in the queue and the one in progress.
	scheduled map[KeyID]struct{}
}

type maintenanceTask struct {
	id, predecessor KeyID
	// key is the text of the key, if a new digest is to be made of it.
	key secret
}

func newMaintenance() *maintenance {
	return &maintenance{queue: make(chan maintenanceTask, maintenanceQueue), scheduled: map[KeyID]struct{}{}}
}

// schedule queues a key, unless it is queued already.
func (p *parts) schedule(decision *Decision, key string) {
	if p.store == nil {
		return
	}
	task := maintenanceTask{id: decision.KeyID(), predecessor: decision.EndsOverlapOf()}
	if decision.NeedsRehash() {
		task.key = conceal(key)
	}
	p.maintenance.mutex.Lock()
	defer p.maintenance.mutex.Unlock()
	if _, waits := p.maintenance.scheduled[task.id]; waits {
		return
	}
	select {
	case p.maintenance.queue <- task:
		p.maintenance.scheduled[task.id] = struct{}{}
	default:
	}
}

// maintain processes the queue until the authenticator is closed.
func (p *parts) maintain() {
	for {
		select {
		case task := <-p.maintenance.queue:
			if err := p.perform(task); err != nil && p.stopped.Err() == nil {
				p.log.Warn("cannot renew a digest or end an overlap; the next use of the key tries again", "key_id", task.id.String(), "error", err)
			}
			p.maintenance.mutex.Lock()
			delete(p.maintenance.scheduled, task.id)
			p.maintenance.mutex.Unlock()
		case <-p.stopped.Done():
			return
		}
	}
}

func (p *parts) perform(task maintenanceTask) error {
	ctx, cancel := context.WithTimeout(p.stopped, p.timeout)
	defer cancel()
	if !task.predecessor.IsZero() {
		if err := p.endPredecessor(ctx, task); err != nil {
			return err
		}
	}
	if task.key.reveal == nil {
		return nil
	}
	record, err := p.finder.Find(ctx, Lookup{KeyID: task.id})
	if err != nil || record == nil {
		return err
	}
	change, err := p.verifier.Rehash(record, task.key.Expose(), p.clock())
	if errors.Is(err, ErrState) {
		// Another process has renewed the digest.
		p.invalidate(task.id)
		return nil
	}
	if err != nil {
		return err
	}
	return p.commit(ctx, change.Batch())
}

// endPredecessor ends the overlap of the key that another one replaced.
func (p *parts) endPredecessor(ctx context.Context, task maintenanceTask) error {
	old, err := p.finder.Find(ctx, Lookup{KeyID: task.predecessor})
	var row *CorruptRow
	if isDamaged := errors.As(err, &row); !isDamaged && (err != nil || old == nil) {
		return err
	}
	successor, err := p.finder.Find(ctx, Lookup{KeyID: task.id})
	if err != nil || successor == nil {
		return err
	}
	if row != nil {
		batch, err := endDamagedPredecessor(row, successor, p.clock())
		if err != nil || successor.EndsAtFirstUse != task.predecessor {
			return err
		}
		return p.commit(ctx, batch)
	}
	change, err := EndOverlap(old, successor, p.clock())
	if errors.Is(err, ErrState) {
		p.invalidate(task.id)
		p.invalidate(task.predecessor)
		return nil
	}
	if err != nil {
		return err
	}
	return p.commit(ctx, change.Batch())
}

// commit writes changes and invalidates their keys.
func (p *parts) commit(ctx context.Context, batch Batch) error {
	err := p.store.Commit(ctx, batch)
	invalidate := func(id KeyID, version uint64) {
		if err == nil {
			p.ring.InvalidateAt(&id.id, version)
		} else {
			// The store may have written the change all the same.
			p.invalidate(id)
		}
	}
	for _, records := range [][]*Record{batch.Inserts, batch.Updates} {
		for _, record := range records {
			invalidate(record.ID, record.Version)
		}
	}
	for _, upkeep := range batch.Upkeep {
		invalidate(upkeep.KeyID, upkeep.Version)
	}
	return err
}

func (p *parts) invalidate(id KeyID) {
	p.ring.Invalidate(&id.id)
}
