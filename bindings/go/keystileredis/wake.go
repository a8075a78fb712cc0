package keystileredis

import (
	"context"
	"fmt"
	"net"
	"sync"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/redis/go-redis/v9"
)

const (
	// pingInterval is how often a silent connection is checked, and pingTimeout how long the answer
	// may take.
	pingInterval, pingTimeout = 20 * time.Second, 5 * time.Second
)

// Wake notifies the processes of a service that their store has changed, so that they read the
// changes at once and not at the next poll. It implements [keystile.Wake].
//
// The message contains nothing and proves nothing: a client that can send it can make the
// processes read the store's events, no more. A message that is lost costs the time to the next
// poll. No change waits for a message or fails with it.
type Wake struct {
	client  *redis.Client
	channel string
	changed chan struct{}
	stopped context.Context
	stop    context.CancelFunc
	ended   sync.WaitGroup
}

// OpenWake returns a wake, and does not connect yet. The name is that of the store among those
// that use the server with the same prefix: 1 to 64 letters, digits, "-", "_" and ".". The error
// is [ErrOptions].
func OpenWake(options Options, store string) (*Wake, error) {
	options, err := options.checked()
	if err != nil {
		return nil, err
	}
	if !names.MatchString(store) {
		return nil, invalid("store", "1 to 64 letters, digits, -, _ or .")
	}
	client, err := options.client()
	if err != nil {
		return nil, err
	}
	stopped, stop := context.WithCancel(context.Background())
	wake := &Wake{client: client, channel: options.Prefix + ":wake:" + store, changed: make(chan struct{}, 1), stopped: stopped, stop: stop}
	wake.ended.Add(1)
	go wake.publish(options.Timeout)
	return wake, nil
}

// Changed implements [keystile.Wake]: one message is under way at most, and changes meanwhile share
// the next one.
func (w *Wake) Changed() {
	if w == nil || w.client == nil {
		return
	}
	select {
	case w.changed <- struct{}{}:
	default:
	}
}

// publish sends a message for the changes since the last one.
func (w *Wake) publish(timeout time.Duration) {
	defer w.ended.Done()
	for {
		select {
		case <-w.changed:
		case <-w.stopped.Done():
			return
		}
		ctx, cancel := context.WithTimeout(w.stopped, timeout)
		_ = w.client.Publish(ctx, w.channel, "").Err()
		cancel()
	}
}

// Listen implements [keystile.Wake].
func (w *Wake) Listen(ctx context.Context, changed func()) error {
	if w == nil || w.client == nil {
		return keystile.ErrUninitialized
	}
	messages := w.client.Subscribe(ctx)
	defer messages.Close()
	// The client does not look at the context while it waits for a message.
	defer context.AfterFunc(ctx, func() { _ = messages.Close() })()
	defer context.AfterFunc(w.stopped, func() { _ = messages.Close() })()
	connecting, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	if err := messages.Subscribe(connecting, w.channel); err != nil {
		return w.why(ctx, err)
	}
	for next, isChecked := connectTimeout, false; ; {
		message, err := messages.ReceiveTimeout(ctx, next)
		if late, is := err.(net.Error); is && late.Timeout() && ctx.Err() == nil && !isChecked && next == pingInterval {
			// Half of a connection may be gone without a word.
			if err = messages.Ping(ctx); err == nil {
				next, isChecked = pingTimeout, true
				continue
			}
		}
		if err != nil {
			return w.why(ctx, err)
		}
		next, isChecked = pingInterval, false
		switch message.(type) {
		case *redis.Message, *redis.Subscription:
			// What was published before the subscription was not delivered.
			changed()
		}
	}
}

func (w *Wake) why(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return ctx.Err()
	}
	if w.stopped.Err() != nil {
		return errClosed
	}
	return faultOf(err)
}

// Close ends the connections. Nothing is notified from then on.
func (w *Wake) Close() error {
	if w == nil || w.client == nil {
		return keystile.ErrUninitialized
	}
	w.stop()
	w.ended.Wait()
	return faultOf(w.client.Close())
}

// Format shows nothing of the server.
func (w *Wake) Format(state fmt.State, _ rune) {
	_, _ = state.Write([]byte("keystileredis.Wake"))
}
