package capi

// #include "hot.h"
import "C"

// Status is what a call came to, as keystile.h numbers it.
type Status int32

// The statuses that Go code tells apart.
const (
	OK             Status = C.KEYSTILE_OK
	NeedsRecord    Status = C.KEYSTILE_NEEDS_RECORD
	NullPointer    Status = C.KEYSTILE_ERROR_NULL_POINTER
	NotUTF8        Status = C.KEYSTILE_ERROR_NOT_UTF8
	BufferTooSmall Status = C.KEYSTILE_ERROR_BUFFER_TOO_SMALL
	Index          Status = C.KEYSTILE_ERROR_INDEX
	Absent         Status = C.KEYSTILE_ERROR_ABSENT
	Panic          Status = C.KEYSTILE_ERROR_PANIC

	DeniedFirst Status = 100
	DeniedLast  Status = 199
)

// IsRefusal says whether a request was refused, or could not be judged.
func (s Status) IsRefusal() bool { return s >= DeniedFirst && s <= DeniedLast }

// Name is the status as it stands in JSON bodies and logs.
func (s Status) Name() string { return C.GoString(C.keystile_status_name(C.int32_t(s))) }

// Text says in a sentence what the status means.
func (s Status) Text() string { return C.GoString(C.keystile_status_text(C.int32_t(s))) }

// Version is that of the library which is linked.
func Version() string { return C.GoString(C.keystile_version()) }

// ABI is the number of the ABI of the library which is linked, and of the header.
func ABI() (library, header uint32) {
	return uint32(C.keystile_abi_version()), C.KEYSTILE_ABI_VERSION
}
