package keystile_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

func ExampleAPIKey() {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now))
	var key keystile.APIKey = change.Key
	fmt.Println(key, string(keystile.Must(json.Marshal(key))))
	fmt.Println(strings.HasPrefix(key.Expose(), "acme_1")) // shown once, to its owner

	// Only a new key has a text.
	fmt.Println(keystile.Must(keystile.Suspend(change.Record, now)).Key.IsZero())
	// Output:
	// [redacted] "[redacted]"
	// true
	// true
}

func ExampleCredential() {
	extractor := keystile.Must(keystile.NewCredentialExtractor(nil, keystile.CredentialSources{Headers: []string{"X-Acme-Key"}}))
	var credential keystile.Credential
	credential, _ = extractor.Extract([]keystile.HeaderField{{Name: "x-acme-key", Value: "acme_live_1"}})
	fmt.Printf("%v %q %s\n", credential, credential, credential.Expose())

	// Cookies go along with requests that a user did not mean to send.
	_, err := keystile.NewCredentialExtractor(nil, keystile.CredentialSources{Headers: []string{"Cookie"}})
	fmt.Println(errors.Is(err, keystile.ErrName))
	// Output:
	// [redacted] [redacted] acme_live_1
	// true
}

func ExamplePathProfile() {
	const scoped = "/@scope%2Fpackage"
	fmt.Println(keystile.PathStrict.Accepts(scoped), keystile.PathEncodedSlashIsData.Accepts(scoped))
	fmt.Println(keystile.PathEncodedSlashIsData.Accepts("/a%2F..%2Fb"))
	// Output:
	// false true
	// false
}

func ExampleCredentialSources() {
	// One header only: Authorization is not read.
	sources := keystile.CredentialSources{Headers: []string{"X-Acme-Key"}, WithoutDefaults: true}
	extractor := keystile.Must(keystile.NewCredentialExtractor(nil, sources))
	fmt.Println(extractor.Names())
	_, refusal := extractor.Extract([]keystile.HeaderField{{Name: "Authorization", Value: "Bearer acme_live_1"}})
	fmt.Println(refusal)
	// Output:
	// [X-Acme-Key]
	// missing_credential
}

func ExampleDecision() {
	var decision keystile.Decision // not made yet
	fmt.Println(decision.Allowed(), errors.Is(decision.Err(), keystile.ErrStoreUnavailable))
	// Output: false true
}

func ExampleCause() {
	for _, cause := range []keystile.Cause{keystile.CauseUnknownKey, keystile.CauseWrongSecret} {
		decision := keystile.Refuse(cause)
		fmt.Println(decision.Cause(), decision.Code()) // for the audit, for the sender
	}
	// Output:
	// unknown_key invalid_key
	// wrong_secret invalid_key
}

func ExampleResponse() {
	decision := keystile.Refuse(keystile.CauseStoreUnavailable)
	var response keystile.Response = decision.Respond(keystile.ResponsePolicy{}, now)
	fmt.Println(response.Status, response.Body)
	for _, field := range response.Headers {
		fmt.Printf("%s: %s\n", field.Name, field.Value)
	}
	// Output:
	// 503 {"error":"Key check unavailable","message":"API keys cannot be checked at the moment; try again later.","code":"store_unavailable"}
	// content-type: application/json
	// cache-control: no-store
	// retry-after: 1
}

func ExampleDigest() {
	text := "sha256:" + strings.Repeat("0", 64)
	digest := keystile.Must(keystile.ParseDigest(text))
	fmt.Println(digest, digest.Text() == text) // a log does not get it, a column does
	fmt.Println(digest.Equal(keystile.NewDigest(keystile.DigestHMACSHA256, 1, digest.Bytes())))
	_, err := keystile.ParseDigest("md5:00")
	fmt.Println(errors.Is(err, keystile.ErrDigest))
	// Output:
	// sha256:[redacted] true
	// false
	// true
}

func ExampleDigestKind() {
	digest := keystile.Must(keystile.ParseDigest("hmac-sha256:2:" + strings.Repeat("0", 64)))
	kinds := map[keystile.DigestKind]string{
		keystile.DigestSHA256:     "without a pepper",
		keystile.DigestHMACSHA256: "with a pepper",
	}
	fmt.Println(kinds[digest.Kind()], digest.Pepper())
	// Output: with a pepper 2
}

func ExamplePepperRing() {
	secret := func(fill string) []byte { return []byte(strings.Repeat(fill, 32)) } // from the service's secrets
	ring := keystile.Must(keystile.NewPepperRing(1, secret("a")))
	old := keystile.Must(ring.Digest("dt_key"))

	// The next pepper: new digests use it, and those under the old one are still verified.
	ring = keystile.Must(keystile.Must(keystile.NewPepperRing(2, secret("b"))).WithRetired(1, secret("a")))
	fmt.Println(old.Pepper(), keystile.Must(ring.Digest("dt_key")).Pepper())

	_, err := keystile.NewPepperRing(3, []byte("too short"))
	fmt.Println(errors.Is(err, keystile.ErrDigest))
	// Output:
	// 1 2
	// true
}

func ExampleKeyFormat() {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	change := keystile.Must((&keystile.Issuer{Format: format}).Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, now))
	id, whole := format.Parse(change.Key.Expose())
	fmt.Println(id == change.Record.ID, whole)
	_, whole = format.Parse(change.Key.Expose()[1:])
	fmt.Println(whole)
	_, err := keystile.StructuredFormat("Acme")
	fmt.Println(errors.Is(err, keystile.ErrName))
	// Output:
	// true true
	// false
	// true
}

func ExampleInspection() {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	for _, text := range []string{"", "globex_1", "acme_live_1QJ4bo0RE6F7ptpH_I4x"} {
		var found keystile.Inspection = keystile.Must(format.Inspect(text))
		fmt.Println(found.Finding)
	}
	// Output:
	// empty
	// foreign
	// wrong_length
}

func ExampleEndpointRules_NeverMatching() {
	rules := keystile.Must(keystile.NewEndpointRules("ANY /api/data", "/api/users/:id", "GET /api/metrics/*"))
	for _, found := range rules.NeverMatching() {
		fmt.Printf("%s: %s; %s\n", found.Rule, found.Why.Message(), found.Why.Hint())
	}
	// They are legal, and grant nothing but what they say.
	fmt.Println(rules.Allows("GET", "/api/data"), rules.Allows("GET", "/api/users/7"))
	var parameter keystile.NeverMatching = rules.NeverMatching()[1]
	fmt.Println(parameter.Why == keystile.NeverMatches(keystile.NeverMatchesParameter))
	// Output:
	// ANY /api/data: no client sends this method; leave the method out if the rule is for all methods
	// /api/users/:id: a parameter of a router stands for itself here; write * in place of the parameter, for one whole segment
	// false false
	// true
}

func ExampleFinding() {
	for _, finding := range []keystile.Finding{keystile.FindingWrongChecksum, keystile.FindingWrapped} {
		fmt.Printf("%s: %s\n", finding, finding.Hint())
	}
	// Output:
	// wrong_checksum: a character was changed; copy the key again from its source
	// wrapped: remove the white space, quotes or scheme around the key
}

func ExampleKeyID() {
	id := keystile.Must(keystile.ParseKeyID("1QJ4bo0RE6F7ptpH"))
	fmt.Println(id, id.IsZero(), keystile.KeyID{}.IsZero())
	_, err := keystile.ParseKeyID("1QJ4")
	fmt.Println(errors.Is(err, keystile.ErrKeyID))
	// Output:
	// 1QJ4bo0RE6F7ptpH false true
	// true
}

func ExamplePermissionSet() {
	granted := keystile.Must(keystile.NewPermissionSet("read", "invoices:*"))
	fmt.Println(granted, granted.Grants("invoices:write"), granted.Grants("write"))
	_, err := keystile.NewPermissionSet("two words")
	fmt.Println(errors.Is(err, keystile.ErrPermission))
	// Output:
	// read invoices:* true false
	// true
}

func ExampleNetworks() {
	networks := keystile.Must(keystile.NewNetworks("192.0.2.0/24", "2001:db8::/32"))
	for _, address := range []string{"192.0.2.7", "::ffff:192.0.2.7", "198.51.100.7"} {
		fmt.Println(networks.Contains(netip.MustParseAddr(address)))
	}
	_, err := keystile.NewNetworks("192.0.2.7/24") // an address in a network is not the network
	fmt.Println(errors.Is(err, keystile.ErrNetwork))
	// Output:
	// true
	// true
	// false
	// true
}

func ExampleRateLimit() {
	limit := keystile.Must(keystile.NewRateLimitWithBurst(3600, time.Hour, 2))
	var state keystile.RateState
	for range 3 {
		_, admitted, err := limit.Admit(&state, now)
		fmt.Println(admitted, err)
	}
	_, err := keystile.NewRateLimit(1, 0)
	fmt.Println(errors.Is(err, keystile.ErrLimit))
	// Output:
	// true <nil>
	// true <nil>
	// false <nil>
	// true
}

func ExampleRateState() {
	limit := keystile.Must(keystile.NewRateLimit(1, time.Hour))
	var state keystile.RateState
	_, _, _ = limit.Admit(&state, now)
	column := uint64(state) // as a store holds it

	restored := keystile.RateState(column)
	_, admitted, _ := limit.Admit(&restored, now.Add(time.Minute))
	fmt.Println(admitted)
	// Output: false
}

func ExampleQuota() {
	limit := keystile.Must(keystile.NewRateLimit(2, 10*time.Second))
	var state keystile.RateState
	for range 3 {
		var quota keystile.Quota
		quota, admitted, _ := limit.Admit(&state, now)
		wait, _ := quota.RetryAfter()
		fmt.Println(admitted, quota.Remaining(), quota.Reset(), wait)
	}
	// Output:
	// true 1 5s 0s
	// true 0 10s 5s
	// false 0 10s 5s
}

func ExampleScopeTemplate() {
	monitoring := keystile.Must(keystile.PresetTemplate("monitoring"))
	fmt.Println(monitoring.Name(), monitoring.Permissions(), monitoring.Endpoints(), monitoring.RateLimit().Limit())

	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	_, err := issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd", Template: monitoring, Permissions: []string{"write"}}, now)
	fmt.Println(errors.Is(err, keystile.ErrExceeds))
	// Output:
	// monitoring read /api/metrics/* 100
	// true
}

func ExampleRateLimitFields() {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	limit := keystile.Must(keystile.NewRateLimit(1, time.Minute))
	issued := keystile.Must((&keystile.Issuer{Format: format}).Issue(keystile.IssueRequest{ClientName: "Acme", RateLimit: &limit}, now))
	verifier, usage := keystile.Must(keystile.NewVerifier(nil, format)), keystile.UsageOf(issued.Record)
	policy := keystile.ResponsePolicy{RateLimitFields: keystile.RateLimitFieldsDraft8}
	for range 2 {
		decision := keystile.Must(verifier.Verify(issued.Key.Expose(), issued.Record, keystile.Request{}, &usage, now))
		for _, field := range decision.Respond(policy, now).Headers {
			if strings.HasPrefix(field.Name, "ratelimit") {
				fmt.Println(decision.Code(), field.Name, field.Value)
			}
		}
	}
	// Output:
	//  ratelimit "key";r=0;t=60
	//  ratelimit-policy "key";q=1;w=60
	// rate_limited ratelimit "key";r=0;t=60
	// rate_limited ratelimit-policy "key";q=1;w=60
}

func ExampleError() {
	_, err := keystile.NewPermissionSet("read", "invoices:read", "inv*")
	var detail *keystile.Error
	if errors.As(err, &detail) {
		fmt.Println(detail.Field, detail.Index)
	}
	fmt.Println(errors.Is(err, keystile.ErrPermission), errors.Is(err, keystile.ErrName))
	// Output:
	// permissions 2
	// true false
}
