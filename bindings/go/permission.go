package keystile

import (
	"slices"
	"sync"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// PermissionSet is what a key was granted. The empty set, and nil, grant nothing. It never
// changes, and goroutines may share it.
type PermissionSet struct {
	texts  []string
	handle func() *capi.Permissions
}

// NewPermissionSet reads permissions, as "read", "invoices:read" or "invoices:*": up to 64
// of at most 128 bytes; else [ErrPermission].
func NewPermissionSet(permissions ...string) (*PermissionSet, error) {
	handle, status := capi.NewPermissions(permissions)
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
	return &PermissionSet{texts, func() *capi.Permissions { return handle }}, nil
}

// permissionsOf takes over texts that the library wrote.
func permissionsOf(texts []string) *PermissionSet {
	return &PermissionSet{texts, sync.OnceValue(func() *capi.Permissions {
		handle, _ := capi.NewPermissions(texts)
		return handle
	})}
}

// Grants says whether one of the permissions covers the wanted one, which has no wildcard.
func (p *PermissionSet) Grants(wanted string) bool {
	handle := p.raw()
	return handle != nil && handle.Grant(wanted) == capi.OK
}

// Strings are the permissions in the order of first mention.
func (p *PermissionSet) Strings() []string {
	if p == nil {
		return []string{}
	}
	return append([]string{}, p.texts...)
}

// Equal says whether both hold the same permissions in the same order.
func (p *PermissionSet) Equal(other *PermissionSet) bool {
	return slices.Equal(p.Strings(), other.Strings())
}

// String is the permissions, with spaces between.
func (p *PermissionSet) String() string { return joined(p.Strings()) }

// raw is nil where there is nothing to ask.
func (p *PermissionSet) raw() *capi.Permissions {
	if p == nil || p.handle == nil {
		return nil
	}
	return p.handle()
}
