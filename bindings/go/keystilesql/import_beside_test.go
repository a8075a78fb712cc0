package keystilesql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// P2: what an import brings as revoked, and a row with the same digest that another transaction writes at
// the same time: the import waits for it.
func TestAnImportWaitsForAnOpenTransactionWithTheSameDigest(t *testing.T) {
	server := startPostgres(t)
	const columns = "key_hash, key_prefix, client_name, permissions, is_active"
	hash := strings.Repeat("ab", 32)
	for _, write := range []string{
		"INSERT INTO api_keys (" + columns + ") VALUES ('" + hash + "', 'acme', 'Acme', '[]', TRUE)",
		"UPDATE api_keys SET key_hash = '" + hash + "' WHERE client_name = 'Other'",
	} {
		source, _ := server.database(t)
		store := openPostgres(t, source)
		db := must[*sql.DB](t)(sql.Open("pgx", source))
		t.Cleanup(func() { _ = db.Close() })
		ctx := context.Background()
		exec := func(on interface {
			ExecContext(context.Context, string, ...any) (sql.Result, error)
		}, statement string) {
			t.Helper()
			if _, err := on.ExecContext(ctx, statement); err != nil {
				t.Fatal(err)
			}
		}
		exec(db, "INSERT INTO api_keys ("+columns+") VALUES (repeat('cd', 32), 'acme', 'Other', '[]', TRUE)")
		open := must[*sql.Tx](t)(db.BeginTx(ctx, nil))
		exec(open, write)
		line := `{"keystile_export":1,"removed_key":{"key_id":"1Removed00000001","version":4,"revoked_at":1790000000000,"revoke_reason":"leaked","owner":null,"digests":["` + hash + `"]}}`
		reports := make(chan keystile.LineReport, 1)
		failed := make(chan error, 1)
		mover := moverOf(t, store, keystile.LifetimePolicy{})
		go func() {
			_, err := mover.Import(ctx, strings.NewReader(line), keystile.ImportOptions{Report: func(report keystile.LineReport) { reports <- report }})
			failed <- err
		}()
		wait(t, func() bool {
			var count int
			err := db.QueryRow("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'").Scan(&count)
			return err == nil && count > 0 || len(failed) > 0
		})
		if len(failed) > 0 {
			t.Fatalf("it did not wait for %s: %v", write, <-failed)
		}
		if err := open.Commit(); err != nil {
			t.Fatal(err)
		}
		if err := <-failed; err != nil {
			t.Fatal(err)
		}
		if report := <-reports; report.Result != keystile.LineConflict || report.Problem.Field != "digest" {
			t.Errorf("%s: %+v", write, report)
		}
		var valid, remembered int
		err := db.QueryRow("SELECT (SELECT count(*) FROM api_keys WHERE key_hash = $1 AND status = 'active'), (SELECT count(*) FROM api_key_revoked_digests WHERE key_hash = $1)", hash).Scan(&valid, &remembered)
		if err != nil || valid != 1 || remembered != 0 {
			t.Errorf("%d valid rows, %d remembered, %v", valid, remembered, err)
		}
	}
}

// A database may have another isolation level as its default.
func TestAnImportIsReadCommitted(t *testing.T) {
	source, _ := startPostgres(t).database(t)
	store := openPostgres(t, source+" default_transaction_isolation=serializable")
	summary, err := moverOf(t, store, keystile.LifetimePolicy{}).Import(context.Background(), strings.NewReader(fullExport(t)), keystile.ImportOptions{})
	if err != nil || !summary.IsComplete() {
		t.Errorf("%+v, %v", summary, err)
	}
}

// fullExport is an export of keys of all kinds.
func fullExport(t *testing.T) string {
	t.Helper()
	for _, vector := range readImportVectors(t).Imports {
		if vector.Name == "a-whole-export" {
			return strings.Join(vector.Steps[0].Lines, "\n")
		}
	}
	t.Fatal("there is none")
	return ""
}

// manyLines is an export of so many keys.
func manyLines(t *testing.T, count int) string {
	t.Helper()
	first, _, _ := strings.Cut(fullExport(t), "\n")
	var lines []string
	for number := range count {
		line := strings.ReplaceAll(first, `"1000000000000001"`, fmt.Sprintf(`"1%015d"`, number+1))
		_, rest, _ := strings.Cut(line, `"digest":"sha256:`)
		lines = append(lines, strings.Replace(line, rest[:64], fmt.Sprintf("%064x", number+1), 1))
	}
	return strings.Join(append(lines, string(keystile.ExportEnd{Keys: uint64(count)}.Text())), "\n")
}

// An import that was stopped continues when it is done again.
func TestAnImportIsResumed(t *testing.T) {
	ctx := context.Background()
	store := openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
	text := manyLines(t, 25)
	mover := moverOf(t, store, keystile.LifetimePolicy{})
	var progress []uint64
	options := keystile.ImportOptions{BatchLines: 10, Progress: func(lines uint64) { progress = append(progress, lines) }}
	half := strings.NewReader(text[:strings.Index(text, `"1000000000000016"`)])
	broken := iotest.TimeoutReader(iotest.OneByteReader(half))
	if summary, err := mover.Import(ctx, broken, options); !errors.Is(err, iotest.ErrTimeout) || summary.Whole {
		t.Errorf("a reader that fails: %+v, %v", summary, err)
	}
	// Its last line is a part of one.
	half.Reset(text[:strings.Index(text, `"1000000000000016"`)])
	summary, err := mover.Import(ctx, half, options)
	if err != nil || summary.Imported != 15 || summary.Refused != 1 || summary.Whole {
		t.Errorf("%+v, %v", summary, err)
	}
	progress = nil
	summary, err = mover.Import(ctx, strings.NewReader(text), options)
	if err != nil || summary.Present != 15 || summary.Imported != 10 || !summary.IsComplete() {
		t.Errorf("%+v, %v", summary, err)
	}
	if fmt.Sprint(progress) != "[10 20 25 25]" {
		t.Error(progress)
	}
	var exported []uint64
	export, err := mover.Export(ctx, new(strings.Builder), keystile.ExportOptions{Progress: func(keys uint64) { exported = append(exported, keys) }})
	if err != nil || export.Keys != 25 || fmt.Sprint(exported) != "[25]" {
		t.Errorf("%+v, %v, %v", export, exported, err)
	}
	failing := errors.New("full")
	if _, err := mover.Export(ctx, failingWriter{failing}, keystile.ExportOptions{}); !errors.Is(err, failing) {
		t.Errorf("a writer that fails: %v", err)
	}
	ended, cancel := context.WithCancel(ctx)
	cancel()
	if summary, err := mover.Import(ended, strings.NewReader(text), options); err == nil || summary.Lines() != 0 {
		t.Errorf("a context that has ended: %+v, %v", summary, err)
	}
	for _, batch := range []int{-1, 501} {
		if _, err := mover.Import(ctx, strings.NewReader(text), keystile.ImportOptions{BatchLines: batch}); !errors.Is(err, keystile.ErrOutOfRange) {
			t.Errorf("%d lines: %v", batch, err)
		}
	}
	forged := keystile.WithActor(ctx, keystile.By{Actor: "ana\nrevoked by bob"})
	if _, err := mover.Import(forged, strings.NewReader(""), keystile.ImportOptions{}); !errors.Is(err, keystile.ErrRecord) {
		t.Errorf("an actor: %v", err)
	}
}

type failingWriter struct{ err error }

func (f failingWriter) Write([]byte) (int, error) { return 0, f.err }

// Long lines, empty ones and ends of lines of other systems.
func TestLinesOfAFile(t *testing.T) {
	store := openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
	lines := strings.Split(manyLines(t, 2), "\n")
	text := lines[0] + "\r\n\n  \n" + strings.Repeat("x", 3*keystile.LineBytesMax) + "\n" + lines[1] + " \n" +
		lines[1] + strings.Repeat(" ", keystile.LineBytesMax-len(lines[1])) + "\n" +
		lines[1] + strings.Repeat(" ", keystile.LineBytesMax) + " \n" + lines[1] + strings.Repeat(" ", keystile.LineBytesMax) + "x\nhello"
	var found []string
	_, err := moverOf(t, store, keystile.LifetimePolicy{}).Import(context.Background(), strings.NewReader(text), keystile.ImportOptions{Report: func(report keystile.LineReport) {
		found = append(found, fmt.Sprint(report.Line, " ", report.Result))
	}})
	if want := "1 imported, 4 refused, 5 imported, 6 present, 7 present, 8 refused, 9 refused"; err != nil || strings.Join(found, ", ") != want {
		t.Errorf("%v, %v", found, err)
	}
}

// A damaged row costs one line, and is left out of an export.
func TestADamagedRowIsInTheWayOfItsLineOnly(t *testing.T) {
	ctx := context.Background()
	path := filepath.Join(t.TempDir(), "keys.db")
	store := openSQLite(t, path)
	db := must[*sql.DB](t)(sql.Open("sqlite", keystilesql.SQLiteDSN(path)))
	t.Cleanup(func() { _ = db.Close() })
	text := manyLines(t, 5)
	mover := moverOf(t, store, keystile.LifetimePolicy{})
	if _, err := mover.Import(ctx, strings.NewReader(strings.Split(text, "\n")[1]), keystile.ImportOptions{}); err != nil {
		t.Fatal(err)
	}
	for _, damage := range []string{
		"UPDATE api_keys SET environment = 'Live!' WHERE rowid = 1",
		"INSERT INTO api_keys (key_id, key_hash, digest_pepper, key_prefix, client_name, permissions, is_active) VALUES ('?', '" +
			fmt.Sprintf("%064x", 1) + "', 'x', 'acme', 'Acme', '[]', 1)",
	} {
		if _, err := db.Exec(damage); err != nil {
			t.Fatal(err)
		}
	}
	var left []string
	summary, err := mover.Import(ctx, strings.NewReader(text), keystile.ImportOptions{Report: func(report keystile.LineReport) {
		if report.Problem != nil {
			left = append(left, fmt.Sprintf("%d %s %v", report.Line, report.Result, report.Problem))
		}
	}})
	want := "1 conflict digest: a row of the store that cannot be read has this id or digest; 2 conflict id: the row of this key is damaged in the store"
	if err != nil || summary.Imported != 3 || strings.Join(left, "; ") != want {
		t.Errorf("%+v, %v, %v", summary, left, err)
	}
	export, err := mover.Export(ctx, new(strings.Builder), keystile.ExportOptions{WithDigests: true})
	if err != nil || export.Keys != 3 || len(export.Damaged) != 2 || export.Damaged[0].Column != "environment" {
		t.Errorf("%+v, %v", export, err)
	}
	// What is remembered of a request and cannot be read is no request without a key.
	once := keystile.Must(keystile.NewIssueOnce("ana", "k", nil))
	digest := once.Request()
	if _, err := db.Exec("INSERT INTO api_key_issue_requests (caller, request, body, key_id, at) VALUES ('ana', ?, 'x', '?', ?)",
		fmt.Sprintf("%x", digest), time.Now().UTC().Format("2006-01-02T15:04:05.000Z")); err != nil {
		t.Fatal(err)
	}
	issued, err := mover.Once(ctx, once, func(context.Context) (*keystile.Change, error) { return nil, errors.New("it was run") })
	if !errors.Is(err, keystile.ErrCorrupt) || issued.Change != nil {
		t.Errorf("%+v, %v", issued, err)
	}
}
