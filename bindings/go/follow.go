package keystile

import (
	"context"
	"time"
)

// follow hears of changes that other processes make, by the events that they leave, and
// voids what is kept of their keys. Where it cannot hear, it voids all once it can again.
func (p *parts) follow(feed EventSource, every time.Duration) {
	var last uint64
	known, putBack := false, false
	for ok := true; ok; ok = pause(p.stopped, every) {
		if !known {
			number, err := p.lastEvent(feed)
			if err != nil {
				p.deaf(err)
				continue
			}
			// What was kept before this number was known may be out of date.
			last, known = number, true
			p.directory.forgetAll()
			if putBack {
				p.ring.Reset()
				putBack = false
			} else {
				p.ring.InvalidateAll()
			}
			continue
		}
		for {
			events, err := p.eventsBehind(feed, last)
			if err != nil {
				p.deaf(err)
				break
			}
			for _, event := range events {
				last = max(last, event.Number)
				p.invalidate(event.KeyID)
				if !event.Successor.IsZero() {
					p.invalidate(event.Successor)
				}
			}
			if len(events) == 0 && p.isPutBack(feed, last) {
				// From a backup: what happened since is unmade, and numbers come again.
				known, putBack = false, true
			}
			if len(events) < PageMax {
				break
			}
		}
	}
}

// isPutBack says whether the last event that was heard of is gone.
func (p *parts) isPutBack(feed EventSource, last uint64) bool {
	number, err := p.lastEvent(feed)
	return err == nil && number < last
}

func (p *parts) lastEvent(feed EventSource) (uint64, error) {
	ctx, cancel := context.WithTimeout(p.stopped, p.timeout)
	defer cancel()
	return feed.LastEvent(ctx)
}

func (p *parts) eventsBehind(feed EventSource, last uint64) ([]NumberedEvent, error) {
	ctx, cancel := context.WithTimeout(p.stopped, p.timeout)
	defer cancel()
	return feed.Events(ctx, KeyID{}, last, PageMax)
}

func (p *parts) deaf(err error) {
	if p.stopped.Err() == nil {
		p.log.Warn("changes by other processes cannot be heard of; records run out by their TTL", "error", err)
	}
}
