package keystile

import (
	"slices"
	"sync"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// PermissionSet is what a key was granted. The empty set, and nil, grant nothing.
type PermissionSet struct {
	texts  []string
	handle func() *capi.Permissions
}

// NewPermissionSet parses up to 64 permissions of at most 128 bytes, such as "read",
// "invoices:read" or "invoices:*"; otherwise it returns [ErrPermission].
func NewPermissionSet(permissions ...string) (*PermissionSet, error) {
	handle, status := capi.NewPermissions(permissions)
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
	return &PermissionSet{texts, func() *capi.Permissions { return handle }}, nil
}

// permissionsOf returns a set of texts that the library wrote.
func permissionsOf(texts []string) *PermissionSet {
	return &PermissionSet{texts, sync.OnceValue(func() *capi.Permissions {
		handle, _ := capi.NewPermissions(texts)
		return handle
	})}
}

// Grants reports whether a permission without a wildcard is granted.
func (p *PermissionSet) Grants(wanted string) bool {
	handle := p.raw()
	return handle != nil && handle.Grant(wanted) == capi.OK
}

// Strings returns the permissions in the order in which they were first given.
func (p *PermissionSet) Strings() []string {
	if p == nil {
		return []string{}
	}
	return append([]string{}, p.texts...)
}

// Equal reports whether both hold the same permissions in the same order.
func (p *PermissionSet) Equal(other *PermissionSet) bool {
	return slices.Equal(p.Strings(), other.Strings())
}

// String returns the permissions, separated by spaces.
func (p *PermissionSet) String() string { return joined(p.Strings()) }

// raw returns nil for a nil set and for the zero value, which grant nothing.
func (p *PermissionSet) raw() *capi.Permissions {
	if p == nil || p.handle == nil {
		return nil
	}
	return p.handle()
}
