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
	EventChanged   EventKind = "changed"
	EventDeleted   EventKind = "deleted"
	// EventPruned is in the place of events that were removed: see [EventPruner].
	EventPruned EventKind = "pruned"
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
	capi.EventChanged:   EventChanged,
	capi.EventDeleted:   EventDeleted,
	capi.EventPruned:    EventPruned,
}

// Event is one entry of an audit. It never contains any part of a key.
type Event struct {
	Kind EventKind `json:"kind"`
	// KeyID is zero if more keys were changed at once than have events of their own: all
	// cached records may be out of date.
	KeyID KeyID `json:"key_id"`
	// Successor is the new key, if the key was rotated.
	Successor KeyID     `json:"successor,omitzero"`
	At        time.Time `json:"at"`
	// Version is the version of the key's record from then on; 0 if it is not known.
	Version uint64 `json:"version,omitempty"`
	// Reason is nil if none was given.
	Reason *string `json:"reason,omitempty"`
	// Actor is who did it: the id of a key, a person, a program, or the user of the database
	// that other code wrote as; nil if it is not known.
	Actor *string `json:"actor,omitempty"`
	// Origin is the address or host that it was done from; nil if it is not known.
	Origin *string `json:"origin,omitempty"`
	// Changes are the fields that were changed, if that is known.
	Changes []FieldChange `json:"changes,omitempty"`
}

// FieldChange is a field of a record that was changed.
type FieldChange struct {
	// Field is the name of the field. If other code changed a row of a database, it is the
	// name of the column.
	Field string `json:"field"`
	// From is the value before the change as text. It is nil if the field was not set, or if
	// the value is not known: it never is for the e-mail address, the metadata, and changes by
	// other code.
	From *string `json:"from,omitempty"`
	// To is the value after the change as text. It is nil if the field is not set, or if the
	// value is not known.
	To *string `json:"to,omitempty"`
}

func eventOf(event *capi.Event) *Event {
	if event == nil {
		return nil
	}
	kind, known := eventKinds[event.Kind]
	if !known {
		kind = EventOther
	}
	own := &Event{
		Kind:      kind,
		KeyID:     KeyID{event.KeyID},
		Successor: KeyID{event.Successor},
		At:        timeOf(event.At),
		Version:   event.Version,
		Reason:    event.Reason,
	}
	for _, change := range event.Changes {
		own.Changes = append(own.Changes, FieldChange{change.Field, change.From, change.To})
	}
	return own
}
