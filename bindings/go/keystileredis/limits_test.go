package keystileredis_test

import (
	"context"
	"errors"
	"fmt"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystileredis"
	"github.com/keystile/keystile/bindings/go/storetest"
)

var ctx = context.Background()

func TestLimitsOnAServerAreLimits(t *testing.T) {
	server := start(t)
	storetest.RunLimits(t, func(t *testing.T, _ keystile.Batch) keystile.Limits {
		server.do("FLUSHALL")
		return server.open(server.options())
	})
}

// All languages count by one script.
func TestTheScriptIsThatOfTheOtherLanguages(t *testing.T) {
	own, other := must(os.ReadFile("limits.lua")), must(os.ReadFile("../../../adapters/redis/src/limits.lua"))
	if string(own) != string(other) {
		t.Error("the scripts differ; run `cargo xtask go-lib`, and commit it")
	}
}

func TestEachNameExpires(t *testing.T) {
	server := start(t)
	limits := server.open(server.options())
	for number, limit := range []keystile.RateLimit{hourly(10), must(keystile.NewRateLimit(1000, time.Second)), must(keystile.NewRateLimitWithBurst(1, 366*24*time.Hour, 9))} {
		take := keystile.Take{Lineage: id(number), Limit: limit, Tokens: 5}
		taken := must(limits.Take(ctx, take))
		if err := limits.GiveBack(ctx, []keystile.Rest{{Lineage: take.Lineage, Limit: limit, Tokens: 1, TakenAt: taken.Clock, Within: time.Hour}}); err != nil {
			t.Fatal(err)
		}
	}
	names := server.do("KEYS", "*").([]any)
	if len(names) != 4 { // With that of the probe.
		t.Error(names)
	}
	for _, name := range names {
		lifetime := server.do("PTTL", name).(int64)
		if !strings.HasPrefix(name.(string), "keystile:{") || lifetime <= 50_000 || lifetime > (3_653*24*time.Hour+2*time.Minute).Milliseconds() {
			t.Errorf("%v expires after %d ms", name, lifetime)
		}
	}
}

func id(number int) keystile.KeyID {
	return must(keystile.ParseKeyID(fmt.Sprintf("1%015d", number)))
}

func hourly(limit uint32) keystile.RateLimit {
	return must(keystile.NewRateLimit(limit, time.Hour))
}

// takeAll takes one token after the other in so many goroutines, until one is refused in each,
// and returns how many were taken.
func takeAll(t *testing.T, limits []*keystileredis.Limits, limit keystile.RateLimit, goroutines int) int64 {
	t.Helper()
	var group sync.WaitGroup
	var all atomic.Int64
	for number := range goroutines {
		group.Add(1)
		go func() {
			defer group.Done()
			for {
				taken, err := limits[number%len(limits)].Take(ctx, keystile.Take{Lineage: id(1), Limit: limit, Tokens: 1 + uint32(number%3)})
				if err != nil {
					t.Error(err)
				}
				if taken.Tokens == 0 {
					return
				}
				all.Add(int64(taken.Tokens))
			}
		}()
	}
	group.Wait()
	return all.Load()
}

func TestSixteenGoroutinesTakeOneBurst(t *testing.T) {
	server := start(t)
	limits := []*keystileredis.Limits{server.open(server.options()), server.open(server.options())}
	if all := takeAll(t, limits, must(keystile.NewRateLimit(1000, 24*time.Hour)), 16); all != 1000 {
		t.Errorf("%d of 1000", all)
	}
}

// Each loss of the state lets at most one burst more pass, and nothing passes while it is away.
func TestALossOfTheStateIsOneBurst(t *testing.T) {
	server := start(t)
	limits, limit := server.open(server.options()), must(keystile.NewRateLimit(50, 24*time.Hour))
	all := takeAll(t, []*keystileredis.Limits{limits}, limit, 4)
	for loss := range 3 {
		if loss == 0 {
			server.do("FLUSHALL")
		} else {
			server.kill()
			if taken, err := limits.Take(ctx, keystile.Take{Lineage: id(1), Limit: limit, Tokens: 1}); err == nil || taken.Tokens != 0 {
				t.Error(taken, err)
			}
			server.run()
			awaken(t, limits)
		}
		all += takeAll(t, []*keystileredis.Limits{limits}, limit, 4)
		if most := int64(50 * (loss + 2)); all != most {
			t.Errorf("after %d losses %d have passed, and not %d", loss+1, all, most)
		}
	}
	// The script is lost too, and is sent again.
	server.do("SCRIPT", "FLUSH")
	rest := keystile.Rest{Lineage: id(1), Limit: limit, Tokens: 2, TakenAt: time.Now(), Within: time.Hour}
	taken := must(limits.Take(ctx, keystile.Take{Lineage: id(1), Limit: limit}))
	server.do("SCRIPT", "FLUSH")
	rest.TakenAt = taken.Clock
	if err := limits.GiveBack(ctx, []keystile.Rest{rest, {Lineage: id(2), Limit: limit, Tokens: 1, TakenAt: taken.Clock, Within: time.Hour}}); err != nil {
		t.Error(err)
	}
	if taken := must(limits.Take(ctx, keystile.Take{Lineage: id(1), Limit: limit, Tokens: 5})); taken.Tokens != 2 {
		t.Error(taken.Tokens)
	}
}

// awaken waits until the limits can be used again.
func awaken(t *testing.T, limits *keystileredis.Limits) {
	t.Helper()
	for end := time.Now().Add(patience); ; time.Sleep(10 * time.Millisecond) {
		_, err := limits.Take(ctx, keystile.Take{Lineage: id(9), Limit: hourly(1)})
		if err == nil {
			return
		}
		if time.Now().After(end) {
			t.Fatal("it does not connect again:", err)
		}
	}
}

// Processes of a service keep one limit, and are refused while the server is away.
func TestAuthenticatorsShareALimit(t *testing.T) {
	server := start(t)
	store, format := keystile.NewMemoryStore(), must(keystile.StructuredFormat("acme"))
	verifier := must(keystile.NewVerifier(nil, format))
	limit := must(keystile.NewRateLimit(100, 24*time.Hour))
	var processes []*keystile.Authenticator
	for range 2 {
		process := must(keystile.NewAuthenticator(store, verifier, keystile.Options{Limits: server.open(server.options()), LimitsTimeout: patience, StoreTimeout: patience}))
		defer process.Close(ctx)
		processes = append(processes, process)
	}
	issued := must(processes[0].Issue(ctx, &keystile.Issuer{Format: format}, keystile.IssueRequest{ClientName: "Acme", RateLimit: &limit}))
	var passed atomic.Int64
	work := func(requests int) {
		var group sync.WaitGroup
		for number := range 16 {
			group.Add(1)
			go func() {
				defer group.Done()
				for range requests {
					decision, err := processes[number%2].Check(ctx, issued.Key.Expose(), keystile.Request{})
					if decision.Allowed() {
						passed.Add(1)
					} else if err != nil || decision.Cause() != keystile.CauseRateLimit {
						t.Error(decision, err)
					}
				}
			}()
		}
		group.Wait()
	}
	work(20)
	if all := passed.Load(); all > 100 || all < 50 {
		t.Errorf("%d of 320 requests pass", all)
	}
	// What a process held and had no use for is given back. A lease that is over late on a slow
	// machine is lost.
	for end := time.Now().Add(2 * time.Second); time.Now().Before(end) && passed.Load() < 100; time.Sleep(100 * time.Millisecond) {
		work(1)
	}
	if all := passed.Load(); all > 100 || all < 75 {
		t.Errorf("%d requests pass", all)
	}
	server.kill()
	fresh := must(processes[1].Issue(ctx, &keystile.Issuer{Format: format}, keystile.IssueRequest{ClientName: "Acme", RateLimit: &limit}))
	if decision, err := processes[0].Check(ctx, fresh.Key.Expose(), keystile.Request{}); decision.Cause() != keystile.CauseStoreUnavailable || !errors.Is(err, keystile.ErrStoreUnavailable) {
		t.Error(decision, err)
	}
}
