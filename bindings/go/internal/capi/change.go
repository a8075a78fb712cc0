package capi

// #include "hot.h"
import "C"

import (
	"runtime"
	"unsafe"
)

// Event is keystile_event; its reason is nil if none was given.
type Event struct {
	Kind      uint32
	KeyID     ID
	Successor ID
	At        uint64
	Version   uint64
	Reason    *string
	// Changes are the fields that were changed.
	Changes []FieldChange
}

// Changed is a keystile_change, copied to Go's memory.
type Changed struct {
	// Key is the text of a new key, empty if none was created.
	Key string
	// Records are the records to write, as JSON.
	Records []string
	// Event is nil if there is none.
	Event *Event
}

// take reads a change and frees it, which wipes the key in it.
func take(p *C.keystile_change, failure *Failure) (*Changed, *Failure) {
	if failure != nil {
		return nil, failure
	}
	defer C.keystile_change_free(p)
	collect()
	changed := &Changed{}
	var key C.keystile_str
	switch status := Status(C.keystile_change_key(p, &key)); status {
	case OK:
		changed.Key = copied(key)
	case ErrorAbsent:
	default:
		return nil, failed(status, nil)
	}
	for index := C.size_t(0); index < C.keystile_change_record_count(p); index++ {
		json, status := recordJSON(C.keystile_change_record_at(p, index))
		if status != OK {
			return nil, failed(status, nil)
		}
		changed.Records = append(changed.Records, json)
	}
	var event C.keystile_event
	switch status := Status(C.keystile_change_event(p, &event)); status {
	case OK:
		changed.Event = takeEvent(&event)
		if changed.Event.Changes, status = takeFields(p); status != OK {
			return nil, failed(status, nil)
		}
	case ErrorAbsent:
	default:
		return nil, failed(status, nil)
	}
	return changed, nil
}

func takeEvent(event *C.keystile_event) *Event {
	own := &Event{
		Kind:      uint32(event.kind),
		KeyID:     *(*ID)(unsafe.Pointer(&event.key_id)),
		Successor: *(*ID)(unsafe.Pointer(&event.successor)),
		At:        uint64(event.at),
		Version:   uint64(event.version),
	}
	if event.reason.data != nil {
		reason := copied(event.reason)
		own.Reason = &reason
	}
	return own
}

// IssueRequest is keystile_issue_request.
type IssueRequest struct {
	ClientName     string
	ClientEmail    *string
	Owner          *string
	Environment    *string
	Metadata       *string
	Template       *Template
	Permissions    *Permissions
	Endpoints      *Endpoints
	Networks       *Networks
	RateLimit      *RateLimit
	Uses           *uint64
	LifetimeMillis *uint64
	NeverExpires   bool
	Lifetimes      *Lifetimes
}

func (r *IssueRequest) in(pinned *pins) *C.keystile_issue_request {
	request := &C.keystile_issue_request{
		client_name:       pinned.text(r.ClientName),
		client_email:      pinned.optional(r.ClientEmail),
		owner:             pinned.optional(r.Owner),
		environment:       pinned.optional(r.Environment),
		metadata:          pinned.optional(r.Metadata),
		scope_template:    r.Template.pointer(),
		permissions:       r.Permissions.pointer(),
		allowed_endpoints: r.Endpoints.pointer(),
		allowed_networks:  r.Networks.pointer(),
		lifetimes:         pinned.lifetimes(r.Lifetimes),
	}
	request.struct_size = C.size_t(unsafe.Sizeof(*request))
	if r.RateLimit != nil {
		request.rate_limit = *(*C.keystile_rate_limit)(unsafe.Pointer(r.RateLimit))
		request.has_rate_limit = 1
	}
	if r.Uses != nil {
		request.uses = C.uint64_t(*r.Uses)
		request.has_uses = 1
	}
	if r.LifetimeMillis != nil {
		request.lifetime_millis = C.uint64_t(*r.LifetimeMillis)
		request.has_lifetime = 1
	}
	if r.NeverExpires {
		request.never_expires = 1
	}
	collect()
	return request
}

// Issue issues a key. Without random bytes, those of the operating system are used.
func Issue(format *Format, peppers *Peppers, request *IssueRequest, random []byte, now uint64) (*Changed, *Failure) {
	var why C.keystile_error
	var p *C.keystile_change
	var pinned pins
	defer pinned.Unpin()
	data, len := bytesOf(random)
	status := Status(C.keystile_issue(format.p, peppers.pointer(), request.in(&pinned), data, len, C.uint64_t(now), &p, &why))
	runtime.KeepAlive(format)
	runtime.KeepAlive(peppers)
	runtime.KeepAlive(request)
	return take(p, failed(status, &why))
}

// Delegate issues a key on behalf of the holder of another key.
func Delegate(source *Record, format *Format, peppers *Peppers, request *IssueRequest, random []byte, now uint64) (*Changed, *Failure) {
	var why C.keystile_error
	var p *C.keystile_change
	var pinned pins
	defer pinned.Unpin()
	data, len := bytesOf(random)
	status := Status(C.keystile_delegate(source.p, format.p, peppers.pointer(), request.in(&pinned), data, len, C.uint64_t(now), &p, &why))
	runtime.KeepAlive(source)
	runtime.KeepAlive(format)
	runtime.KeepAlive(peppers)
	runtime.KeepAlive(request)
	return take(p, failed(status, &why))
}

// Revoke revokes a key.
func Revoke(record *Record, reason string, now uint64) (*Changed, *Failure) {
	var why C.keystile_error
	var p *C.keystile_change
	data, len := borrow(reason)
	status := Status(C.keystile_revoke(record.p, data, len, C.uint64_t(now), &p, &why))
	runtime.KeepAlive(record)
	return take(p, failed(status, &why))
}

// Suspend suspends a key.
func Suspend(record *Record, now uint64) (*Changed, *Failure) {
	var why C.keystile_error
	var p *C.keystile_change
	collect()
	status := Status(C.keystile_suspend(record.p, C.uint64_t(now), &p, &why))
	runtime.KeepAlive(record)
	return take(p, failed(status, &why))
}

// Resume resumes a suspended key.
func Resume(record *Record, now uint64) (*Changed, *Failure) {
	var why C.keystile_error
	var p *C.keystile_change
	collect()
	status := Status(C.keystile_resume(record.p, C.uint64_t(now), &p, &why))
	runtime.KeepAlive(record)
	return take(p, failed(status, &why))
}

// Rehash renews the digest of a record with the current pepper.
func Rehash(verifier *Verifier, record *Record, key string, now uint64) (*Changed, *Failure) {
	var why C.keystile_error
	var p *C.keystile_change
	data, len := borrow(key)
	status := Status(C.keystile_rehash(verifier.p, record.p, data, len, C.uint64_t(now), &p, &why))
	runtime.KeepAlive(verifier)
	runtime.KeepAlive(record)
	return take(p, failed(status, &why))
}

// EndOverlap ends the overlap of a replaced key.
func EndOverlap(record, successor *Record, now uint64) (*Changed, *Failure) {
	var why C.keystile_error
	var p *C.keystile_change
	collect()
	status := Status(C.keystile_end_overlap(record.p, successor.p, C.uint64_t(now), &p, &why))
	runtime.KeepAlive(record)
	runtime.KeepAlive(successor)
	return take(p, failed(status, &why))
}

// Expire returns the event of a key that has expired.
func Expire(record *Record, now uint64) (*Event, *Failure) {
	var why C.keystile_error
	var event C.keystile_event
	collect()
	status := Status(C.keystile_expire(record.p, C.uint64_t(now), &event, &why))
	runtime.KeepAlive(record)
	if status != OK {
		return nil, failed(status, &why)
	}
	return takeEvent(&event), nil
}

// Delete returns the event of a key that is removed.
func Delete(record *Record, now uint64) (*Event, *Failure) {
	var why C.keystile_error
	var event C.keystile_event
	collect()
	status := Status(C.keystile_delete(record.p, C.uint64_t(now), &event, &why))
	runtime.KeepAlive(record)
	if status != OK {
		return nil, failed(status, &why)
	}
	return takeEvent(&event), nil
}

// CheckActor checks a text for the audit.
func CheckActor(text string) *Failure {
	var why C.keystile_error
	data, len := borrow(text)
	return failed(Status(C.keystile_actor_check(data, len, &why)), &why)
}

// Policy is keystile_rotation_policy.
type Policy struct {
	MaxAgeMillis      uint64
	OverlapMillis     uint64
	RetentionMillis   uint64
	NoticeLeadsMillis []uint64
	EndOnFirstUse     bool
	// LifetimeMillis is 0 for that of the predecessor.
	LifetimeMillis uint64
	NeverExpires   bool
	// LatestEnd is nil for the default, and 0 for none.
	LatestEnd *uint64
	Lifetimes *Lifetimes
}

// DefaultPolicy returns the default of the library.
func DefaultPolicy() Policy {
	var policy C.keystile_rotation_policy
	policy.struct_size = C.size_t(unsafe.Sizeof(policy))
	if Status(C.keystile_rotation_policy_default(&policy)) != OK {
		return Policy{}
	}
	own := Policy{
		MaxAgeMillis:    uint64(policy.max_age_millis),
		OverlapMillis:   uint64(policy.overlap_millis),
		RetentionMillis: uint64(policy.retention_millis),
		EndOnFirstUse:   policy.end_on_first_use != 0,
	}
	for _, lead := range policy.notice_leads_millis[:policy.notice_lead_count] {
		own.NoticeLeadsMillis = append(own.NoticeLeadsMillis, uint64(lead))
	}
	return own
}

// NoticeLeadsMax is the maximum number of lead times in a policy.
const NoticeLeadsMax = C.KEYSTILE_NOTICE_LEADS_MAX

func (p *Policy) in(pinned *pins) *C.keystile_rotation_policy {
	policy := &C.keystile_rotation_policy{
		max_age_millis:    C.uint64_t(p.MaxAgeMillis),
		overlap_millis:    C.uint64_t(p.OverlapMillis),
		retention_millis:  C.uint64_t(p.RetentionMillis),
		notice_lead_count: C.uint32_t(len(p.NoticeLeadsMillis)),
		lifetimes:         pinned.lifetimes(p.Lifetimes),
		lifetime_millis:   C.uint64_t(p.LifetimeMillis),
		never_expires:     flag(p.NeverExpires),
	}
	policy.struct_size = C.size_t(unsafe.Sizeof(*policy))
	for at, lead := range p.NoticeLeadsMillis {
		if at < NoticeLeadsMax {
			policy.notice_leads_millis[at] = C.uint64_t(lead)
		}
	}
	if p.EndOnFirstUse {
		policy.end_on_first_use = 1
	}
	if p.LatestEnd != nil {
		policy.latest_end, policy.has_latest_end = C.uint64_t(*p.LatestEnd), 1
	}
	return policy
}

// Rotate issues a successor of a key.
func Rotate(record *Record, siblings []*Record, policy *Policy, format *Format, peppers *Peppers, random []byte, now uint64) (*Changed, *Failure) {
	var why C.keystile_error
	var p *C.keystile_change
	var pinned pins
	defer pinned.Unpin()
	list, count := recordPointers(siblings)
	data, len := bytesOf(random)
	status := Status(C.keystile_rotate(record.p, list, count, policy.in(&pinned), format.p, peppers.pointer(), data, len, C.uint64_t(now), &p, &why))
	runtime.KeepAlive(record)
	runtime.KeepAlive(siblings)
	runtime.KeepAlive(format)
	runtime.KeepAlive(peppers)
	return take(p, failed(status, &why))
}

// Plan returns the actions that are due.
func Plan(records []*Record, policy *Policy, now uint64) ([]PlanItem, *Failure) {
	var why C.keystile_error
	list, count := recordPointers(records)
	var pinned pins
	defer pinned.Unpin()
	own := policy.in(&pinned)
	items := make([]PlanItem, 2*len(records))
	var needed C.size_t
	status := Status(C.keystile_plan(list, count, own, C.uint64_t(now),
		(*C.keystile_plan_item)(unsafe.Pointer(unsafe.SliceData(items))), C.size_t(len(items)), &needed, &why))
	runtime.KeepAlive(records)
	if status != OK {
		return nil, failed(status, &why)
	}
	return items[:needed], nil
}
