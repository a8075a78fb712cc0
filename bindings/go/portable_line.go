package keystile

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"strconv"
	"time"
	"unicode"
	"unicode/utf8"
)

// LineBytesMax is the limit on a line of an export, without its end. A record with all fields at
// their limits is shorter.
const LineBytesMax = 1024 * 1024

const (
	// lineVersion is the version of the format, which each line names, so that files can be joined.
	lineVersion = "1"
	// versionMax is the limit on a version, half of what a store can hold: a key that could get no
	// later version could never be revoked.
	versionMax = 1 << 62
	// removedTextMax is the limit on a text of a removed key.
	removedTextMax = 255
)

// PortableLine is a line of an export: a key, or what is remembered of one that was removed. One of
// the fields is set.
type PortableLine struct {
	Key     *PortableKey
	Removed *RemovedKey
}

// KeyID returns the id of the key; zero if there is none.
func (l *PortableLine) KeyID() KeyID {
	switch {
	case l == nil:
	case l.Key != nil && l.Key.Record != nil:
		return l.Key.Record.ID
	case l.Removed != nil:
		return l.Removed.KeyID
	}
	return KeyID{}
}

// Format shows only which key it is.
func (l PortableLine) Format(state fmt.State, _ rune) {
	_, _ = io.WriteString(state, "the line of key "+l.KeyID().String())
}

// Text returns the line without an end of line, the same bytes in all languages. It has what a store
// recognises a key by. It returns [ErrRecord] if the record is not valid.
func (l *PortableLine) Text() ([]byte, error) {
	switch {
	case l != nil && l.Key != nil:
		return l.Key.text(true)
	case l == nil || l.Removed == nil:
		return nil, ErrRecord
	}
	removed := l.Removed
	text := []byte(`{"keystile_export":` + lineVersion + `,"removed_key":{"key_id":"` + removed.KeyID.String() + `","version":`)
	text = strconv.AppendUint(text, removed.Version, 10)
	text = append(text, `,"revoked_at":`...)
	if removed.RevokedAt.IsZero() {
		text = append(text, `null,"revoke_reason":null`...)
	} else {
		text = strconv.AppendUint(text, millisOf(removed.RevokedAt), 10)
		text = appendJSONText(append(text, `,"revoke_reason":`...), removed.RevokedReason)
	}
	text = append(text, `,"owner":`...)
	if removed.Owner == nil {
		text = append(text, "null"...)
	} else {
		text = appendJSONText(text, *removed.Owner)
	}
	text = appendDigests(append(text, `,"digests":`...), removed.Digests)
	return append(text, "}}"...), nil
}

// PublicText returns the line of the key without its digests, to look at: an import refuses it. It
// returns [ErrRecord] if the record is not valid.
func (k *PortableKey) PublicText() ([]byte, error) {
	if k == nil {
		return nil, ErrRecord
	}
	return k.text(false)
}

func (k *PortableKey) text(withDigests bool) ([]byte, error) {
	record, err := EncodeRecord(k.Record)
	if err != nil {
		return nil, err
	}
	if !withDigests {
		record = bytes.Replace(record, []byte(`,"digest":"`+k.Record.Digest.Text()+`"`), nil, 1)
	}
	text := append([]byte(`{"keystile_export":`+lineVersion+`,"key":`), record...)
	text = append(text, `,"rate_state":"`...)
	text = append(strconv.AppendUint(text, uint64(k.Rate), 10), '"')
	if withDigests {
		text = appendDigests(append(text, `,"former_digests":`...), k.FormerDigests)
	}
	return append(text, '}'), nil
}

// appendJSONText writes a text as Rust's serde_json does.
func appendJSONText(into []byte, text string) []byte {
	into = append(into, '"')
	for at := range len(text) {
		switch character := text[at]; character {
		case '"', '\\':
			into = append(into, '\\', character)
		case '\b':
			into = append(into, `\b`...)
		case '\t':
			into = append(into, `\t`...)
		case '\n':
			into = append(into, `\n`...)
		case '\f':
			into = append(into, `\f`...)
		case '\r':
			into = append(into, `\r`...)
		default:
			if character < ' ' {
				into = append(into, `\u00`...)
				into = hex.AppendEncode(into, []byte{character})
				continue
			}
			into = append(into, character)
		}
	}
	return append(into, '"')
}

func appendDigests(into []byte, digests []DigestBytes) []byte {
	into = append(into, '[')
	for at, digest := range digests {
		if at > 0 {
			into = append(into, ',')
		}
		into = append(hex.AppendEncode(append(into, '"'), digest[:]), '"')
	}
	return append(into, ']')
}

// ParsePortableLine reads a line of an export, without its end. It is strict: it returns a
// [*LineProblem] for a member that is unknown, missing or there twice, and for a line of another
// version.
func ParsePortableLine(line []byte) (*PortableLine, error) {
	if len(line) > LineBytesMax {
		return nil, &LineProblem{"line", "must be at most 1 MiB long"}
	}
	members, once, is := jsonObject(line)
	if !is {
		return nil, &LineProblem{"line", "must be a JSON object"}
	}
	if string(members["keystile_export"]) != lineVersion {
		return nil, versionProblem()
	}
	read, is := anyLineOf(members)
	if !once || !is {
		return nil, diagnose(members)
	}
	switch {
	case read.key != nil && read.rate != nil && read.removed == nil:
		key, problem := read.portableKey()
		if problem != nil {
			return nil, problem
		}
		return &PortableLine{Key: key}, nil
	case read.removed != nil && read.key == nil && read.rate == nil && read.former == nil:
		removed, problem := read.removed.removedKey()
		if problem != nil {
			return nil, problem
		}
		return &PortableLine{Removed: removed}, nil
	}
	return nil, &LineProblem{"line", "must have key, rate_state and former_digests, or removed_key"}
}

// anyLine is any line, as it is read. A member that is missing or null is nil.
type anyLine struct {
	key     *Record
	keyText json.RawMessage
	rate    *string
	former  []string
	removed *removedForm
}

// anyLineOf reads the members of a line; false if one is unknown or is not what it must be.
func anyLineOf(members map[string]json.RawMessage) (read anyLine, is bool) {
	for name, value := range members {
		if string(value) == "null" && isLineMember(name) {
			continue
		}
		is := name == "keystile_export"
		switch name {
		case "key":
			var err error
			read.key, err = DecodeRecord(value)
			read.keyText, is = value, err == nil
		case "rate_state":
			read.rate, is = jsonText(value)
		case "former_digests":
			read.former, is = jsonTexts(value)
		case "removed_key":
			read.removed, is = removedFormOf(value, true)
		}
		if !is {
			return anyLine{}, false
		}
	}
	return read, true
}

func (l *anyLine) portableKey() (*PortableKey, *LineProblem) {
	record := l.key
	rate, err := strconv.ParseUint(*l.rate, 10, 64)
	// Only as it is written, without a sign and zeros.
	if err != nil || strconv.FormatUint(rate, 10) != *l.rate {
		return nil, &LineProblem{"rate_state", "must be a whole number of 64 bits, as text"}
	}
	if l.former == nil {
		return nil, &LineProblem{"former_digests", "must be there"}
	}
	former, problem := digestsOf("former_digests", l.former)
	if problem != nil {
		return nil, problem
	}
	for _, digest := range former {
		if digest == record.Digest.Bytes() {
			return nil, &LineProblem{"former_digests", "must not have the present digest"}
		}
	}
	if record.Version < 1 || record.Version > versionMax {
		return nil, &LineProblem{"version", versionsExpected}
	}
	if uses := record.RemainingUses; uses != nil && *uses > math.MaxInt64 {
		return nil, &LineProblem{"remaining_uses", countExpected}
	}
	var long struct {
		LifetimeMS uint64 `json:"lifetime_ms"`
	}
	// A duration of Go's is shorter than that.
	if err := json.Unmarshal(l.keyText, &long); err != nil || long.LifetimeMS > math.MaxInt64 {
		return nil, &LineProblem{"lifetime_ms", countExpected}
	}
	return &PortableKey{record, RateState(rate), former}, nil
}

// removedForm is a removed key as it is written.
type removedForm struct {
	keyID         KeyID
	version       uint64
	revokedAt     time.Time
	reason, owner *string
	digests       []string
}

// removedFormOf reads a removed key; if it must be once, no member may be there twice.
func removedFormOf(text []byte, once bool) (*removedForm, bool) {
	members, isOnce, is := jsonObject(text)
	if !is || once && !isOnce || len(members) != 6 {
		return nil, false
	}
	var form removedForm
	optional := func(name string) (value *string, is bool) {
		text, there := members[name]
		if !there || string(text) == "null" {
			return nil, there
		}
		return jsonText(text)
	}
	id, isID := jsonText(members["key_id"])
	if !isID {
		return nil, false
	}
	var err error
	if form.keyID, err = ParseKeyID(*id); err != nil {
		return nil, false
	}
	if form.version, err = strconv.ParseUint(string(members["version"]), 10, 64); err != nil {
		return nil, false
	}
	if at := string(members["revoked_at"]); at != "null" {
		millis, err := strconv.ParseUint(at, 10, 64)
		if err != nil || millis < instantMillisMin || millis > instantMillisMax {
			return nil, false
		}
		form.revokedAt = timeOf(millis)
	}
	if form.reason, is = optional("revoke_reason"); !is {
		return nil, false
	}
	if form.owner, is = optional("owner"); !is {
		return nil, false
	}
	form.digests, is = jsonTexts(members["digests"])
	return &form, is
}

// The first and the last instant of a record: in 1973, and the end of the year 9999.
const (
	instantMillisMin = 100_000_000_000
	instantMillisMax = 253_402_300_799_999
)

const (
	versionsExpected = "must be from 1 to 4611686018427387904"
	countExpected    = "must be at most 9223372036854775807"
)

func (f *removedForm) removedKey() (*RemovedKey, *LineProblem) {
	const expected = "must be at most 255 bytes without control characters"
	if f.revokedAt.IsZero() != (f.reason == nil) {
		return nil, &LineProblem{"revoke_reason", "must be there exactly if revoked_at is"}
	}
	if !isRemovedText(f.reason) {
		return nil, &LineProblem{"revoke_reason", expected}
	}
	if !isRemovedText(f.owner) {
		return nil, &LineProblem{"owner", expected}
	}
	if f.version < 1 || f.version > versionMax {
		return nil, &LineProblem{"version", versionsExpected}
	}
	digests, problem := digestsOf("digests", f.digests)
	if problem != nil {
		return nil, problem
	}
	removed := &RemovedKey{KeyID: f.keyID, Version: f.version, RevokedAt: f.revokedAt, Owner: f.owner, Digests: digests}
	if f.reason != nil {
		removed.RevokedReason = *f.reason
	}
	return removed, nil
}

func isRemovedText(text *string) bool {
	if text == nil {
		return true
	}
	for _, character := range *text {
		if unicode.IsControl(character) {
			return false
		}
	}
	return len(*text) <= removedTextMax && utf8.ValidString(*text)
}

// digestsOf reads digests in ascending order, each once: so the same digests are always the same
// bytes.
func digestsOf(field string, texts []string) ([]DigestBytes, *LineProblem) {
	digests := make([]DigestBytes, 0, len(texts))
	for at, text := range texts {
		digest, is := digestOfHex(text)
		if !is || at > 0 && texts[at-1] >= text {
			return nil, &LineProblem{field, "must be digests of 64 lower-case hex digits, ascending, each once"}
		}
		digests = append(digests, digest)
	}
	return digests, nil
}

// digestOfHex returns the digest with these lower-case hex digits.
func digestOfHex(text string) (digest DigestBytes, is bool) {
	if len(text) != hex.EncodedLen(len(digest)) {
		return digest, false
	}
	for at := range len(text) {
		if digit := text[at]; (digit < '0' || digit > '9') && (digit < 'a' || digit > 'f') {
			return digest, false
		}
	}
	_, err := hex.Decode(digest[:], []byte(text))
	return digest, err == nil
}
