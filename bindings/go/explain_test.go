package keystile_test

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// What this process has counted is explained, and explaining spends nothing.
func TestExplainSaysWhatCheckSays(t *testing.T) {
	world := newWorld(t, keystile.Options{}, func(request *keystile.IssueRequest) {
		request.RateLimit = keystile.Ptr(must[keystile.RateLimit](t)(keystile.NewRateLimit(1, time.Hour)))
	})
	ctx := context.Background()
	explain := func(request keystile.Request) *keystile.Explanation {
		return must[*keystile.Explanation](t)(world.authenticator.Explain(ctx, world.record.ID, request))
	}
	for range 3 {
		if explained := explain(keystile.Request{}); !explained.Allowed() || explained.RefusedBy != "" {
			t.Fatalf("nothing was spent: %+v", explained)
		}
	}
	write := keystile.Request{Requirement: must[*keystile.Requirement](t)(keystile.ParseRequirement("write"))}
	if explained := explain(write); explained.RefusedBy != "permission" || explained.Code != "permission_missing" {
		t.Errorf("%+v", explained)
	}
	if allowed, err := world.check(t, ctx); !allowed || err != nil {
		t.Fatalf("the explanations spent nothing: %v", err)
	}
	if explained := explain(keystile.Request{}); explained.RefusedBy != "rate_limit" {
		t.Errorf("%+v", explained)
	}
	decision, _ := world.authenticator.Check(ctx, world.key, keystile.Request{})
	if decision.Code() != "rate_limited" {
		t.Errorf("the decision is %q", decision.Code())
	}
}

// A store that only finds records never learns of uses; this process counts them.
func TestExplainSaysWhatIsLeftOfUsesThatThisProcessCounts(t *testing.T) {
	world := newWorld(t, keystile.Options{}, func(request *keystile.IssueRequest) { request.Uses = keystile.Ptr(uint64(2)) })
	ctx := context.Background()
	for _, allowed := range []bool{true, true, false} {
		explained := must[*keystile.Explanation](t)(world.authenticator.Explain(ctx, world.record.ID, keystile.Request{}))
		if explained.Allowed() != allowed {
			t.Errorf("%+v", explained)
		}
		world.allowed(t, allowed)
	}
}

// What the limit before left counts as one burst of the new one at most.
func TestExplainAfterAChangeOfTheLimitSaysWhatCheckSays(t *testing.T) {
	world := newWorld(t, keystile.Options{}, func(request *keystile.IssueRequest) {
		request.RateLimit = keystile.Ptr(must[keystile.RateLimit](t)(keystile.NewRateLimit(1, 24*time.Hour)))
	})
	ctx := context.Background()
	world.allowed(t, true)
	world.allowed(t, false)
	record := world.record.Clone()
	record.RateLimit = keystile.Ptr(must[keystile.RateLimit](t)(keystile.NewRateLimit(1, time.Hour)))
	record.Version++
	world.store.put(record)
	world.authenticator.Invalidate(record.ID)
	explained := must[*keystile.Explanation](t)(world.authenticator.Explain(ctx, record.ID, keystile.Request{}))
	compared := explained.Checks[8].Compared
	if explained.RefusedBy != "rate_limit" || !strings.HasSuffix(compared, "the next in 60m") && !strings.HasSuffix(compared, "the next in 1h") {
		t.Errorf("%+v", explained)
	}
	decision, _ := world.authenticator.Check(ctx, world.key, keystile.Request{})
	quota, _ := decision.Quota()
	if wait, _ := quota.RetryAfter(); decision.Code() != "rate_limited" || wait > time.Hour {
		t.Errorf("%q, %v", decision.Code(), wait)
	}
}

func TestWhatIsNotThereIsNotExplained(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	absent := must[keystile.KeyID](t)(keystile.ParseKeyID("1AbCdEfGhIjKlMnO"))
	for _, id := range []keystile.KeyID{absent, {}} {
		_, err := world.authenticator.Explain(context.Background(), id, keystile.Request{})
		if !errors.Is(err, keystile.ErrNotFound) {
			t.Errorf("%v: %v", id, err)
		}
	}
	if _, err := world.authenticator.Explain(context.Background(), world.record.ID, keystile.Request{Environment: "LIVE"}); !errors.Is(err, keystile.ErrName) {
		t.Errorf("a wrong environment: %v", err)
	}
	empty := keystile.Request{Requirement: new(keystile.Requirement)}
	if _, err := world.authenticator.Explain(context.Background(), world.record.ID, empty); !errors.Is(err, keystile.ErrPermission) {
		t.Errorf("an empty requirement: %v", err)
	}
}
