package capi

// #include "hot.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Template is keystile_template. A nil one is no template.
type Template struct{ p *C.keystile_template }

func newTemplate(p *C.keystile_template, failure *Failure) (*Template, *Failure) {
	if failure != nil {
		return nil, failure
	}
	template := &Template{p}
	runtime.AddCleanup(template, func(p *C.keystile_template) { C.keystile_template_free(p) }, p)
	collect()
	return template, nil
}

// NewTemplate returns a template of these rights.
func NewTemplate(name string, permissions *Permissions, endpoints *Endpoints, limit *RateLimit) (*Template, *Failure) {
	var why C.keystile_error
	var p *C.keystile_template
	data, len := borrow(name)
	status := Status(C.keystile_template_new(data, len, permissions.pointer(), endpoints.pointer(),
		(*C.keystile_rate_limit)(unsafe.Pointer(limit)), &p, &why))
	runtime.KeepAlive(permissions)
	runtime.KeepAlive(endpoints)
	return newTemplate(p, failed(status, &why))
}

// PresetTemplate returns a preset.
func PresetTemplate(name string) (*Template, *Failure) {
	var p *C.keystile_template
	data, len := borrow(name)
	status := Status(C.keystile_template_preset(data, len, &p))
	return newTemplate(p, failed(status, nil))
}

// Name returns the template's name.
func (t *Template) Name() string {
	var name C.keystile_str
	collect()
	if Status(C.keystile_template_name(t.p, &name)) != OK {
		return ""
	}
	defer runtime.KeepAlive(t)
	return copied(name)
}

// PermissionsJSON returns what the template grants, as a JSON array.
func (t *Template) PermissionsJSON() (string, Status) {
	defer runtime.KeepAlive(t)
	lent := C.keystile_template_permissions(t.p)
	return filled(func(buffer *C.char, len C.size_t, needed *C.size_t) Status {
		return Status(C.keystile_permissions_to_json(lent, buffer, len, needed))
	})
}

// EndpointsJSON returns the endpoints, as a JSON array; ErrorAbsent for all.
func (t *Template) EndpointsJSON() (string, Status) {
	defer runtime.KeepAlive(t)
	lent := C.keystile_template_endpoints(t.p)
	if lent == nil {
		return "", ErrorAbsent
	}
	return filled(func(buffer *C.char, len C.size_t, needed *C.size_t) Status {
		return Status(C.keystile_endpoints_to_json(lent, buffer, len, needed))
	})
}

// RateLimit returns the rate limit; ErrorAbsent for unlimited.
func (t *Template) RateLimit() (RateLimit, Status) {
	var limit RateLimit
	collect()
	status := Status(C.keystile_template_rate_limit(t.p, (*C.keystile_rate_limit)(unsafe.Pointer(&limit))))
	runtime.KeepAlive(t)
	return limit, status
}

func (t *Template) pointer() *C.keystile_template {
	if t == nil {
		return nil
	}
	return t.p
}
