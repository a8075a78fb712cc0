package capi

/*
#include "hot.h"
#include "keyring_value.h"
#cgo noescape keystile_keyring_value
#cgo nocallback keystile_keyring_value
#cgo noescape ks_value_release
#cgo nocallback ks_value_release
#cgo noescape ks_values_take
#cgo nocallback ks_values_take
*/
import "C"

import (
	"runtime"
	"runtime/cgo"
	"unsafe"
)

// Value returns what the cached record of a key was admitted with, as long as a check would
// be decided by that record; otherwise nil.
func (k *Keyring) Value(id *ID, now uint64) any {
	var p unsafe.Pointer
	collect()
	status := Status(C.keystile_keyring_value(k.p, (*C.keystile_id)(unsafe.Pointer(id)), C.uint64_t(now), &p))
	runtime.KeepAlive(k)
	if status != OK || p == nil {
		return nil
	}
	value := cgo.Handle((*C.ks_value)(p).handle).Value()
	C.ks_value_release(p)
	return value
}

// newValue returns a value with one reference, for [releaseValue].
func newValue(value any) unsafe.Pointer {
	p := C.malloc(C.sizeof_ks_value)
	*(*C.ks_value)(p) = C.ks_value{references: 1, handle: C.uintptr_t(cgo.NewHandle(value))}
	return p
}

func releaseValue(p unsafe.Pointer) { C.ks_value_release(p) }

// carryValues makes a keyring one with values.
func carryValues(options *C.keystile_keyring_options) { C.ks_values_carry(options) }

// deleteReleased deletes the values that no keyring refers to any more. Each admission calls
// it, since only admissions add values.
func deleteReleased() {
	for p := C.ks_values_take(); p != nil; {
		next := p.next
		cgo.Handle(p.handle).Delete()
		C.free(unsafe.Pointer(p))
		p = next
	}
}
