package keystilesql_test

import (
	"context"
	"encoding/json"
	"errors"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// program returns the Rust program. KEYSTILE_PROGRAM names one that is already built;
// otherwise Cargo builds one, if it is installed.
func program(t *testing.T) string {
	t.Helper()
	if built := os.Getenv("KEYSTILE_PROGRAM"); built != "" {
		return built
	}
	cargo, err := exec.LookPath("cargo")
	if err != nil {
		t.Skip("cargo is not installed, and KEYSTILE_PROGRAM is not set")
	}
	root, err := filepath.Abs("../../..")
	if err != nil {
		t.Fatal(err)
	}
	build := exec.Command(cargo, "build", "--quiet", "--package", "keystile-cli", "--message-format=json")
	build.Dir = root
	build.Stderr = os.Stderr
	out, err := build.Output()
	if err != nil {
		t.Fatalf("cargo build: %v", err)
	}
	for _, line := range strings.Split(string(out), "\n") {
		var message struct {
			Executable *string `json:"executable"`
		}
		if json.Unmarshal([]byte(line), &message) == nil && message.Executable != nil {
			return *message.Executable
		}
	}
	t.Fatal("cargo built no program")
	return ""
}

func TestAKeyOfTheRustProgramVerifiesInGoOnSQLite(t *testing.T) {
	database := filepath.Join(t.TempDir(), "keys.db")
	bothWays(t, "sqlite:"+database, func(t *testing.T) keystile.Store { return openSQLite(t, database) })
}

// bothWays issues keys on either side, and uses and revokes them on the other.
func bothWays(t *testing.T, url string, open func(*testing.T) keystile.Store) {
	own, ctx := program(t), context.Background()
	call := func(key string, words ...string) (string, error) {
		command := exec.Command(own, append([]string{"--store", url}, words...)...)
		command.Env = append(os.Environ(), "KEYSTILE_KEY="+key, "KEYSTILE_PEPPER=")
		if key == "" {
			command.Env = os.Environ()
		}
		out, err := command.Output()
		return strings.TrimSpace(string(out)), err
	}
	must := func(out string, err error) string {
		t.Helper()
		if err != nil {
			var exit *exec.ExitError
			if errors.As(err, &exit) {
				t.Log(string(exit.Stderr))
			}
			t.Fatal(err)
		}
		return out
	}

	// Rust creates the tables and issues; Go reads.
	must(call("", "migrate"))
	for _, format := range []string{"structured", "opaque"} {
		issued := must(call("", "issue", "--json", "--client", "Ünïcode Ltd", "--email", "ops@acme.example", "--owner", "tenant-7",
			"--permission", "read", "--permission", "invoices:*", "--endpoint", "GET /api/data/*", "--network", "192.0.2.0/24",
			"--rate-limit", "100/1h", "--uses", "3", "--metadata", `{"plan": "gold"}`, "--format", format))
		var said struct {
			Key    string
			KeyID  keystile.KeyID `json:"key_id"`
			Record map[string]any
		}
		if err := json.Unmarshal([]byte(issued), &said); err != nil {
			t.Fatal(err)
		}
		store := open(t)
		structured, anyOpaque := keystile.Must(keystile.AnyStructuredFormat()), keystile.Must(keystile.AnyOpaqueFormat())
		verifier := keystile.Must(keystile.NewVerifier(nil, structured, anyOpaque))
		authenticator := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
		request := keystile.Request{Requirement: keystile.Must(keystile.ParseRequirement("read AND invoices:read")),
			Method: "GET", Path: "/api/data/7", Address: netip.MustParseAddr("192.0.2.9")}
		decision, err := authenticator.Check(ctx, said.Key, request)
		if left, counted := decision.RemainingUses(); err != nil || !decision.Allowed() || !counted || left != 2 {
			t.Fatalf("Go on a key of Rust's: %v, %v, %d left", decision, err, left)
		}
		record, err := authenticator.Record(ctx, decision.KeyID())
		if err != nil || record.ID != said.KeyID || record.ClientName != "Ünïcode Ltd" || *record.Owner != "tenant-7" || *record.Metadata != `{"plan": "gold"}` {
			t.Errorf("%v, %v", record, err)
		}
		request.Path = "/api/other"
		if decision, _ := authenticator.Check(ctx, said.Key, request); !errors.Is(decision.Err(), keystile.ErrEndpointNotAllowed) {
			t.Errorf("%v", decision)
		}
		// Rust sees what Go has spent.
		answer := must(call(said.Key, "verify", "--json", "--requires", "read", "--path", "/api/data/7", "--ip", "192.0.2.9"))
		if !strings.Contains(answer, `"remaining_uses":1`) {
			t.Errorf("%s", answer)
		}
		// Go revokes; Rust refuses.
		if _, err := authenticator.Revoke(ctx, said.KeyID, "by Go"); err != nil {
			t.Fatal(err)
		}
		if answer, err := call(said.Key, "verify", "--json", "--path", "/api/data/7", "--ip", "192.0.2.9"); err == nil || !strings.Contains(answer, `"code":"key_revoked"`) {
			t.Errorf("%s, %v", answer, err)
		}
		if err := authenticator.Close(ctx); err != nil {
			t.Error(err)
		}
	}

	// Go issues, with a pepper and without; Rust reads.
	store := open(t)
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("goco"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	authenticator := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	limit := keystile.Must(keystile.NewRateLimitWithBurst(100_000, time.Minute, 5_000))
	change, err := authenticator.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Gopher Ltd", Owner: "tenant-8", Environment: "live",
		Permissions: []string{"read"}, RateLimit: &limit, Endpoints: keystile.Must(keystile.NewEndpointRules("/api/*")), Metadata: "1.0"})
	if err != nil {
		t.Fatal(err)
	}
	key, id := change.Key.Expose(), change.Record.ID
	answer := must(call(key, "verify", "--json", "--requires", "read", "--path", "/api/data", "--env", "live"))
	if !strings.Contains(answer, `"client_name":"Gopher Ltd"`) || !strings.Contains(answer, `"remaining":4999`) {
		t.Errorf("Rust on a key of Go's: %s", answer)
	}
	shown := must(call("", "show", "--json", id.String()))
	if !strings.Contains(shown, `"tenant-8"`) || !strings.Contains(shown, `1.0`) {
		t.Errorf("%s", shown)
	}
	// The authenticator caches the record, and is notified of what Rust does.
	if decision, err := authenticator.Check(ctx, key, keystile.Request{Method: "GET", Path: "/api/data"}); err != nil || !decision.Allowed() {
		t.Fatal(decision, err)
	}
	must(call("", "suspend", id.String()))
	wait(t, func() bool {
		decision, _ := authenticator.Check(ctx, key, keystile.Request{Method: "GET", Path: "/api/data"})
		return errors.Is(decision.Err(), keystile.ErrKeySuspended)
	})
	must(call("", "resume", id.String()))
	// Rust rotates; Go accepts both keys.
	successor := must(call("", "rotate", id.String()))
	wait(t, func() bool {
		old, _ := authenticator.Check(ctx, key, keystile.Request{Method: "GET", Path: "/api/data"})
		fresh, _ := authenticator.Check(ctx, successor, keystile.Request{Method: "GET", Path: "/api/data"})
		_, _, replaced := old.Replacement()
		return old.Allowed() && fresh.Allowed() && replaced
	})
	if err := authenticator.Close(ctx); err != nil {
		t.Error(err)
	}
	events, err := store.Events(ctx, id, 0, 100)
	var kinds []string
	for _, event := range events {
		kinds = append(kinds, string(event.Kind))
	}
	if err != nil || strings.Join(kinds, " ") != "issued suspended resumed rotated" {
		t.Errorf("%v, %v", kinds, err)
	}
	// Rust shows the last use that Go wrote when it closed.
	if shown := must(call("", "show", "--json", id.String())); strings.Contains(shown, `"last_used_at":null`) {
		t.Errorf("%s", shown)
	}
}

// wait waits until something holds, as long as a slow machine may take.
func wait(t *testing.T, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(30 * time.Second); !holds(); time.Sleep(20 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatal("it never came to hold")
		}
	}
}
