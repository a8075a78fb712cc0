package keystile

import (
	"strings"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// StatusPolicy is which HTTP status a refusal gets.
type StatusPolicy uint32

const (
	// StatusRFC9110 is the policy of RFC 9110: 401 for a key that is not valid, 403 for a
	// key that may not do this.
	StatusRFC9110 StatusPolicy = capi.StatusPolicyRFC9110
	// StatusExpress is the policy of the Express recipe for API keys: 403 also for an
	// unknown, expired or revoked key.
	StatusExpress StatusPolicy = capi.StatusPolicyExpress
)

// RateLimitFields is which header fields tell a client about its rate limit. All say the same,
// in whole seconds; times are rounded up.
type RateLimitFields uint32

const (
	// RateLimitFieldsDraft6 is RateLimit-Limit, -Remaining, -Reset and -Policy, as in drafts 3
	// to 6 of draft-ietf-httpapi-ratelimit-headers.
	RateLimitFieldsDraft6 RateLimitFields = capi.RateLimitFieldsDraft6
	// RateLimitFieldsDraft7 is RateLimit and RateLimit-Policy, as in draft 7.
	RateLimitFieldsDraft7 RateLimitFields = capi.RateLimitFieldsDraft7
	// RateLimitFieldsDraft8 is RateLimit and RateLimit-Policy, as in drafts 8 to 10.
	RateLimitFieldsDraft8 RateLimitFields = capi.RateLimitFieldsDraft8
	// RateLimitFieldsX is X-RateLimit-Limit, -Remaining and -Reset; the last is the Unix time in
	// seconds.
	RateLimitFieldsX RateLimitFields = capi.RateLimitFieldsX
)

// ResponsePolicy is how a service answers. The zero value is the default.
type ResponsePolicy struct {
	// Status is which HTTP status a refusal gets; by default that of RFC 9110.
	Status StatusPolicy
	// RateLimitFields are the header fields about the rate limit; by default those of draft 6.
	RateLimitFields RateLimitFields
	// Extractor is the one that reads the keys: WWW-Authenticate of a 401 names its sources. If it
	// is nil, it names the default ones.
	Extractor *CredentialExtractor
}

// HeaderField is a field of a response; its name is in lower case.
type HeaderField struct{ Name, Value string }

// Response is the response to a refusal or, for an allowed request, the header fields to
// add to your own response.
type Response struct {
	// Status is the HTTP status; 200 for an allowed request.
	Status int
	// Headers are what is left of the rate limit, when to try again, and that the key is
	// being replaced, as far as they apply.
	Headers []HeaderField
	// Body is a JSON object with "error", "message" and "code", and with "missing" if
	// permissions are missing; empty for an allowed request.
	Body string
}

// Respond returns the response to a decision; with status 500 for a decision that no
// function made.
func (d Decision) Respond(policy ResponsePolicy, now time.Time) Response {
	if _, limited := d.Quota(); d.Allowed() && !limited && d.raw.ReplacedBy == (capi.ID{}) {
		// The most frequent case: no header field to add.
		return Response{Status: 200}
	}
	raw, status := capi.Respond(&d.raw, uint32(policy.Status), uint32(policy.RateLimitFields), d.requirement.raw(), policy.Extractor.raw(), millisOf(now))
	if status != capi.OK || d.raw.Kind == 0 || (raw.Status < 400) != d.Allowed() {
		return Response{Status: 500, Headers: []HeaderField{{"content-type", "application/json"},
			{"cache-control", "no-store"}}, Body: `{"error":"Internal error","message":"The API key could not be checked.","code":"internal"}`}
	}
	response := Response{Status: raw.Status, Body: raw.Body}
	for _, header := range raw.Headers {
		response.Headers = append(response.Headers, HeaderField(header))
	}
	if d.lacks != nil && len(*d.lacks) > 0 {
		// Permissions contain nothing that JSON must escape.
		response.Body = strings.TrimSuffix(response.Body, "}") + `,"missing":["` + strings.Join(*d.lacks, `","`) + `"]}`
	}
	return response
}
