package keystile

import "github.com/keystile/keystile/bindings/go/internal/capi"

// ScopeTemplate is a name for permissions, endpoint rules and a rate limit.
type ScopeTemplate struct{ template *capi.Template }

// NewScopeTemplate returns a template. The name must be 1 to 32 of a-z, 0-9, "_" and "-",
// starting with a letter; otherwise the error is [ErrName]. Nil endpoints do not restrict,
// and a nil limit means unlimited.
func NewScopeTemplate(name string, permissions *PermissionSet, endpoints *EndpointRules, limit *RateLimit) (*ScopeTemplate, error) {
	rules, err := endpoints.raw()
	if err != nil {
		return nil, err
	}
	var raw *capi.RateLimit
	if limit != nil {
		raw = &limit.limit
	}
	template, status := capi.NewTemplate(name, orNone(permissions), rules, raw)
	if err := failure(status); err != nil {
		return nil, err
	}
	return &ScopeTemplate{template}, nil
}

// PresetTemplate returns "monitoring" (read; 100 requests an hour; /api/metrics and below),
// "integration" (read, write; 1,000; /api/data and below) or "admin" (read, write, delete,
// admin; 5,000; all endpoints); otherwise [ErrAbsent].
func PresetTemplate(name string) (*ScopeTemplate, error) {
	template, status := capi.PresetTemplate(name)
	if err := failure(status); err != nil {
		return nil, err
	}
	return &ScopeTemplate{template}, nil
}

// Presets returns the names that [PresetTemplate] knows.
func Presets() []string { return []string{"monitoring", "integration", "admin"} }

// Name returns the template's name.
func (t *ScopeTemplate) Name() string {
	if t.isUninitialized() {
		return ""
	}
	return t.template.Name()
}

// isUninitialized reports whether it was not made by [NewScopeTemplate]. It then grants nothing.
func (t *ScopeTemplate) isUninitialized() bool { return t == nil || t.template == nil }

// Permissions returns what it grants.
func (t *ScopeTemplate) Permissions() *PermissionSet {
	if t.isUninitialized() {
		return permissionsOf(nil)
	}
	json, _ := t.template.PermissionsJSON()
	texts, _ := readTexts(json)
	return permissionsOf(texts)
}

// Endpoints returns the endpoints that it restricts keys to; nil for all.
func (t *ScopeTemplate) Endpoints() *EndpointRules {
	if t.isUninitialized() {
		return endpointsOf(nil)
	}
	json, status := t.template.EndpointsJSON()
	if status == capi.ErrorAbsent {
		return nil
	}
	texts, _ := readTexts(json)
	return endpointsOf(texts)
}

// RateLimit returns the rate limit; nil for unlimited.
func (t *ScopeTemplate) RateLimit() *RateLimit {
	if t.isUninitialized() {
		return &RateLimit{}
	}
	limit, status := t.template.RateLimit()
	if status != capi.OK {
		return nil
	}
	return &RateLimit{limit}
}
