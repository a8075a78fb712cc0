package keystile_test

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"sort"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// vectors are the files that all languages run.
const vectors = "../../tests/vectors"

// must ends a test if a value that it needs cannot be created.
func must[T any](t testing.TB) func(T, error) T {
	return func(value T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return value
	}
}

// strict parses JSON without unknown fields.
func strict(t testing.TB, text []byte, into any) {
	t.Helper()
	decoder := json.NewDecoder(bytes.NewReader(text))
	decoder.DisallowUnknownFields()
	if err := decoder.Decode(into); err != nil {
		t.Fatalf("%T: %v", into, err)
	}
}

// replay runs every case of a file and compares each entry.
func replay[Input any](t *testing.T, file string, act func(t *testing.T, input Input) any) {
	t.Helper()
	text := must[[]byte](t)(os.ReadFile(filepath.Join(vectors, file)))
	var whole struct {
		Description string                       `json:"description"`
		Cases       []map[string]json.RawMessage `json:"cases"`
	}
	strict(t, text, &whole)
	if len(whole.Cases) == 0 {
		t.Fatal("a file without a case")
	}
	for _, fields := range whole.Cases {
		var name string
		strict(t, fields["name"], &name)
		t.Run(name, func(t *testing.T) {
			expected := fields["expected"]
			for _, own := range []string{"name", "why", "attack", "expected"} {
				delete(fields, own)
			}
			var input Input
			strict(t, must[[]byte](t)(json.Marshal(fields)), &input)
			same(t, expected, act(t, input))
		})
	}
}

// same compares as JSON values.
func same(t *testing.T, expected json.RawMessage, got any) {
	t.Helper()
	text := must[[]byte](t)(json.Marshal(got))
	var left, right any
	if err := errors.Join(json.Unmarshal(expected, &left), json.Unmarshal(text, &right)); err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(left, right) {
		t.Errorf("expected %s\ngot      %s", expected, text)
	}
}

// Each file has a test: a new file fails here until it has one.
func TestEveryVectorFileIsReplayed(t *testing.T) {
	files := must[[]string](t)(filepath.Glob(filepath.Join(vectors, "*.json")))
	var names []string
	for _, file := range files {
		names = append(names, strings.TrimSuffix(filepath.Base(file), ".json"))
	}
	var tests []string
	for name := range replays {
		tests = append(tests, name)
	}
	sort.Strings(names)
	sort.Strings(tests)
	if !reflect.DeepEqual(names, tests) {
		t.Fatalf("files %v\ntests %v", names, tests)
	}
}

var replays = map[string]func(*testing.T){}

func init() {
	for _, own := range []map[string]func(*testing.T){keysReplays, rightsReplays, requestsReplays, livesReplays, changeReplays, authenticatorReplays} {
		for name, test := range own {
			replays[name] = test
		}
	}
}

func TestVectors(t *testing.T) {
	for name, test := range replays {
		t.Run(name, test)
	}
}

// object is a JSON object.
type object map[string]any

// repeat is a short form of a long text.
type repeat struct {
	Before string `json:"before"`
	Text   string `json:"text"`
	Times  int    `json:"times"`
}

// bytesOf returns the bytes of a field that is given in one of three ways.
func bytesOf(t *testing.T, text, inHex *string, repeated *repeat) string {
	t.Helper()
	switch {
	case text != nil:
		return *text
	case inHex != nil:
		return unhex(t, *inHex)
	case repeated != nil:
		return repeated.Before + strings.Repeat(repeated.Text, repeated.Times)
	}
	t.Fatal("bytes are given in one way")
	return ""
}

func unhex(t *testing.T, text string) string {
	t.Helper()
	return string(must[[]byte](t)(hex.DecodeString(text)))
}

type formatForm struct {
	Kind           string  `json:"kind"`
	Prefix         string  `json:"prefix"`
	ChecksumKeyHex *string `json:"checksum_key_hex"`
	RandomBytes    *int    `json:"random_bytes"`
}

func (f formatForm) made(t *testing.T) *keystile.KeyFormat {
	t.Helper()
	var format *keystile.KeyFormat
	var err error
	switch f.Kind {
	case "structured":
		format, err = keystile.StructuredFormat(f.Prefix)
	case "opaque":
		format, err = keystile.OpaqueFormat(f.Prefix)
	case "any_structured":
		format, err = keystile.AnyStructuredFormat()
	case "any_opaque":
		format, err = keystile.AnyOpaqueFormat()
	}
	if err == nil && f.ChecksumKeyHex != nil {
		format, err = format.WithChecksumKey([]byte(unhex(t, *f.ChecksumKeyHex)))
	}
	if err == nil && f.RandomBytes != nil {
		format, err = format.WithRandomBytes(*f.RandomBytes)
	}
	return must[*keystile.KeyFormat](t)(format, err)
}

type pepperForm struct {
	Version   uint32 `json:"version"`
	SecretHex string `json:"secret_hex"`
}

// ringOf makes a ring; nil in the place of the current pepper means that none is current.
func ringOf(t *testing.T, forms []*pepperForm) (*keystile.PepperRing, error) {
	t.Helper()
	var ring *keystile.PepperRing
	for _, form := range forms {
		if form == nil {
			continue
		}
		var err error
		if ring == nil {
			ring, err = keystile.NewPepperRing(form.Version, []byte(unhex(t, form.SecretHex)))
		} else {
			ring, err = ring.WithRetired(form.Version, []byte(unhex(t, form.SecretHex)))
		}
		if err != nil {
			return nil, err
		}
	}
	if len(forms) > 0 && forms[0] == nil {
		return ring.WithoutCurrent()
	}
	return ring, nil
}

type limitForm struct {
	Limit    uint32 `json:"limit"`
	WindowMS uint64 `json:"window_ms"`
	Burst    uint32 `json:"burst"`
}

func (f limitForm) made() (keystile.RateLimit, error) {
	return keystile.NewRateLimitWithBurst(f.Limit, span(f.WindowMS), f.Burst)
}

// span returns a duration of milliseconds; the longest duration if it is longer.
func span(millis uint64) time.Duration {
	const most = uint64(1<<63-1) / uint64(time.Millisecond)
	if millis > most {
		return 1<<63 - 1
	}
	return time.Duration(millis) * time.Millisecond
}

func instant(millis uint64) time.Time { return time.UnixMilli(int64(millis)).UTC() }

// kind returns the name of an error's kind, or nil.
func kind(t *testing.T, err error) any {
	t.Helper()
	if err == nil {
		return nil
	}
	for name, own := range map[string]error{
		"name": keystile.ErrName, "format": keystile.ErrFormat, "key_id": keystile.ErrKeyID,
		"digest": keystile.ErrDigest, "permission": keystile.ErrPermission,
		"endpoint": keystile.ErrEndpoint, "network": keystile.ErrNetwork,
		"limit": keystile.ErrLimit, "time": keystile.ErrTime, "record": keystile.ErrRecord,
		"state": keystile.ErrState, "exceeds": keystile.ErrExceeds,
	} {
		if errors.Is(err, own) {
			return name
		}
	}
	t.Fatalf("an error of another kind: %v", err)
	return nil
}

func orNull(id keystile.KeyID) any {
	if id.IsZero() {
		return nil
	}
	return id.String()
}

func timeOrNull(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return at.UnixMilli()
}

func textOrNull(text string) any {
	if text == "" {
		return nil
	}
	return text
}
