package capi

// #include "hot.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Permissions is keystile_permissions.
type Permissions struct{ p *C.keystile_permissions }

func newPermissions(p *C.keystile_permissions, failure *Failure) (*Permissions, *Failure) {
	if failure != nil {
		return nil, failure
	}
	list := &Permissions{p}
	runtime.AddCleanup(list, func(p *C.keystile_permissions) { C.keystile_permissions_free(p) }, p)
	collect()
	return list, nil
}

// NewPermissions parses a list of texts.
func NewPermissions(texts []string) (*Permissions, *Failure) {
	var why C.keystile_error
	var p *C.keystile_permissions
	var pinned pins
	defer pinned.Unpin()
	data, len := pinned.texts(texts)
	status := Status(C.keystile_permissions_new(data, len, &p, &why))
	return newPermissions(p, failed(status, &why))
}

// JSON returns the list as a JSON array of strings.
func (l *Permissions) JSON() (string, Status) {
	collect()
	defer runtime.KeepAlive(l)
	return filled(func(buffer *C.char, len C.size_t, needed *C.size_t) Status {
		return Status(C.keystile_permissions_to_json(l.p, buffer, len, needed))
	})
}

func (l *Permissions) pointer() *C.keystile_permissions {
	if l == nil {
		return nil
	}
	return l.p
}

// Grant checks whether a permission is granted.
func (l *Permissions) Grant(wanted string) Status {
	data, len := borrow(wanted)
	status := Status(C.keystile_permissions_grant(l.p, data, len))
	runtime.KeepAlive(l)
	return status
}

// Endpoints is keystile_endpoints.
type Endpoints struct{ p *C.keystile_endpoints }

func newEndpoints(p *C.keystile_endpoints, failure *Failure) (*Endpoints, *Failure) {
	if failure != nil {
		return nil, failure
	}
	list := &Endpoints{p}
	runtime.AddCleanup(list, func(p *C.keystile_endpoints) { C.keystile_endpoints_free(p) }, p)
	collect()
	return list, nil
}

// NewEndpoints parses a list of texts.
func NewEndpoints(texts []string) (*Endpoints, *Failure) {
	var why C.keystile_error
	var p *C.keystile_endpoints
	var pinned pins
	defer pinned.Unpin()
	data, len := pinned.texts(texts)
	status := Status(C.keystile_endpoints_new(data, len, &p, &why))
	return newEndpoints(p, failed(status, &why))
}

// JSON returns the list as a JSON array of strings.
func (l *Endpoints) JSON() (string, Status) {
	collect()
	defer runtime.KeepAlive(l)
	return filled(func(buffer *C.char, len C.size_t, needed *C.size_t) Status {
		return Status(C.keystile_endpoints_to_json(l.p, buffer, len, needed))
	})
}

// NeverMatching returns the rule at an index of those that hardly any request matches, and why.
func (l *Endpoints) NeverMatching(index int) (string, uint32, Status) {
	var rule C.keystile_str
	var why C.uint32_t
	collect()
	defer runtime.KeepAlive(l)
	if status := Status(C.keystile_endpoints_never_matching_at(l.p, C.size_t(index), &rule, &why)); status != OK {
		return "", 0, status
	}
	return copied(rule), uint32(why), OK
}

// NeverMatchesTexts returns why such a rule matches nothing, and what to write instead; both are
// empty for another number.
func NeverMatchesTexts(why uint32) (message, hint string) {
	var raw [2]C.keystile_str
	if Status(C.keystile_never_matches_texts(C.uint32_t(why), &raw[0], &raw[1])) != OK {
		return "", ""
	}
	return copied(raw[0]), copied(raw[1])
}

func (l *Endpoints) pointer() *C.keystile_endpoints {
	if l == nil {
		return nil
	}
	return l.p
}

// Allow checks whether a rule allows the method on the path.
func (l *Endpoints) Allow(method, path string) Status {
	methodData, methodLen := borrow(method)
	pathData, pathLen := borrow(path)
	status := Status(C.keystile_endpoints_allow(l.p, methodData, methodLen, pathData, pathLen))
	runtime.KeepAlive(l)
	return status
}

// Networks is keystile_networks.
type Networks struct{ p *C.keystile_networks }

func newNetworks(p *C.keystile_networks, failure *Failure) (*Networks, *Failure) {
	if failure != nil {
		return nil, failure
	}
	list := &Networks{p}
	runtime.AddCleanup(list, func(p *C.keystile_networks) { C.keystile_networks_free(p) }, p)
	collect()
	return list, nil
}

// NewNetworks parses a list of texts.
func NewNetworks(texts []string) (*Networks, *Failure) {
	var why C.keystile_error
	var p *C.keystile_networks
	var pinned pins
	defer pinned.Unpin()
	data, len := pinned.texts(texts)
	status := Status(C.keystile_networks_new(data, len, &p, &why))
	return newNetworks(p, failed(status, &why))
}

// JSON returns the list as a JSON array of strings.
func (l *Networks) JSON() (string, Status) {
	collect()
	defer runtime.KeepAlive(l)
	return filled(func(buffer *C.char, len C.size_t, needed *C.size_t) Status {
		return Status(C.keystile_networks_to_json(l.p, buffer, len, needed))
	})
}

func (l *Networks) pointer() *C.keystile_networks {
	if l == nil {
		return nil
	}
	return l.p
}

// Contain checks whether one of the networks contains the address.
func (l *Networks) Contain(address *Address) Status {
	collect()
	status := Status(C.keystile_networks_contain(l.p, (*C.keystile_address)(unsafe.Pointer(address))))
	runtime.KeepAlive(l)
	return status
}
