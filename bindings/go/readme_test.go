package keystile_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
)

var compiled = regexp.MustCompile("(?s)<!-- not run: a test of the Go module compiles it as (\\S+) -->\n```go\n(.*?)\n```")

// The program that is tested with the files of the README.
const readmeTest = `package shop

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

func TestTheREADME(t *testing.T) {
	ctx := context.Background()
	keys, err := Open(ctx, t.TempDir()+"/keys.db")
	if err != nil {
		t.Fatal(err)
	}
	defer keys.Close(ctx)
	passed := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(204) })
	routes, err := Routes(keys, passed, passed)
	if err != nil {
		t.Fatal(err)
	}
	for permission, status := range map[string]int{"write": 204, "read": 403} {
		issued, err := keys.Issue(ctx, &keystile.Issuer{Format: format}, keystile.IssueRequest{ClientName: "Acme", Permissions: []string{permission}})
		if err != nil {
			t.Fatal(err)
		}
		key, usage := issued.Key.Expose(), keystile.UsageOf(issued.Record)
		if MayWrite(key, issued.Record, &usage) != (permission == "write") || MayWrite(key+"x", issued.Record, &usage) || MayWrite(key, nil, &usage) {
			t.Error(permission)
		}
		request := httptest.NewRequest("POST", "/api/data", nil)
		request.Header.Set("X-API-Key", key)
		answer := httptest.NewRecorder()
		routes.ServeHTTP(answer, request)
		if answer.Code != status {
			t.Error(permission, answer.Code)
		}
	}
	Life(ctx, keys, "tenant-7")
	listed, err := keys.RevokeAll(ctx, keystile.Filter{Owner: keystile.Ptr("tenant-7")}, keystile.BulkOptions{DryRun: true})
	if err != nil || len(listed.Changed) != 0 {
		t.Errorf("live keys of the tenant: %v, %v", listed, err)
	}
}
`

// The Go code of the README compiles as it stands, and does what the text says; the check without a
// store has at most twelve lines.
func TestTheREADMECompiles(t *testing.T) {
	readme := string(must[[]byte](t)(os.ReadFile("README.md")))
	files := map[string]string{"readme_test.go": readmeTest}
	for _, found := range compiled.FindAllStringSubmatch(readme, -1) {
		files[found[1]] = found[2] + "\n"
	}
	if len(files) != 1+strings.Count(readme, "```go") {
		t.Fatal("a block of Go in the README is not compiled")
	}
	lines := 0
	for _, line := range strings.Split(files["check.go"], "\n") {
		if line = strings.TrimSpace(line); line != "" && !strings.HasPrefix(line, "//") {
			lines++
		}
	}
	if lines > 12 {
		t.Errorf("the least check has %d lines", lines)
	}
	if testing.Short() {
		t.Skip("it builds a program")
	}
	here := must[string](t)(filepath.Abs("."))
	files["go.mod"] = strings.Replace(string(must[[]byte](t)(os.ReadFile("go.mod"))), "module github.com/keystile/keystile/bindings/go", "module example.com/shop", 1) +
		"\nrequire github.com/keystile/keystile/bindings/go v0.0.0\n\nreplace github.com/keystile/keystile/bindings/go => " + here + "\n"
	files["go.sum"] = string(must[[]byte](t)(os.ReadFile("go.sum")))
	folder := t.TempDir()
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := exec.Command("go", "test", "-mod=mod", "-vet=off", ".")
	program.Dir = folder
	if out, err := program.CombinedOutput(); err != nil {
		t.Errorf("%v: %s", err, out)
	}
}
