package keystile_test

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var errNoRoute = errors.New("no route to the limits")

// watchedLimits are limits in memory that count their calls, and fail or wait as a test requires.
type watchedLimits struct {
	*keystile.MemoryLimits
	takes, waiting atomic.Int64
	returned       atomic.Uint64
	mutex          sync.Mutex
	// fails is asked before each take.
	fails func(keystile.Take) error
	// gate is closed when takes may go on.
	gate chan struct{}
}

func newWatchedLimits(clock *testClock) *watchedLimits {
	open := make(chan struct{})
	close(open)
	return &watchedLimits{MemoryLimits: keystile.NewMemoryLimitsWithClock(clock.read), gate: open}
}

func (w *watchedLimits) fail(fails func(keystile.Take) error) {
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.fails = fails
}

func (w *watchedLimits) hang() (release func()) {
	gate := make(chan struct{})
	w.mutex.Lock()
	defer w.mutex.Unlock()
	w.gate = gate
	return sync.OnceFunc(func() { close(gate) })
}

func (w *watchedLimits) Take(ctx context.Context, take keystile.Take) (keystile.Taken, error) {
	w.takes.Add(1)
	w.mutex.Lock()
	fails, gate := w.fails, w.gate
	w.mutex.Unlock()
	w.waiting.Add(1)
	// It does not look at the context, as limits need not.
	<-gate
	w.waiting.Add(-1)
	if fails != nil {
		if err := fails(take); err != nil {
			return keystile.Taken{}, err
		}
	}
	return w.MemoryLimits.Take(context.WithoutCancel(ctx), take)
}

func (w *watchedLimits) GiveBack(ctx context.Context, rests []keystile.Rest) error {
	for _, rest := range rests {
		w.returned.Add(uint64(rest.Tokens))
	}
	return w.MemoryLimits.GiveBack(ctx, rests)
}

// fleet is processes of a service with one store and one place for its limits.
type fleet struct {
	*testing.T
	clock  *testClock
	store  *keystile.MemoryStore
	limits *watchedLimits
	issuer *keystile.Issuer
}

func newFleet(t *testing.T) *fleet {
	t.Helper()
	clock := &testClock{now: time.UnixMilli(1_790_000_000_000).UTC()}
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	return &fleet{t, clock, keystile.NewMemoryStore(), newWatchedLimits(clock), issuer}
}

// issue stores a key with a limit of so many an hour, or with none.
func (f *fleet) issue(limit *keystile.RateLimit) *keystile.Change {
	f.Helper()
	issued := must[*keystile.Change](f.T)(f.issuer.Issue(keystile.IssueRequest{ClientName: "Acme", RateLimit: limit}, f.clock.read()))
	if err := f.store.Commit(context.Background(), issued.Batch()); err != nil {
		f.Fatal(err)
	}
	return issued
}

func (f *fleet) hourly(limit uint32) *keystile.Change {
	f.Helper()
	return f.issue(keystile.Ptr(keystile.Must(keystile.NewRateLimit(limit, time.Hour))))
}

// fast issues a key of which a process takes many tokens at once.
func (f *fleet) fast() *keystile.Change {
	f.Helper()
	return f.issue(keystile.Ptr(keystile.Must(keystile.NewRateLimit(100_000, time.Second))))
}

func (f *fleet) process(leases keystile.Leases) *keystile.Authenticator {
	f.Helper()
	return f.processWith(keystile.Options{Leases: leases, Limits: f.limits})
}

func (f *fleet) processWith(options keystile.Options) *keystile.Authenticator {
	f.Helper()
	// No poll that invalidates what a test has cached.
	options.Clock, options.PollInterval = f.clock.read, -1
	if options.LimitsTimeout == 0 {
		// Long beyond any test.
		options.LimitsTimeout, options.StoreTimeout = time.Hour, time.Hour
	}
	verifier := keystile.Must(keystile.NewVerifier(nil, f.issuer.Format))
	process := must[*keystile.Authenticator](f.T)(keystile.NewAuthenticator(f.store, verifier, options))
	f.Cleanup(func() { _ = process.Close(context.Background()) })
	return process
}

func (f *fleet) passes(process *keystile.Authenticator, key *keystile.Change) bool {
	f.Helper()
	decision, err := process.Check(context.Background(), key.Key.Expose(), keystile.Request{})
	if !decision.Allowed() && decision.Cause() != keystile.CauseRateLimit {
		f.Errorf("%v, %v", decision, err)
	}
	return decision.Allowed()
}

// passed returns how many of so many requests pass that a process gets at once.
func (f *fleet) passed(process *keystile.Authenticator, key *keystile.Change, requests int) uint64 {
	var group sync.WaitGroup
	var passed atomic.Uint64
	for range requests {
		group.Add(1)
		go func() {
			defer group.Done()
			if f.passes(process, key) {
				passed.Add(1)
			}
		}()
	}
	group.Wait()
	return passed.Load()
}

// eventually waits for what has to happen, however slow the machine is.
func eventually(t *testing.T, what string, happened func() bool) {
	t.Helper()
	for end := time.Now().Add(time.Minute); !happened(); time.Sleep(time.Millisecond) {
		if time.Now().After(end) {
			t.Fatal("this does not happen: ", what)
		}
	}
}

// lengths are leases, and none.
var lengths = map[string]keystile.Leases{"leases": {Processes: 2}, "no leases": {Length: -1}}

func TestThreeProcessesLetOneLimitPass(t *testing.T) {
	for name, leases := range lengths {
		t.Run(name, func(t *testing.T) {
			fleet := newFleet(t)
			key, all := fleet.hourly(100), uint64(0)
			used := map[*keystile.Authenticator]uint64{}
			processes := []*keystile.Authenticator{fleet.process(leases), fleet.process(leases), fleet.process(leases)}
			for range 6 {
				for _, process := range processes {
					passed := fleet.passed(process, key, 40)
					used[process] += passed
					all += passed
				}
				// What a process holds and has no use for is given back in time.
				fleet.clock.advance(400 * time.Millisecond)
				for _, process := range processes {
					eventually(t, "all are used or given back", func() bool {
						stats := process.Stats()
						return stats.TokensTaken == used[process]+stats.TokensReturned
					})
				}
				// What was refused is remembered for a length from the answer on.
				fleet.clock.advance(1600 * time.Millisecond)
			}
			if all != 100 {
				t.Errorf("%d of 720 requests pass", all)
			}
		})
	}
}

func TestOneStoreCountsTheLimitOfSeveralProcesses(t *testing.T) {
	for name, leases := range lengths {
		t.Run(name, func(t *testing.T) {
			fleet := newFleet(t)
			key := fleet.hourly(100)
			process := func() *keystile.Authenticator {
				limits := keystile.NewStoredLimitsWithClock(fleet.store, fleet.clock.read)
				return fleet.processWith(keystile.Options{Leases: leases, Limits: limits, FlushInterval: time.Millisecond})
			}
			one, other := process(), process()
			all := fleet.passed(one, key, 30) + fleet.passed(other, key, 30)
			if err := errors.Join(one.Close(context.Background()), other.Close(context.Background())); err != nil || all != 60 {
				t.Error(all, err)
			}
			// What they held is free again, and nothing was counted twice.
			if all += fleet.passed(process(), key, 100); all != 100 {
				t.Errorf("%d of 160 requests pass", all)
			}
		})
	}
}

func TestAHotKeyAsksTenTimesLessOftenThanItIsUsed(t *testing.T) {
	fleet := newFleet(t)
	key := fleet.issue(keystile.Ptr(keystile.Must(keystile.NewRateLimit(10_000, time.Second))))
	process := fleet.process(keystile.Leases{Length: 10 * time.Second, Processes: 2})
	for range 2_000 {
		if !fleet.passes(process, key) {
			t.Fatal("refused")
		}
	}
	stats := process.Stats()
	if takes := fleet.limits.takes.Load(); takes*10 > 2_000 || stats.LimitsAsked != uint64(takes) || stats.TokensTaken < 2_000 {
		t.Errorf("%d calls, %+v", takes, stats)
	}
}

func TestWhatIsLeftIsGivenBackWhenAProcessStops(t *testing.T) {
	fleet := newFleet(t)
	key := fleet.fast()
	process := fleet.process(keystile.Leases{Processes: 2})
	used := uint64(0)
	for process.Stats().TokensTaken < used+3 {
		if fleet.passes(process, key) {
			used++
		}
	}
	taken := process.Stats().TokensTaken
	if err := process.Close(context.Background()); err != nil {
		t.Fatal(err)
	}
	if back := fleet.limits.returned.Load(); back != taken-used || back == 0 {
		t.Errorf("%d of %d were used, and %d given back", used, taken, back)
	}
	if left := fleet.left(key); left != 100_000-used {
		t.Errorf("%d are left", left)
	}
}

// left returns how many of a key's tokens are left.
func (f *fleet) left(key *keystile.Change) uint64 {
	f.Helper()
	take := keystile.Take{Lineage: key.Record.Lineage, Limit: *key.Record.RateLimit, Tokens: 1 << 31}
	return uint64(must[keystile.Taken](f.T)(f.limits.MemoryLimits.Take(context.Background(), take)).Tokens)
}

func TestNothingIsAskedForWhatIsRefusedAnyway(t *testing.T) {
	fleet := newFleet(t)
	key, process := fleet.hourly(10), fleet.process(keystile.Leases{})
	write := keystile.Must(keystile.ParseRequirement("write"))
	for range 3 {
		decision, err := process.Check(context.Background(), key.Key.Expose(), keystile.Request{Requirement: write})
		if err != nil || decision.Cause() != keystile.CausePermission {
			t.Error(decision, err)
		}
	}
	if takes := fleet.limits.takes.Load(); takes != 0 {
		t.Error(takes, "calls")
	}
}

func TestAFloodOnASpentKeyIsNoFloodOfCalls(t *testing.T) {
	fleet := newFleet(t)
	key, process := fleet.hourly(1), fleet.process(keystile.Leases{})
	for number := range 1_000 {
		if fleet.passes(process, key) != (number == 0) {
			t.Fatal(number)
		}
	}
	if stats := process.Stats(); fleet.limits.takes.Load() != 2 || stats.RefusedFromMemory != 998 {
		t.Errorf("%d calls, %+v", fleet.limits.takes.Load(), stats)
	}
	decision, decided := process.TryCheck(key.Key.Expose(), keystile.Request{})
	if wait, _ := must2(decision.Quota()); !decided || wait == 0 {
		t.Error(decision, decided)
	}
}

// must2 returns how long a quota has to be waited for.
func must2(quota keystile.Quota, has bool) (time.Duration, bool) {
	wait, _ := quota.RetryAfter()
	return wait, has
}

func TestExplainShowsWhatAllHaveSpent(t *testing.T) {
	fleet := newFleet(t)
	key, ctx := fleet.hourly(3), context.Background()
	one, other := fleet.process(keystile.Leases{Length: -1}), fleet.process(keystile.Leases{Length: -1})
	for spent := range 5 {
		for range 2 {
			explained := must[*keystile.Explanation](t)(other.Explain(ctx, key.Record.ID, keystile.Request{}))
			if explained.Allowed() != (spent < 3) || !explained.Allowed() && explained.RefusedBy != "rate_limit" {
				t.Errorf("after %d: %+v", spent, explained)
			}
		}
		fleet.passes(one, key)
	}
	fleet.limits.fail(func(keystile.Take) error { return errNoRoute })
	if _, err := other.Explain(ctx, key.Record.ID, keystile.Request{}); !errors.Is(err, keystile.ErrStoreUnavailable) || !errors.Is(err, errNoRoute) {
		t.Error(err)
	}
}

func TestALineageThatCannotBeReadStopsNoOther(t *testing.T) {
	fleet := newFleet(t)
	key, other, third := fleet.hourly(10), fleet.hourly(10), fleet.hourly(10)
	process := fleet.process(keystile.Leases{Length: -1, Share: 2})
	fleet.limits.fail(func(take keystile.Take) error {
		if take.Lineage == key.Record.Lineage {
			return keystile.ErrNotFound
		}
		return nil
	})
	for range 3 {
		decision, err := process.Check(context.Background(), key.Key.Expose(), keystile.Request{})
		if decision.Cause() != keystile.CauseStoreUnavailable || !errors.Is(err, keystile.ErrNotFound) {
			t.Error(decision, err)
		}
		if !fleet.passes(process, other) {
			t.Error("another key is refused")
		}
	}
	if stats := process.Stats(); stats.Degraded != 0 || stats.LimitsFailed != 3 {
		t.Errorf("a share would be a guess: %+v", stats)
	}
	// Others do not wait for one that tries, as if the limits were away.
	_, _ = process.Check(context.Background(), key.Key.Expose(), keystile.Request{})
	release, passed := fleet.limits.hang(), make(chan bool)
	for _, one := range []*keystile.Change{other, third} {
		go func() { passed <- fleet.passes(process, one) }()
	}
	eventually(t, "both ask", func() bool { return fleet.limits.waiting.Load() == 2 })
	release()
	if first, second := <-passed, <-passed; !first || !second {
		t.Error("refused")
	}
}

func TestTryCheckAsksForNoToken(t *testing.T) {
	fleet := newFleet(t)
	key, process := fleet.fast(), fleet.process(keystile.Leases{Length: 10 * time.Second, Processes: 1})
	if decision, decided := process.TryCheck(key.Key.Expose(), keystile.Request{}); decided || decision.Allowed() {
		t.Error("its record is not cached")
	}
	decided := 0
	for range 100 {
		takes := fleet.limits.takes.Load()
		decision, is := process.TryCheck(key.Key.Expose(), keystile.Request{})
		if decision.Allowed() != is || fleet.limits.takes.Load() != takes {
			t.Fatal(decision, is)
		}
		if is {
			decided++
		} else if !fleet.passes(process, key) {
			t.Fatal("refused")
		}
	}
	if decided < 50 {
		t.Error("only", decided, "of 100 are decided by tokens that are held")
	}
}

func TestLeasesThatCannotBeAreRefused(t *testing.T) {
	verifier := keystile.Must(keystile.NewVerifier(nil, keystile.Must(keystile.StructuredFormat("acme"))))
	limits := keystile.NewMemoryLimits()
	for _, options := range []keystile.Options{
		{Leases: keystile.Leases{Length: time.Second}}, {LimitsTimeout: time.Second}, {Limits: limits, LimitsTimeout: -1},
		{Limits: limits, Leases: keystile.Leases{Length: 11 * time.Second}}, {Limits: limits, Leases: keystile.Leases{Length: 1}},
		{Limits: limits, Leases: keystile.Leases{Processes: 100_001}}, {Limits: limits, Leases: keystile.Leases{Share: 100_001}},
	} {
		if _, err := keystile.NewAuthenticator(keystile.NewMemoryStore(), verifier, options); !errors.Is(err, keystile.ErrLimit) {
			t.Errorf("%+v: %v", options, err)
		}
	}
}
