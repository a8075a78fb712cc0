package keystile

import "github.com/keystile/keystile/bindings/go/internal/capi"

// KeyID is the public id of a key: 16 characters. Logs, audits and invalidation use it.
// The zero value is no id. Ids are compared with ==, and can be keys of a map. They are
// plain values, which goroutines may share.
type KeyID struct{ id capi.ID }

// ParseKeyID reads an id; what is none is [ErrKeyID].
func ParseKeyID(text string) (KeyID, error) {
	id, status := capi.ParseID(text)
	return KeyID{id}, failure(status)
}

// IsZero says whether this is no id.
func (id KeyID) IsZero() bool { return id == KeyID{} }

// String is the id, and empty where there is none.
func (id KeyID) String() string {
	if id.IsZero() {
		return ""
	}
	return string(id.id.Text[:16])
}

// MarshalText is [KeyID.String] for encoders.
func (id KeyID) MarshalText() ([]byte, error) { return []byte(id.String()), nil }

// UnmarshalText is [ParseKeyID] for decoders; an empty text is no id.
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
