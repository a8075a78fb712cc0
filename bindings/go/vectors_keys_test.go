package keystile_test

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/binary"
	"hash/crc32"
	"strconv"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

var keysReplays = map[string]func(*testing.T){
	"labels": labels, "times": times, "keys": keys, "key_edits": keyEdits,
	"checksums": checksums, "digests": digests, "digest_texts": digestTexts,
	"lookups": lookups, "inspections": inspections,
}

func labels(t *testing.T) {
	acme := must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))
	replay(t, "labels.json", func(t *testing.T, input struct{ Kind, Text string }) any {
		var err error
		switch input.Kind {
		case "prefix":
			_, err = keystile.StructuredFormat(input.Text)
		case "environment":
			if input.Text == "" {
				// In Go an empty environment means none, so the verifier's is checked
				// instead.
				return object{"legal": false}
			}
			issuer := keystile.Issuer{Format: acme}
			_, err = issuer.Issue(keystile.IssueRequest{ClientName: "Acme", Environment: input.Text}, instant(1_790_000_000_000))
		case "template_name":
			_, err = keystile.NewScopeTemplate(input.Text, nil, nil, nil)
		case "key_id":
			_, err = keystile.ParseKeyID(input.Text)
		default:
			t.Fatalf("no such kind: %s", input.Kind)
		}
		if name := kind(t, err); name != nil && name != "name" && name != "key_id" {
			t.Errorf("an error of the kind %v", name)
		}
		return object{"legal": err == nil}
	})
}

// Issuing a key adds a lifetime to an instant.
func times(t *testing.T) {
	issuer := keystile.Issuer{Format: must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))}
	replay(t, "times.json", func(t *testing.T, input struct {
		Millis string `json:"millis"`
		Plus   string `json:"plus_ms"`
	}) any {
		millis := must[uint64](t)(strconv.ParseUint(input.Millis, 10, 64))
		plus := must[uint64](t)(strconv.ParseUint(input.Plus, 10, 64))
		request := keystile.IssueRequest{ClientName: "Acme", NeverExpires: plus == 0}
		if plus != 0 {
			request.Lifetime = keystile.Ptr(span(plus))
		}
		change, err := issuer.Issue(request, instant(millis))
		if err != nil {
			if kind(t, err) != "time" {
				t.Errorf("%v", err)
			}
			return object{"sum": nil}
		}
		end := change.Record.ExpiresAt
		if plus == 0 {
			end = change.Record.CreatedAt
		}
		return object{"sum": strconv.FormatInt(end.UnixMilli(), 10)}
	})
}

type textInput struct {
	Format     formatForm `json:"format"`
	Text       *string    `json:"text"`
	TextHex    *string    `json:"text_hex"`
	TextRepeat *repeat    `json:"text_repeat"`
}

func keys(t *testing.T) {
	replay(t, "keys.json", func(t *testing.T, input textInput) any {
		format, text := input.Format.made(t), bytesOf(t, input.Text, input.TextHex, input.TextRepeat)
		id, accepted := format.Parse(text)
		found := must[keystile.Inspection](t)(format.Inspect(text))
		if !accepted {
			found.Environment = ""
		}
		return object{"accepted": accepted, "key_id": orNull(id), "environment": textOrNull(found.Environment)}
	})
}

func keyEdits(t *testing.T) {
	if testing.Short() {
		t.Skip("it makes hundreds of thousands of texts")
	}
	replay(t, "key_edits.json", func(t *testing.T, input struct {
		Format formatForm `json:"format"`
		Text   string     `json:"text"`
		Edit   string     `json:"edit"`
	}) any {
		format, variants, accepted := input.Format.made(t), 0, 0
		if _, whole := format.Parse(input.Text); !whole {
			t.Fatal("the text itself is a key")
		}
		edits(t, input.Text, input.Edit, func(changed string) {
			variants++
			if _, still := format.Parse(changed); still {
				accepted++
			}
		})
		return object{"variants": variants, "accepted": accepted}
	})
}

// edits returns every text that one edit of this kind makes of another.
func edits(t *testing.T, text, edit string, each func(string)) {
	t.Helper()
	for at := range len(text) {
		before, own, behind := text[:at], text[at], text[at+1:]
		switch edit {
		case "substitute":
			for other := range 256 {
				if byte(other) != own {
					each(before + string([]byte{byte(other)}) + behind)
				}
			}
		case "delete":
			each(before + behind)
		case "truncate":
			each(before)
		case "behead":
			if at == 0 {
				each("")
			} else {
				each(text[at:])
			}
		case "flip_case":
			if lower := own | 0x20; lower >= 'a' && lower <= 'z' {
				each(before + string([]byte{own ^ 0x20}) + behind)
			}
		case "swap":
			if len(behind) > 0 && behind[0] != own {
				each(before + string([]byte{behind[0], own}) + behind[1:])
			}
		case "insert":
		default:
			t.Fatalf("no such edit: %s", edit)
		}
	}
	if edit == "insert" {
		for at := range len(text) + 1 {
			for other := range 256 {
				each(text[:at] + string([]byte{byte(other)}) + text[at:])
			}
		}
	}
}

func checksums(t *testing.T) {
	const alphabet = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	replay(t, "checksums.json", func(t *testing.T, input struct {
		Covered        string  `json:"covered"`
		ChecksumKeyHex *string `json:"checksum_key_hex"`
	}) any {
		format := formatForm{Kind: "any_structured", ChecksumKeyHex: input.ChecksumKeyHex}.made(t)
		value := checkValue(t, input.Covered, input.ChecksumKeyHex)
		check := ""
		for left := value; len(check) < 6; left /= 62 {
			check = string(alphabet[left%62]) + check
		}
		if _, right := format.Parse(input.Covered + check); !right {
			t.Error("the right check is accepted")
		}
		for at := range len(check) {
			for _, digit := range alphabet {
				wrong := check[:at] + string(digit) + check[at+1:]
				if _, accepted := format.Parse(input.Covered + wrong); accepted && wrong != check {
					t.Errorf("%s is no check of it", wrong)
				}
			}
		}
		return object{"value": value, "check": check}
	})
}

// checkValue computes a checksum without the library.
func checkValue(t *testing.T, covered string, keyHex *string) uint64 {
	t.Helper()
	if keyHex == nil {
		return uint64(crc32.ChecksumIEEE([]byte(covered)))
	}
	mac := hmac.New(sha256.New, []byte(unhex(t, *keyHex)))
	mac.Write([]byte(covered))
	return binary.BigEndian.Uint64(mac.Sum(nil)) >> (64 - 35)
}

func digests(t *testing.T) {
	replay(t, "digests.json", func(t *testing.T, input struct {
		Text    *string       `json:"text"`
		TextHex *string       `json:"text_hex"`
		Peppers []*pepperForm `json:"peppers"`
	}) any {
		ring, err := ringOf(t, input.Peppers)
		if err != nil {
			return object{"digest": nil, "error": kind(t, err)}
		}
		digest := must[keystile.Digest](t)(ring.Digest(bytesOf(t, input.Text, input.TextHex, nil)))
		return object{"digest": digest.Text(), "error": nil}
	})
}

func digestTexts(t *testing.T) {
	replay(t, "digest_texts.json", func(t *testing.T, input struct{ Text string }) any {
		digest, err := keystile.ParseDigest(input.Text)
		if err != nil {
			return object{"digest": nil}
		}
		again := must[keystile.Digest](t)(keystile.ParseDigest(digest.Text()))
		if !again.Equal(digest) {
			t.Error("it is read back")
		}
		return object{"digest": digest.Text()}
	})
}

func lookups(t *testing.T) {
	replay(t, "lookups.json", func(t *testing.T, input struct {
		Format  formatForm    `json:"format"`
		Text    string        `json:"text"`
		Peppers []*pepperForm `json:"peppers"`
	}) any {
		ring := must[*keystile.PepperRing](t)(ringOf(t, input.Peppers))
		verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(ring, input.Format.made(t)))
		lookup := must[keystile.Lookup](t)(verifier.Lookup(input.Text))
		digests := []string{}
		for _, digest := range lookup.Digests {
			digests = append(digests, digest.Text())
		}
		return object{"key_id": orNull(lookup.KeyID), "digests": digests}
	})
}

func inspections(t *testing.T) {
	replay(t, "inspections.json", func(t *testing.T, input textInput) any {
		text := bytesOf(t, input.Text, input.TextHex, input.TextRepeat)
		found := must[keystile.Inspection](t)(input.Format.made(t).Inspect(text))
		if found.Finding.Hint() == "" {
			t.Error("a finding says what to do")
		}
		return object{"finding": found.Finding.String(), "environment": textOrNull(found.Environment), "key_id": orNull(found.KeyID)}
	})
}
