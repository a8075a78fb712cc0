package keystile

import (
	"context"
	"errors"
	"maps"
	"sync"
	"time"
)

// maintenanceQueue is the maximum number of keys in the queue; if it is full, the next use
// of the key tries again. maintenancePause is the time until another attempt after a failed
// one.
const (
	maintenanceQueue = 256
	maintenancePause = 5 * time.Second
)

// maintenance makes the writes that an allowed request asks for, in the background: a new
// digest, or the end of a predecessor's overlap.
type maintenance struct {
	queue chan maintenanceTask
	mutex sync.Mutex
	// scheduled are the keys in the queue and the one in progress, with the zero time; and
	// those whose last attempt has failed, with the time of the next one.
	scheduled map[KeyID]time.Time
}

// maintenanceTask is one of two: the end of a predecessor's overlap, or a new digest. The
// digest was made while the key was at hand: no key text waits here.
type maintenanceTask struct {
	id, predecessor KeyID
	renewed         Batch
}

func newMaintenance() *maintenance {
	return &maintenance{queue: make(chan maintenanceTask, maintenanceQueue), scheduled: map[KeyID]time.Time{}}
}

// begin reports whether a key is due, which it then is no longer.
func (m *maintenance) begin(id KeyID, now time.Time) bool {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	// A clock that was set back does not make the pause longer.
	isOver := func(next time.Time) bool {
		return !next.IsZero() && (!now.Before(next) || next.Sub(now) > maintenancePause)
	}
	next, waits := m.scheduled[id]
	if waits && !isOver(next) {
		return false
	}
	if !waits && len(m.scheduled) >= maintenanceQueue {
		maps.DeleteFunc(m.scheduled, func(_ KeyID, next time.Time) bool { return isOver(next) })
		if len(m.scheduled) >= maintenanceQueue {
			return false
		}
	}
	m.scheduled[id] = time.Time{}
	return true
}

// end ends the attempt of a key, and lets the next use try again: from next on, if that is
// not zero.
func (m *maintenance) end(id KeyID, next time.Time) {
	m.mutex.Lock()
	defer m.mutex.Unlock()
	if next.IsZero() {
		delete(m.scheduled, id)
	} else {
		m.scheduled[id] = next
	}
}

// schedule queues what the use of a key asks for, unless the key is queued already. A nil
// record stands for the cached one.
func (p *parts) schedule(decision *Decision, key string, record *Record) {
	id, now := decision.KeyID(), p.clock()
	if p.store == nil || !p.maintenance.begin(id, now) {
		return
	}
	// One at a time: the next use brings the other.
	task := maintenanceTask{id: id, predecessor: decision.EndsOverlapOf()}
	if task.predecessor.IsZero() {
		if record == nil {
			record, _ = p.ring.Value(&id.id, millisOf(now)).(*Record)
		}
		if record == nil {
			p.maintenance.end(id, time.Time{})
			return
		}
		change, err := p.verifier.Rehash(record, key, now)
		if err != nil {
			p.maintenance.end(id, time.Time{})
			return
		}
		task.renewed = change.Batch()
	}
	select {
	case p.maintenance.queue <- task:
	default:
		p.maintenance.end(id, time.Time{})
	}
}

// maintain processes the queue until the authenticator is closed.
func (p *parts) maintain() {
	for {
		select {
		case task := <-p.maintenance.queue:
			err, next := p.perform(task), time.Time{}
			// If it is stale, another process was faster.
			if err != nil && !errors.Is(err, ErrStale) && p.stopped.Err() == nil {
				next = p.clock().Add(maintenancePause)
				p.log.Warn("cannot renew a digest or end an overlap; a later use of the key tries again", "key_id", task.id.String(), "error", err)
			}
			p.maintenance.end(task.id, next)
		case <-p.stopped.Done():
			return
		}
	}
}

func (p *parts) perform(task maintenanceTask) (err error) {
	ctx, cancel := context.WithTimeout(asKeystile(p.stopped), p.timeout)
	defer cancel()
	defer func() {
		if recover() != nil {
			err = ErrInternal
		}
	}()
	if task.predecessor.IsZero() {
		return p.commit(ctx, task.renewed)
	}
	return p.endPredecessor(ctx, task)
}

// endPredecessor ends the overlap of the key that another one replaced.
func (p *parts) endPredecessor(ctx context.Context, task maintenanceTask) error {
	old, err := found(p.finder.Find(ctx, Lookup{KeyID: task.predecessor}))
	var row *CorruptRow
	if isDamaged := errors.As(err, &row); !isDamaged && err != nil {
		return err
	}
	successor, err := found(p.finder.Find(ctx, Lookup{KeyID: task.id}))
	if err != nil || successor == nil {
		return err
	}
	if old == nil {
		if successor.EndsAtFirstUse != task.predecessor {
			p.invalidate(task.id)
			return nil
		}
		batch, err := endUnreadPredecessor(row, successor, p.clock())
		if err != nil {
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
	// If the store panics, it may have written them too.
	err := ErrInternal
	if by, ok := ActorOf(ctx); ok {
		if err := batch.By(by); err != nil {
			return err
		}
	}
	defer func() { p.putInForce(&batch, err) }()
	err = p.commitBatch(ctx, batch)
	return err
}

func (p *parts) putInForce(batch *Batch, err error) {
	for _, one := range batch.written() {
		if err == nil {
			p.ring.InvalidateAt(&one.KeyID.id, one.Version)
		} else {
			// The store may have written the change all the same.
			p.invalidate(one.KeyID)
		}
	}
}

func (p *parts) invalidate(id KeyID) {
	p.ring.Invalidate(&id.id)
}
