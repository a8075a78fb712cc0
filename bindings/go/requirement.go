package keystile

import "github.com/keystile/keystile/bindings/go/internal/capi"

// Requirement is what a route asks for: permissions joined by AND, OR and parentheses. A
// nil one asks for nothing. Make each route's once, at the start. It never changes, and
// goroutines may share it.
type Requirement struct {
	handle *capi.Requirement
	text   string
}

// ParseRequirement reads a requirement, as "read" or "admin OR (read AND audit)". AND binds
// tighter than OR; the keywords are in upper case; there are no wildcards. What is none is
// [ErrPermission].
func ParseRequirement(text string) (*Requirement, error) {
	handle, status := capi.ParseRequirement(text)
	if err := failure(status); err != nil {
		return nil, err
	}
	return &Requirement{handle, handle.Text()}, nil
}

// IsSatisfiedBy says whether permissions meet the requirement. An unparsed one is met by none.
func (r *Requirement) IsSatisfiedBy(permissions *PermissionSet) bool {
	if r == nil {
		return true
	}
	handle := orNone(permissions)
	return r.handle != nil && handle != nil && r.handle.Check(handle) == capi.OK
}

// Missing names what permissions lack, each once.
func (r *Requirement) Missing(permissions *PermissionSet) []string {
	handle := orNone(permissions)
	if r == nil || r.handle == nil || handle == nil {
		return nil
	}
	return r.handle.Missing(handle)
}

// String is the text that the requirement was made of.
func (r *Requirement) String() string {
	if r == nil {
		return ""
	}
	return r.text
}

// isUninitialized says whether it was not made by [ParseRequirement]: such a one is met by nobody.
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
