package keystile

import (
	"net/netip"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Request is what a request asks for. Fields that are not set are not checked: without a
// requirement no permission is needed. But a key that is restricted to endpoints or
// networks is refused if the request does not give its own.
type Request struct {
	// Requirement is the permissions that the route requires.
	Requirement *Requirement
	// Method is the method as it is dispatched.
	Method string
	// Path is the path as it was sent and is dispatched, without its query. With a method,
	// an empty path is refused as not canonical.
	Path string
	// PathProfile is which paths the service accepts; [PathStrict] unless it is set.
	PathProfile PathProfile
	// Environment is the deployment that asks; keys for any other, or for none, are
	// refused.
	Environment string
	// Address is the address of the peer, from the socket or a trusted proxy.
	Address netip.Addr
}

// Lookup is what to ask a store for: the record with an id, or the record with one of
// several digests.
type Lookup struct {
	// KeyID is the id; zero if the store is to look for digests.
	KeyID KeyID
	// Digests are those that the record may have: one for each pepper, and one without.
	Digests []Digest
}

// Usage is what a lineage of keys has spent so far. A store holds it beside its records.
// The zero value is the usage of a key that was never used and whose uses are not counted.
type Usage struct {
	Rate RateState
	// Remaining is the uses left; nil if they are not counted.
	Remaining *uint64
}

// Equal reports whether both are the same.
func (u Usage) Equal(other Usage) bool {
	return u.Rate == other.Rate && (u.Remaining == nil) == (other.Remaining == nil) &&
		(u.Remaining == nil || *u.Remaining == *other.Remaining)
}

// UsageOf returns the usage of a key that was never used.
func UsageOf(record *Record) Usage {
	if record == nil {
		return Usage{}
	}
	return Usage{Remaining: record.RemainingUses}
}

// Verifier holds which keys a service accepts.
type Verifier struct{ verifier *capi.Verifier }

// NewVerifier returns a verifier that accepts keys of these formats and verifies their
// digests with these peppers, nil for none.
func NewVerifier(peppers *PepperRing, format *KeyFormat, others ...*KeyFormat) (*Verifier, error) {
	if format.isUninitialized() {
		return nil, ErrFormat
	}
	if peppers.isUninitialized() {
		return nil, ErrDigest
	}
	verifier, status := capi.NewVerifier(format.format, peppers.handle())
	for _, other := range others {
		if status != capi.OK {
			break
		}
		if other.isUninitialized() {
			return nil, ErrFormat
		}
		verifier, status = verifier.With(other.format)
	}
	if err := failure(status); err != nil {
		return nil, err
	}
	return &Verifier{verifier}, nil
}

// isUninitialized reports whether it was not made by [NewVerifier].
func (v *Verifier) isUninitialized() bool { return v == nil || v.verifier == nil }

// Lookup returns what to ask the store for, before [Verifier.Verify]; [ErrInvalidKey] if
// the text is not a key.
func (v *Verifier) Lookup(key string) (Lookup, error) {
	if v.isUninitialized() {
		return Lookup{}, uninitialized("Verifier")
	}
	var raw capi.Lookup
	if status := v.verifier.Lookup(key, &raw); status != capi.OK {
		return Lookup{}, failure(status)
	}
	lookup := Lookup{KeyID: KeyID{raw.KeyID}}
	for _, digest := range raw.Digests[:min(raw.DigestCount, capi.LookupDigestsMax)] {
		lookup.Digests = append(lookup.Digests, Digest{digest})
	}
	return lookup, nil
}

// Verify decides about a presented key by its record, which is the result of the lookup,
// nil if it found none. The key may have any length and content.
//
// If the request is allowed, the usage changes. Write it back with compare-and-set, so that
// two decisions cannot spend the same use. For a record that counts its uses, usage.Remaining
// must not be nil, also if none are left; see [UsageOf].
//
// An error means that the call itself was wrong; its decision refuses too.
func (v *Verifier) Verify(key string, record *Record, request Request, usage *Usage, now time.Time) (Decision, error) {
	switch {
	case v.isUninitialized():
		return Refuse(CauseStoreUnavailable), uninitialized("Verifier")
	case usage == nil:
		// What an allowed request spends would be lost.
		return Refuse(CauseStoreUnavailable), uninitialized("Usage")
	case request.Requirement.isUninitialized():
		return Refuse(CausePermission), ErrPermission
	}
	var handle *capi.Record
	if record != nil {
		var err error
		if handle, err = record.handle(); err != nil {
			return Refuse(CauseStoreUnavailable), err
		}
	}
	spent := usage.raw()
	decision := Decision{requirement: request.Requirement}
	asked := request.raw()
	decision.status = v.verifier.Verify(key, handle, &asked, &spent, millisOf(now), &decision.raw)
	if decision.status == capi.OK {
		usage.Rate, usage.Remaining = RateState(spent.RateState), nil
		if spent.HasRemainingUses != 0 {
			usage.Remaining = Ptr(spent.RemainingUses)
		}
	}
	return decision.orMisuse()
}

// Rehash renews the digest of a key's record with the current pepper. Call it after a
// decision with [Decision.NeedsRehash]. The key is the text as it was presented. It returns
// [ErrState] if the key belongs to another record, or if the digest is current.
func (v *Verifier) Rehash(record *Record, key string, now time.Time) (*Change, error) {
	if v.isUninitialized() {
		return nil, uninitialized("Verifier")
	}
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	change, err := changeOf(capi.Rehash(v.verifier, handle, key, millisOf(now)))
	if err == nil {
		own := change.Record
		change.upkeep = []Upkeep{{KeyID: own.ID, Version: own.Version, Digest: &own.Digest}}
	}
	return change, err
}

func (r *Request) raw() capi.Request {
	return capi.Request{
		Requirement: r.Requirement.raw(),
		Method:      r.Method,
		Path:        r.Path,
		Environment: r.Environment,
		Address:     r.Address,
		PathProfile: uint32(r.PathProfile),
	}
}
