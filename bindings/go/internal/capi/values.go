package capi

// #include "hot.h"
import "C"

import "unsafe"

// ID is a public id: 16 characters and a NUL, or all zero.
type ID struct{ Text [17]byte }

// Digest is keystile_digest.
type Digest struct {
	Kind   uint32
	Pepper uint32
	Bytes  [32]byte
	room   [3]uint64
}

// RateLimit is keystile_rate_limit.
type RateLimit struct {
	Limit        uint32
	Burst        uint32
	WindowMillis uint64
}

// Quota is keystile_quota.
type Quota struct {
	Limit RateLimit
	State uint64
	Now   uint64
}

// Usage is keystile_usage.
type Usage struct {
	RateState        uint64
	RemainingUses    uint64
	HasRemainingUses uint8
}

// Address is keystile_address.
type Address struct {
	Family uint32
	Bytes  [16]byte
}

// Decision is keystile_decision.
type Decision struct {
	Kind             uint32
	Cause            uint32
	KeyID            ID
	Lineage          ID
	ReplacedBy       ID
	EndsOverlapOf    ID
	HasRemainingUses uint8
	NeedsRehash      uint8
	ReplacedUntil    uint64
	RemainingUses    uint64
	Quota            Quota
	Missing          [2]uint64
}

// LookupDigestsMax is the maximum number of digests in a lookup.
const LookupDigestsMax = C.KEYSTILE_LOOKUP_DIGESTS_MAX

// Lookup is keystile_lookup.
type Lookup struct {
	KeyID       ID
	DigestCount uint
	Digests     [LookupDigestsMax]Digest
	_           [8]uint64
}

// Use is keystile_use.
type Use struct {
	KeyID       ID
	Lineage     ID
	LastUsedAt  uint64
	Count       uint64
	RateState   uint64
	ReachMillis uint64
}

// PlanItem is keystile_plan_item.
type PlanItem struct {
	KeyID      ID
	Action     uint32
	At         uint64
	LeadMillis uint64
}

// Each array has a negative length, or an index out of its range, if the layout of a struct
// in Go differs from C: the build stops here.
var (
	_ = [1]struct{}{}[unsafe.Sizeof(ID{})-unsafe.Sizeof(C.keystile_id{})]
	_ = [1]struct{}{}[unsafe.Sizeof(Digest{})-unsafe.Sizeof(C.keystile_digest{})]
	_ = [1]struct{}{}[unsafe.Offsetof(Digest{}.Bytes)-unsafe.Offsetof(C.keystile_digest{}.private_bytes)]
	_ = [1]struct{}{}[unsafe.Sizeof(RateLimit{})-unsafe.Sizeof(C.keystile_rate_limit{})]
	_ = [1]struct{}{}[unsafe.Offsetof(RateLimit{}.Burst)-unsafe.Offsetof(C.keystile_rate_limit{}.burst)]
	_ = [1]struct{}{}[unsafe.Offsetof(RateLimit{}.WindowMillis)-unsafe.Offsetof(C.keystile_rate_limit{}.window_millis)]
	_ = [1]struct{}{}[unsafe.Sizeof(Quota{})-unsafe.Sizeof(C.keystile_quota{})]
	_ = [1]struct{}{}[unsafe.Offsetof(Quota{}.State)-unsafe.Offsetof(C.keystile_quota{}.state)]
	_ = [1]struct{}{}[unsafe.Offsetof(Quota{}.Now)-unsafe.Offsetof(C.keystile_quota{}.now)]
	_ = [1]struct{}{}[unsafe.Sizeof(Usage{})-unsafe.Sizeof(C.keystile_usage{})]
	_ = [1]struct{}{}[unsafe.Offsetof(Usage{}.RateState)-unsafe.Offsetof(C.keystile_usage{}.rate_state)]
	_ = [1]struct{}{}[unsafe.Offsetof(Usage{}.RemainingUses)-unsafe.Offsetof(C.keystile_usage{}.remaining_uses)]
	_ = [1]struct{}{}[unsafe.Offsetof(Usage{}.HasRemainingUses)-unsafe.Offsetof(C.keystile_usage{}.has_remaining_uses)]
	_ = [1]struct{}{}[unsafe.Sizeof(Address{})-unsafe.Sizeof(C.keystile_address{})]
	_ = [1]struct{}{}[unsafe.Offsetof(Address{}.Bytes)-unsafe.Offsetof(C.keystile_address{}.bytes)]
	_ = [1]struct{}{}[unsafe.Sizeof(Decision{})-unsafe.Sizeof(C.keystile_decision{})]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Cause)-unsafe.Offsetof(C.keystile_decision{}.cause)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.KeyID)-unsafe.Offsetof(C.keystile_decision{}.key_id)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Lineage)-unsafe.Offsetof(C.keystile_decision{}.lineage)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.ReplacedBy)-unsafe.Offsetof(C.keystile_decision{}.replaced_by)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.EndsOverlapOf)-unsafe.Offsetof(C.keystile_decision{}.ends_overlap_of)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.HasRemainingUses)-unsafe.Offsetof(C.keystile_decision{}.has_remaining_uses)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.NeedsRehash)-unsafe.Offsetof(C.keystile_decision{}.needs_rehash)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.ReplacedUntil)-unsafe.Offsetof(C.keystile_decision{}.replaced_until)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.RemainingUses)-unsafe.Offsetof(C.keystile_decision{}.remaining_uses)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Quota)-unsafe.Offsetof(C.keystile_decision{}.quota)]
	_ = [1]struct{}{}[unsafe.Offsetof(Decision{}.Missing)-unsafe.Offsetof(C.keystile_decision{}.missing)]
	_ = [1]struct{}{}[unsafe.Sizeof(Lookup{})-unsafe.Sizeof(C.keystile_lookup{})]
	_ = [1]struct{}{}[unsafe.Offsetof(Lookup{}.DigestCount)-unsafe.Offsetof(C.keystile_lookup{}.private_digest_count)]
	_ = [1]struct{}{}[unsafe.Offsetof(Lookup{}.Digests)-unsafe.Offsetof(C.keystile_lookup{}.private_digests)]
	_ = [1]struct{}{}[unsafe.Sizeof(Use{})-unsafe.Sizeof(C.keystile_use{})]
	_ = [1]struct{}{}[unsafe.Offsetof(Use{}.Lineage)-unsafe.Offsetof(C.keystile_use{}.lineage)]
	_ = [1]struct{}{}[unsafe.Offsetof(Use{}.LastUsedAt)-unsafe.Offsetof(C.keystile_use{}.last_used_at)]
	_ = [1]struct{}{}[unsafe.Offsetof(Use{}.Count)-unsafe.Offsetof(C.keystile_use{}.count)]
	_ = [1]struct{}{}[unsafe.Offsetof(Use{}.RateState)-unsafe.Offsetof(C.keystile_use{}.rate_state)]
	_ = [1]struct{}{}[unsafe.Offsetof(Use{}.ReachMillis)-unsafe.Offsetof(C.keystile_use{}.reach_millis)]
	_ = [1]struct{}{}[unsafe.Sizeof(PlanItem{})-unsafe.Sizeof(C.keystile_plan_item{})]
	_ = [1]struct{}{}[unsafe.Offsetof(PlanItem{}.Action)-unsafe.Offsetof(C.keystile_plan_item{}.action)]
	_ = [1]struct{}{}[unsafe.Offsetof(PlanItem{}.At)-unsafe.Offsetof(C.keystile_plan_item{}.at)]
	_ = [1]struct{}{}[unsafe.Offsetof(PlanItem{}.LeadMillis)-unsafe.Offsetof(C.keystile_plan_item{}.lead_millis)]
)

// ParseID parses a public id.
func ParseID(text string) (ID, *Failure) {
	var why C.keystile_error
	var id ID
	data, len := borrow(text)
	status := Status(C.keystile_id_parse(data, len, (*C.keystile_id)(unsafe.Pointer(&id)), &why))
	return id, failed(status, &why)
}

// ParseDigest parses the text of a digest.
func ParseDigest(text string) (Digest, *Failure) {
	var why C.keystile_error
	var digest Digest
	data, len := borrow(text)
	status := Status(C.keystile_digest_parse(data, len, (*C.keystile_digest)(unsafe.Pointer(&digest)), &why))
	return digest, failed(status, &why)
}

// Text returns the text of a digest.
func (d *Digest) Text() (string, Status) {
	var text C.keystile_digest_text
	status := Status(C.keystile_digest_to_text((*C.keystile_digest)(unsafe.Pointer(d)), &text))
	if status != OK {
		return "", status
	}
	return C.GoString(&text.text[0]), OK
}

// DigestsEqual compares in constant time.
func DigestsEqual(one, other *Digest) bool {
	var equal C.bool
	status := Status(C.keystile_digest_equal((*C.keystile_digest)(unsafe.Pointer(one)),
		(*C.keystile_digest)(unsafe.Pointer(other)), &equal))
	return status == OK && bool(equal)
}

// CheckPath checks whether a request path is canonical for a profile.
func CheckPath(profile uint32, path string) Status {
	data, len := borrow(path)
	return Status(C.keystile_path_check(C.uint32_t(profile), data, len))
}

// CheckMethod checks whether a method is spelled as in endpoint rules.
func CheckMethod(method string) Status {
	data, len := borrow(method)
	return Status(C.keystile_method_check(data, len))
}

// CheckRateLimit checks whether a limit is well formed.
func CheckRateLimit(limit *RateLimit) *Failure {
	var why C.keystile_error
	return failed(Status(C.keystile_rate_limit_check((*C.keystile_rate_limit)(unsafe.Pointer(limit)), &why)), &why)
}

// AdmitRate admits one request, or refuses it at no cost.
func AdmitRate(limit *RateLimit, state *uint64, now uint64) (Quota, Status) {
	var quota Quota
	return quota, Status(C.keystile_rate_limit_admit((*C.keystile_rate_limit)(unsafe.Pointer(limit)),
		(*C.uint64_t)(unsafe.Pointer(state)), C.uint64_t(now), (*C.keystile_quota)(unsafe.Pointer(&quota))))
}

// HoldRate holds a state that lies too far ahead to a full burst.
func HoldRate(limit *RateLimit, state *uint64, now uint64) Status {
	return Status(C.keystile_rate_limit_hold((*C.keystile_rate_limit)(unsafe.Pointer(limit)),
		(*C.uint64_t)(unsafe.Pointer(state)), C.uint64_t(now)))
}

// ClampRate holds a state to a full burst.
func ClampRate(limit *RateLimit, state *uint64, now uint64) Status {
	return Status(C.keystile_rate_limit_clamp((*C.keystile_rate_limit)(unsafe.Pointer(limit)),
		(*C.uint64_t)(unsafe.Pointer(state)), C.uint64_t(now)))
}

// MoveRate moves a state to another clock.
func MoveRate(state *uint64, from, to uint64) Status {
	return Status(C.keystile_rate_state_move((*C.uint64_t)(unsafe.Pointer(state)), C.uint64_t(from), C.uint64_t(to)))
}

// RateFullAt returns when the full burst is available again; 0 if the limit is unused.
func RateFullAt(state uint64) uint64 {
	var fullAt C.uint64_t
	if Status(C.keystile_rate_state_full_at(C.uint64_t(state), &fullAt)) != OK {
		return 0
	}
	return uint64(fullAt)
}

// Remaining returns how many requests would pass at once.
func (q *Quota) Remaining() uint32 {
	var remaining C.uint32_t
	if Status(C.keystile_quota_remaining((*C.keystile_quota)(unsafe.Pointer(q)), &remaining)) != OK {
		return 0
	}
	return uint32(remaining)
}

// ResetMillis returns the time until the whole limit is available again.
func (q *Quota) ResetMillis() uint64 {
	var millis C.uint64_t
	if Status(C.keystile_quota_reset_millis((*C.keystile_quota)(unsafe.Pointer(q)), &millis)) != OK {
		return 0
	}
	return uint64(millis)
}

// RetryAfterMillis returns the time until a request would pass; false if none ever will.
func (q *Quota) RetryAfterMillis() (uint64, bool) {
	var millis C.uint64_t
	status := Status(C.keystile_quota_retry_after_millis((*C.keystile_quota)(unsafe.Pointer(q)), &millis))
	return uint64(millis), status == OK
}

// Refuse makes a refusal without a key.
func Refuse(cause uint32, decision *Decision) Status {
	return Status(C.keystile_refuse(C.uint32_t(cause), (*C.keystile_decision)(unsafe.Pointer(decision))))
}

// FindingHint returns a sentence that says what to do about a finding.
func FindingHint(finding uint32) string {
	return C.GoString(C.keystile_finding_hint(C.uint32_t(finding)))
}
