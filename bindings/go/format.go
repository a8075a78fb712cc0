package keystile

import (
	"math"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// KeyFormat is how a service's keys are spelled. It never changes, and goroutines may
// share it.
type KeyFormat struct{ format *capi.Format }

func newFormat(format *capi.Format, status capi.Status) (*KeyFormat, error) {
	if err := failure(status); err != nil {
		return nil, err
	}
	return &KeyFormat{format}, nil
}

// StructuredFormat is "prefix_environment_id_secret" with a CRC-32 check at its end. The
// prefix is 1 to 16 of a-z, 0-9 and inner "_", beginning with a letter; else [ErrName].
func StructuredFormat(prefix string) (*KeyFormat, error) {
	return newFormat(capi.Structured(prefix))
}

// OpaqueFormat is "prefix_" and 64 lower-case hex digits. Such a key is found by its
// digest, since its text carries no id.
func OpaqueFormat(prefix string) (*KeyFormat, error) {
	return newFormat(capi.Opaque(prefix))
}

// AnyStructuredFormat reads structured keys of whatever prefix. It cannot issue any.
func AnyStructuredFormat() (*KeyFormat, error) { return newFormat(capi.AnyStructured()) }

// AnyOpaqueFormat reads opaque keys of whatever prefix and length. It cannot issue any.
func AnyOpaqueFormat() (*KeyFormat, error) { return newFormat(capi.AnyOpaque()) }

// FormatLike is the format that a record's key was issued in, as its key prefix tells. It
// cannot tell that a check is keyed.
func FormatLike(record *Record) (*KeyFormat, error) {
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	return newFormat(capi.FormatLike(handle))
}

// WithChecksumKey is the same structured format with a check that only holders of a key of
// 16 bytes or more can make: it turns invented keys away without a look-up.
func (f *KeyFormat) WithChecksumKey(key []byte) (*KeyFormat, error) {
	return newFormat(f.format.WithChecksumKey(key))
}

// WithRandomBytes is the same opaque format with another number of random bytes, 16 to 64.
func (f *KeyFormat) WithRandomBytes(count int) (*KeyFormat, error) {
	if count < 0 || count > math.MaxUint8 {
		return nil, ErrFormat
	}
	return newFormat(f.format.WithRandomBytes(uint8(count)))
}

// Prefix is the prefix; false for a format that reads any.
func (f *KeyFormat) Prefix() (string, bool) { return f.format.Prefix() }

// Parse says whether a text is spelled as a key, its check included, and which id it
// claims; none for an opaque key. Whether the key was ever issued, only a store knows.
func (f *KeyFormat) Parse(text string) (KeyID, bool) {
	id, status := f.format.ParseKey(text)
	return KeyID{id}, status == capi.OK
}

// Finding is what a text turned out to be.
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

// String is a word, as "wrong_checksum".
func (f Finding) String() string {
	if name, known := findings[f]; known {
		return name
	}
	return "other"
}

// Hint is what to do about it, in a sentence for people.
func (f Finding) Hint() string { return capi.FindingHint(uint32(f)) }

// Inspection is what a text is, as far as that can be told without a store. It holds no
// secret, and is a plain value.
type Inspection struct {
	Finding Finding
	// KeyID is the id that the text claims, zero where there is none.
	KeyID KeyID
	// Environment is the one that the text names, empty where there is none.
	Environment string
}

// Inspect says what a text is: an offline answer for support desks.
func (f *KeyFormat) Inspect(text string) (Inspection, error) {
	finding, id, environment, status := f.format.Inspect(text)
	return Inspection{Finding(finding), KeyID{id}, environment}, failure(status)
}
