package keystile

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// State is whether a key may be used at all.
type State string

const (
	// StateActive: it may.
	StateActive State = "active"
	// StateSuspended: not now; it can be resumed.
	StateSuspended State = "suspended"
	// StateRevoked: never again.
	StateRevoked State = "revoked"
)

// Record is what a store keeps about a key; never the key. Instants are to the millisecond;
// the zero time, a zero id and a nil pointer are none.
//
// Treat a record as a value that does not change: goroutines, and a [Authenticator], may share
// it. The functions of this package never change one; they give new ones.
//
// In JSON, in logs and under every fmt verb it is shown without its digest.
// [EncodeRecord] writes it whole.
type Record struct {
	ID     KeyID
	Digest Digest
	// KeyPrefix is what of the key may be shown: at most 40 bytes.
	KeyPrefix string
	// ClientName is whose key it is, for people: 1 to 255 bytes.
	ClientName  string
	ClientEmail *string
	// Owner is the account or tenant; all its keys can be ended at once.
	Owner       *string
	Environment *string
	Permissions *PermissionSet
	// AllowedEndpoints restrict where the key may be used: nil is anywhere, an empty list
	// nowhere.
	AllowedEndpoints *EndpointRules
	// AllowedNetworks restrict from where: nil is from anywhere, an empty list from nowhere.
	AllowedNetworks *Networks
	RateLimit       *RateLimit
	RemainingUses   *uint64
	// ScopeType is the name of the template that the key was issued from.
	ScopeType *string
	// Metadata is JSON text of your own, at most 16 KiB.
	Metadata   *string
	CreatedAt  time.Time
	LastUsedAt time.Time
	// ExpiresAt is from when on the key is refused; the zero time is never.
	ExpiresAt     time.Time
	State         State
	RevokedAt     time.Time
	RevokedReason string
	// Lineage is the first key of its lineage; zero stands for its own id.
	Lineage    KeyID
	ReplacedBy KeyID
	// OverlapUntil is from when on a replaced key is refused.
	OverlapUntil time.Time
	// EndsAtFirstUse is the predecessor whose overlap ends when this key is first used.
	EndsAtFirstUse KeyID
	// Version counts the changes, from 1; an update of an older version loses.
	Version uint64
}

// EncodeRecord writes a record as JSON text, its digest included, for a store that keeps it
// whole. What no record can be is [ErrRecord].
func EncodeRecord(record *Record) ([]byte, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	json, status := handle.JSON()
	return []byte(json), failure(status)
}

// DecodeRecord reads what [EncodeRecord], or another language's keystile, wrote. It is
// strict: a field that is unknown, twice there or left out is [ErrJSON].
func DecodeRecord(json []byte) (*Record, error) {
	handle, status := capi.RecordFromJSON(json)
	if err := failure(status); err != nil {
		return nil, err
	}
	text, status := handle.JSON()
	if err := failure(status); err != nil {
		return nil, err
	}
	return readRecord(text)
}

// Check says whether the record is one, else [ErrRecord].
func (r *Record) Check() error {
	_, err := r.handle()
	return err
}

// IsLive says whether the key is active, not expired and not past its overlap.
func (r *Record) IsLive(now time.Time) bool {
	handle, err := r.handle()
	if err != nil {
		return false
	}
	live, status := handle.IsLive(millisOf(now))
	return status == capi.OK && live
}

// Clone is a copy that may be changed apart from the record.
func (r *Record) Clone() *Record {
	clone := *r
	return &clone
}

// MarshalJSON is the record without its digest, for showing.
func (r *Record) MarshalJSON() ([]byte, error) {
	form, err := r.form()
	if err != nil {
		return nil, err
	}
	form.Digest = nil
	return json.Marshal(form)
}

// Format writes the record without its digest, whatever the verb.
func (r *Record) Format(state fmt.State, _ rune) {
	text, err := r.MarshalJSON()
	if err != nil {
		text = []byte("a record that is none")
	}
	_, _ = state.Write(text)
}

// LogValue is the record's id and version.
func (r *Record) LogValue() slog.Value {
	if r == nil {
		return slog.Value{}
	}
	return slog.GroupValue(slog.String("key_id", r.ID.String()), slog.Uint64("version", r.Version))
}

// lineage is the first key of the record's lineage.
func (r *Record) lineage() KeyID {
	if r.Lineage.IsZero() {
		return r.ID
	}
	return r.Lineage
}

// handle is the record as the library holds it, which looks at every field.
func (r *Record) handle() (*capi.Record, error) {
	if r == nil {
		return nil, ErrRecord
	}
	form, err := r.form()
	if err != nil {
		return nil, err
	}
	var text bytes.Buffer
	encoder := json.NewEncoder(&text)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(form); err != nil {
		return nil, ErrRecord
	}
	handle, status := capi.RecordFromJSON(text.Bytes())
	if status != capi.OK {
		return nil, ErrRecord
	}
	return handle, nil
}

var _ fmt.Formatter = (*Record)(nil)
