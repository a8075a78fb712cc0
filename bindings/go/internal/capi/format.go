package capi

// #include "hot.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Format is keystile_format.
type Format struct{ p *C.keystile_format }

func newFormat(p *C.keystile_format, failure *Failure) (*Format, *Failure) {
	if failure != nil {
		return nil, failure
	}
	format := &Format{p}
	runtime.AddCleanup(format, func(p *C.keystile_format) { C.keystile_format_free(p) }, p)
	collect()
	return format, nil
}

// Structured returns the structured format of a prefix.
func Structured(prefix string) (*Format, *Failure) {
	var why C.keystile_error
	var p *C.keystile_format
	data, len := borrow(prefix)
	status := Status(C.keystile_format_structured(data, len, &p, &why))
	return newFormat(p, failed(status, &why))
}

// Opaque returns the opaque format of a prefix.
func Opaque(prefix string) (*Format, *Failure) {
	var why C.keystile_error
	var p *C.keystile_format
	data, len := borrow(prefix)
	status := Status(C.keystile_format_opaque(data, len, &p, &why))
	return newFormat(p, failed(status, &why))
}

// AnyStructured returns a format that parses structured keys with any prefix.
func AnyStructured() (*Format, *Failure) {
	var p *C.keystile_format
	status := Status(C.keystile_format_any_structured(&p))
	return newFormat(p, failed(status, nil))
}

// AnyOpaque returns a format that parses opaque keys with any prefix and length.
func AnyOpaque() (*Format, *Failure) {
	var p *C.keystile_format
	status := Status(C.keystile_format_any_opaque(&p))
	return newFormat(p, failed(status, nil))
}

// FormatLike returns the format that a record's key was issued in.
func FormatLike(record *Record) (*Format, *Failure) {
	var why C.keystile_error
	var p *C.keystile_format
	status := Status(C.keystile_format_like(record.p, &p, &why))
	runtime.KeepAlive(record)
	return newFormat(p, failed(status, &why))
}

// WithChecksumKey returns the same format with a keyed checksum.
func (f *Format) WithChecksumKey(key []byte) (*Format, *Failure) {
	var why C.keystile_error
	var p *C.keystile_format
	data, len := bytesOf(key)
	status := Status(C.keystile_format_with_checksum_key(f.p, data, len, &p, &why))
	runtime.KeepAlive(f)
	return newFormat(p, failed(status, &why))
}

// WithRandomBytes returns the same format with another number of random bytes.
func (f *Format) WithRandomBytes(count uint8) (*Format, *Failure) {
	var why C.keystile_error
	var p *C.keystile_format
	status := Status(C.keystile_format_with_random_bytes(f.p, C.uint8_t(count), &p, &why))
	runtime.KeepAlive(f)
	return newFormat(p, failed(status, &why))
}

// Prefix returns the prefix, if the format has one.
func (f *Format) Prefix() (string, bool) {
	var prefix C.keystile_str
	collect()
	if Status(C.keystile_format_prefix(f.p, &prefix)) != OK {
		return "", false
	}
	text := copied(prefix)
	runtime.KeepAlive(f)
	return text, true
}

// ParseKey checks whether a text has the format of a key, and returns the id that it
// claims.
func (f *Format) ParseKey(key string) (ID, Status) {
	var id ID
	data, len := borrow(key)
	status := Status(C.keystile_key_parse(f.p, data, len, (*C.keystile_id)(unsafe.Pointer(&id))))
	runtime.KeepAlive(f)
	return id, status
}

// Inspect inspects a text without a store.
func (f *Format) Inspect(text string) (finding uint32, id ID, environment string, status Status) {
	var inspection C.keystile_inspection
	data, len := borrow(text)
	status = Status(C.keystile_inspect(f.p, data, len, &inspection))
	runtime.KeepAlive(f)
	if status != OK {
		return 0, id, "", status
	}
	id = *(*ID)(unsafe.Pointer(&inspection.key_id))
	return uint32(inspection.finding), id, C.GoString(&inspection.environment[0]), OK
}

// Peppers is keystile_peppers. A nil one has no pepper.
type Peppers struct{ p *C.keystile_peppers }

func newPeppers(p *C.keystile_peppers, failure *Failure) (*Peppers, *Failure) {
	if failure != nil {
		return nil, failure
	}
	peppers := &Peppers{p}
	runtime.AddCleanup(peppers, func(p *C.keystile_peppers) { C.keystile_peppers_free(p) }, p)
	collect()
	return peppers, nil
}

// NewPeppers returns a ring of one pepper.
func NewPeppers(version uint32, secret []byte) (*Peppers, *Failure) {
	var why C.keystile_error
	var p *C.keystile_peppers
	data, len := bytesOf(secret)
	status := Status(C.keystile_peppers_new(C.uint32_t(version), data, len, &p, &why))
	return newPeppers(p, failed(status, &why))
}

// WithRetired returns the same ring with one more retired pepper.
func (r *Peppers) WithRetired(version uint32, secret []byte) (*Peppers, *Failure) {
	var why C.keystile_error
	var p *C.keystile_peppers
	data, len := bytesOf(secret)
	status := Status(C.keystile_peppers_with_retired(r.p, C.uint32_t(version), data, len, &p, &why))
	runtime.KeepAlive(r)
	return newPeppers(p, failed(status, &why))
}

// WithoutCurrent returns the same ring without a current pepper.
func (r *Peppers) WithoutCurrent() (*Peppers, *Failure) {
	var p *C.keystile_peppers
	status := Status(C.keystile_peppers_without_current(r.p, &p))
	runtime.KeepAlive(r)
	return newPeppers(p, failed(status, nil))
}

func (r *Peppers) pointer() *C.keystile_peppers {
	if r == nil {
		return nil
	}
	return r.p
}

// DigestOf computes the digest for a new record of a key.
func (r *Peppers) DigestOf(key string) (Digest, Status) {
	var digest Digest
	data, len := borrow(key)
	status := Status(C.keystile_digest_of(r.pointer(), data, len, (*C.keystile_digest)(unsafe.Pointer(&digest))))
	runtime.KeepAlive(r)
	return digest, status
}
