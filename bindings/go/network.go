package keystile

import (
	"net/netip"
	"slices"
	"sync"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Networks are from where a key may be used. A nil *Networks restricts nothing, and an empty
// one allows nothing: they are two different values. It never changes, and goroutines may
// share it.
type Networks struct {
	texts  []string
	handle func() *capi.Networks
}

// NewNetworks reads CIDR blocks or addresses, as "192.0.2.0/24" or "2001:db8::7": up to 64;
// else [ErrNetwork]. Without any it is the list that allows nothing.
func NewNetworks(networks ...string) (*Networks, error) {
	handle, status := capi.NewNetworks(networks)
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
	return &Networks{texts, func() *capi.Networks { return handle }}, nil
}

func networksOf(texts []string) *Networks {
	return &Networks{texts, sync.OnceValue(func() *capi.Networks {
		handle, _ := capi.NewNetworks(texts)
		return handle
	})}
}

// Contains says whether one of the networks holds the address. Networks that are nil hold
// them all.
func (n *Networks) Contains(address netip.Addr) bool {
	if n == nil {
		return true
	}
	raw := capi.AddressOf(address)
	return n.handle != nil && n.handle().Contain(&raw) == capi.OK
}

// Strings are the networks in the order of first mention.
func (n *Networks) Strings() []string {
	if n == nil {
		return nil
	}
	return append([]string{}, n.texts...)
}

// Equal says whether both hold the same networks in the same order, or both are nil.
func (n *Networks) Equal(other *Networks) bool {
	return (n == nil) == (other == nil) && slices.Equal(n.Strings(), other.Strings())
}

// String is the networks, with spaces between.
func (n *Networks) String() string { return joined(n.Strings()) }

// raw makes sure that a list which was set never becomes none.
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
