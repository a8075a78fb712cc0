package keystile_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// warm returns an authenticator that has cached the record of the key, and a request that
// it allows, with a permission, an endpoint, a rate limit and an expiry to check.
func warm(b *testing.B, format *keystile.KeyFormat) (*keystile.Authenticator, string, keystile.Request) {
	b.Helper()
	issuer := keystile.Issuer{Format: format}
	limit := must[keystile.RateLimit](b)(keystile.NewRateLimit(1_000_000_000, time.Hour))
	change := must[*keystile.Change](b)(issuer.Issue(keystile.IssueRequest{
		ClientName:  "Acme Ltd",
		Environment: "live",
		Permissions: []string{"read", "write"},
		Endpoints:   must[*keystile.EndpointRules](b)(keystile.NewEndpointRules("/api/data/*")),
		RateLimit:   &limit,
	}, time.Now()))
	store := newMapStore()
	store.put(change.Record)
	verifier := must[*keystile.Verifier](b)(keystile.NewVerifier(nil, format))
	authenticator := must[*keystile.Authenticator](b)(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	b.Cleanup(func() { _ = authenticator.Close(context.Background()) })
	request := keystile.Request{
		Requirement: must[*keystile.Requirement](b)(keystile.ParseRequirement("write")),
		Method:      "POST",
		Path:        "/api/data/7",
	}
	if decision, err := authenticator.Check(context.Background(), change.Key.Expose(), request); err != nil || !decision.Allowed() {
		b.Fatalf("%v, %v", decision, err)
	}
	return authenticator, change.Key.Expose(), request
}

func benchWarm(b *testing.B, format *keystile.KeyFormat) {
	authenticator, key, request := warm(b, format)
	ctx := context.Background()
	b.ReportAllocs()
	for b.Loop() {
		if decision, err := authenticator.Check(ctx, key, request); err != nil || !decision.Allowed() {
			b.Fatal(decision, err)
		}
	}
}

func BenchmarkWarmAllow(b *testing.B) {
	benchWarm(b, must[*keystile.KeyFormat](b)(keystile.StructuredFormat("acme")))
}

func BenchmarkWarmAllowOpaque(b *testing.B) {
	benchWarm(b, must[*keystile.KeyFormat](b)(keystile.OpaqueFormat("dt")))
}

func BenchmarkWarmAllowParallel(b *testing.B) {
	authenticator, key, request := warm(b, must[*keystile.KeyFormat](b)(keystile.StructuredFormat("acme")))
	ctx := context.Background()
	b.ReportAllocs()
	b.RunParallel(func(loop *testing.PB) {
		for loop.Next() {
			if decision, err := authenticator.Check(ctx, key, request); err != nil || !decision.Allowed() {
				b.Error(decision, err)
				return
			}
		}
	})
}

// recipe is the Express recipe that people copy, written by hand in Go: SHA-256, hex, a map, a
// list of permissions; with a simple expiry, endpoint and limit, under a lock, because a
// server has many goroutines.
type recipe struct {
	mutex sync.Mutex
	keys  map[string]*recipeKey
}

type recipeKey struct {
	clientName  string
	permissions []string
	endpoints   []string
	active      bool
	expires     time.Time
	limit       int
	windowEnds  time.Time
	count       int
	lastUsed    time.Time
}

var (
	errRecipeKey        = errors.New("invalid API key")
	errRecipePermission = errors.New("insufficient permissions")
	errRecipeLimit      = errors.New("too many requests")
)

func (a *recipe) check(key, permission, path string) (*recipeKey, error) {
	sum := sha256.Sum256([]byte(key))
	hash := hex.EncodeToString(sum[:])
	now := time.Now()
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.keys[hash].judge(now, permission, path)
}

func (own *recipeKey) judge(now time.Time, permission, path string) (*recipeKey, error) {
	if own == nil || !own.active || !now.Before(own.expires) {
		return nil, errRecipeKey
	}
	matches := func(rule string) bool {
		return rule == path || (strings.HasSuffix(rule, "*") && strings.HasPrefix(path, rule[:len(rule)-1]))
	}
	if !slices.ContainsFunc(own.endpoints, matches) || !slices.Contains(own.permissions, permission) {
		return nil, errRecipePermission
	}
	if now.After(own.windowEnds) {
		own.windowEnds, own.count = now.Add(time.Hour), 0
	}
	if own.count >= own.limit {
		return nil, errRecipeLimit
	}
	own.count++
	own.lastUsed = now
	return own, nil
}

// checkTuned is the same without an allocation, as few people would write it.
func (a *recipe) checkTuned(key, permission, path string) (*recipeKey, error) {
	var text [128]byte
	sum := sha256.Sum256(text[:copy(text[:], key)])
	var hash [64]byte
	hex.Encode(hash[:], sum[:])
	now := time.Now()
	a.mutex.Lock()
	defer a.mutex.Unlock()
	return a.keys[string(hash[:])].judge(now, permission, path)
}

func newRecipe() (*recipe, string) {
	key := "dt_" + strings.Repeat("0123456789abcdef", 4)
	sum := sha256.Sum256([]byte(key))
	own := &recipeKey{clientName: "Acme Ltd", permissions: []string{"read", "write"},
		endpoints: []string{"/api/data/*"}, active: true, expires: time.Now().Add(time.Hour),
		limit: 1 << 60, windowEnds: time.Now().Add(time.Hour)}
	return &recipe{keys: map[string]*recipeKey{hex.EncodeToString(sum[:]): own}}, key
}

func BenchmarkRecipePort(b *testing.B) {
	recipe, key := newRecipe()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := recipe.check(key, "write", "/api/data/7"); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRecipePortParallel(b *testing.B) {
	recipe, key := newRecipe()
	b.ReportAllocs()
	b.RunParallel(func(loop *testing.PB) {
		for loop.Next() {
			if _, err := recipe.check(key, "write", "/api/data/7"); err != nil {
				b.Error(err)
				return
			}
		}
	})
}

func BenchmarkRecipePortTuned(b *testing.B) {
	recipe, key := newRecipe()
	b.ReportAllocs()
	for b.Loop() {
		if _, err := recipe.checkTuned(key, "write", "/api/data/7"); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkClock is what both of them spend on reading the time.
func BenchmarkClock(b *testing.B) {
	for b.Loop() {
		_ = time.Now()
	}
}
