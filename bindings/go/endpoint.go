package keystile

import (
	"slices"
	"sync"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// EndpointRules are the endpoints that a key may be used on. A nil *EndpointRules does not
// restrict, and an empty list allows no endpoint: they are two different values.
type EndpointRules struct {
	texts  []string
	handle func() *capi.Endpoints
}

// NewEndpointRules parses up to 64 rules of at most 512 bytes, such as "/api/data/7" or
// "GET,HEAD /api/metrics/*"; otherwise it returns [ErrEndpoint]. A "*" instead of a segment
// matches any one segment; at the end of the path it matches everything that follows.
// Without rules, the list allows no endpoint.
func NewEndpointRules(rules ...string) (*EndpointRules, error) {
	handle, status := capi.NewEndpoints(rules)
	if err := failure(status); err != nil {
		return nil, err
	}
	json, written := handle.JSON()
	if err := failure(written); err != nil {
		return nil, err
	}
	texts, err := readTexts(json)
	if err != nil {
		return nil, err
	}
	return &EndpointRules{texts, func() *capi.Endpoints { return handle }}, nil
}

func endpointsOf(texts []string) *EndpointRules {
	return &EndpointRules{texts, sync.OnceValue(func() *capi.Endpoints {
		handle, _ := capi.NewEndpoints(texts)
		return handle
	})}
}

// Allows reports whether a rule allows the method on the path, both as they are dispatched,
// the path without its query. No rule allows a path that is not canonical. Nil rules allow
// every other path.
func (e *EndpointRules) Allows(method, path string) bool {
	if e == nil {
		return IsCanonicalPath(path)
	}
	return e.handle != nil && e.handle().Allow(method, path) == capi.OK
}

// Strings returns the rules in the order in which they were first given.
func (e *EndpointRules) Strings() []string {
	if e == nil {
		return nil
	}
	return append([]string{}, e.texts...)
}

// Equal reports whether both hold the same rules in the same order, or both are nil.
func (e *EndpointRules) Equal(other *EndpointRules) bool {
	return (e == nil) == (other == nil) && slices.Equal(e.Strings(), other.Strings())
}

// String returns the rules, separated by spaces.
func (e *EndpointRules) String() string { return joined(e.Strings()) }

// raw returns nil only for nil: a list that is not nil, even its zero value, always
// restricts.
func (e *EndpointRules) raw() (*capi.Endpoints, error) {
	if e == nil {
		return nil, nil
	}
	if e.handle == nil {
		handle, status := capi.NewEndpoints(nil)
		return handle, failure(status)
	}
	if handle := e.handle(); handle != nil {
		return handle, nil
	}
	return nil, ErrEndpoint
}

// IsCanonicalPath reports whether a request path, without its query, is canonical. One that
// is not is refused by all rules.
func IsCanonicalPath(path string) bool { return PathStrict.Accepts(path) }

// PathProfile is which request paths a service accepts. It is chosen by the service, never by a
// key or a client.
type PathProfile uint32

const (
	// PathStrict accepts only canonical paths.
	PathStrict PathProfile = capi.PathStrict
	// PathEncodedSlashIsData accepts %2F too, as data inside a segment and never as a separator,
	// as in npm's scoped packages. No piece between such slashes may be empty, "." or "..". A
	// router after the check must not decode it before it splits the path.
	PathEncodedSlashIsData PathProfile = capi.PathEncodedSlashIsData
)

// Accepts reports whether a service with this profile accepts a path without its query.
func (p PathProfile) Accepts(path string) bool { return capi.CheckPath(uint32(p), path) == capi.OK }

// IsMethod reports whether a method is spelled as in endpoint rules: 1 to 32 characters of
// A-Z, 0-9, - or _, starting with a letter. No rule allows one that is not.
func IsMethod(method string) bool { return capi.CheckMethod(method) == capi.OK }
