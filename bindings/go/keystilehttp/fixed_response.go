package keystilehttp

import (
	"strconv"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// encryptionRequired is the response to a request over a connection that is not known to be
// encrypted.
func encryptionRequired() keystile.Response {
	return fixedResponse(403, `{"error":"HTTPS required","message":"API keys are accepted only over HTTPS. Rotate any key sent over plain HTTP.","code":"encryption_required"}`)
}

// tooManyInvalidKeys is the response to an invalid key from an address that has sent too many of
// them. After wait, one more would be taken.
func tooManyInvalidKeys(wait time.Duration) keystile.Response {
	response := fixedResponse(429, `{"error":"Too many invalid API keys","message":"Too many invalid API keys came from this address. A valid key is still accepted.","code":"too_many_invalid_keys"}`)
	seconds := max(1, (wait+time.Second-1)/time.Second)
	response.Headers = append(response.Headers, keystile.HeaderField{Name: "retry-after", Value: strconv.FormatInt(int64(seconds), 10)})
	return response
}

func fixedResponse(status int, body string) keystile.Response {
	return keystile.Response{Status: status, Body: body, Headers: []keystile.HeaderField{
		{Name: "content-type", Value: "application/json"}, {Name: "cache-control", Value: "no-store"},
	}}
}
