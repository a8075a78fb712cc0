package keystile

import (
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// EventKind is what happened to a key.
type EventKind string

// The kinds of events.
const (
	EventIssued    EventKind = "issued"
	EventRotated   EventKind = "rotated"
	EventRevoked   EventKind = "revoked"
	EventSuspended EventKind = "suspended"
	EventResumed   EventKind = "resumed"
	EventExpired   EventKind = "expired"
	EventRehashed  EventKind = "rehashed"
	EventImported  EventKind = "imported"
	// EventOther is a kind that has no name in this version.
	EventOther EventKind = "other"
)

var eventKinds = map[uint32]EventKind{
	capi.EventIssued:    EventIssued,
	capi.EventRotated:   EventRotated,
	capi.EventRevoked:   EventRevoked,
	capi.EventSuspended: EventSuspended,
	capi.EventResumed:   EventResumed,
	capi.EventExpired:   EventExpired,
	capi.EventRehashed:  EventRehashed,
	capi.EventImported:  EventImported,
}

// Event is one entry of an audit. It never contains any part of a key.
type Event struct {
	Kind  EventKind `json:"kind"`
	KeyID KeyID     `json:"key_id"`
	// Successor is the new key, if the key was rotated.
	Successor KeyID     `json:"successor,omitzero"`
	At        time.Time `json:"at"`
	// Reason is nil if none was given.
	Reason *string `json:"reason,omitempty"`
}

func eventOf(event *capi.Event) *Event {
	if event == nil {
		return nil
	}
	kind, known := eventKinds[event.Kind]
	if !known {
		kind = EventOther
	}
	return &Event{
		Kind:      kind,
		KeyID:     KeyID{event.KeyID},
		Successor: KeyID{event.Successor},
		At:        timeOf(event.At),
		Reason:    event.Reason,
	}
}
