package keystile

import (
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Revoke revokes a key for good: nothing makes it active again. The reason is for the
// audit, at most 255 bytes, and may be empty. It returns [ErrState] if the key is already
// revoked.
//
// This function and those below are pure: after a store has accepted the change, call
// [Authenticator.Invalidate], or use [Authenticator.Revoke], which does both.
func Revoke(record *Record, reason string, now time.Time) (*Change, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	return record.changed(capi.Revoke(handle, reason, millisOf(now)))
}

// Suspend suspends a key until it is resumed. It returns [ErrState] if the key is not
// active.
func Suspend(record *Record, now time.Time) (*Change, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	return record.changed(capi.Suspend(handle, millisOf(now)))
}

// Resume resumes a suspended key. The suspension does not extend its lifetime. It returns
// [ErrState] if the key is not suspended.
func Resume(record *Record, now time.Time) (*Change, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	return record.changed(capi.Resume(handle, millisOf(now)))
}

// EndOverlap ends the overlap of a replaced key because its successor was used. Call it
// after a decision with [Decision.EndsOverlapOf]. The change holds both records, the ended
// one first. It returns [ErrState] if there is no overlap to end.
func EndOverlap(record, successor *Record, now time.Time) (*Change, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	next, err := successor.handle()
	if err != nil {
		return nil, err
	}
	change, err := changeOf(capi.EndOverlap(handle, next, millisOf(now)))
	if err != nil || len(change.Records) != 2 {
		return change, err
	}
	ended, used := change.Records[0], change.Records[1]
	if change.Event, err = Expire(ended, now); err != nil {
		change.Event = &Event{Kind: EventChanged, KeyID: ended.ID, At: now, Version: ended.Version,
			Changes: []FieldChange{{Field: "overlap_until"}}}
	}
	change.upkeep = []Upkeep{
		{KeyID: ended.ID, Version: ended.Version, OverlapUntil: &ended.OverlapUntil},
		{KeyID: used.ID, Version: used.Version, EndsAtFirstUse: &used.EndsAtFirstUse},
	}
	return change, nil
}

// Expire returns the event of a key that has expired; its record does not change. It
// returns [ErrState] if the key has not expired.
func Expire(record *Record, now time.Time) (*Event, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	event, status := capi.Expire(handle, millisOf(now))
	return eventOf(event), failure(status)
}
