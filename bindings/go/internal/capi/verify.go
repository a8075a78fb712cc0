package capi

/*
#include "hot.h"
#cgo noescape ks_boot_nanos
#cgo nocallback ks_boot_nanos
#cgo noescape ks_check
#cgo nocallback ks_check
#cgo noescape ks_admit
#cgo nocallback ks_admit
#cgo noescape ks_verify
#cgo nocallback ks_verify
#cgo noescape ks_extract_one
#cgo nocallback ks_extract_one
#cgo noescape keystile_key_lookup
#cgo nocallback keystile_key_lookup
#cgo noescape keystile_credential_extract
#cgo nocallback keystile_credential_extract
#cgo noescape keystile_respond
#cgo nocallback keystile_respond
#cgo noescape keystile_credential_wipe
#cgo nocallback keystile_credential_wipe
*/
import "C"

import (
	"net/netip"
	"runtime"
	"unsafe"
)

// Request is what a request asks for; an empty text means none.
type Request struct {
	Requirement *Requirement
	Method      string
	Path        string
	Environment string
	Address     netip.Addr
	PathProfile uint32
}

// AddressOf returns an address in the form of the library.
func AddressOf(address netip.Addr) Address {
	switch {
	case address.Is4():
		own := Address{Family: 4}
		four := address.As4()
		copy(own.Bytes[:], four[:])
		return own
	case address.Is6():
		return Address{Family: 6, Bytes: address.As16()}
	default:
		return Address{}
	}
}

// Verifier is keystile_verifier.
type Verifier struct{ p *C.keystile_verifier }

func newVerifier(p *C.keystile_verifier, status Status) (*Verifier, Status) {
	if status != OK {
		return nil, status
	}
	verifier := &Verifier{p}
	runtime.AddCleanup(verifier, func(p *C.keystile_verifier) { C.keystile_verifier_free(p) }, p)
	collect()
	return verifier, OK
}

// NewVerifier returns a verifier for keys of one format.
func NewVerifier(format *Format, peppers *Peppers) (*Verifier, Status) {
	var p *C.keystile_verifier
	status := Status(C.keystile_verifier_new(format.p, peppers.pointer(), &p))
	runtime.KeepAlive(format)
	runtime.KeepAlive(peppers)
	return newVerifier(p, status)
}

// With returns the same verifier, which accepts keys of a further format too.
func (v *Verifier) With(format *Format) (*Verifier, Status) {
	var p *C.keystile_verifier
	status := Status(C.keystile_verifier_with_format(v.p, format.p, &p))
	runtime.KeepAlive(v)
	runtime.KeepAlive(format)
	return newVerifier(p, status)
}

// Lookup returns what to ask the store for.
func (v *Verifier) Lookup(key string, lookup *Lookup) Status {
	data, len := borrow(key)
	status := Status(C.keystile_key_lookup(v.p, data, len, (*C.keystile_lookup)(unsafe.Pointer(lookup))))
	runtime.KeepAlive(v)
	return status
}

// Verify decides about a presented key by its record, which may be nil.
func (v *Verifier) Verify(key string, record *Record, request *Request, usage *Usage, now uint64, decision *Decision) Status {
	address := AddressOf(request.Address)
	data, len := borrow(key)
	method, methodLen := borrow(request.Method)
	path, pathLen := borrow(request.Path)
	environment, environmentLen := borrow(request.Environment)
	status := Status(C.ks_verify(v.p, data, len, record.pointer(), request.Requirement.pointer(),
		method, methodLen, path, pathLen, environment, environmentLen,
		C.uint32_t(address.Family), (*C.uint8_t)(&address.Bytes[0]), C.uint32_t(request.PathProfile),
		(*C.keystile_usage)(unsafe.Pointer(usage)), C.uint64_t(now),
		(*C.keystile_decision)(unsafe.Pointer(decision))))
	runtime.KeepAlive(v)
	runtime.KeepAlive(record)
	runtime.KeepAlive(request)
	return status
}

// Keyring is keystile_keyring.
type Keyring struct{ p *C.keystile_keyring }

// KeyringOptions is keystile_keyring_options; 0 selects the default.
type KeyringOptions struct {
	Capacity        uint64
	TTLMillis       uint64
	AbsentTTLMillis uint64
	ClockSkewMillis uint64
	// LeaseMillis is 0 for limits that the keyring counts itself.
	LeaseMillis    uint64
	LeaseProcesses uint32
	LeaseShare     uint32
}

// DurationNone means zero, because 0 selects the default.
const DurationNone uint64 = C.KEYSTILE_DURATION_NONE

// NewKeyring returns a keyring for the keys that a verifier accepts.
func NewKeyring(verifier *Verifier, options *KeyringOptions) (*Keyring, *Failure) {
	var why C.keystile_error
	var p *C.keystile_keyring
	own := C.keystile_keyring_options{
		capacity:          C.uint64_t(options.Capacity),
		ttl_millis:        C.uint64_t(options.TTLMillis),
		absent_ttl_millis: C.uint64_t(options.AbsentTTLMillis),
		clock_skew_millis: C.uint64_t(options.ClockSkewMillis),
		monotonic_clock:   1,
		lease_millis:      C.uint64_t(options.LeaseMillis),
		lease_processes:   C.uint32_t(options.LeaseProcesses),
		lease_share:       C.uint32_t(options.LeaseShare),
	}
	own.struct_size = C.size_t(unsafe.Sizeof(own))
	carryValues(&own)
	status := Status(C.keystile_keyring_new(verifier.p, &own, &p, &why))
	runtime.KeepAlive(verifier)
	if status != OK {
		return nil, failed(status, &why)
	}
	keyring := &Keyring{p}
	runtime.AddCleanup(keyring, func(p *C.keystile_keyring) {
		C.keystile_keyring_free(p)
		deleteReleased()
	}, p)
	collect()
	return keyring, nil
}

// LeaseEnded is no status of the library: the window has ended.
const LeaseEnded Status = C.KS_LEASE_ENDED

// Window is when the cache may be used: for a span from a reading of the clock; in
// nanoseconds. A span of 0 is no limit.
type Window struct{ Begun, Span uint64 }

// BootNanos reads the clock of windows, which runs on while the machine sleeps.
func BootNanos() uint64 { return uint64(C.ks_boot_nanos()) }

// Check decides by a cached record, or returns NeedsRecord and as of which invalidation the
// record must be fetched, or NeedsTokens. It returns LeaseEnded outside of the window.
func (k *Keyring) Check(key string, request *Request, now uint64, window Window, decision *Decision) (asOf uint64, status Status) {
	var family C.uint32_t
	var bytes [16]byte
	if request.Address.IsValid() {
		address := AddressOf(request.Address)
		family, bytes = C.uint32_t(address.Family), address.Bytes
	}
	var before C.uint64_t
	data, len := borrow(key)
	method, methodLen := borrow(request.Method)
	path, pathLen := borrow(request.Path)
	environment, environmentLen := borrow(request.Environment)
	status = Status(C.ks_check(k.p, data, len, request.Requirement.pointer(),
		method, methodLen, path, pathLen, environment, environmentLen,
		family, (*C.uint8_t)(&bytes[0]), C.uint32_t(request.PathProfile), C.uint64_t(now), C.uint64_t(window.Begun), C.uint64_t(window.Span),
		(*C.keystile_decision)(unsafe.Pointer(decision)), &before))
	runtime.KeepAlive(k)
	runtime.KeepAlive(request.Requirement)
	return uint64(before), status
}

// Admit decides by a fetched record, nil for none, and what its lineage has spent, nil if that
// is not known, and caches it with a value. It may return NeedsTokens. NeedsRecord means that an invalidation overtook the
// fetch.
func (k *Keyring) Admit(before uint64, key string, request *Request, record *Record, usage *Usage, value any, now uint64, decision *Decision) (asOf uint64, status Status) {
	address := AddressOf(request.Address)
	var after C.uint64_t
	var carried unsafe.Pointer
	if record != nil {
		carried = newValue(value)
		defer deleteReleased()
		defer releaseValue(carried)
	}
	data, len := borrow(key)
	method, methodLen := borrow(request.Method)
	path, pathLen := borrow(request.Path)
	environment, environmentLen := borrow(request.Environment)
	status = Status(C.ks_admit(k.p, C.uint64_t(before), data, len, request.Requirement.pointer(),
		method, methodLen, path, pathLen, environment, environmentLen,
		C.uint32_t(address.Family), (*C.uint8_t)(&address.Bytes[0]), C.uint32_t(request.PathProfile),
		record.pointer(), (*C.keystile_usage)(unsafe.Pointer(usage)), carried, C.uint64_t(now),
		(*C.keystile_decision)(unsafe.Pointer(decision)), &after))
	runtime.KeepAlive(k)
	runtime.KeepAlive(record)
	runtime.KeepAlive(request.Requirement)
	return uint64(after), status
}

// Invalidate invalidates the cached record of a key.
func (k *Keyring) Invalidate(id *ID) Status {
	collect()
	status := Status(C.keystile_keyring_invalidate(k.p, (*C.keystile_id)(unsafe.Pointer(id))))
	runtime.KeepAlive(k)
	return status
}

// InvalidateAt invalidates the cached record of a key, and admits none before this version.
func (k *Keyring) InvalidateAt(id *ID, version uint64) Status {
	collect()
	status := Status(C.keystile_keyring_invalidate_at(k.p, (*C.keystile_id)(unsafe.Pointer(id)), C.uint64_t(version)))
	runtime.KeepAlive(k)
	return status
}

// InvalidateOwner invalidates the cached records of all keys of an owner.
func (k *Keyring) InvalidateOwner(owner string) Status {
	data, len := borrow(owner)
	status := Status(C.keystile_keyring_invalidate_owner(k.p, data, len))
	runtime.KeepAlive(k)
	return status
}

// InvalidateAll invalidates all cached records.
func (k *Keyring) InvalidateAll() Status {
	collect()
	status := Status(C.keystile_keyring_invalidate_all(k.p))
	runtime.KeepAlive(k)
	return status
}

// Reset invalidates all cached records, and forgets which versions were seen.
func (k *Keyring) Reset() Status {
	collect()
	status := Status(C.keystile_keyring_reset(k.p))
	runtime.KeepAlive(k)
	return status
}

// KeyringStats is keystile_keyring_stats.
type KeyringStats struct {
	Entries, Fetches, Overtaken, Evictions, Invalidations, AbsentHits, UsesLost, VersionsLost, LimitsLost, LineagesRefused uint64
	TokensTaken, TokensReturned, TokensLost, RefusedFromMemory, Degraded                                                   uint64
}

// Stats returns the counters so far.
func (k *Keyring) Stats() KeyringStats {
	var stats C.keystile_keyring_stats
	stats.struct_size = C.size_t(unsafe.Sizeof(stats))
	collect()
	status := Status(C.keystile_keyring_stats_of(k.p, &stats))
	runtime.KeepAlive(k)
	if status != OK {
		return KeyringStats{}
	}
	return KeyringStats{
		Entries:         uint64(stats.entries),
		Fetches:         uint64(stats.fetches),
		Overtaken:       uint64(stats.overtaken),
		Evictions:       uint64(stats.evictions),
		Invalidations:   uint64(stats.invalidations),
		AbsentHits:      uint64(stats.absent_hits),
		UsesLost:        uint64(stats.uses_lost),
		VersionsLost:    uint64(stats.versions_lost),
		LimitsLost:      uint64(stats.limits_lost),
		LineagesRefused: uint64(stats.lineages_refused),

		TokensTaken:       uint64(stats.tokens_taken),
		TokensReturned:    uint64(stats.tokens_returned),
		TokensLost:        uint64(stats.tokens_lost),
		RefusedFromMemory: uint64(stats.refused_from_memory),
		Degraded:          uint64(stats.degraded),
	}
}

// DrainUses returns the uses since the last call.
func (k *Keyring) DrainUses() []Use {
	var p *C.keystile_uses
	collect()
	status := Status(C.keystile_keyring_drain_uses(k.p, &p))
	runtime.KeepAlive(k)
	if status != OK {
		return nil
	}
	defer C.keystile_uses_free(p)
	uses := make([]Use, int(C.keystile_uses_count(p)))
	for at := range uses {
		if Status(C.keystile_uses_at(p, C.size_t(at), (*C.keystile_use)(unsafe.Pointer(&uses[at])))) != OK {
			return uses[:at]
		}
	}
	return uses
}
