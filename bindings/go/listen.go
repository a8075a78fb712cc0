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

// Wake notifies the processes of a service that their store has changed, so that they read the
// changes at once and not at the next poll, for [Options.Wake]. The Wake of the module
// keystileredis does so by a Redis or Valkey server; the store of keystilepgx notifies all
// processes by itself.
//
// Nothing depends on it: a notification that is lost costs the time to the next poll.
type Wake interface {
	// Listen is as that of a [ChangeListener].
	Listen(ctx context.Context, changed func()) error
	// Changed notifies the other processes, without waiting for anything. It is called after each
	// commit.
	Changed()
}

// listen reads changes as soon as a listener is told of some, until the authenticator is closed.
// If it is told of none, they are polled.
func (p *parts) listen(listen func(context.Context, func()) error) {
	for next := time.Duration(0); ; {
		var began atomic.Pointer[time.Time]
		err := listen(p.stopped, func() {
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
