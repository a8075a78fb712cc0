package keystile

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"
)

var (
	errLimitsLate = errors.New("keystile: the limits did not answer in time")
	errLimitsAway = errors.New("keystile: the limits do not answer, and another request is trying them")
)

// tokenCalls asks for tokens of limits that all processes share.
//
// Requests that need tokens of the same key share one call. Each call has its own goroutine,
// so that limits that hang hold no request for longer than the timeout. While they do not answer,
// one request at a time tries them, and the others do not wait.
type tokenCalls struct {
	limits Limits
	// timeout is how long a request waits, and within until when what it then does not use is
	// taken back.
	timeout, within time.Duration

	mutex  sync.Mutex
	shared map[wantedTokens]*sharedCall
	// fails is whether the last call has failed, and probing whether one tries again.
	fails, probing atomic.Bool
	asked, failed  atomic.Uint64
}

// wantedTokens is the key whose lease the tokens are for, and its limit.
type wantedTokens struct {
	key   KeyID
	limit RateLimit
}

// sharedCall is a call of one request that others wait for.
type sharedCall struct {
	// waiting is how many wait, and failure why the call has failed if it has; final after done is
	// closed.
	waiting uint32
	failure error
	done    chan struct{}
}

func newTokenCalls(limits Limits, timeout, within time.Duration) *tokenCalls {
	return &tokenCalls{limits: limits, timeout: timeout, within: within, shared: map[wantedTokens]*sharedCall{}}
}

// join returns the call of another request for the same tokens, to wait for, or begins one. Who
// began it must end it.
func (t *tokenCalls) join(what wantedTokens) (call *sharedCall, begun bool) {
	t.mutex.Lock()
	defer t.mutex.Unlock()
	if call := t.shared[what]; call != nil {
		call.waiting++
		return call, false
	}
	call = &sharedCall{done: make(chan struct{})}
	t.shared[what] = call
	return call, true
}

func (t *tokenCalls) end(what wantedTokens, call *sharedCall) {
	t.mutex.Lock()
	delete(t.shared, what)
	t.mutex.Unlock()
	close(call.done)
}

// take takes tokens, each request for itself. It returns the error of the context if that ends
// first; what is then taken is given back.
func (t *tokenCalls) take(ctx context.Context, take Take) (Taken, error) {
	call := &tokenCall{calls: t, take: take, done: make(chan struct{})}
	if t.fails.Load() {
		if call.probes = !t.probing.Swap(true); !call.probes {
			return Taken{}, errLimitsAway
		}
	}
	t.asked.Add(1)
	call.timer = time.AfterFunc(t.timeout, func() { call.answer(Taken{}, errLimitsLate) })
	// The call keeps the values of the request, such as a trace, but does not end with it.
	go call.run(context.WithoutCancel(ctx))
	select {
	case <-call.done:
	case <-ctx.Done():
		if call.leave() {
			return Taken{}, ctx.Err()
		}
	}
	return call.taken, call.err
}

// giveBack gives back what was not used. If that fails, it is lost: to try again could give it
// back twice.
func (t *tokenCalls) giveBack(ctx context.Context, rests []Rest) {
	if len(rests) == 0 || t.fails.Load() {
		return
	}
	// Later they are not taken back.
	ctx, cancel := context.WithTimeout(ctx, min(t.timeout, t.within))
	defer cancel()
	defer func() { _ = recover() }()
	_ = t.limits.GiveBack(ctx, rests)
}

// tokenCall is a call of the limits, and its answer after done is closed.
type tokenCall struct {
	calls *tokenCalls
	take  Take
	// probes is whether it tries limits that have failed.
	probes bool
	timer  *time.Timer
	mutex  sync.Mutex
	// answered is whether there is an answer, and left whether its request does not wait for it.
	answered, left bool
	done           chan struct{}
	taken          Taken
	err            error
}

func (c *tokenCall) run(outer context.Context) {
	ctx, cancel := context.WithTimeout(outer, c.calls.timeout)
	defer cancel()
	taken, err := Taken{}, error(ErrInternal)
	// If the limits panic, neither the process nor the waiting requests end.
	defer func() {
		if recover() != nil {
			taken, err = Taken{}, ErrInternal
		}
		c.timer.Stop()
		if !c.answer(taken, err) && err == nil && taken.Tokens > 0 {
			rest := Rest{c.take.Lineage, c.take.Limit, taken.Tokens, taken.Clock, c.calls.within}
			c.calls.giveBack(outer, []Rest{rest})
		}
	}()
	if taken, err = c.calls.limits.Take(ctx, c.take); err == nil && taken.Tokens > c.take.Tokens {
		taken, err = Taken{}, ErrInternal
	}
}

// answer notes the answer, unless there is one, and reports whether the request has it.
func (c *tokenCall) answer(taken Taken, err error) bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	if c.answered {
		return false
	}
	c.answered, c.taken, c.err = true, taken, err
	// An error about one lineage says nothing about the others.
	c.calls.fails.Store(isLimitsAway(err))
	if err != nil {
		c.calls.failed.Add(1)
	}
	if c.probes {
		c.calls.probing.Store(false)
	}
	close(c.done)
	return !c.left
}

// leave notes that the request does not wait for the answer, unless there is one.
func (c *tokenCall) leave() bool {
	c.mutex.Lock()
	defer c.mutex.Unlock()
	c.left = !c.answered
	return c.left
}

// isLimitsAway reports whether an error means that the limits do not answer, for whatever
// lineage.
func isLimitsAway(err error) bool { return err != nil && !isOfOneLineage(err) }
