package keystile

import (
	"fmt"
	"io"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// DigestKind is how a digest was made.
type DigestKind uint32

const (
	// DigestSHA256 is SHA-256 of the whole key text.
	DigestSHA256 DigestKind = capi.DigestSHA256
	// DigestHMACSHA256 is HMAC-SHA-256 of it under a pepper.
	DigestHMACSHA256 DigestKind = capi.DigestHMACSHA256
)

// Digest is what a store keeps in place of a key. It does not print: [Digest.Text] is for
// the column of a table. Compare with [Digest.Equal]. It is a plain
// value, which goroutines may share.
type Digest struct{ digest capi.Digest }

// ParseDigest reads what [Digest.Text] writes, or 64 hex digits alone for SHA-256; what is
// none is [ErrDigest].
func ParseDigest(text string) (Digest, error) {
	digest, status := capi.ParseDigest(text)
	return Digest{digest}, failure(status)
}

// NewDigest is a digest of this kind; pepper is the pepper's version, 0 for SHA-256.
func NewDigest(kind DigestKind, pepper uint32, bytes [32]byte) Digest {
	return Digest{capi.Digest{Kind: uint32(kind), Pepper: pepper, Bytes: bytes}}
}

// Kind is how the digest was made.
func (d Digest) Kind() DigestKind { return DigestKind(d.digest.Kind) }

// Pepper is the version of the pepper; 0 for SHA-256.
func (d Digest) Pepper() uint32 { return d.digest.Pepper }

// Bytes are the digest itself.
func (d Digest) Bytes() [32]byte { return d.digest.Bytes }

// Text is the digest for a column: "sha256:" or "hmac-sha256:<pepper>:" and 64 hex digits.
// It is empty for the zero value.
func (d Digest) Text() string {
	text, _ := d.digest.Text()
	return text
}

// Equal compares in constant time. The zero value equals nothing.
func (d Digest) Equal(other Digest) bool { return capi.DigestsEqual(&d.digest, &other.digest) }

// String says no more than the kind.
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

// Format writes [Digest.String], whatever the verb.
func (d Digest) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, d.String()) }

// PepperRing holds a current pepper, under which new digests are made, and retired ones,
// under which older digests still hold. A nil ring is no pepper: digests are SHA-256.
// It never changes, and goroutines may share it.
type PepperRing struct{ ring *capi.Peppers }

// NewPepperRing is a ring of one pepper. The version is a number of its own, which each
// digest carries; the secret has 32 bytes or more. Else it is [ErrDigest].
func NewPepperRing(version uint32, secret []byte) (*PepperRing, error) {
	ring, status := capi.NewPeppers(version, secret)
	if err := failure(status); err != nil {
		return nil, err
	}
	return &PepperRing{ring}, nil
}

// WithRetired is the same ring with one more retired pepper; 8 peppers at most.
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

// Digest is the digest that a new record of this key gets.
func (r *PepperRing) Digest(key string) (Digest, error) {
	if r.isUninitialized() {
		return Digest{}, ErrDigest
	}
	digest, status := r.handle().DigestOf(key)
	return Digest{digest}, failure(status)
}

// isUninitialized says whether it was not made by [NewPepperRing]: it never stands for no pepper.
func (r *PepperRing) isUninitialized() bool { return r != nil && r.ring == nil }

func (r *PepperRing) handle() *capi.Peppers {
	if r == nil {
		return nil
	}
	return r.ring
}
