package keystile

import (
	"fmt"
	"io"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// DigestKind is how a digest was made.
type DigestKind uint32

const (
	// DigestSHA256 is SHA-256 of the whole text of the key.
	DigestSHA256 DigestKind = capi.DigestSHA256
	// DigestHMACSHA256 is HMAC-SHA-256 of the whole text of the key, with a pepper.
	DigestHMACSHA256 DigestKind = capi.DigestHMACSHA256
)

// Digest is what a store holds instead of a key. It does not print: use [Digest.Text] for
// the column of a table, and [Digest.Equal] to compare.
type Digest struct{ digest capi.Digest }

// ParseDigest parses what [Digest.Text] returns, or only 64 hex digits for SHA-256;
// otherwise it returns [ErrDigest].
func ParseDigest(text string) (Digest, error) {
	digest, status := capi.ParseDigest(text)
	return Digest{digest}, failure(status)
}

// NewDigest returns a digest of this kind; pepper is the version of the pepper, 0 for
// SHA-256.
func NewDigest(kind DigestKind, pepper uint32, bytes [32]byte) Digest {
	return Digest{capi.Digest{Kind: uint32(kind), Pepper: pepper, Bytes: bytes}}
}

// Kind returns how the digest was made.
func (d Digest) Kind() DigestKind { return DigestKind(d.digest.Kind) }

// Pepper returns the version of the pepper; 0 for SHA-256.
func (d Digest) Pepper() uint32 { return d.digest.Pepper }

// Bytes returns the digest itself.
func (d Digest) Bytes() [32]byte { return d.digest.Bytes }

// Text returns the digest for a column: "sha256:" or "hmac-sha256:<pepper>:", then 64 hex
// digits. It is empty for the zero value.
func (d Digest) Text() string {
	text, _ := d.digest.Text()
	return text
}

// Equal compares in constant time. The zero value is not equal to any digest.
func (d Digest) Equal(other Digest) bool { return capi.DigestsEqual(&d.digest, &other.digest) }

// String returns only the kind.
func (d Digest) String() string {
	switch d.Kind() {
	case DigestSHA256:
		return "sha256:" + redacted
	case DigestHMACSHA256:
		return fmt.Sprintf("hmac-sha256:%d:%s", d.Pepper(), redacted)
	default:
		return ""
	}
}

// Format writes [Digest.String] for every verb.
func (d Digest) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, d.String()) }

// PepperRing holds a current pepper, which new digests are made with, and retired ones,
// with which older digests are still verified. A nil ring has no pepper: digests are
// SHA-256.
type PepperRing struct{ ring *capi.Peppers }

// NewPepperRing returns a ring of one pepper. The version is a number that no other pepper
// of yours has; each digest carries it. The secret must have 32 bytes or more, otherwise
// the error is [ErrDigest].
func NewPepperRing(version uint32, secret []byte) (*PepperRing, error) {
	ring, status := capi.NewPeppers(version, secret)
	if err := failure(status); err != nil {
		return nil, err
	}
	return &PepperRing{ring}, nil
}

// WithRetired returns the same ring with one more retired pepper; at most 8 peppers.
func (r *PepperRing) WithRetired(version uint32, secret []byte) (*PepperRing, error) {
	if r == nil || r.ring == nil {
		return nil, ErrDigest
	}
	ring, status := r.ring.WithRetired(version, secret)
	if err := failure(status); err != nil {
		return nil, err
	}
	return &PepperRing{ring}, nil
}

// WithoutCurrent returns the same ring without a current pepper: existing digests are
// checked as before, new digests are SHA-256, and no digest is reported as outdated. So a
// first pepper can be known to every process before one of them makes digests with it.
func (r *PepperRing) WithoutCurrent() (*PepperRing, error) {
	if r == nil || r.ring == nil {
		return nil, ErrDigest
	}
	ring, status := r.ring.WithoutCurrent()
	if err := failure(status); err != nil {
		return nil, err
	}
	return &PepperRing{ring}, nil
}

// Digest computes the digest for a new record of this key.
func (r *PepperRing) Digest(key string) (Digest, error) {
	if r.isUninitialized() {
		return Digest{}, ErrDigest
	}
	digest, status := r.handle().DigestOf(key)
	return Digest{digest}, failure(status)
}

// isUninitialized reports whether the ring was not made by [NewPepperRing]. Such a ring is
// an error, and does not mean that there is no pepper.
func (r *PepperRing) isUninitialized() bool { return r != nil && r.ring == nil }

func (r *PepperRing) handle() *capi.Peppers {
	if r == nil {
		return nil
	}
	return r.ring
}
