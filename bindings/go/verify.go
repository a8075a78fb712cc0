package keystile

import (
	"net/netip"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Request is what a request asks for. What is left out is not asked: without a requirement
// no permission is needed. But a key that is restricted to endpoints or networks is refused
// where the request does not say its own. A plain value: goroutines may share it as long as none changes it.
type Request struct {
	// Requirement is the permissions that the route needs.
	Requirement *Requirement
	// Method is the method, as it is dispatched.
	Method string
	// Path is the path as it was sent and is dispatched, without its query. With a method,
	// an empty one is refused as not canonical.
	Path string
	// Environment is the deployment that asks; keys of any other, or of none, are refused.
	Environment string
	// Address is the peer's, as the socket or a trusted proxy tells it.
	Address netip.Addr
}

// Lookup is what a store is asked for: the record of an id, or the one that carries any of
// some digests. A plain value: goroutines may share it as long as none changes it.
type Lookup struct {
	// KeyID is the id; zero where digests are asked for.
	KeyID KeyID
	// Digests are those that the record may carry: one for each pepper, and one without.
	Digests []Digest
}

// Usage is what a lineage of keys has spent so far, for a store to keep beside its records.
// The zero value is that of a key that was never used and whose uses are not counted. A plain value:
// it is no meter, and whoever spends from one shared by goroutines holds a lock.
type Usage struct {
	Rate RateState
	// Remaining is the uses that are left; nil where they are not counted.
	Remaining *uint64
}

// Equal says whether both are the same.
func (u Usage) Equal(other Usage) bool {
	return u.Rate == other.Rate && (u.Remaining == nil) == (other.Remaining == nil) &&
		(u.Remaining == nil || *u.Remaining == *other.Remaining)
}

// UsageOf is the usage of a key that was never used.
func UsageOf(record *Record) Usage { return Usage{Remaining: record.RemainingUses} }

// Verifier is which keys a service accepts. It never changes, and goroutines may share it.
type Verifier struct{ verifier *capi.Verifier }

// NewVerifier accepts keys of these formats, whose digests are checked under these peppers,
// nil for none.
func NewVerifier(peppers *PepperRing, format *KeyFormat, others ...*KeyFormat) (*Verifier, error) {
	if format == nil || format.format == nil {
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
		if other == nil || other.format == nil {
			return nil, ErrFormat
		}
		verifier, status = verifier.With(other.format)
	}
	if err := failure(status); err != nil {
		return nil, err
	}
	return &Verifier{verifier}, nil
}

// LookUp is what to ask the store for, before [Verifier.Verify]; [ErrInvalidKey] where the
// text is no key.
func (v *Verifier) LookUp(key string) (Lookup, error) {
	var raw capi.Lookup
	if status := v.verifier.LookUp(key, &raw); status != capi.OK {
		return Lookup{}, failure(status)
	}
	lookup := Lookup{KeyID: KeyID{raw.KeyID}}
	for _, digest := range raw.Digests[:min(raw.DigestCount, capi.LookupDigestsMax)] {
		lookup.Digests = append(lookup.Digests, Digest{digest})
	}
	return lookup, nil
}

// Verify decides about a presented key by its record, which is what a look-up gave, nil
// where it gave nothing. The key is whatever was presented, of any length and content.
//
// An allow changes the usage. Write it back with compare-and-set: two decisions at once must
// not spend the same use.
//
// An error is a call that was wrong, and its decision refuses too.
func (v *Verifier) Verify(key string, record *Record, request Request, usage *Usage, now time.Time) (Decision, error) {
	if request.Requirement.isUninitialized() {
		return Refuse(CausePermission), ErrPermission
	}
	var handle *capi.Record
	if record != nil {
		var err error
		if handle, err = record.handle(); err != nil {
			return Refuse(CauseStoreUnavailable), err
		}
	}
	spent := capi.Usage{RateState: uint64(usage.Rate)}
	if usage.Remaining != nil {
		spent.RemainingUses, spent.HasRemainingUses = *usage.Remaining, 1
	}
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

// Rehash gives a key's record a digest under the current pepper, as a decision with
// [Decision.NeedsRehash] asks for. The key is the text as it was presented. It is [ErrState]
// where it is another record's, or the digest is current.
func (v *Verifier) Rehash(record *Record, key string, now time.Time) (*Change, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	return changeOf(capi.Rehash(v.verifier, handle, key, millisOf(now)))
}

func (r *Request) raw() capi.Request {
	return capi.Request{
		Requirement: r.Requirement.raw(),
		Method:      r.Method,
		Path:        r.Path,
		Environment: r.Environment,
		Address:     r.Address,
	}
}
