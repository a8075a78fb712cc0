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
	// StateActive means that the key may be used.
	StateActive State = "active"
	// StateSuspended means that the key is refused until it is resumed.
	StateSuspended State = "suspended"
	// StateRevoked means that the key is refused for good.
	StateRevoked State = "revoked"
)

// Record is what a store holds about a key; it never holds the key. Instants are precise to
// the millisecond; the zero time, a zero id and a nil pointer mean that there is none.
//
// Do not change a record: goroutines, and an [Authenticator], may share it. The functions
// of this package never change one; they return new ones.
//
// In JSON, in logs and with every fmt verb it is shown without its digest. [EncodeRecord]
// writes it whole.
type Record struct {
	ID     KeyID
	Digest Digest
	// KeyPrefix is the part of the key that may be shown: at most 40 bytes.
	KeyPrefix string
	// ClientName is the client that the key belongs to, for people: 1 to 255 bytes.
	ClientName  string
	ClientEmail *string
	// Owner is the account or tenant that the key belongs to.
	Owner       *string
	Environment *string
	Permissions *PermissionSet
	// AllowedEndpoints are the endpoints that the key is restricted to: nil means all, and
	// an empty list none.
	AllowedEndpoints *EndpointRules
	// AllowedNetworks are the networks that the key is restricted to: nil means all, and an
	// empty list none.
	AllowedNetworks *Networks
	RateLimit       *RateLimit
	RemainingUses   *uint64
	// ScopeType is the name of the template that the key was issued from.
	ScopeType *string
	// Metadata is custom JSON text, at most 16 KiB.
	Metadata   *string
	CreatedAt  time.Time
	LastUsedAt time.Time
	// ExpiresAt is when the key expires; the zero time means never.
	ExpiresAt     time.Time
	State         State
	RevokedAt     time.Time
	RevokedReason string
	// Lineage is the first key of its lineage; zero for the key itself.
	Lineage    KeyID
	ReplacedBy KeyID
	// OverlapUntil is when a replaced key is refused.
	OverlapUntil time.Time
	// EndsAtFirstUse is the predecessor whose overlap ends when this key is first used.
	EndsAtFirstUse KeyID
	// Lifetime is the length of life that the key was given; zero if it never expires, or if that
	// is not known: then it is the time from its beginning to its expiry.
	Lifetime time.Duration
	// DerivedFrom is the key that it was derived from, and DerivedLineage is that key's lineage;
	// both are zero for a key that derives from none.
	DerivedFrom, DerivedLineage KeyID
	// SuspendedWith is the key whose suspension suspended it.
	SuspendedWith KeyID
	// Version is the number of the change, from 1; an update from an older version fails.
	Version uint64
}

// EncodeRecord formats a record as JSON text, digest included, for a store that keeps it
// whole. It returns [ErrRecord] if the record is not valid.
func EncodeRecord(record *Record) ([]byte, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	json, status := handle.JSON()
	return []byte(json), failure(status)
}

// DecodeRecord parses what [EncodeRecord], or keystile in another language, wrote. It is
// strict: it returns [ErrJSON] for a field that is unknown, duplicate or missing.
func DecodeRecord(json []byte) (*Record, error) {
	handle, status := capi.RecordFromJSON(json)
	if err := failure(status); err != nil {
		return nil, err
	}
	text, written := handle.JSON()
	if err := failure(written); err != nil {
		return nil, err
	}
	return readRecord(text)
}

// Check returns [ErrRecord] if the record is not valid.
func (r *Record) Check() error {
	_, err := r.handle()
	return err
}

// IsLive reports whether the key is active, not expired and not past its overlap.
func (r *Record) IsLive(now time.Time) bool {
	handle, err := r.handle()
	if err != nil {
		return false
	}
	live, status := handle.IsLive(millisOf(now))
	return status == capi.OK && live
}

// IsWithin reports whether the key may do no more than source: it has the same owner and
// environment, no additional permissions, endpoints or networks, no higher limits and no
// later end. The states are not compared. It is false if either record is not valid.
func (r *Record) IsWithin(source *Record) bool {
	own, err := r.handle()
	if err != nil {
		return false
	}
	other, err := source.handle()
	if err != nil {
		return false
	}
	within, status := own.IsWithin(other)
	return status == capi.OK && within
}

// Clone returns a copy that may be changed.
func (r *Record) Clone() *Record {
	if r == nil {
		return nil
	}
	clone := *r
	return &clone
}

// MarshalJSON returns the record without its digest, to be shown.
func (r *Record) MarshalJSON() ([]byte, error) {
	if r == nil {
		return nil, ErrRecord
	}
	form, err := r.form()
	if err != nil {
		return nil, err
	}
	form.Digest = nil
	return json.Marshal(form)
}

// Format writes the record without its digest for every verb.
func (r *Record) Format(state fmt.State, _ rune) {
	text, err := r.MarshalJSON()
	if err != nil {
		text = []byte("a record that is none")
	}
	_, _ = state.Write(text)
}

// LogValue returns the record's id and version.
func (r *Record) LogValue() slog.Value {
	if r == nil {
		return slog.Value{}
	}
	return slog.GroupValue(slog.String("key_id", r.ID.String()), slog.Uint64("version", r.Version))
}

// lineage returns the first key of the record's lineage.
func (r *Record) lineage() KeyID {
	if r.Lineage.IsZero() {
		return r.ID
	}
	return r.Lineage
}

// handle passes the record to the library, which checks every field.
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
	if status != nil {
		return nil, &Error{status.Field, status.Index, status.Message, statusError(capi.ErrorRecord)}
	}
	return handle, nil
}

var _ fmt.Formatter = (*Record)(nil)
