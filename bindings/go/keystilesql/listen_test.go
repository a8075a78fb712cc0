package keystilesql_test

import (
	"bytes"
	"context"
	"database/sql"
	"log/slog"
	"os/exec"
	"strings"
	"sync"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilepgx"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// never is a poll interval after which no test is still running.
const never = 12 * time.Hour

// listening is an authenticator for keys that another process issues and revokes.
type listening struct {
	t      *testing.T
	writer *keystilesql.Store
	issuer *keystile.Issuer
	reader *keystile.Authenticator
}

func newListening(t *testing.T, source string, store keystile.Store, options keystile.Options) *listening {
	t.Helper()
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, issuer.Format))
	reader := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, options))
	t.Cleanup(func() { _ = reader.Close(context.Background()) })
	return &listening{t, openPostgres(t, source), issuer, reader}
}

func (l *listening) allows(key string) bool {
	decision, _ := l.reader.Check(context.Background(), key, keystile.Request{})
	return decision.Allowed()
}

// revokes issues a key, lets the reader cache its record, and revokes it elsewhere.
func (l *listening) revokes() (key string) {
	l.t.Helper()
	return l.cachedThen(func(record *keystile.Record) {
		revoked := must[*keystile.Change](l.t)(keystile.Revoke(record, "leaked", time.Now()))
		if err := l.writer.Commit(context.Background(), revoked.Batch()); err != nil {
			l.t.Fatal(err)
		}
	})
}

// cachedThen issues a key, lets the reader cache its record, and does something to it elsewhere.
func (l *listening) cachedThen(act func(*keystile.Record)) (key string) {
	l.t.Helper()
	ctx := context.Background()
	change := must[*keystile.Change](l.t)(l.issuer.Issue(keystile.IssueRequest{ClientName: "Acme"}, time.Now()))
	if err := l.writer.Commit(ctx, change.Batch()); err != nil {
		l.t.Fatal(err)
	}
	key = change.Key.Expose()
	eventually(l.t, "the key is allowed, and cached", func() bool {
		fetches := l.reader.Stats().Fetches
		return l.allows(key) && l.reader.Stats().Fetches == fetches
	})
	act(change.Record)
	return key
}

func pgxHandle(t *testing.T, source string, connections int) *sql.DB {
	t.Helper()
	db := must[*sql.DB](t)(sql.Open("pgx", source))
	db.SetMaxOpenConns(connections)
	t.Cleanup(func() { _ = db.Close() })
	return db
}

// A revocation by another process is in force without a poll, also after the connection that
// listens was lost.
func TestARevocationElsewhereIsHeardWithoutAPoll(t *testing.T) {
	source, at := startPostgres(t).database(t)
	openPostgres(t, source)
	// A handle with one connection is not used up by listening.
	store := keystilepgx.PostgreSQL(pgxHandle(t, source, 1))
	options := keystile.Options{PollInterval: never, RevocationBound: 2 * never}
	subject := newListening(t, source, store, options)
	listeners := func() (count int) {
		row := pgxHandle(t, source, 1).QueryRow("SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'")
		if err := row.Scan(&count); err != nil {
			t.Fatal(err)
		}
		return count
	}
	for range 2 {
		key := subject.revokes()
		eventually(t, "the revocation is in force", func() bool { return !subject.allows(key) })
		eventually(t, "it listens", func() bool { return listeners() == 1 })
		kill := "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND query LIKE 'LISTEN %'"
		if _, err := pgxHandle(t, source, 1).Exec(kill); err != nil {
			t.Fatal(err)
		}
	}
	// By another program, too.
	own := program(t)
	key := subject.cachedThen(func(record *keystile.Record) {
		if out, err := exec.Command(own, "--store", at, "revoke", record.ID.String()).CombinedOutput(); err != nil {
			t.Fatalf("%v: %s", err, out)
		}
	})
	eventually(t, "the program's revocation is in force", func() bool { return !subject.allows(key) })
}

// If the server permits no further connection, changes are polled.
func TestAChangeIsPolledIfNoneCanListen(t *testing.T) {
	ctx := context.Background()
	source, _ := startPostgres(t).database(t)
	openPostgres(t, source)
	for _, statement := range []string{
		"DO $$ BEGIN IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = 'onlyone') THEN CREATE ROLE onlyone LOGIN CONNECTION LIMIT 1; END IF; END $$",
		"GRANT ALL ON ALL TABLES IN SCHEMA public TO onlyone",
		"GRANT ALL ON ALL SEQUENCES IN SCHEMA public TO onlyone",
	} {
		if _, err := pgxHandle(t, source, 1).Exec(statement); err != nil {
			t.Fatal(err)
		}
	}
	store := keystilepgx.PostgreSQL(pgxHandle(t, strings.Replace(source, "user=keystile", "user=onlyone", 1), 1))
	_ = must[uint64](t)(store.LastEvent(ctx))
	if err := store.Listen(ctx, func() { t.Error("it cannot listen") }); err == nil || !strings.Contains(err.Error(), "too many connections") {
		t.Fatal(err)
	}
	var log lockedLog
	logger := slog.New(slog.NewTextHandler(&log, nil))
	subject := newListening(t, source, store, keystile.Options{PollInterval: 20 * time.Millisecond, Logger: logger})
	key := subject.revokes()
	eventually(t, "the revocation is in force", func() bool { return !subject.allows(key) })
	eventually(t, "the log says that it does not listen", func() bool { return strings.Contains(log.text(), "cannot listen") })
}

// A handle of another driver is an error, and no more.
func TestOnlyPgxCanListen(t *testing.T) {
	db := must[*sql.DB](t)(sql.Open("sqlite", ":memory:"))
	defer db.Close()
	if err := keystilepgx.PostgreSQL(db).Listen(context.Background(), func() {}); err == nil || !strings.Contains(err.Error(), "stdlib") {
		t.Error(err)
	}
}

// lockedLog is a buffer that goroutines share.
type lockedLog struct {
	mutex  sync.Mutex
	buffer bytes.Buffer
}

func (l *lockedLog) Write(text []byte) (int, error) {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.buffer.Write(text)
}

func (l *lockedLog) text() string {
	l.mutex.Lock()
	defer l.mutex.Unlock()
	return l.buffer.String()
}
