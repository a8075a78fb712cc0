package keystile_test

import (
	"context"
	"errors"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

const day = 24 * time.Hour

// Of the policies of a service and of an issuer the shortest counts, wherever a lifetime is given.
func TestTheShortestLifetimeCounts(t *testing.T) {
	for _, one := range []struct{ service, issuer, expected keystile.LifetimePolicy }{
		{expected: keystile.LifetimePolicy{Default: 90 * day}},
		{service: keystile.LifetimePolicy{Longest: 9 * day}, expected: keystile.LifetimePolicy{Default: 9 * day, Longest: 9 * day}},
		{issuer: keystile.LifetimePolicy{Default: 2 * day, Longest: 9 * day}, expected: keystile.LifetimePolicy{Default: 2 * day, Longest: 9 * day}},
		{keystile.LifetimePolicy{Default: 3 * day, Longest: 9 * day}, keystile.LifetimePolicy{Default: 2 * day, Longest: 20 * day},
			keystile.LifetimePolicy{Default: 2 * day, Longest: 9 * day}},
		// A default may be longer than that of a service without a policy.
		{service: keystile.LifetimePolicy{Default: 365 * day}, expected: keystile.LifetimePolicy{Default: 365 * day}},
		{issuer: keystile.LifetimePolicy{Default: 365 * day}, expected: keystile.LifetimePolicy{Default: 365 * day}},
		{service: keystile.LifetimePolicy{Default: 365 * day, Longest: 400 * day}, expected: keystile.LifetimePolicy{Default: 365 * day, Longest: 400 * day}},
		{keystile.LifetimePolicy{Default: 365 * day}, keystile.LifetimePolicy{Longest: 400 * day},
			keystile.LifetimePolicy{Default: 90 * day, Longest: 400 * day}},
	} {
		ctx := context.Background()
		authenticator, issuer, _ := inMemory(keystile.Options{Lifetimes: one.service})
		defer authenticator.Close(ctx)
		issuer.Lifetimes = one.issuer
		lives := func(change *keystile.Change, err error) time.Duration {
			t.Helper()
			if err != nil {
				t.Fatal(err)
			}
			return change.Record.ExpiresAt.Sub(change.Record.CreatedAt)
		}
		request := keystile.IssueRequest{ClientName: "Acme"}
		if span := lives(authenticator.Issue(ctx, issuer, request)); span != one.expected.Default {
			t.Errorf("%+v: issued for %v", one, span)
		}
		if one.expected.Longest == 0 {
			continue
		}
		// Made by other code, it lives for ever; its successor does not.
		endless := must[*keystile.Change](t)((&keystile.Issuer{Format: issuer.Format}).Issue(keystile.IssueRequest{ClientName: "Acme", NeverExpires: true}, time.Now()))
		if err := authenticator.Commit(ctx, endless); err != nil {
			t.Fatal(err)
		}
		id := endless.Record.ID
		if span := lives(authenticator.Delegate(ctx, id, issuer, request)); span != one.expected.Default {
			t.Errorf("%+v: derived for %v", one, span)
		}
		request.NeverExpires = true
		_, derived := authenticator.Delegate(ctx, id, issuer, request)
		longer := one.expected.Longest + time.Millisecond
		_, issued := authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme", Lifetime: &longer})
		asked := keystile.DefaultRotationPolicy()
		asked.Lifetime = longer
		_, rotated := authenticator.Rotate(ctx, issuer, id, asked)
		// A change has no issuer.
		var changed error = keystile.ErrTime
		if one.service.Longest != 0 {
			_, changed = authenticator.Change(ctx, id, keystile.KeyChange{Lifetime: &longer})
		}
		for what, err := range map[string]error{"derived": derived, "issued": issued, "rotated": rotated, "changed": changed} {
			if !errors.Is(err, keystile.ErrTime) {
				t.Errorf("%+v: %s: %v", one, what, err)
			}
		}
		renamed := must[keystile.Outcome](t)(authenticator.Change(ctx, id, keystile.KeyChange{ClientName: keystile.Ptr("Acme Ltd")}))
		if !renamed.Record.ExpiresAt.IsZero() {
			t.Errorf("a change of another field keeps the end: %v", renamed.Record)
		}
		if span := lives(authenticator.Rotate(ctx, issuer, id, keystile.DefaultRotationPolicy())); span != one.expected.Longest {
			t.Errorf("%+v: a successor for %v", one, span)
		}
	}
}

func TestWhatALifetimeMayBe(t *testing.T) {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	for _, policy := range []keystile.LifetimePolicy{
		{Default: -1}, {Longest: -day}, {Default: time.Microsecond}, {Default: 2 * day, Longest: day},
	} {
		issuer := &keystile.Issuer{Format: format, Lifetimes: policy}
		record := must[*keystile.Change](t)((&keystile.Issuer{Format: format}).Issue(keystile.IssueRequest{ClientName: "Acme"}, now)).Record
		_, issued := issuer.Issue(keystile.IssueRequest{ClientName: "Acme"}, now)
		_, rotated := issuer.Rotate(record, nil, keystile.DefaultRotationPolicy(), now)
		_, changed := keystile.ChangeKey(record, keystile.KeyChange{Owner: keystile.Set("x")}.Within(policy), now)
		_, options := keystile.NewAuthenticator(newMapStore(), keystile.Must(keystile.NewVerifier(nil, format)), keystile.Options{Lifetimes: policy})
		for what, err := range map[string]error{"check": policy.Check(), "issue": issued, "rotate": rotated, "change": changed, "options": options} {
			if !errors.Is(err, keystile.ErrTime) {
				t.Errorf("%+v: %s: %v", policy, what, err)
			}
		}
	}
	asked := keystile.DefaultRotationPolicy()
	asked.Lifetime, asked.NeverExpires = time.Hour, true
	record := must[*keystile.Change](t)((&keystile.Issuer{Format: format}).Issue(keystile.IssueRequest{ClientName: "Acme"}, now)).Record
	if _, err := (&keystile.Issuer{Format: format}).Rotate(record, nil, asked, now); !errors.Is(err, keystile.ErrTime) {
		t.Error(err)
	}
}
