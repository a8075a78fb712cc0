package keystile

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Networks are the networks that a key may be used from. A nil *Networks does not restrict,
// and an empty list allows no address: they are two different values.
type Networks struct {
	texts  []string
	handle func() *capi.Networks
}

// NewNetworks parses up to 64 addresses or CIDR blocks, such as "2001:db8::7" or
// "192.0.2.0/24"; otherwise it returns [ErrNetwork]. Without networks, the list allows no
// address.
func NewNetworks(networks ...string) (*Networks, error) {
	handle, status := capi.NewNetworks(networks)
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
	return &Networks{texts, func() *capi.Networks { return handle }}, nil
}

func networksOf(texts []string) *Networks {
	return &Networks{texts, sync.OnceValue(func() *capi.Networks {
		handle, _ := capi.NewNetworks(texts)
		return handle
	})}
}

// Contains reports whether one of the networks contains the address. Nil networks contain
// all addresses.
func (n *Networks) Contains(address netip.Addr) bool {
	if n == nil {
		return true
	}
	raw := capi.AddressOf(address)
	return n.handle != nil && n.handle().Contain(&raw) == capi.OK
}

// Strings returns the networks in the order in which they were first given.
func (n *Networks) Strings() []string {
	if n == nil {
		return nil
	}
	return append([]string{}, n.texts...)
}

// Equal reports whether both hold the same networks in the same order, or both are nil.
func (n *Networks) Equal(other *Networks) bool {
	return (n == nil) == (other == nil) && slices.Equal(n.Strings(), other.Strings())
}

// String returns the networks, separated by spaces.
func (n *Networks) String() string { return joined(n.Strings()) }

// raw returns nil only for nil: a list that is not nil, even its zero value, always
// restricts.
func (n *Networks) raw() (*capi.Networks, error) {
	if n == nil {
		return nil, nil
	}
	if n.handle == nil {
		handle, status := capi.NewNetworks(nil)
		return handle, failure(status)
	}
	if handle := n.handle(); handle != nil {
		return handle, nil
	}
	return nil, ErrNetwork
}
