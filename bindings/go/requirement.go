package keystile

import "github.com/keystile/keystile/bindings/go/internal/capi"

// Requirement is what a route requires: permissions joined by AND, OR and parentheses. A
// nil one requires nothing. Create one for each route, at the start of the program.
type Requirement struct {
	handle *capi.Requirement
	text   string
}

// ParseRequirement parses a requirement, such as "read" or "admin OR (read AND audit)";
// otherwise it returns [ErrPermission]. AND binds tighter than OR; keywords are in upper
// case; wildcards are not allowed.
func ParseRequirement(text string) (*Requirement, error) {
	handle, status := capi.ParseRequirement(text)
	if err := failure(status); err != nil {
		return nil, err
	}
	return &Requirement{handle, handle.Text()}, nil
}

// IsSatisfiedBy reports whether permissions satisfy the requirement. Nothing satisfies one
// that was not parsed.
func (r *Requirement) IsSatisfiedBy(permissions *PermissionSet) bool {
	if r == nil {
		return true
	}
	handle := orNone(permissions)
	return r.handle != nil && handle != nil && r.handle.Check(handle) == capi.OK
}

// Missing returns the permissions that are missing, each once.
func (r *Requirement) Missing(permissions *PermissionSet) []string {
	handle := orNone(permissions)
	if r == nil || r.handle == nil || handle == nil {
		return nil
	}
	return r.handle.Missing(handle)
}

// String returns the text that the requirement was parsed from.
func (r *Requirement) String() string {
	if r == nil {
		return ""
	}
	return r.text
}

// isUninitialized reports whether the requirement was not made by [ParseRequirement].
func (r *Requirement) isUninitialized() bool { return r != nil && r.handle == nil }

func (r *Requirement) raw() *capi.Requirement {
	if r == nil {
		return nil
	}
	return r.handle
}

func orNone(permissions *PermissionSet) *capi.Permissions {
	if handle := permissions.raw(); handle != nil {
		return handle
	}
	none, _ := capi.NewPermissions(nil)
	return none
}
