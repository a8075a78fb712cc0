package keystilesql_test

import (
	"context"
	"database/sql"
	"errors"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

func TestTemplatesOfTheRustProgramAreReadInGoOnSQLite(t *testing.T) {
	database := filepath.Join(t.TempDir(), "keys.db")
	templatesBothWays(t, "sqlite:"+database, openSQLite(t, database))
}

// templatesBothWays writes templates on either side, and reads and changes them on the other.
func templatesBothWays(t *testing.T, url string, store *keystilesql.Store) {
	own, ctx := program(t), context.Background()
	call := func(words ...string) string {
		t.Helper()
		out, err := exec.Command(own, append([]string{"--store", url}, words...)...).CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %v: %s", words, err, out)
		}
		return string(out)
	}
	call("template", "add", "pro", "--permission", "read", "--endpoint", "GET /api/*", "--rate-limit", "5/1h", "--burst", "2", "--expires-in", "30d")
	call("template", "change", "pro", "--add-permission", "write")
	pro, err := keystile.FindTemplate(ctx, store, "pro")
	if err != nil {
		t.Fatal(err)
	}
	if pro.Version != 2 || pro.Lifetime != 30*24*time.Hour || len(pro.Former) != 1 || pro.Template.RateLimit().Burst() != 2 {
		t.Errorf("%+v", pro)
	}
	if text := strings.Join(pro.Former[0].Template.Permissions().Strings(), ","); text != "read" {
		t.Errorf("it was %s", text)
	}
	less, err := pro.Changed(keystile.Must(keystile.NewScopeTemplate("pro", keystile.Must(keystile.NewPermissionSet("a")), nil, nil)), 0, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if err := store.SaveTemplate(ctx, less); err != nil {
		t.Fatal(err)
	}
	// Its earlier states too: the program compares keys with them.
	if shown := call("template", "change", "pro", "--add-permission", "b", "--json"); !strings.Contains(shown, `"permissions":["a","b"]`) {
		t.Error(shown)
	}
	// When it ended, too: what is issued narrower now stays, although the template was like it once.
	call("template", "change", "pro", "--permission", "a", "--permission", "b")
	call("issue", "--client", "chosen", "--template", "pro", "--permission", "a")
	if applied := call("template", "apply", "pro", "--dry-run", "--json"); !strings.Contains(applied, `"own":1`) {
		t.Error(applied)
	}
	// In force in a store that an authenticator issues from.
	format := keystile.Must(keystile.StructuredFormat("ks"))
	authenticator, err := keystile.NewAuthenticator(store, keystile.Must(keystile.NewVerifier(nil, format)), keystile.Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = authenticator.Close(ctx) }()
	issuer := &keystile.Issuer{Format: format}
	issued, err := authenticator.IssueFrom(ctx, "pro", issuer, keystile.IssueRequest{ClientName: "Acme"})
	if err != nil {
		t.Fatal(err)
	}
	if text := strings.Join(issued.Record.Permissions.Strings(), ","); text != "a,b" || *issued.Record.ScopeType != "pro" {
		t.Errorf("%s of %s", text, *issued.Record.ScopeType)
	}
	more := keystile.IssueRequest{ClientName: "Acme", Permissions: []string{"c"}}
	if _, err := authenticator.IssueFrom(ctx, "pro", issuer, more); !errors.Is(err, keystile.ErrExceeds) {
		t.Errorf("more than the template: %v", err)
	}
	if _, err := authenticator.IssueFrom(ctx, "plus", issuer, keystile.IssueRequest{ClientName: "Acme"}); !errors.Is(err, keystile.ErrNoTemplate) {
		t.Errorf("an unknown template: %v", err)
	}
	if applied := call("template", "apply", "pro", "--dry-run", "--json"); !strings.Contains(applied, `"current":1`) {
		t.Error(applied)
	}
}

func TestADamagedTemplateIsNamed(t *testing.T) {
	database := filepath.Join(t.TempDir(), "keys.db")
	store, ctx := openSQLite(t, database), context.Background()
	raw, err := sql.Open("sqlite", keystilesql.SQLiteDSN(database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	for column, values := range map[string]string{
		"permissions":       `'["inv*"]', NULL, NULL, NULL, '[]', 1`,
		"allowed_endpoints": `'["a"]', 'null', NULL, NULL, '[]', 1`,
		"rate_limit":        `'["a"]', NULL, 5, NULL, '[]', 1`,
		"lifetime_ms":       `'["a"]', NULL, NULL, 0, '[]', 1`,
		"former":            `'["a"]', NULL, NULL, NULL, '[{"template":{"name":"bad","permissions":[],"rate_limit":null,"allowed_endpoints":null}}]', 1`,
		"version":           `'["a"]', NULL, NULL, NULL, '[]', 0`,
	} {
		insert := "INSERT INTO api_key_templates (name, permissions, allowed_endpoints, rate_limit, lifetime_ms, former, version) VALUES ('bad', " + values + "), ('ok', '[]', NULL, NULL, NULL, '[]', 1)"
		if _, err := raw.Exec(insert); err != nil {
			t.Fatal(err)
		}
		page, err := store.ListTemplates(ctx, "", 9)
		if err != nil || len(page.Templates) != 1 || len(page.Damaged) != 1 || page.Damaged[0].Column != column {
			t.Errorf("%s: %+v, %v", column, page, err)
		}
		if _, err := store.Template(ctx, "bad"); !errors.Is(err, keystile.ErrCorrupt) {
			t.Errorf("%s: %v", column, err)
		}
		if err := store.RemoveTemplate(ctx, "bad", nil); err != nil {
			t.Error(err)
		}
		if err := store.RemoveTemplate(ctx, "ok", nil); err != nil {
			t.Error(err)
		}
	}
}

// Other code may write an instant in another form: it is read, so it has to be compared, too.
func TestTheInstantOfATemplateIsComparedAsItIsRead(t *testing.T) {
	database := filepath.Join(t.TempDir(), "keys.db")
	store, ctx := openSQLite(t, database), context.Background()
	raw, err := sql.Open("sqlite", keystilesql.SQLiteDSN(database))
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = raw.Close() }()
	insert := `INSERT INTO api_key_templates (name, permissions, created_at) VALUES ('pro', '["a"]', '2026-09-21 14:13:20')`
	if _, err := raw.Exec(insert); err != nil {
		t.Fatal(err)
	}
	read := keystile.Must(keystile.FindTemplate(ctx, store, "pro"))
	changed := keystile.Must(read.Changed(read.Template, time.Hour, time.Now()))
	if err := store.SaveTemplate(ctx, changed); err != nil {
		t.Error(err)
	}
	other := *changed
	other.CreatedAt = other.CreatedAt.Add(time.Millisecond)
	for _, stale := range []*keystile.StoredTemplate{read, &other} {
		if err := store.RemoveTemplate(ctx, "pro", stale); !errors.Is(err, keystile.ErrStale) {
			t.Errorf("another one: %v", err)
		}
	}
	if err := store.RemoveTemplate(ctx, "pro", changed); err != nil {
		t.Error(err)
	}
}
