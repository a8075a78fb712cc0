package keystile_test

import (
	"context"
	"errors"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// P1: zero values grant nothing, and never mean that there is no restriction.
func TestZeroValuesGrantNothing(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	world.allowed(t, true)
	ctx, unmade := context.Background(), keystile.Request{Requirement: &keystile.Requirement{}}
	if decision, err := world.authenticator.Check(ctx, world.key, unmade); decision.Allowed() || !errors.Is(err, keystile.ErrPermission) {
		t.Errorf("%v, %v", decision, err)
	}
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, world.issuer.Format))
	var usage keystile.Usage
	if decision, err := verifier.Verify(world.key, world.record, unmade, &usage, time.Now()); decision.Allowed() || err == nil {
		t.Errorf("%v, %v", decision, err)
	}
	granted := must[*keystile.PermissionSet](t)(keystile.NewPermissionSet("*"))
	if (&keystile.Requirement{}).IsSatisfiedBy(granted) {
		t.Error("nobody meets it")
	}
	for _, request := range []keystile.IssueRequest{
		{ClientName: "Acme", Template: &keystile.ScopeTemplate{}}, {},
	} {
		if change, err := world.issuer.Issue(request, time.Now()); err == nil {
			t.Errorf("%+v", change.Record)
		}
	}
	for _, restricted := range []keystile.IssueRequest{
		{ClientName: "Acme", Endpoints: &keystile.EndpointRules{}}, {ClientName: "Acme", Networks: &keystile.Networks{}},
	} {
		change := must[*keystile.Change](t)(world.issuer.Issue(restricted, time.Now()))
		world.store.put(change.Record)
		request := keystile.Request{Method: "GET", Path: "/api/data"}
		if decision, err := world.authenticator.Check(ctx, change.Key.Expose(), request); err != nil || decision.Allowed() {
			t.Errorf("an empty list is nowhere: %v, %v", decision, err)
		}
	}
	if _, err := keystile.NewVerifier(&keystile.PepperRing{}, world.issuer.Format); !errors.Is(err, keystile.ErrDigest) {
		t.Errorf("%v", err)
	}
	if _, err := (&keystile.Issuer{Format: world.issuer.Format, Peppers: &keystile.PepperRing{}}).Issue(keystile.IssueRequest{ClientName: "Acme"}, time.Now()); !errors.Is(err, keystile.ErrDigest) {
		t.Errorf("%v", err)
	}
	for _, issuer := range []keystile.Issuer{{}, {Format: &keystile.KeyFormat{}}} {
		if _, err := issuer.Issue(keystile.IssueRequest{ClientName: "Acme"}, time.Now()); !errors.Is(err, keystile.ErrFormat) {
			t.Errorf("%v", err)
		}
	}
	template := &keystile.ScopeTemplate{}
	if template.Endpoints().Allows("GET", "/") || template.Permissions().Grants("read") || template.RateLimit() == nil || template.RateLimit().Limit() != 0 {
		t.Error("a template that is none grants nothing")
	}
	if format := (&keystile.KeyFormat{}); keystile.StatusOf(nil, time.Now()) != keystile.StatusRevoked || format.IsStructured() {
		t.Error("no record, and no format")
	}
	if _, err := keystile.NewCredentialExtractor(&keystile.Verifier{}, keystile.CredentialSources{}); !errors.Is(err, keystile.ErrUninitialized) {
		t.Errorf("an extractor that takes any text for a key: %v", err)
	}
	var decision keystile.Decision
	var quota keystile.Quota
	if decision.Allowed() || quota.Remaining() != 0 || (keystile.Digest{}).Equal(keystile.Digest{}) || !(keystile.KeyID{}).IsZero() {
		t.Error("zero values are nothing")
	}
	if (&keystile.Record{}).Check() == nil || (&keystile.Record{}).IsLive(time.Now()) {
		t.Error("an empty record is none")
	}
	if (&keystile.EndpointRules{}).Allows("GET", "/") || (*keystile.PermissionSet)(nil).Grants("read") || (&keystile.PermissionSet{}).Grants("read") {
		t.Error("nothing is granted by nothing")
	}
}
