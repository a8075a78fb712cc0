package keystile

import (
	"context"
	"errors"
	"sync"
	"time"
)

// pagesMax is the maximum number of pages of events that are read in one go. If there are
// more, everything is invalidated.
const pagesMax = 16

// pauseBetweenPolls is the least time between two polls, unless PollInterval is shorter. Any client
// of a database may notify its listeners, so that many notifications must not be as many polls.
const pauseBetweenPolls = 20 * time.Millisecond

// follow polls for changes by other processes and invalidates their keys. When it has begun,
// and after a restored backup, it invalidates all keys.
func (p *parts) follow(feed EventSource, every time.Duration) {
	for ok := true; ok; ok = p.untilNextPoll(every) {
		p.poll(feed)
	}
}

// poll reads the changes once; one read at a time.
func (p *parts) poll(feed EventSource) {
	p.position.mutex.Lock()
	defer p.position.mutex.Unlock()
	err := p.catchUp(feed, &p.position)
	p.lease.hasRead(err == nil)
	if err != nil {
		p.pollFailed(err)
	}
}

// position is how far the events were read.
type position struct {
	mutex           sync.Mutex
	last            uint64
	known, restored bool
}

// catchUp reads the changes since the last one, and renews the lease after they are in
// force.
func (p *parts) catchUp(feed EventSource, at *position) error {
	for page := 0; at.known && page < pagesMax; page++ {
		sent := p.lease.reads()
		events, err := p.eventsAfter(feed, at.last)
		if errors.Is(err, ErrCorrupt) {
			// It would fail each time: skip it.
			break
		}
		if err != nil {
			return err
		}
		for _, event := range events {
			at.last = max(at.last, event.Number)
			// What a damaged event changed is not known.
			if event.KeyID.IsZero() || event.Damaged != nil {
				p.ring.InvalidateAll()
				continue
			}
			p.ring.InvalidateAt(&event.KeyID.id, event.Version)
			if !event.Successor.IsZero() {
				p.invalidate(event.Successor)
			}
		}
		if len(events) == 0 {
			number, err := p.lastEvent(feed)
			if err != nil {
				return err
			}
			if number < at.last {
				// The store was restored from a backup: later changes are undone, and event
				// numbers repeat.
				at.known, at.restored = false, true
				break
			}
		}
		if len(events) < PageMax {
			p.lease.renew(sent)
			return nil
		}
	}
	sent := p.lease.reads()
	number, err := p.lastEvent(feed)
	if err != nil {
		return err
	}
	// What was cached before this number was read may be out of date.
	if at.restored {
		p.ring.Reset()
	} else {
		p.ring.InvalidateAll()
	}
	at.last, at.known, at.restored = number, true, false
	p.lease.renew(sent)
	return nil
}

// untilNextPoll waits until the changes are to be read again, and reports whether they are.
func (p *parts) untilNextPoll(every time.Duration) bool {
	least := min(pauseBetweenPolls, every)
	// Notifications that come meanwhile are kept, as one.
	if !pause(p.stopped, least) {
		return false
	}
	timer := time.NewTimer(every - least)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-p.changed:
		return true
	case <-p.lease.requested():
		return true
	case <-p.stopped.Done():
		return false
	}
}

func (p *parts) lastEvent(feed EventSource) (uint64, error) {
	ctx, cancel := context.WithTimeout(p.stopped, p.timeout)
	defer cancel()
	return feed.LastEvent(ctx)
}

func (p *parts) eventsAfter(feed EventSource, last uint64) ([]NumberedEvent, error) {
	ctx, cancel := context.WithTimeout(p.stopped, p.timeout)
	defer cancel()
	return feed.Events(ctx, KeyID{}, last, PageMax)
}

func (p *parts) pollFailed(err error) {
	if p.stopped.Err() == nil {
		p.log.Warn("cannot read changes by other processes; cached records are used until the revocation bound", "error", err)
	}
}
