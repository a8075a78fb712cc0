package keystile_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// P8, F1 to F8: no output contains a secret.
func TestNothingPrintsAKey(t *testing.T) {
	format := must[*keystile.KeyFormat](t)(keystile.StructuredFormat("acme"))
	issuer := &keystile.Issuer{Format: format}
	change := must[*keystile.Change](t)(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, time.Now()))
	key := change.Key.Expose()
	extractor := must[*keystile.CredentialExtractor](t)(keystile.NewCredentialExtractor(nil, keystile.CredentialSources{}))
	credential, _ := extractor.Extract([]keystile.HeaderField{{Name: "X-API-Key", Value: key}})
	if credential.Expose() != key {
		t.Fatal("there is one way out")
	}
	world := newWorld(t, keystile.Options{}, nil)
	decision, err := world.authenticator.Check(context.Background(), key, keystile.Request{})
	refused, _ := world.authenticator.Check(context.Background(), key+"x", keystile.Request{})
	_, parseErr := keystile.ParseRequirement(key + " AND")
	_, digestErr := keystile.ParseDigest(key)
	_, idErr := keystile.ParseKeyID(key)
	hidden := struct {
		key        keystile.APIKey
		credential keystile.Credential
		inside     any
	}{change.Key, credential, &change.Key}
	// A record is shown without its digest too.
	hex := strings.TrimPrefix(change.Record.Digest.Text(), "sha256:")
	canaries := []string{key, key[len("acme_1")+16:], key[len(key)-20:], hex}
	for _, value := range []any{change.Key, &change.Key, credential, &credential, change, *change, hidden, &hidden,
		change.Record, *change.Record, change.Record.Digest, &change.Record.Digest, change.Records, change.Batch(), change.Event,
		decision, &decision, refused, err, parseErr, digestErr, idErr, world.authenticator, issuer, extractor, format,
		errors.Join(parseErr, digestErr), map[string]any{"key": change.Key}, []any{change.Key, credential}} {
		outputs := []string{}
		for _, verb := range []string{"%v", "%+v", "%#v", "%s", "%q", "%x", "%X", "%d", "%T", "%10v", "%-5s"} {
			outputs = append(outputs, fmt.Sprintf(verb, value))
		}
		text, _ := json.Marshal(value)
		outputs = append(outputs, string(text))
		for _, handler := range []func(*bytes.Buffer) slog.Handler{
			func(to *bytes.Buffer) slog.Handler { return slog.NewTextHandler(to, nil) },
			func(to *bytes.Buffer) slog.Handler { return slog.NewJSONHandler(to, nil) },
		} {
			var log bytes.Buffer
			slog.New(handler(&log)).Error("it", "value", value, slog.Group("group", "value", value))
			outputs = append(outputs, log.String())
		}
		for _, output := range outputs {
			for _, canary := range canaries {
				if strings.Contains(output, canary) || strings.Contains(output, fmt.Sprintf("%x", canary)) || strings.Contains(output, fmt.Sprintf("%X", canary)) {
					t.Errorf("%T shows a secret: %.60s", value, output)
				}
			}
		}
	}
}

// Only one package uses cgo and unsafe, and no exported name shows either.
func TestUnsafeCodeStandsInOnePackage(t *testing.T) {
	files := 0
	err := filepath.WalkDir(".", func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() || !strings.HasSuffix(path, ".go") {
			return err
		}
		files++
		file, err := parser.ParseFile(token.NewFileSet(), path, nil, parser.SkipObjectResolution)
		if err != nil {
			return err
		}
		inside := strings.HasPrefix(path, filepath.Join("internal", "capi"))
		for _, imported := range file.Imports {
			if name := imported.Path.Value; (name == `"C"` || name == `"unsafe"`) && !inside {
				t.Errorf("%s imports %s", path, name)
			}
		}
		ast.Inspect(file, func(node ast.Node) bool {
			if name, is := node.(*ast.Ident); is && name.Name == "uintptr" && !inside {
				t.Errorf("%s speaks of uintptr", path)
			}
			return true
		})
		return nil
	})
	if err != nil || files < 30 {
		t.Fatalf("%d files, %v", files, err)
	}
}

// The header is a copy of the one that is generated.
func TestTheHeaderIsTheLibrarys(t *testing.T) {
	own := must[[]byte](t)(os.ReadFile("internal/capi/keystile.h"))
	original := must[[]byte](t)(os.ReadFile("../../include/keystile.h"))
	if !bytes.Equal(own, original) {
		t.Error("include/keystile.h differs; run `cargo xtask go-lib`")
	}
}

func TestOneReleaseOfBoth(t *testing.T) {
	if keystile.Version() == "" {
		t.Error("the library tells its version")
	}
}
