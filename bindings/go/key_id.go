package keystile

import "github.com/keystile/keystile/bindings/go/internal/capi"

// KeyID is the public id of a key: 16 characters. Logs, audits and invalidation use it. The
// zero value is no id. Ids can be compared with == and can be keys of a map.
type KeyID struct{ id capi.ID }

// ParseKeyID parses an id; otherwise it returns [ErrKeyID].
func ParseKeyID(text string) (KeyID, error) {
	id, status := capi.ParseID(text)
	return KeyID{id}, failure(status)
}

// IsZero reports whether this is no id.
func (id KeyID) IsZero() bool { return id == KeyID{} }

// String returns the id; "" if it is zero.
func (id KeyID) String() string {
	if id.IsZero() {
		return ""
	}
	return string(id.id.Text[:16])
}

// MarshalText returns [KeyID.String] for encoders.
func (id KeyID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is [ParseKeyID] for decoders; an empty text is the zero id.
func (id *KeyID) UnmarshalText(text []byte) error {
	if len(text) == 0 {
		*id = KeyID{}
		return nil
	}
	parsed, err := ParseKeyID(string(text))
	if err == nil {
		*id = parsed
	}
	return err
}
