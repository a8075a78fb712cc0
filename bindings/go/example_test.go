package keystile_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// now is an instant in 2026.
var now = time.UnixMilli(1_790_000_000_000).UTC()

func Example() {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	store := newMapStore()
	authenticator := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer authenticator.Close(context.Background())

	// Issue a key. Show its text once; store its record.
	issuer := &keystile.Issuer{Format: format}
	change := keystile.Must(issuer.Issue(keystile.IssueRequest{
		ClientName:  "Acme Ltd",
		Permissions: []string{"read", "invoices:*"},
	}, time.Now()))
	store.put(change.Records...)
	key := change.Key.Expose()

	// Check it.
	write := keystile.Must(keystile.ParseRequirement("write OR invoices:write"))
	decision, err := authenticator.Check(context.Background(), key, keystile.Request{Requirement: write})
	fmt.Println(decision.Allowed(), err)
	decision, _ = authenticator.Check(context.Background(), key[:20], keystile.Request{})
	fmt.Println(decision.Allowed(), decision.Err())

	// Revoke it. After the store has accepted this, invalidate it.
	revoked := keystile.Must(keystile.Revoke(change.Record, "leaked", time.Now()))
	store.put(revoked.Records...)
	authenticator.Invalidate(revoked.Record.ID)
	decision, _ = authenticator.Check(context.Background(), key, keystile.Request{})
	fmt.Println(errors.Is(decision.Err(), keystile.ErrKeyRevoked))
	// Output:
	// true <nil>
	// false keystile: the credential is malformed, unknown or wrong
	// true
}

func ExampleIssuer_Issue() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	limit := keystile.Must(keystile.NewRateLimit(100, time.Hour))
	change, err := issuer.Issue(keystile.IssueRequest{
		ClientName:  "Acme Ltd",
		Environment: "live",
		Permissions: []string{"read"},
		Endpoints:   keystile.Must(keystile.NewEndpointRules("GET,HEAD /api/metrics/*")),
		RateLimit:   &limit,
		Lifetime:    keystile.Ptr(30 * 24 * time.Hour),
	}, now)
	fmt.Println(err, len(change.Key.Expose()), change.Record.ExpiresAt)
	fmt.Printf("%v %+v %#v\n", change.Key, change.Key, change.Key)

	_, err = issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd", Permissions: []string{"inv*"}}, now)
	fmt.Println(errors.Is(err, keystile.ErrPermission))
	// Output:
	// <nil> 76 2026-10-21 14:13:20 +0000 UTC
	// [redacted] [redacted] [redacted]
	// true
}

func ExampleIssuer_Delegate() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	source := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd", Permissions: []string{"invoices:*"}}, now)).Record
	change, err := issuer.Delegate(source, keystile.IssueRequest{ClientName: "A part of it", Permissions: []string{"invoices:read"}}, now)
	fmt.Println(change.Record.Permissions, err)
	_, err = issuer.Delegate(source, keystile.IssueRequest{ClientName: "More than it", Permissions: []string{"admin"}}, now)
	fmt.Println(errors.Is(err, keystile.ErrExceeds))
	// Output:
	// invoices:read <nil>
	// true
}

func ExampleIssuer_Rotate() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	old := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now)).Record
	change := keystile.Must(issuer.Rotate(old, nil, keystile.DefaultRotationPolicy(), now))
	replaced := change.Records[1]
	fmt.Println(change.Record.Lineage == old.ID, replaced.ReplacedBy == change.Record.ID, replaced.OverlapUntil.Sub(now))
	_, err := issuer.Rotate(replaced, nil, keystile.DefaultRotationPolicy(), now)
	fmt.Println(errors.Is(err, keystile.ErrState))
	// Output:
	// true true 168h0m0s
	// true
}

func ExampleRecord_IsWithin() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	issue := func(permission string) *keystile.Record {
		request := keystile.IssueRequest{ClientName: "Acme Ltd", Permissions: []string{permission}}
		return keystile.Must(issuer.Issue(request, now)).Record
	}
	all, one := issue("invoices:*"), issue("invoices:read")
	fmt.Println(one.IsWithin(all), all.IsWithin(one))
	// Output: true false
}

func ExampleIsMethod() {
	fmt.Println(keystile.IsMethod("M-SEARCH"), keystile.IsMethod("get"), keystile.IsMethod(""))
	// Output: true false false
}

func ExampleRevoke() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	record := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now)).Record
	change := keystile.Must(keystile.Revoke(record, "leaked in a log", now))
	fmt.Println(change.Record.State, change.Record.RevokedReason, change.Event.Kind)
	_, err := keystile.Resume(change.Record, now)
	fmt.Println(errors.Is(err, keystile.ErrState))
	// Output:
	// revoked leaked in a log revoked
	// true
}

func ExamplePlan() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	record := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now)).Record
	for _, due := range keystile.Must(keystile.Plan([]*keystile.Record{record}, keystile.DefaultRotationPolicy(), now.AddDate(0, 0, 84))) {
		fmt.Println(due.Action, due.Lead)
	}
	// Output:
	// notice 168h0m0s
	// rotate 0s
}

func ExampleVerifier_Verify() {
	format := keystile.Must(keystile.OpaqueFormat("dt"))
	change := keystile.Must((&keystile.Issuer{Format: format}).Issue(keystile.IssueRequest{ClientName: "Acme Ltd", Uses: keystile.Ptr(uint64(1))}, now))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))

	lookup := keystile.Must(verifier.Lookup(change.Key.Expose()))
	fmt.Println(len(lookup.Digests), lookup.Digests[0].Equal(change.Record.Digest))
	usage := keystile.UsageOf(change.Record)
	for range 2 {
		decision, err := verifier.Verify(change.Key.Expose(), change.Record, keystile.Request{}, &usage, now)
		fmt.Println(decision, *usage.Remaining, err)
	}
	// Output:
	// 1 true
	// allowed 0 <nil>
	// uses_spent 0 <nil>
}

func ExampleRequirement() {
	requirement := keystile.Must(keystile.ParseRequirement("admin OR (read AND audit)"))
	granted := keystile.Must(keystile.NewPermissionSet("read", "invoices:*"))
	fmt.Println(requirement.IsSatisfiedBy(granted), requirement.Missing(granted))
	fmt.Println(granted.Grants("invoices:read"), granted.Grants("invoices"), granted.Grants("read_write"))
	// Output:
	// false [admin audit]
	// true false false
}

func ExampleEndpointRules() {
	rules := keystile.Must(keystile.NewEndpointRules("GET,HEAD /api/metrics/*"))
	fmt.Println(rules.Allows("GET", "/api/metrics/cpu/0"), rules.Allows("POST", "/api/metrics/cpu"))
	fmt.Println(rules.Allows("GET", "/api/metrics/../admin"), rules.Allows("GET", "/api/metrics/%2e%2e/admin"))
	// Output:
	// true false
	// false false
}

func ExampleCredentialExtractor_Extract() {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	extractor := keystile.Must(keystile.NewCredentialExtractor(verifier, keystile.CredentialSources{}))
	const key = "acme_live_1QJ4bo0RE6F7ptpH_I4xbO9xdOMtcZFEvOwCwasfln8oPlvdBU3XVJz7MYw24ErgXr"
	usersToken := keystile.HeaderField{Name: "Authorization", Value: "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln"}

	credential, refusal := extractor.Extract([]keystile.HeaderField{{Name: "X-API-Key", Value: key}, usersToken})
	fmt.Println(credential, credential.Expose() == key, refusal.Cause() == 0)
	fmt.Println(extractor.Carries(usersToken))
	_, refusal = extractor.Extract([]keystile.HeaderField{usersToken})
	fmt.Println(refusal, refusal.Respond(keystile.ResponsePolicy{}, now).Status, refusal.IsGuess())
	// Output:
	// [redacted] true true
	// false
	// invalid_key 401 false
}

func ExampleDecision_Respond() {
	decision := keystile.Refuse(keystile.CauseRevoked)
	for _, policy := range []keystile.StatusPolicy{keystile.StatusRFC9110, keystile.StatusExpress} {
		response := decision.Respond(keystile.ResponsePolicy{Status: policy}, now)
		fmt.Println(response.Status, response.Body)
	}
	// Output:
	// 401 {"error":"API key revoked","message":"The API key was revoked; ask for a new one.","code":"key_revoked"}
	// 403 {"error":"API key revoked","message":"The API key was revoked; ask for a new one.","code":"key_revoked"}
}

func ExampleKeyFormat_Inspect() {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	found := keystile.Must(format.Inspect(`"acme_live_1QJ4bo0RE6F7ptpH_I4xbO9xdOMtcZFEvOwCwasfln8oPlvdBU3XVJz7MYw24ErgXr"`))
	fmt.Println(found.Finding, found.KeyID, found.Environment)
	// Output:
	// wrapped 1QJ4bo0RE6F7ptpH live
}
