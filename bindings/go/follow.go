package keystile

import (
	"context"
	"time"
)

// follow polls for changes by other processes and invalidates their keys. After polls that
// failed it invalidates all keys.
func (p *parts) follow(feed EventSource, every time.Duration) {
	var last uint64
	known, restored := false, false
	for ok := true; ok; ok = pause(p.stopped, every) {
		if !known {
			number, err := p.lastEvent(feed)
			if err != nil {
				p.pollFailed(err)
				continue
			}
			// What was cached before this number was read may be out of date.
			last, known = number, true
			if restored {
				p.ring.Reset()
				restored = false
			} else {
				p.ring.InvalidateAll()
			}
			continue
		}
		for {
			events, err := p.eventsAfter(feed, last)
			if err != nil {
				p.pollFailed(err)
				break
			}
			for _, event := range events {
				last = max(last, event.Number)
				if event.KeyID.IsZero() {
					p.ring.InvalidateAll()
					continue
				}
				p.ring.InvalidateAt(&event.KeyID.id, event.Version)
				if !event.Successor.IsZero() {
					p.invalidate(event.Successor)
				}
			}
			if len(events) == 0 && p.wasRestored(feed, last) {
				// The store was restored from a backup: later changes are undone, and event
				// numbers repeat.
				known, restored = false, true
			}
			if len(events) < PageMax {
				break
			}
		}
	}
}

// wasRestored reports whether the last event that was read no longer exists.
func (p *parts) wasRestored(feed EventSource, last uint64) bool {
	number, err := p.lastEvent(feed)
	return err == nil && number < last
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
		p.log.Warn("cannot read changes by other processes; cached records expire by their TTL", "error", err)
	}
}
