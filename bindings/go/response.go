package keystile

import (
	"strings"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// StatusPolicy is which status a refusal is answered with.
type StatusPolicy uint32

const (
	// StatusRFC9110 is as RFC 9110 has it: 401 for a key that is not valid, 403 for one that
	// may not.
	StatusRFC9110 StatusPolicy = capi.StatusPolicyRFC9110
	// StatusExpress is as the well-known Express recipe has it: 403 for an unknown or ended
	// key.
	StatusExpress StatusPolicy = capi.StatusPolicyExpress
)

// HeaderField is a field of a response, its name in lower case.
type HeaderField struct{ Name, Value string }

// Response is the response to a refusal; or, for an allowed request, the header fields to
// add to a service's own. A plain value: goroutines may share it as long as none changes it.
type Response struct {
	// Status is the HTTP status; 200 for an allowed request.
	Status int
	// Headers are what is left of the rate limit, when to try again, and that the key is
	// being replaced, as far as there is something to tell.
	Headers []HeaderField
	// Body is a JSON object with "error", "message" and "code", and "missing" where
	// permissions were; empty for an allowed request.
	Body string
}

// Respond is the response to a decision. One that was never made is answered with 500.
func (d *Decision) Respond(policy StatusPolicy, now time.Time) Response {
	if _, limited := d.Quota(); d.Allowed() && !limited && d.raw.ReplacedBy == (capi.ID{}) {
		// Most keys: there is nothing to tell.
		return Response{Status: 200}
	}
	raw, status := capi.Respond(&d.raw, uint32(policy), d.requirement.raw(), millisOf(now))
	if status != capi.OK || (raw.Status < 400) != d.Allowed() {
		return Response{Status: 500, Headers: []HeaderField{{"content-type", "application/json"},
			{"cache-control", "no-store"}}, Body: `{"error":"Internal error","message":"The API key could not be checked.","code":"internal"}`}
	}
	response := Response{Status: raw.Status, Body: raw.Body}
	for _, header := range raw.Headers {
		response.Headers = append(response.Headers, HeaderField(header))
	}
	if d.lacks != nil && len(*d.lacks) > 0 {
		// No permission holds anything that JSON would have to escape.
		response.Body = strings.TrimSuffix(response.Body, "}") + `,"missing":["` + strings.Join(*d.lacks, `","`) + `"]}`
	}
	return response
}
