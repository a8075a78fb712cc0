package keystile

import (
	"slices"
	"sync"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// EndpointRules are where a key may be used. A nil *EndpointRules restricts nothing, and an
// empty one allows nothing: they are two different values. It never changes, and
// goroutines may share it.
type EndpointRules struct {
	texts  []string
	handle func() *capi.Endpoints
}

// NewEndpointRules reads rules, as "/api/data/7" or "GET,HEAD /api/metrics/*", where a "*"
// in place of a segment stands for any one, and at the end for whatever follows: up to 64
// of at most 512 bytes; else [ErrEndpoint]. Without rules it is the list that allows
// nothing.
func NewEndpointRules(rules ...string) (*EndpointRules, error) {
	handle, status := capi.NewEndpoints(rules)
	if err := failure(status); err != nil {
		return nil, err
	}
	json, status := handle.JSON()
	if err := failure(status); err != nil {
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

// Allows says whether a rule allows the method on the path, both as they are dispatched, the
// path without its query. A path that is not canonical is allowed by none. Rules that are
// nil restrict nothing, but for that.
func (e *EndpointRules) Allows(method, path string) bool {
	if e == nil {
		return IsCanonicalPath(path)
	}
	return e.handle != nil && e.handle().Allow(method, path) == capi.OK
}

// Strings are the rules in the order of first mention.
func (e *EndpointRules) Strings() []string {
	if e == nil {
		return nil
	}
	return append([]string{}, e.texts...)
}

// Equal says whether both hold the same rules in the same order, or both are nil.
func (e *EndpointRules) Equal(other *EndpointRules) bool {
	return (e == nil) == (other == nil) && slices.Equal(e.Strings(), other.Strings())
}

// String is the rules, with spaces between.
func (e *EndpointRules) String() string { return joined(e.Strings()) }

// raw makes sure that a list which was set never becomes none.
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

// IsCanonicalPath says whether a request path, without its query, is canonical. One that is
// not is refused, whatever the rules.
func IsCanonicalPath(path string) bool { return capi.CheckPath(path) == capi.OK }
