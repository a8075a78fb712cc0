package keystile_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// Two takes of a limit of ten an hour, and what was not used is given back.
func ExampleMemoryLimits() {
	ctx, limits := context.Background(), keystile.NewMemoryLimits()
	lineage := keystile.Must(keystile.ParseKeyID("1AbCdEfGhIjKlMnO"))
	take := keystile.Take{Lineage: lineage, Limit: keystile.Must(keystile.NewRateLimit(10, time.Hour)), Tokens: 8}
	first := keystile.Must(limits.Take(ctx, take))
	second := keystile.Must(limits.Take(ctx, take))
	refused := keystile.Must(limits.Take(ctx, take))
	fmt.Println(first.Tokens, second.Tokens, refused.Tokens)

	rest := keystile.Rest{Lineage: lineage, Limit: take.Limit, Tokens: 5, TakenAt: first.Clock, Within: time.Minute}
	fmt.Println(limits.GiveBack(ctx, []keystile.Rest{rest}))
	fmt.Println(keystile.Must(limits.Take(ctx, take)).Tokens)

	// A limit that was not made by its constructor is refused.
	_, err := limits.Take(ctx, keystile.Take{Lineage: lineage, Tokens: 1})
	fmt.Println(errors.Is(err, keystile.ErrLimit))
	// Output:
	// 8 2 0
	// <nil>
	// 5
	// true
}

// A service's tokens, counted in the store that has its keys.
func ExampleStoredLimits() {
	ctx, store := context.Background(), keystile.NewMemoryStore()
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	daily := keystile.Must(keystile.NewRateLimit(1, 24*time.Hour))
	issued := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme", RateLimit: &daily}, time.Now()))
	if err := store.Commit(ctx, issued.Batch()); err != nil {
		panic(err)
	}

	// Each process has such limits of its own over the same store.
	one, other := keystile.NewStoredLimits(store), keystile.NewStoredLimits(store)
	take := keystile.Take{Lineage: issued.Record.Lineage, Limit: daily, Tokens: 1}
	fmt.Println(keystile.Must(one.Take(ctx, take)).Tokens, keystile.Must(other.Take(ctx, take)).Tokens)

	take.Lineage = keystile.Must(keystile.ParseKeyID("1AbCdEfGhIjKlMnO"))
	_, err := one.Take(ctx, take)
	fmt.Println(errors.Is(err, keystile.ErrNotFound))
	// Output:
	// 1 0
	// true
}

// counted is an implementation of Limits that counts the calls of another one.
type counted struct {
	keystile.Limits
	calls int
}

func (c *counted) Take(ctx context.Context, take keystile.Take) (keystile.Taken, error) {
	c.calls++
	return c.Limits.Take(ctx, take)
}

func ExampleLimits() {
	var limits keystile.Limits = &counted{Limits: keystile.NewMemoryLimits()}
	hourly := keystile.Must(keystile.NewRateLimit(1, time.Hour))
	for range 2 {
		take := keystile.Take{Lineage: keystile.Must(keystile.ParseKeyID("1AbCdEfGhIjKlMnO")), Limit: hourly, Tokens: 1}
		var taken keystile.Taken = keystile.Must(limits.Take(context.Background(), take))
		fmt.Println(taken.Tokens)
	}
	// Output:
	// 1
	// 0
}

// Two processes of a service count the limits of keys in the store that both use.
func ExampleLeases() {
	ctx, store := context.Background(), keystile.NewMemoryStore()
	format := keystile.Must(keystile.StructuredFormat("acme"))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	process := func() *keystile.Authenticator {
		return keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{
			Limits: keystile.NewStoredLimits(store),
			Leases: keystile.Leases{Length: 500 * time.Millisecond, Processes: 2},
		}))
	}
	one, other := process(), process()
	defer one.Close(ctx)
	defer other.Close(ctx)

	daily := keystile.Must(keystile.NewRateLimit(1, 24*time.Hour))
	issuer := &keystile.Issuer{Format: format}
	issued := keystile.Must(one.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme", RateLimit: &daily}))
	for _, process := range []*keystile.Authenticator{one, other} {
		fmt.Println(process.Check(ctx, issued.Key.Expose(), keystile.Request{}))
	}

	// Leases without limits to take them of are refused.
	_, err := keystile.NewAuthenticator(store, verifier, keystile.Options{Leases: keystile.Leases{Processes: 2}})
	fmt.Println(errors.Is(err, keystile.ErrLimit))
	// Output:
	// allowed <nil>
	// rate_limited <nil>
	// true
}

// inProcess notifies authenticators of one process, as a test may.
type inProcess struct{ announced }

func (i inProcess) Changed() {
	select {
	case i.announcements <- struct{}{}:
	default:
	}
}

// What one authenticator changes, the other reads long before its next poll.
func ExampleWake() {
	ctx, store := context.Background(), keystile.NewMemoryStore()
	format := keystile.Must(keystile.StructuredFormat("acme"))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	var wake keystile.Wake = inProcess{announced{store, make(chan struct{}, 1)}}
	keys := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{Wake: wake}))
	defer keys.Close(ctx)
	issued := keystile.Must(keys.Issue(ctx, &keystile.Issuer{Format: format}, keystile.IssueRequest{ClientName: "Acme"}))
	fmt.Println(keys.Check(ctx, issued.Key.Expose(), keystile.Request{}))

	_, err := keystile.NewAuthenticator(store, verifier, keystile.Options{Wake: wake, PollInterval: -1})
	fmt.Println(errors.Is(err, keystile.ErrLimit), "changes that are not followed need no Wake")
	// Output:
	// allowed <nil>
	// true changes that are not followed need no Wake
}
