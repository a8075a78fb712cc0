package keystile

import (
	"context"
	"sync/atomic"
	"time"
)

// listenPauseMin and listenPauseMax are the pause before an attempt to listen again: at first, and
// at most.
const listenPauseMin, listenPauseMax = 100 * time.Millisecond, 5 * time.Second

// listenedMin is how long a connection must have listened for the pause to begin at its minimum again: a
// server or pooler may accept connections and end them at once.
const listenedMin = 5 * time.Second

// ChangeListener is an [EventSource] that is told by its database that there are new events. An
// [Authenticator] then reads them at once, but not more often than every 20 ms, and polls them as
// well: nothing depends on being told.
// The store of keystilepgx is one.
type ChangeListener interface {
	// Listen calls changed as soon as it listens, and after each change, until the context ends
	// or it cannot listen any more, and returns why. The authenticator calls it again then.
	Listen(ctx context.Context, changed func()) error
}

// listen reads changes as soon as the store says that there are some, until the authenticator is
// closed. If it says nothing, they are polled.
func (p *parts) listen(listener ChangeListener) {
	for next := time.Duration(0); ; {
		var began atomic.Pointer[time.Time]
		err := listener.Listen(p.stopped, func() {
			began.CompareAndSwap(nil, Ptr(time.Now()))
			p.wake()
		})
		var listened time.Duration
		if since := began.Load(); since != nil {
			listened = time.Since(*since)
		}
		next = pauseAfter(next, listened)
		if p.stopped.Err() != nil {
			return
		}
		if next == listenPauseMin {
			p.log.Warn("cannot listen for changes by other processes; they are polled, and listening is tried again", "error", err)
		}
		if !pause(p.stopped, next) {
			return
		}
	}
}

// pauseAfter returns the pause after an attempt, by the pause before it and how long it has listened. It is
// the minimum if this is the first failure of a series.
func pauseAfter(last, listened time.Duration) time.Duration {
	if last == 0 || listened >= listenedMin {
		return listenPauseMin
	}
	return min(2*last, listenPauseMax)
}

// wake lets the changes be read now, or again if a read is under way.
func (p *parts) wake() {
	select {
	case p.changed <- struct{}{}:
	default:
	}
}
