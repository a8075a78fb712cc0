package capi

// #include "hot.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Requirement is keystile_requirement. A nil one requires nothing.
type Requirement struct{ p *C.keystile_requirement }

// ParseRequirement parses a requirement.
func ParseRequirement(text string) (*Requirement, *Failure) {
	var why C.keystile_error
	var p *C.keystile_requirement
	data, len := borrow(text)
	if status := Status(C.keystile_requirement_parse(data, len, &p, &why)); status != OK {
		return nil, failed(status, &why)
	}
	requirement := &Requirement{p}
	runtime.AddCleanup(requirement, func(p *C.keystile_requirement) { C.keystile_requirement_free(p) }, p)
	collect()
	return requirement, nil
}

// Text returns the text that the requirement was parsed from.
func (r *Requirement) Text() string {
	var text C.keystile_str
	collect()
	if Status(C.keystile_requirement_text(r.p, &text)) != OK {
		return ""
	}
	defer runtime.KeepAlive(r)
	return copied(text)
}

// Check checks whether permissions satisfy the requirement.
func (r *Requirement) Check(permissions *Permissions) Status {
	collect()
	status := Status(C.keystile_requirement_check(r.p, permissions.p))
	runtime.KeepAlive(r)
	runtime.KeepAlive(permissions)
	return status
}

// Missing returns the permissions that are missing.
func (r *Requirement) Missing(permissions *Permissions) []string {
	defer runtime.KeepAlive(r)
	defer runtime.KeepAlive(permissions)
	return each(func(index C.size_t, text *C.keystile_str) Status {
		return Status(C.keystile_requirement_missing_at(r.p, permissions.p, index, text))
	})
}

// MissingFrom returns the permissions of its requirement that a refused request lacked.
func (v *Decision) MissingFrom(r *Requirement) []string {
	if r == nil {
		return nil
	}
	defer runtime.KeepAlive(r)
	own := *v
	return each(func(index C.size_t, text *C.keystile_str) Status {
		return Status(C.keystile_decision_missing_at((*C.keystile_decision)(unsafe.Pointer(&own)), r.p, index, text))
	})
}

func (r *Requirement) pointer() *C.keystile_requirement {
	if r == nil {
		return nil
	}
	return r.p
}

// each copies the texts of a list that is read by index.
func each(at func(index C.size_t, text *C.keystile_str) Status) []string {
	var texts []string
	for index := C.size_t(0); ; index++ {
		var text C.keystile_str
		collect()
		if at(index, &text) != OK {
			return texts
		}
		texts = append(texts, copied(text))
	}
}
