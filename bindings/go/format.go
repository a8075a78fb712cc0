package keystile

import (
	"math"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// KeyFormat is the format of a service's keys.
type KeyFormat struct{ format *capi.Format }

func newFormat(format *capi.Format, status *capi.Failure) (*KeyFormat, error) {
	if err := failure(status); err != nil {
		return nil, err
	}
	return &KeyFormat{format}, nil
}

// StructuredFormat returns "prefix_environment_id_secret", with a CRC-32 checksum at the
// end. The prefix must be 1 to 16 of a-z, 0-9 and "_", starting with a letter and not
// ending with "_"; otherwise the error is [ErrName].
func StructuredFormat(prefix string) (*KeyFormat, error) {
	return newFormat(capi.Structured(prefix))
}

// OpaqueFormat returns "prefix_" and 64 lower-case hex digits. Such a key contains no id,
// so it is looked up by its digest.
func OpaqueFormat(prefix string) (*KeyFormat, error) {
	return newFormat(capi.Opaque(prefix))
}

// AnyStructuredFormat parses structured keys with any prefix. It cannot issue keys.
func AnyStructuredFormat() (*KeyFormat, error) { return newFormat(capi.AnyStructured()) }

// AnyOpaqueFormat parses opaque keys with any prefix and length. It cannot issue keys.
func AnyOpaqueFormat() (*KeyFormat, error) { return newFormat(capi.AnyOpaque()) }

// FormatLike returns the format that a record's key was issued in, as far as its key prefix
// shows it. It does not show whether a checksum is keyed.
func FormatLike(record *Record) (*KeyFormat, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	return newFormat(capi.FormatLike(handle))
}

// WithChecksumKey returns the same structured format with a keyed checksum. Only holders of
// the checksum key, 16 bytes or more, can compute it, so invented keys are refused without
// a lookup.
func (f *KeyFormat) WithChecksumKey(key []byte) (*KeyFormat, error) {
	return newFormat(f.format.WithChecksumKey(key))
}

// WithRandomBytes returns the same opaque format with another number of random bytes, 16 to
// 64.
func (f *KeyFormat) WithRandomBytes(count int) (*KeyFormat, error) {
	if count < 0 || count > math.MaxUint8 {
		return nil, ErrFormat
	}
	return newFormat(f.format.WithRandomBytes(uint8(count)))
}

// Prefix returns the prefix; false for a format that accepts any.
func (f *KeyFormat) Prefix() (string, bool) { return f.format.Prefix() }

// Parse reports whether a text has the format of a key, checksum included, and returns the
// id that it claims; the zero id for an opaque key. Only the store knows whether the key
// was ever issued.
func (f *KeyFormat) Parse(text string) (KeyID, bool) {
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
	finding, id, environment, status := f.format.Inspect(text)
	return Inspection{Finding(finding), KeyID{id}, environment}, failure(status)
}
