package keystile

import (
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Revoke revokes a key, for good: no function leads back from there. The reason is for the
// audit, at most 255 bytes, and may be empty. It is [ErrState] where the key is revoked
// already.
//
// These functions are pure: once a store has the change, tell the authenticator, or let
// [Authenticator.Revoke] do both.
func Revoke(record *Record, reason string, now time.Time) (*Change, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	return changeOf(capi.Revoke(handle, reason, millisOf(now)))
}

// Suspend suspends a key until it is resumed; [ErrState] unless it is active.
func Suspend(record *Record, now time.Time) (*Change, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	return changeOf(capi.Suspend(handle, millisOf(now)))
}

// Resume resumes a suspended key, whose expiry has run on meanwhile; [ErrState] unless it
// is suspended.
func Resume(record *Record, now time.Time) (*Change, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	return changeOf(capi.Resume(handle, millisOf(now)))
}

// EndOverlap ends the overlap of a replaced key, since its successor was used: what a
// decision with [Decision.EndsOverlapOf] asks for. The change holds both records, the ended
// one first. It is [ErrState] where there is nothing to end.
func EndOverlap(record, successor *Record, now time.Time) (*Change, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	next, err := successor.handle()
	if err != nil {
		return nil, err
	}
	return changeOf(capi.EndOverlap(handle, next, millisOf(now)))
}

// Expire is the event of a key that has come to its end by time; the record needs no
// change. It is [ErrState] while the key has not ended.
func Expire(record *Record, now time.Time) (*Event, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	event, status := capi.Expire(handle, millisOf(now))
	return eventOf(event), failure(status)
}
