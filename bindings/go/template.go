package keystile

import "github.com/keystile/keystile/bindings/go/internal/capi"

// ScopeTemplate is a name for permissions, endpoint rules and a rate limit. It never
// changes, and goroutines may share it.
type ScopeTemplate struct{ template *capi.Template }

// NewScopeTemplate is a template. The name is 1 to 32 of a-z, 0-9, "_" and "-", beginning
// with a letter; else [ErrName]. Endpoints that are nil are anywhere, and a limit that is
// nil is as often as one likes.
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

// PresetTemplate is "monitoring" (read; 100 an hour; /api/metrics and below), "integration"
// (read, write; 1,000; /api/data and below) or "admin" (read, write, delete, admin; 5,000;
// everywhere); else [ErrAbsent].
func PresetTemplate(name string) (*ScopeTemplate, error) {
	template, status := capi.PresetTemplate(name)
	if err := failure(status); err != nil {
		return nil, err
	}
	return &ScopeTemplate{template}, nil
}

// Name is the template's name.
func (t *ScopeTemplate) Name() string { return t.template.Name() }

// Permissions is what it grants.
func (t *ScopeTemplate) Permissions() *PermissionSet {
	json, _ := t.template.PermissionsJSON()
	texts, _ := readTexts(json)
	return permissionsOf(texts)
}

// Endpoints is where; nil for anywhere.
func (t *ScopeTemplate) Endpoints() *EndpointRules {
	json, status := t.template.EndpointsJSON()
	if status == capi.ErrorAbsent {
		return nil
	}
	texts, _ := readTexts(json)
	return endpointsOf(texts)
}

// RateLimit is how often; nil for as often as one likes.
func (t *ScopeTemplate) RateLimit() *RateLimit {
	limit, status := t.template.RateLimit()
	if status != capi.OK {
		return nil
	}
	return &RateLimit{limit}
}
