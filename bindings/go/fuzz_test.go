package keystile_test

import (
	"bytes"
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

const fuzzKey = "acme_live_1QJ4bo0RE6F7ptpH_I4xbO9xdOMtcZFEvOwCwasfln8oPlvdBU3XVJz7MYw24ErgXr"

// FuzzCredential: any headers result in one credential or a refusal.
func FuzzCredential(f *testing.F) {
	for _, value := range []string{"", fuzzKey, "Bearer " + fuzzKey, "bearer  x", "Basic YWNtZTp4", "Basic ====", " " + fuzzKey + " ",
		strings.Repeat("x", 256), strings.Repeat("x", 257), "\x00", "a\nb", "é", "\xff", "Bearer", "Bearer "} {
		f.Add("X-API-Key", value, "Authorization", "Bearer "+fuzzKey, true)
		f.Add("authorization", value, "X-Acme-Key", value, false)
	}
	f.Fuzz(func(t *testing.T, one, first, other, second string, basic bool) {
		extractor := keystile.Must(keystile.NewCredentialExtractor(nil, keystile.CredentialSources{Headers: []string{"X-Acme-Key"}, Basic: basic}))
		fields := []keystile.HeaderField{{Name: one, Value: first}, {Name: other, Value: second}}
		for count := range 3 {
			credential, refusal := extractor.Extract(fields[:count])
			key := credential.Expose()
			switch {
			case refusal.Cause() != 0 && (key != "" || refusal.Allowed() || refusal.Respond(keystile.ResponsePolicy{}, now).Status < 400):
				t.Fatal("a refusal that is none")
			case refusal.Cause() == 0 && (key == "" || len(key) > 256):
				t.Fatal("a credential that is none")
			case strings.ContainsFunc(key, func(r rune) bool { return r <= ' ' || r > '~' }):
				t.Fatal("a credential is of visible ASCII")
			}
		}
		backwards, refusal := extractor.Extract([]keystile.HeaderField{fields[1], fields[0]})
		forwards, alike := extractor.Extract(fields)
		if backwards.Expose() != forwards.Expose() || refusal.Cause() != alike.Cause() {
			t.Fatal("the order of headers decides nothing")
		}
	})
}

// FuzzParse: all functions agree on whether a text is a key.
func FuzzParse(f *testing.F) {
	for _, text := range []string{"", fuzzKey, fuzzKey[:40], fuzzKey + "x", "dt_" + strings.Repeat("0", 64), "\xff\xfe", "acme_\x00", strings.Repeat("_", 300)} {
		f.Add([]byte(text))
	}
	structured := keystile.Must(keystile.StructuredFormat("acme"))
	opaque := keystile.Must(keystile.OpaqueFormat("dt"))
	verifier := keystile.Must(keystile.NewVerifier(nil, structured, opaque))
	f.Fuzz(func(t *testing.T, bytes []byte) {
		text := string(bytes)
		_, isStructured := structured.Parse(text)
		_, isOpaque := opaque.Parse(text)
		lookup, err := verifier.Lookup(text)
		if (isStructured || isOpaque) != (err == nil) || (err == nil) != (!lookup.KeyID.IsZero() || len(lookup.Digests) > 0) {
			t.Fatalf("%v, %v, %v", isStructured, isOpaque, err)
		}
		found, err := structured.Inspect(text)
		if err != nil || (found.Finding == keystile.FindingWellFormed) != isStructured {
			t.Fatalf("%v, %v", found, err)
		}
		var usage keystile.Usage
		decision, err := verifier.Verify(text, nil, keystile.Request{Method: text, Path: text}, &usage, time.UnixMilli(1_790_000_000_000))
		if err != nil || decision.Allowed() {
			t.Fatalf("nothing is allowed without a record: %v, %v", decision, err)
		}
		if _, err := keystile.ParseKeyID(text); err == nil && len(text) != 16 {
			t.Fatal("an id has 16 characters")
		}
		if digest, err := keystile.ParseDigest(text); err == nil {
			if again := keystile.Must(keystile.ParseDigest(digest.Text())); !again.Equal(digest) {
				t.Fatal("a digest is read back")
			}
		}
	})
}

// FuzzRecord: a record that is parsed is formatted as the same record.
func FuzzRecord(f *testing.F) {
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme", Permissions: []string{"read"}}, now))
	f.Add(keystile.Must(keystile.EncodeRecord(change.Record)))
	f.Add([]byte("{}"))
	f.Add([]byte(`{"id":null}`))
	var whole struct{ Cases []struct{ JSON string } }
	if err := json.Unmarshal(keystile.Must(os.ReadFile(filepath.Join(vectors, "records.json"))), &whole); err != nil || len(whole.Cases) == 0 {
		f.Fatal(err)
	}
	for _, one := range whole.Cases {
		f.Add([]byte(one.JSON))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		record, err := keystile.DecodeRecord(text)
		if err != nil {
			return
		}
		written := keystile.Must(keystile.EncodeRecord(record))
		again := keystile.Must(keystile.EncodeRecord(keystile.Must(keystile.DecodeRecord(written))))
		if !bytes.Equal(written, again) || !json.Valid(written) || record.Check() != nil {
			t.Fatalf("%s\n%s", written, again)
		}
		_ = record.IsLive(now)
	})
}

// FuzzRules: rules that can be made allow no path that is not canonical.
func FuzzRules(f *testing.F) {
	f.Add("GET /api/*", "read", "read AND write", "192.0.2.0/24", "/api/../x")
	f.Add("/*", "*", "(", "::/0", "/%2e")
	f.Fuzz(func(t *testing.T, rule, permission, requirement, network, path string) {
		if rules, err := keystile.NewEndpointRules(rule); err == nil && rules.Allows("GET", path) && !keystile.IsCanonicalPath(path) {
			t.Fatalf("%q allows %q", rule, path)
		}
		granted, err := keystile.NewPermissionSet(permission)
		if asked, wrong := keystile.ParseRequirement(requirement); wrong == nil && err == nil {
			if asked.IsSatisfiedBy(granted) != (len(asked.Missing(granted)) == 0) {
				t.Fatalf("%q of %q", requirement, permission)
			}
			if asked.IsSatisfiedBy(nil) {
				t.Fatal("nothing granted meets nothing")
			}
		}
		if networks, err := keystile.NewNetworks(network); err == nil {
			if again, err := keystile.NewNetworks(networks.Strings()...); err != nil || !again.Equal(networks) {
				t.Fatalf("%q: %v", network, err)
			}
		}
	})
}
