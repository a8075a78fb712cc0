package keystilesql_test

import (
	"bytes"
	"context"
	"database/sql"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// rustStore is a store that the Rust program uses, and Go too.
type rustStore struct {
	*testing.T
	program, url string
	store        *keystilesql.Store
	db           *sql.DB
	// dump are queries for each row of each table as a text, without instants of events.
	dump []string
}

func (r *rustStore) try(input string, words ...string) (string, error) {
	command := exec.Command(r.program, append([]string{"--store", r.url, "--actor", "ana"}, words...)...)
	command.Env = append(os.Environ(), "KEYSTILE_PEPPER=")
	command.Stdin = strings.NewReader(input)
	var failed bytes.Buffer
	command.Stderr = &failed
	out, err := command.Output()
	if err != nil {
		out = append(out, failed.Bytes()...)
	}
	return string(out), err
}

func (r *rustStore) run(input string, words ...string) string {
	r.Helper()
	out, err := r.try(input, words...)
	if err != nil {
		r.Fatalf("%v: %v: %s", words, err, out)
	}
	return out
}

// rows are all rows of all tables.
func (r *rustStore) rows() string {
	r.Helper()
	var lines []string
	for _, query := range r.dump {
		for _, row := range (&side{T: r.T, db: r.db}).rows(query) {
			lines = append(lines, strings.Join(row, " | "))
		}
	}
	return strings.Join(lines, "\n")
}

// exported is what Go exports.
func (r *rustStore) exported() string {
	r.Helper()
	var text strings.Builder
	summary, err := moverOf(r.T, r.store, keystile.LifetimePolicy{}).Export(context.Background(), &text, keystile.ExportOptions{WithDigests: true})
	if err != nil || len(summary.Damaged) > 0 {
		r.Fatalf("%+v, %v", summary, err)
	}
	return text.String()
}

// imported imports by Go, and returns the reports of lines that are not there now.
func (r *rustStore) imported(text string, dryRun bool) (keystile.ImportSummary, []keystile.LineReport) {
	r.Helper()
	var left []keystile.LineReport
	options := keystile.ImportOptions{DryRun: dryRun, Report: func(report keystile.LineReport) {
		if report.Problem != nil {
			left = append(left, report)
		}
	}}
	ctx := keystile.WithActor(context.Background(), keystile.By{Actor: "ana"})
	summary, err := moverOf(r.T, r.store, keystile.LifetimePolicy{}).Import(ctx, strings.NewReader(text), options)
	if err != nil {
		r.Fatal(err)
	}
	return summary, left
}

// fill makes keys of all kinds with the Rust program.
func (r *rustStore) fill() {
	r.Helper()
	id := func(words ...string) string {
		out := r.run("", append([]string{"issue", "--json", "--client", "Ünï <&>"}, words...)...)
		_, rest, _ := strings.Cut(out, `"key_id":"`)
		return rest[:16]
	}
	id("--permission", "read", "--permission", "invoices:*", "--metadata", "{\"a\": [1, 2], \"b\": \"\\u00e9 é \u2028\"}", "--expires-in", "never")
	r.run("", "rotate", id("--owner", "acme", "--rate-limit", "4000000000/1h", "--burst", "7", "--endpoint", "GET /api/*", "--network", "192.0.2.0/24"))
	r.run("", "revoke", id("--metadata", "1.0"), "--reason", "it \"leaked\"")
	id("--uses", "3", "--email", "ops@acme.example", "--env", "live")
	r.run("", "suspend", id())
	// A duration of Go's cannot hold this.
	id("--expires-at", "9999-12-30T00:00:00Z")
	gone := id("--owner", "gone")
	r.run("", "revoke", gone, "--reason", "old")
	if _, err := r.db.Exec("DELETE FROM api_keys WHERE key_id = '" + gone + "'"); err != nil {
		r.Fatal(err)
	}
}

func sqliteRust(t *testing.T) *rustStore {
	path := filepath.Join(t.TempDir(), "keys.db")
	db := must[*sql.DB](t)(sql.Open("sqlite", keystilesql.SQLiteDSN(path)))
	t.Cleanup(func() { _ = db.Close() })
	own := &rustStore{T: t, program: program(t), url: "sqlite:" + path, store: openSQLite(t, path), db: db}
	for _, table := range []string{"api_keys", "api_key_usage", "api_key_deleted", "api_key_former_digests", "api_key_events"} {
		var columns []string
		for _, row := range (&side{T: t, db: db}).rows("SELECT name FROM pragma_table_info('" + table + "')") {
			// place is the number of a row, and at the instant of an event.
			if row[0] != "at" && row[0] != "place" {
				columns = append(columns, "quote("+row[0]+")")
			}
		}
		own.dump = append(own.dump, "SELECT "+strings.Join(columns, ", ")+" FROM "+table+" ORDER BY 1, 2")
	}
	return own
}

func postgresRust(t *testing.T) *rustStore {
	source, at := startPostgres(t).database(t)
	db := must[*sql.DB](t)(sql.Open("pgx", source))
	t.Cleanup(func() { _ = db.Close() })
	own := &rustStore{T: t, program: program(t), url: at, store: openPostgres(t, source), db: db}
	for _, table := range []string{"api_keys", "api_key_usage", "api_key_deleted", "api_key_former_digests"} {
		own.dump = append(own.dump, "SELECT (to_jsonb(t) - 'id' - 'place')::text FROM "+table+" t ORDER BY 1")
	}
	own.dump = append(own.dump, "SELECT (to_jsonb(t) - 'at' - 'number')::text FROM api_key_events t ORDER BY 1")
	return own
}

func TestExportsOfRustAreImportedByGoAndBack(t *testing.T) {
	movedBothWays(t, []*rustStore{sqliteRust(t), sqliteRust(t), sqliteRust(t)})
}

func TestExportsMoveBetweenDatabases(t *testing.T) {
	movedBothWays(t, []*rustStore{sqliteRust(t), postgresRust(t), postgresRust(t)})
	movedBothWays(t, []*rustStore{postgresRust(t), sqliteRust(t), sqliteRust(t)})
}

// movedBothWays exports a store that the program has filled, and imports it by Go and by Rust: the rows
// and what is exported again are the same.
func movedBothWays(t *testing.T, stores []*rustStore) {
	from, byGo, byRust := stores[0], stores[1], stores[2]
	from.fill()
	// What was spent of a limit, and a digest that was replaced.
	for _, change := range []string{
		"UPDATE api_key_usage SET rate_state = -7 WHERE lineage = (SELECT min(lineage) FROM api_key_usage)",
		"INSERT INTO api_key_former_digests (key_hash, key_id) SELECT '" + strings.Repeat("a", 64) + "', min(key_id) FROM api_keys",
	} {
		if _, err := from.db.Exec(change); err != nil {
			t.Fatal(err)
		}
	}
	lines := from.run("", "export", "--with-digests")
	if own := from.exported(); own != lines {
		t.Fatalf("Go exports\n%s\nand Rust\n%s", own, lines)
	}
	planned, left := byGo.imported(lines, true)
	summary, also := byGo.imported(lines, false)
	if summary.Imported != 8 || !summary.IsComplete() || planned != summary || len(left)+len(also) != 0 {
		t.Fatalf("%+v, %+v: %v", planned, summary, also)
	}
	if out := byRust.run(lines, "import", "-"); !strings.HasPrefix(out, "imported 8 keys; 0 were there already, 0 are in conflict, 0 were refused") {
		t.Fatal(out)
	}
	if one, other := byGo.rows(), byRust.rows(); one != other {
		t.Errorf("Go wrote\n%s\nand Rust\n%s", one, other)
	}
	for _, store := range []*rustStore{byGo, byRust} {
		if own, theirs := store.exported(), store.run("", "export", "--with-digests"); own != lines || theirs != lines {
			t.Errorf("again:\n%s\nand\n%s\nof\n%s", own, theirs, lines)
		}
	}
	// What one has imported is there for the other.
	if summary, left := byRust.imported(lines, false); summary.Present != 8 || !summary.IsComplete() {
		t.Errorf("%+v: %v", summary, left)
	}
	if out := byGo.run(byGo.exported(), "import", "-"); !strings.HasPrefix(out, "imported 0 keys; 8 were there already") {
		t.Error(out)
	}
	// A part of it, which both say.
	cut := lines[:strings.LastIndexByte(strings.TrimSpace(lines), '\n')+1]
	if summary, _ := byRust.imported(cut, false); summary.Whole {
		t.Errorf("%+v", summary)
	}
	if out, err := byGo.try(cut, "import", "-"); err == nil {
		t.Error(out)
	}
	if shown, theirs := shownBy(t, from.store), from.run("", "export"); shown != theirs || strings.Contains(shown, "sha256") {
		t.Errorf("to look at:\n%s\nand\n%s", shown, theirs)
	}
}

func shownBy(t *testing.T, store keystile.Store) string {
	t.Helper()
	var text strings.Builder
	if _, err := moverOf(t, store, keystile.LifetimePolicy{}).Export(context.Background(), &text, keystile.ExportOptions{}); err != nil {
		t.Fatal(err)
	}
	return text.String()
}

func TestRequestsOfRustAreThoseOfGoOnSQLite(t *testing.T) { sameRequests(t, sqliteRust(t)) }

func TestRequestsOfRustAreThoseOfGoOnPostgreSQL(t *testing.T) { sameRequests(t, postgresRust(t)) }

// sameRequests issues and rotates on either side with an idempotency key that the other one has used.
func sameRequests(t *testing.T, both *rustStore) {
	ctx := context.Background()
	format := keystile.Must(keystile.StructuredFormat("ks"))
	issuer := &keystile.Issuer{Format: format}
	keys := authenticatorOver(t, both.store, nil, format)
	// What the program takes for its request.
	body := func(client string) string {
		return `{"client":"` + client + `","format":"structured","permissions":["a","b"],"prefix":"ks","verb":"issue"}`
	}
	once := func(key, body string, verb func(ctx context.Context) (*keystile.Change, error)) (keystile.OnceIssued, error) {
		return keys.Once(ctx, keystile.Must(keystile.NewIssueOnce("actor:ana", key, []byte(body))), verb)
	}
	issue := func(ctx context.Context) (*keystile.Change, error) {
		return keys.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme", Permissions: []string{"a", "b"}})
	}
	cli := func(key, client string) (string, error) {
		return both.try("", "issue", "--json", "--prefix", "ks", "--client", client, "--permission", "b", "--permission", "a", "--idempotency-key", key)
	}
	idOf := func(out string, err error) string {
		t.Helper()
		_, rest, is := strings.Cut(out, `"key_id":"`)
		if err != nil || !is {
			t.Fatalf("%v: %s", err, out)
		}
		return rest[:16]
	}
	first := idOf(cli("order-1", "Acme"))
	if again, err := once("order-1", body("Acme"), issue); err != nil || again.Before.String() != first {
		t.Fatalf("Go on a request of Rust's: %+v, %v", again, err)
	}
	if _, err := once("order-1", body("Other"), issue); err != keystile.ErrAnotherRequest {
		t.Errorf("another request: %v", err)
	}
	mine, err := once("order-2", body("Acme"), issue)
	if err != nil || mine.Change == nil {
		t.Fatalf("%+v, %v", mine, err)
	}
	own := mine.Change.Record.ID.String()
	if again := idOf(cli("order-2", "Acme")); again != own {
		t.Errorf("Rust on a request of Go's: %s, not %s", again, own)
	}
	if out, err := cli("order-2", "Other"); err == nil || !strings.Contains(out, "the idempotency key was used for another request") {
		t.Errorf("another request: %s", out)
	}
	// Rotations: by Rust, and then by Go.
	successor := idOf(both.try("", "rotate", "--json", own, "--idempotency-key", "order-3"))
	rotated, err := once("order-3", `{"id":"`+own+`","verb":"rotate"}`, func(ctx context.Context) (*keystile.Change, error) {
		return keys.Rotate(ctx, issuer, mine.Change.Record.ID, keystile.DefaultRotationPolicy())
	})
	if err != nil || rotated.Before.String() != successor || successor == own {
		t.Errorf("Go on a rotation of Rust's: %+v, %v", rotated, err)
	}
	if listed, err := both.store.List(ctx, keystile.Filter{}, keystile.Page{Limit: 9}); err != nil || len(listed.Records) != 3 {
		t.Errorf("%d keys, %v", len(listed.Records), err)
	}
}
