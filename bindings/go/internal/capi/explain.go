package capi

// #include "hot.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Explain returns the explanation of the decision that a request with a record's key would get,
// as JSON text.
func (v *Verifier) Explain(record *Record, request *Request, usage *Usage, now uint64) (string, Status) {
	address := AddressOf(request.Address)
	collect()
	defer runtime.KeepAlive(v)
	defer runtime.KeepAlive(record)
	defer runtime.KeepAlive(request)
	return filled(func(buffer *C.char, len C.size_t, needed *C.size_t) Status {
		method, methodLen := borrow(request.Method)
		path, pathLen := borrow(request.Path)
		environment, environmentLen := borrow(request.Environment)
		return Status(C.ks_explain(v.p, record.p, request.Requirement.pointer(),
			method, methodLen, path, pathLen, environment, environmentLen,
			C.uint32_t(address.Family), (*C.uint8_t)(&address.Bytes[0]), C.uint32_t(request.PathProfile),
			(*C.keystile_usage)(unsafe.Pointer(usage)), C.uint64_t(now), buffer, len, needed))
	})
}

// Usage returns what the lineage of a record's key has spent as the keyring's next decision would
// see it, if the store has this.
func (k *Keyring) Usage(record *Record, stored Usage, now uint64) (Usage, Status) {
	var usage Usage
	collect()
	status := Status(C.keystile_keyring_usage(k.p, record.p, (*C.keystile_usage)(unsafe.Pointer(&stored)),
		C.uint64_t(now), (*C.keystile_usage)(unsafe.Pointer(&usage))))
	runtime.KeepAlive(k)
	runtime.KeepAlive(record)
	return usage, status
}
