package keystile_test

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// A module outside of the tree uses only the public packages.
func TestAModuleOutsideTheTree(t *testing.T) {
	if testing.Short() {
		t.Skip("it builds a program")
	}
	if _, err := exec.LookPath("go"); err != nil {
		if os.Getenv("KEYSTILE_REQUIRE_GO") != "" {
			t.Fatal(err)
		}
		t.Skip("go is not in the search path")
	}
	folder, here := t.TempDir(), must[string](t)(filepath.Abs("."))
	source := must[[]byte](t)(os.ReadFile("testdata/consumer/main.go"))
	module := fmt.Sprintf("module example.com/consumer\n\ngo 1.24.0\n\nrequire github.com/keystile/keystile/bindings/go v0.0.0\n\nreplace github.com/keystile/keystile/bindings/go => %s\n", here)
	for name, text := range map[string]string{"main.go": string(source), "go.mod": module} {
		if err := os.WriteFile(filepath.Join(folder, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	program := exec.Command("go", "run", "-mod=mod", ".")
	program.Dir = folder
	if out, err := program.CombinedOutput(); err != nil || !strings.Contains(string(out), "an outside program") {
		t.Errorf("%v: %s", err, out)
	}
}

// A million checks, one in ten of an invented key, with constant memory.
func TestAMillionChecksInFlatMemory(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("it makes a million checks, and looks at the memory of the whole process")
	}
	world := newWorld(t, keystile.Options{Capacity: 1000}, nil)
	request := keystile.Request{Requirement: must[*keystile.Requirement](t)(keystile.ParseRequirement("read")), Method: "GET", Path: "/api/data"}
	ctx := context.Background()
	check := func(count int) {
		for number := range count {
			key := world.key
			if number%10 == 0 {
				// A well-formed key without a record.
				change := must[*keystile.Change](t)(world.issuer.Issue(keystile.IssueRequest{ClientName: "Nobody"}, time.Now()))
				key = change.Key.Expose()
			}
			decision, err := world.authenticator.Check(ctx, key, request)
			if err != nil || decision.Allowed() != (number%10 != 0) {
				t.Fatal(number, decision, err)
			}
		}
	}
	check(200_000)
	before := resident(t)
	check(1_000_000)
	after := resident(t)
	t.Logf("%d MiB resident, %d MiB after a million more", before>>20, after>>20)
	if grown := after - before; grown > 24<<20 {
		t.Errorf("%d MiB resident, %d MiB after a million more", before>>20, after>>20)
	}
}

// resident returns how much memory the process uses after a garbage collection.
func resident(t *testing.T) int {
	t.Helper()
	for range 3 {
		runtime.GC()
		time.Sleep(10 * time.Millisecond)
	}
	text, err := os.ReadFile("/proc/self/statm")
	if err != nil {
		t.Skip("this system does not tell how much memory a process has")
	}
	pages := must[int](t)(strconv.Atoi(strings.Fields(string(text))[1]))
	return pages * os.Getpagesize()
}
