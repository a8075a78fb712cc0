package capi

/*
#include "hot.h"
#cgo noescape ks_check_tokens
#cgo nocallback ks_check_tokens
#cgo noescape ks_grant
#cgo nocallback ks_grant
*/
import "C"

import (
	"runtime"
	"unsafe"
)

// Ticket is keystile_ticket. It holds no pointer.
type Ticket struct {
	AsOf uint64
	_    Lookup
}

// TokenRequest is keystile_token_request.
type TokenRequest struct {
	KeyID   ID
	Lineage ID
	Limit   RateLimit
	Tokens  uint32
}

// Grant is keystile_grant, without its size.
type Grant struct {
	State, AskedAt, TakenAt uint64
	Tokens                  uint32
	Degraded                bool
}

// UnusedTokens is keystile_unused_tokens.
type UnusedTokens struct {
	Lineage      ID
	Limit        RateLimit
	Tokens       uint32
	TakenAt      uint64
	WithinMillis uint64
}

// As in values.go.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(Ticket{})-unsafe.Sizeof(C.keystile_ticket{})]
	_ = [1]struct{}{}[unsafe.Offsetof(Ticket{}.AsOf)-unsafe.Offsetof(C.keystile_ticket{}.private_as_of)]
	_ = [1]struct{}{}[unsafe.Sizeof(TokenRequest{})-unsafe.Sizeof(C.keystile_token_request{})]
	_ = [1]struct{}{}[unsafe.Offsetof(TokenRequest{}.Lineage)-unsafe.Offsetof(C.keystile_token_request{}.lineage)]
	_ = [1]struct{}{}[unsafe.Offsetof(TokenRequest{}.Limit)-unsafe.Offsetof(C.keystile_token_request{}.limit)]
	_ = [1]struct{}{}[unsafe.Offsetof(TokenRequest{}.Tokens)-unsafe.Offsetof(C.keystile_token_request{}.tokens)]
	_ = [1]struct{}{}[unsafe.Sizeof(UnusedTokens{})-unsafe.Sizeof(C.keystile_unused_tokens{})]
	_ = [1]struct{}{}[unsafe.Offsetof(UnusedTokens{}.Limit)-unsafe.Offsetof(C.keystile_unused_tokens{}.limit)]
	_ = [1]struct{}{}[unsafe.Offsetof(UnusedTokens{}.Tokens)-unsafe.Offsetof(C.keystile_unused_tokens{}.tokens)]
	_ = [1]struct{}{}[unsafe.Offsetof(UnusedTokens{}.TakenAt)-unsafe.Offsetof(C.keystile_unused_tokens{}.taken_at)]
	_ = [1]struct{}{}[unsafe.Offsetof(UnusedTokens{}.WithinMillis)-unsafe.Offsetof(C.keystile_unused_tokens{}.within_millis)]
)

// CheckForTokens is as Check, without a window, and with what to take for NeedsTokens.
func (k *Keyring) CheckForTokens(key string, request *Request, now uint64, decision *Decision, ticket *Ticket, wanted *TokenRequest) Status {
	address := AddressOf(request.Address)
	data, len := borrow(key)
	method, methodLen := borrow(request.Method)
	path, pathLen := borrow(request.Path)
	environment, environmentLen := borrow(request.Environment)
	status := Status(C.ks_check_tokens(k.p, data, len, request.Requirement.pointer(),
		method, methodLen, path, pathLen, environment, environmentLen,
		C.uint32_t(address.Family), (*C.uint8_t)(&address.Bytes[0]), C.uint32_t(request.PathProfile), C.uint64_t(now),
		(*C.keystile_decision)(unsafe.Pointer(decision)), (*C.keystile_ticket)(unsafe.Pointer(ticket)),
		(*C.keystile_token_request)(unsafe.Pointer(wanted))))
	runtime.KeepAlive(k)
	runtime.KeepAlive(request.Requirement)
	return status
}

// Grant decides a check that needed tokens. After NeedsRecord and NeedsTokens the ticket is that
// of the next step.
func (k *Keyring) Grant(ticket *Ticket, key string, request *Request, grant *Grant, now uint64, decision *Decision) Status {
	address := AddressOf(request.Address)
	var degraded C.uint8_t
	if grant.Degraded {
		degraded = 1
	}
	data, len := borrow(key)
	method, methodLen := borrow(request.Method)
	path, pathLen := borrow(request.Path)
	environment, environmentLen := borrow(request.Environment)
	status := Status(C.ks_grant(k.p, (*C.keystile_ticket)(unsafe.Pointer(ticket)), data, len, request.Requirement.pointer(),
		method, methodLen, path, pathLen, environment, environmentLen,
		C.uint32_t(address.Family), (*C.uint8_t)(&address.Bytes[0]), C.uint32_t(request.PathProfile),
		C.uint32_t(grant.Tokens), C.uint64_t(grant.State), C.uint64_t(grant.AskedAt), C.uint64_t(grant.TakenAt), degraded,
		C.uint64_t(now), (*C.keystile_decision)(unsafe.Pointer(decision))))
	runtime.KeepAlive(k)
	runtime.KeepAlive(request.Requirement)
	return status
}

// Rest takes the tokens whose time is over, or all if now is 0: each once, and so many at a time
// that there may be more.
func (k *Keyring) Rest(now uint64) []UnusedTokens {
	var p *C.keystile_rest
	collect()
	status := Status(C.keystile_keyring_rest(k.p, C.uint64_t(now), &p))
	runtime.KeepAlive(k)
	if status != OK {
		return nil
	}
	defer C.keystile_rest_free(p)
	unused := make([]UnusedTokens, int(C.keystile_rest_count(p)))
	for at := range unused {
		if Status(C.keystile_rest_at(p, C.size_t(at), (*C.keystile_unused_tokens)(unsafe.Pointer(&unused[at])))) != OK {
			return unused[:at]
		}
	}
	return unused
}
