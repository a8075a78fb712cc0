package keystile_test

import (
	"context"
	"errors"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

func TestWithoutItsLimitsAProcessRefusesAndSaysWhy(t *testing.T) {
	fleet := newFleet(t)
	key, free, process := fleet.hourly(10), fleet.issue(nil), fleet.process(keystile.Leases{Length: -1})
	fleet.limits.fail(func(keystile.Take) error { return errNoRoute })
	decision, err := process.Check(context.Background(), key.Key.Expose(), keystile.Request{})
	if decision.Cause() != keystile.CauseStoreUnavailable || !errors.Is(err, errNoRoute) || !errors.Is(err, keystile.ErrStoreUnavailable) {
		t.Error(decision, err)
	}
	if !fleet.passes(process, free) {
		t.Error("it has no limit")
	}
	if stats := process.Stats(); stats.LimitsFailed != 1 || stats.Degraded != 1 {
		t.Errorf("%+v", stats)
	}
	fleet.limits.fail(func(keystile.Take) error { panic("a bug in limits") })
	if decision, err := process.Check(context.Background(), key.Key.Expose(), keystile.Request{}); decision.Allowed() || !errors.Is(err, keystile.ErrInternal) {
		t.Error(decision, err)
	}
	fleet.limits.fail(nil)
	if !fleet.passes(process, key) {
		t.Error("it does not go on by itself")
	}
}

func TestWithoutItsLimitsEachProcessLetsItsSharePass(t *testing.T) {
	fleet := newFleet(t)
	key, leases := fleet.hourly(10), keystile.Leases{Processes: 2, Share: 2}
	one, other := fleet.process(leases), fleet.process(leases)
	// The first has let one pass while they were counted in one place.
	if !fleet.passes(one, key) {
		t.Fatal("refused")
	}
	fleet.limits.fail(func(keystile.Take) error { return errNoRoute })
	if first, second := fleet.passed(one, key, 10), fleet.passed(other, key, 10); first != 4 || second != 5 {
		t.Errorf("%d and %d", first, second)
	}
	if stats := one.Stats(); stats.Degraded < 4 {
		t.Errorf("%+v", stats)
	}
}

func TestWhileTheLimitsHangOneRequestWaits(t *testing.T) {
	for name, leases := range lengths {
		t.Run(name, func(t *testing.T) { oneRequestWaits(t, leases) })
	}
}

func oneRequestWaits(t *testing.T, leases keystile.Leases) {
	t.Helper()
	fleet := newFleet(t)
	key := fleet.hourly(10)
	process := fleet.processWith(keystile.Options{Limits: fleet.limits, Leases: leases, LimitsTimeout: time.Second})
	check := func(ctx context.Context) error {
		decision, err := process.Check(ctx, key.Key.Expose(), keystile.Request{})
		if decision.Allowed() {
			t.Error("allowed")
		}
		return err
	}
	release := fleet.limits.hang()
	if err := check(context.Background()); !errors.Is(err, keystile.ErrStoreUnavailable) || errors.Is(err, context.DeadlineExceeded) {
		t.Error(err)
	}
	// One that tries and goes away is still the one that tries.
	ctx, cancel := context.WithCancel(context.Background())
	first := make(chan error)
	go func() { first <- check(ctx) }()
	eventually(t, "one tries", func() bool { return fleet.limits.takes.Load() == 2 })
	cancel()
	if err := <-first; !errors.Is(err, context.Canceled) || !errors.Is(err, keystile.ErrStoreUnavailable) {
		t.Error(err)
	}
	tried := 0
	for range 100 {
		if before := fleet.limits.takes.Load(); check(context.Background()) == nil {
			t.Error("no error")
		} else if fleet.limits.takes.Load() != before {
			tried++
		}
	}
	// On a machine that stops for a second, another one.
	if tried > 2 {
		t.Errorf("%d of 100 requests wait", tried)
	}
	release()
	eventually(t, "it goes on", func() bool {
		decision, _ := process.Check(context.Background(), key.Key.Expose(), keystile.Request{})
		return decision.Allowed()
	})
}

// Those who wait for the call of another request do not ask again if it fails.
func TestACallThatFailsFailsForAllThatWait(t *testing.T) {
	fleet := newFleet(t)
	key, process := fleet.fast(), fleet.process(keystile.Leases{})
	release, before := fleet.limits.hang(), fleet.limits.takes.Load()
	fleet.limits.fail(func(keystile.Take) error { return errNoRoute })
	failed := make(chan error)
	for range 8 {
		go func() {
			_, err := process.Check(context.Background(), key.Key.Expose(), keystile.Request{})
			failed <- err
		}()
	}
	eventually(t, "the others wait", func() bool { return keystile.WaitingForTokens(process) == 7 })
	release()
	for range 8 {
		if err := <-failed; !errors.Is(err, errNoRoute) {
			t.Error(err)
		}
	}
	if calls := fleet.limits.takes.Load() - before; calls != 1 {
		t.Errorf("%d calls", calls)
	}
}

func TestNoOneWaitsForTheRequestThatTriesLimitsThatHaveFailed(t *testing.T) {
	fleet := newFleet(t)
	key, process := fleet.fast(), fleet.process(keystile.Leases{})
	fleet.limits.fail(func(keystile.Take) error { return errNoRoute })
	check := func(ctx context.Context) (keystile.Decision, error) {
		return process.Check(ctx, key.Key.Expose(), keystile.Request{})
	}
	if _, err := check(context.Background()); !errors.Is(err, errNoRoute) {
		t.Fatal(err)
	}
	fleet.limits.fail(nil)
	release, first := fleet.limits.hang(), make(chan bool)
	go func() { first <- fleet.passes(process, key) }()
	eventually(t, "one tries", func() bool { return fleet.limits.waiting.Load() == 1 })
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	for range 20 {
		if decision, err := check(ctx); decision.Allowed() || !errors.Is(err, keystile.ErrStoreUnavailable) || ctx.Err() != nil {
			t.Fatal(decision, err)
		}
	}
	release()
	if !<-first {
		t.Error("refused")
	}
}

func TestARequestThatGoesAwayLeavesItsTokens(t *testing.T) {
	fleet := newFleet(t)
	key, process := fleet.hourly(1), fleet.process(keystile.Leases{})
	release := fleet.limits.hang()
	ctx, cancel := context.WithCancel(context.Background())
	left, followed := make(chan error), make(chan bool)
	go func() {
		_, err := process.Check(ctx, key.Key.Expose(), keystile.Request{})
		left <- err
	}()
	eventually(t, "it asks", func() bool { return fleet.limits.waiting.Load() == 1 })
	cancel()
	if err := <-left; !errors.Is(err, context.Canceled) {
		t.Error(err)
	}
	release()
	eventually(t, "its token is given back", func() bool { return fleet.limits.returned.Load() == 1 })
	go func() { followed <- fleet.passes(process, key) }()
	if !<-followed {
		t.Error("another request gets it")
	}
}

func TestTokensAreNotUsedAfterTheirTime(t *testing.T) {
	fleet := newFleet(t)
	key := fleet.fast()
	// Used for 15 ms.
	process := fleet.process(keystile.Leases{Length: 40 * time.Millisecond, Processes: 2})
	// It asks for many at once now, and has none.
	used := fleet.useUpLeases(process, key, 16)
	calls, release := process.Stats().LimitsAsked, fleet.limits.hang()
	passed := make(chan uint64)
	go func() { passed <- fleet.passed(process, key, 8) }()
	eventually(t, "one asks", func() bool { return fleet.limits.waiting.Load() > 0 })
	eventually(t, "the others wait", func() bool { return keystile.WaitingForTokens(process) == 7 })
	time.Sleep(100 * time.Millisecond)
	release()
	if all := <-passed; all != 8 {
		t.Errorf("%d of 8 pass", all)
	}
	// What the first call has taken was too old for the others: they asked again.
	if again := process.Stats().LimitsAsked - calls; again < 2 {
		t.Errorf("%d call", again)
	}
	eventually(t, "what was too old is given back", func() bool {
		fleet.clock.advance(16 * time.Millisecond)
		stats := process.Stats()
		return stats.TokensTaken == used+8+stats.TokensReturned
	})
}

// useUpLeases uses a key until its process takes so many tokens at once, and has none left. It
// returns how many were used.
func (f *fleet) useUpLeases(process *keystile.Authenticator, key *keystile.Change, tokens uint64) (used uint64) {
	f.Helper()
	for before, last := uint64(0), uint64(0); ; {
		stats := process.Stats()
		if stats.TokensTaken > before {
			before, last = stats.TokensTaken, stats.TokensTaken-before
		}
		if last >= tokens && stats.TokensTaken == used+stats.TokensReturned {
			return used
		}
		if !f.passes(process, key) {
			f.Fatal("refused")
		}
		used++
	}
}

func TestRequestsThatWaitTogetherShareACall(t *testing.T) {
	fleet := newFleet(t)
	key := fleet.fast()
	process := fleet.process(keystile.Leases{Length: 10 * time.Second, Processes: 1})
	fleet.useUpLeases(process, key, 4)
	calls, release := process.Stats().LimitsAsked, fleet.limits.hang()
	passed := make(chan uint64)
	go func() { passed <- fleet.passed(process, key, 200) }()
	eventually(t, "one asks", func() bool { return fleet.limits.waiting.Load() == 1 })
	eventually(t, "the others wait", func() bool { return keystile.WaitingForTokens(process) == 199 })
	if calls := fleet.limits.waiting.Load(); calls != 1 {
		t.Errorf("%d calls at once", calls)
	}
	release()
	if all := <-passed; all != 200 {
		t.Errorf("%d of 200 pass", all)
	}
	// The second call is for all that wait.
	if again := process.Stats().LimitsAsked - calls; again > 3 {
		t.Errorf("%d calls", again)
	}
}
