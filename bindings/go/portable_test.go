package keystile_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

// A store that cannot do it is an error, and nothing is issued or written instead.
func TestAStoreThatCannotMoveKeysIsAnError(t *testing.T) {
	world := newWorld(t, keystile.Options{}, nil)
	ctx, keys := context.Background(), world.authenticator
	if _, err := keys.Import(ctx, strings.NewReader(""), keystile.ImportOptions{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	var written strings.Builder
	if _, err := keys.Export(ctx, &written, keystile.ExportOptions{}); !errors.Is(err, errors.ErrUnsupported) || written.Len() > 0 {
		t.Error(err)
	}
	run := func(context.Context) (*keystile.Change, error) {
		t.Error("it was run")
		return nil, nil
	}
	request := keystile.Must(keystile.NewIssueOnce("ana", "k", nil))
	if _, err := keys.Once(ctx, request, run); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
	for _, unmade := range []*keystile.IssueOnce{nil, {}} {
		if _, err := keys.Once(ctx, unmade, run); !errors.Is(err, keystile.ErrIdempotencyKey) {
			t.Error(err)
		}
		batch := keystile.Batch{IssueRequest: &keystile.IssueNote{Request: unmade, KeyID: world.record.ID}}
		if err := batch.Check(); !errors.Is(err, keystile.ErrRecord) {
			t.Error(err)
		}
	}
	if _, err := keys.ApplyTemplate(ctx, "plus", keystile.ApplyOptions{}); !errors.Is(err, errors.ErrUnsupported) {
		t.Error(err)
	}
}

func TestIdempotencyKeysAreVisibleASCII(t *testing.T) {
	for _, wrong := range [][2]string{
		{"ana", ""}, {"ana", "two words"}, {"ana", "é"}, {"ana", "a\x7f"}, {"ana", "a\n"}, {"ana", strings.Repeat("k", 256)},
		{"", "k"}, {"a\x00", "k"}, {"\xff", "k"}, {strings.Repeat("a", 301), "k"},
	} {
		if _, err := keystile.NewIssueOnce(wrong[0], wrong[1], nil); !errors.Is(err, keystile.ErrIdempotencyKey) {
			t.Errorf("%q: %v", wrong, err)
		}
	}
	for _, right := range [][2]string{{"ana", strings.Repeat("~", 255)}, {strings.Repeat("a", 300), "!"}} {
		if _, err := keystile.NewIssueOnce(right[0], right[1], nil); err != nil {
			t.Errorf("%q: %v", right, err)
		}
	}
}

// P8: what moves keys shows none of their digests, and zero values are none.
func TestLinesDoNotPrint(t *testing.T) {
	digest := keystile.DigestBytes{0xab, 0xcd, 0xef}
	id := keystile.Must(keystile.ParseKeyID("1QJ4bo0RE6F7ptpH"))
	for _, value := range []any{
		digest, &keystile.PortableKey{FormerDigests: []keystile.DigestBytes{digest}}, keystile.RemovedKey{KeyID: id, Digests: []keystile.DigestBytes{digest}},
		keystile.Asked{Digests: []keystile.DigestBytes{digest}}, keystile.Known{FormerDigests: []keystile.FormerDigest{{Digest: digest}}},
		keystile.Imported{FormerDigests: []keystile.FormerDigest{{Digest: digest}}},
		keystile.PortableLine{Removed: &keystile.RemovedKey{Digests: []keystile.DigestBytes{digest}}},
	} {
		text := string(keystile.Must(json.Marshal(value)))
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%x", "%d"} {
			text += fmt.Sprintf(verb, value)
		}
		for _, part := range []string{"abcdef", "171", "0xab", "ab, 0xcd"} {
			if strings.Contains(strings.ToLower(text), part) {
				t.Errorf("%T shows a digest: %s", value, text)
			}
		}
	}
	for _, line := range []*keystile.PortableLine{nil, {}, {Key: &keystile.PortableKey{}}} {
		if text, err := line.Text(); err == nil || !line.KeyID().IsZero() {
			t.Errorf("%s", text)
		}
	}
	if _, err := (&keystile.PortableKey{}).PublicText(); !errors.Is(err, keystile.ErrRecord) {
		t.Error(err)
	}
}
