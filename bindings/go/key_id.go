package keystile

import (
	"crypto/rand"
	"io"

	"github.com/keystile/keystile/bindings/go/internal/capi"
	"github.com/keystile/keystile/bindings/go/internal/oneline"
)

// KeyID is the public id of a key: 16 characters. Logs, audits and invalidation use it. The
// zero value is no id. Ids can be compared with == and can be keys of a map.
type KeyID struct{ id capi.ID }

// ParseKeyID parses an id; otherwise it returns [ErrKeyID].
func ParseKeyID(text string) (KeyID, error) {
	id, status := capi.ParseID(text)
	return KeyID{id}, failure(status)
}

// alphabet is what an id consists of.
const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"

// RandomKeyID returns a new id from a cryptographic generator; nil for that of the operating
// system. An [Issuer] makes the ids of its keys itself: this is for rows that are no keys yet. It
// returns [ErrRandomness] if the generator fails.
func RandomKeyID(random io.Reader) (KeyID, error) {
	if random == nil {
		random = rand.Reader
	}
	text := make([]byte, 1, 16)
	text[0] = '1'
	for bytes := make([]byte, 16); len(text) < cap(text); {
		if _, err := io.ReadFull(random, bytes); err != nil {
			return KeyID{}, oneline.Join(ErrRandomness, err)
		}
		for _, byte := range bytes {
			// Each character is as likely as the others: 248 is a multiple of 62.
			if byte < 248 && len(text) < cap(text) {
				text = append(text, alphabet[byte%62])
			}
		}
	}
	return ParseKeyID(string(text))
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
	if id == nil {
		return ErrKeyID
	}
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
