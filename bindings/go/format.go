package keystile

import (
	"fmt"
	"io"
	"math"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// randomBytesMin is the smallest number of random bytes of an opaque key.
const randomBytesMin = 16

// KeyFormat is the format of a service's keys.
//
// It prints as what its keys look like, such as "acme_{environment}_{id}_{secret}".
type KeyFormat struct {
	format       *capi.Format
	isStructured bool
}

func newFormat(isStructured bool, format *capi.Format, status *capi.Failure) (*KeyFormat, error) {
	if err := failure(status); err != nil {
		return nil, err
	}
	return &KeyFormat{format, isStructured}, nil
}

// isUninitialized reports whether it was not made by one of the functions below.
func (f *KeyFormat) isUninitialized() bool { return f == nil || f.format == nil }

// StructuredFormat returns "prefix_environment_id_secret", with a CRC-32 checksum at the
// end. The prefix must be 1 to 16 of a-z, 0-9 and "_", starting with a letter and not
// ending with "_"; otherwise the error is [ErrName].
func StructuredFormat(prefix string) (*KeyFormat, error) {
	format, status := capi.Structured(prefix)
	return newFormat(true, format, status)
}

// OpaqueFormat returns "prefix_" and 64 lower-case hex digits. Such a key contains no id,
// so it is looked up by its digest.
func OpaqueFormat(prefix string) (*KeyFormat, error) {
	format, status := capi.Opaque(prefix)
	return newFormat(false, format, status)
}

// AnyStructuredFormat parses structured keys with any prefix. It cannot issue keys.
func AnyStructuredFormat() (*KeyFormat, error) {
	format, status := capi.AnyStructured()
	return newFormat(true, format, status)
}

// AnyOpaqueFormat parses opaque keys with any prefix and length. It cannot issue keys.
func AnyOpaqueFormat() (*KeyFormat, error) {
	format, status := capi.AnyOpaque()
	return newFormat(false, format, status)
}

// FormatLike returns the format that a record's key was issued in, as far as its key prefix
// shows it. It does not show whether a checksum is keyed.
func FormatLike(record *Record) (*KeyFormat, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	format, status := capi.FormatLike(handle)
	if err := failure(status); err != nil {
		return nil, err
	}
	// Only an opaque format may have another number of random bytes.
	_, status = format.WithRandomBytes(randomBytesMin)
	return newFormat(status != nil, format, nil)
}

// WithChecksumKey returns the same structured format with a keyed checksum. Only holders of
// the checksum key, 16 bytes or more, can compute it, so invented keys are refused without
// a lookup.
func (f *KeyFormat) WithChecksumKey(key []byte) (*KeyFormat, error) {
	if f.isUninitialized() {
		return nil, ErrFormat
	}
	format, status := f.format.WithChecksumKey(key)
	return newFormat(true, format, status)
}

// WithRandomBytes returns the same opaque format with another number of random bytes, 16 to
// 64.
func (f *KeyFormat) WithRandomBytes(count int) (*KeyFormat, error) {
	if f.isUninitialized() || count < 0 || count > math.MaxUint8 {
		return nil, ErrFormat
	}
	format, status := f.format.WithRandomBytes(uint8(count))
	return newFormat(false, format, status)
}

// Prefix returns the prefix; false for a format that accepts any.
func (f *KeyFormat) Prefix() (string, bool) {
	if f.isUninitialized() {
		return "", false
	}
	return f.format.Prefix()
}

// IsStructured reports whether keys contain an environment, an id and a checksum; otherwise they
// are opaque.
func (f *KeyFormat) IsStructured() bool { return f != nil && f.isStructured }

// String returns what keys look like.
func (f *KeyFormat) String() string {
	if f.isUninitialized() {
		return "no format"
	}
	prefix, some := f.Prefix()
	if !some {
		prefix = "{prefix}"
	}
	if f.isStructured {
		return prefix + "_{environment}_{id}_{secret}"
	}
	return prefix + "_{secret}"
}

// Format writes [KeyFormat.String] for every verb.
func (f *KeyFormat) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, f.String()) }

// Parse reports whether a text has the format of a key, checksum included, and returns the
// id that it claims; the zero id for an opaque key. Only the store knows whether the key
// was ever issued.
func (f *KeyFormat) Parse(text string) (KeyID, bool) {
	if f.isUninitialized() {
		return KeyID{}, false
	}
	id, status := f.format.ParseKey(text)
	return KeyID{id}, status == capi.OK
}

// Finding is what [KeyFormat.Inspect] finds.
type Finding uint32

// The findings of [KeyFormat.Inspect].
const (
	FindingWellFormed     Finding = capi.FindingWellFormed
	FindingWrongChecksum  Finding = capi.FindingWrongChecksum
	FindingWrapped        Finding = capi.FindingWrapped
	FindingWrongLength    Finding = capi.FindingWrongLength
	FindingWrongCharacter Finding = capi.FindingWrongCharacter
	FindingForeign        Finding = capi.FindingForeign
	FindingEmpty          Finding = capi.FindingEmpty
)

var findings = map[Finding]string{
	FindingWellFormed: "well_formed", FindingWrongChecksum: "wrong_checksum",
	FindingWrapped: "wrapped", FindingWrongLength: "wrong_length",
	FindingWrongCharacter: "wrong_character", FindingForeign: "foreign",
	FindingEmpty: "empty",
}

// String returns the finding as a word, such as "wrong_checksum".
func (f Finding) String() string {
	if name, known := findings[f]; known {
		return name
	}
	return "other"
}

// Hint returns a sentence for people that says what to do about the finding.
func (f Finding) Hint() string { return capi.FindingHint(uint32(f)) }

// Inspection is what can be found out about a text without a store. It holds no secret.
type Inspection struct {
	Finding Finding
	// KeyID is the id that the text claims, zero if there is none.
	KeyID KeyID
	// Environment is the environment in the text, empty if there is none.
	Environment string
}

// Inspect inspects a text without a store, for support desks.
func (f *KeyFormat) Inspect(text string) (Inspection, error) {
	if f.isUninitialized() {
		return Inspection{}, ErrFormat
	}
	finding, id, environment, status := f.format.Inspect(text)
	return Inspection{Finding(finding), KeyID{id}, environment}, failure(status)
}
