package keystile

import (
	"context"
	"time"
)

// run runs background work until it returns, and again if the store made it panic: otherwise
// no one would notice that changes are no longer read.
func (p *parts) run(work func()) {
	p.running.Add(1)
	go func() {
		defer p.running.Done()
		for !p.returns(work) && pause(p.stopped, panicPause) {
		}
	}()
}

// returns reports whether work returns, and does not panic. What it panics with may hold
// anything, and is not logged.
func (p *parts) returns(work func()) (returned bool) {
	defer func() {
		if recover() != nil {
			p.log.Error("the store panicked in background work, which begins again")
		}
	}()
	work()
	return true
}

// pause waits, and reports whether the context has not ended.
func pause(ctx context.Context, span time.Duration) bool {
	timer := time.NewTimer(span)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}
