package keystilesql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"net/url"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	_ "github.com/jackc/pgx/v5/stdlib"
	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	"github.com/keystile/keystile/bindings/go/storetest"
)

// server is a temporary PostgreSQL server on a socket in a separate folder.
type server struct {
	folder, programs string
	as               *syscall.Credential
	running          *exec.Cmd
	guard            io.Closer
	databases        atomic.Int64
}

var postgresServer struct {
	once sync.Once
	own  *server
	err  error
}

func TestMain(m *testing.M) {
	code := m.Run()
	if own := postgresServer.own; own != nil {
		own.stop()
	}
	os.Exit(code)
}

// startPostgres returns the one server of this test run. If PostgreSQL is not installed,
// the test is skipped, unless KEYSTILE_REQUIRE_POSTGRES is set.
func startPostgres(t *testing.T) *server {
	t.Helper()
	programs := postgresPrograms()
	if programs == "" {
		if os.Getenv("KEYSTILE_REQUIRE_POSTGRES") != "" {
			t.Fatal("PostgreSQL is not installed; try `apt install postgresql`")
		}
		t.Skip("PostgreSQL is not installed; try `apt install postgresql`")
	}
	postgresServer.once.Do(func() { postgresServer.own, postgresServer.err = start(programs) })
	if postgresServer.err != nil {
		t.Fatal(postgresServer.err)
	}
	return postgresServer.own
}

func postgresPrograms() string {
	places, _ := filepath.Glob("/usr/lib/postgresql/*/bin")
	if found, err := exec.LookPath("initdb"); err == nil {
		places = append(places, filepath.Dir(found))
	}
	for at := len(places) - 1; at >= 0; at-- {
		complete := true
		for _, program := range []string{"initdb", "postgres", "pg_isready", "createdb"} {
			_, err := os.Stat(filepath.Join(places[at], program))
			complete = complete && err == nil
		}
		if complete {
			return places[at]
		}
	}
	return ""
}

func start(programs string) (*server, error) {
	folder, err := os.MkdirTemp("", "keystile-go-postgres")
	if err != nil {
		return nil, err
	}
	own := &server{folder: folder, programs: programs}
	if os.Getuid() == 0 {
		// PostgreSQL refuses to run as root.
		servant, err := user.Lookup("postgres")
		if err != nil {
			if servant, err = user.Lookup("nobody"); err != nil {
				return nil, err
			}
		}
		uid, _ := strconv.ParseUint(servant.Uid, 10, 32)
		gid, _ := strconv.ParseUint(servant.Gid, 10, 32)
		own.as = &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
		if err := os.Chown(folder, int(uid), int(gid)); err != nil {
			return nil, err
		}
	}
	if out, err := own.command("initdb", "-D", "data", "-U", "keystile", "-A", "trust", "-E", "UTF8", "--locale=C", "-N", "--no-instructions").CombinedOutput(); err != nil {
		return nil, fmt.Errorf("initdb: %w: %s", err, out)
	}
	// The server ends when this process does, in any way: then the pipe is closed.
	const guard = `"$0" "$@" & server=$!; read -r _; kill -INT $server; wait`
	own.running = own.command("sh", "-c", guard, filepath.Join(programs, "postgres"), "-D", "data", "-k", folder, "-c", "listen_addresses=", "-c", "fsync=off",
		"-c", "max_connections=200", "-c", "shared_buffers=16MB", "-c", "deadlock_timeout=200ms")
	own.running.Path, own.running.Err = "/bin/sh", nil
	if own.guard, err = own.running.StdinPipe(); err != nil {
		return nil, err
	}
	if err := own.running.Start(); err != nil {
		return nil, err
	}
	for range 600 {
		if own.command("pg_isready", "-q", "-h", folder).Run() == nil {
			return own, nil
		}
		time.Sleep(50 * time.Millisecond)
	}
	own.stop()
	return nil, fmt.Errorf("the PostgreSQL server does not answer")
}

func (s *server) command(program string, words ...string) *exec.Cmd {
	own := exec.Command(filepath.Join(s.programs, program), words...)
	own.Dir = s.folder
	own.SysProcAttr = &syscall.SysProcAttr{Credential: s.as}
	return own
}

func (s *server) stop() {
	if s.running != nil && s.running.Process != nil {
		_ = s.guard.Close()
		_ = s.running.Wait()
	}
	_ = os.RemoveAll(s.folder)
}

// database creates an empty database, and returns its address for Go's driver and for the
// Rust program.
func (s *server) database(t *testing.T) (source, at string) {
	t.Helper()
	name := fmt.Sprintf("keys%d", s.databases.Add(1))
	if out, err := s.command("createdb", "-h", s.folder, "-U", "keystile", name).CombinedOutput(); err != nil {
		t.Fatalf("createdb: %v: %s", err, out)
	}
	return "user=keystile host=" + s.folder + " dbname=" + name, "postgres://keystile@" + url.QueryEscape(s.folder) + "/" + name
}

func openPostgres(t *testing.T, source string) *keystilesql.Store {
	t.Helper()
	db, err := sql.Open("pgx", source)
	if err != nil {
		t.Fatal(err)
	}
	db.SetMaxOpenConns(20)
	t.Cleanup(func() { _ = db.Close() })
	store := keystilesql.PostgreSQL(db)
	if _, err := store.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return store
}

func TestAnApplicationsTableIsLeftAloneOnPostgreSQL(t *testing.T) {
	ctx := context.Background()
	source, _ := startPostgres(t).database(t)
	db, err := sql.Open("pgx", source)
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	store := keystilesql.PostgreSQL(db)
	if err := store.RequireTables(ctx); !errors.Is(err, keystilesql.ErrTablesMissing) {
		t.Error(err)
	}
	if _, err := db.ExecContext(ctx, "CREATE TABLE api_keys (key_hash TEXT)"); err != nil {
		t.Fatal(err)
	}
	if count, err := store.Migrate(ctx); count != 0 || !errors.Is(err, keystilesql.ErrNotAdopted) {
		t.Errorf("%d, %v", count, err)
	}
	if err := store.RequireTables(ctx); !errors.Is(err, keystilesql.ErrNotAdopted) {
		t.Error(err)
	}
}

func TestPostgreSQLIsALedger(t *testing.T) {
	server := startPostgres(t)
	storetest.Run(t, func(t *testing.T) keystile.Store {
		source, _ := server.database(t)
		return openPostgres(t, source)
	})
}

func TestLimitsInPostgreSQLAreLimits(t *testing.T) {
	server := startPostgres(t)
	storetest.RunLimits(t, func(t *testing.T, keys keystile.Batch) keystile.Limits {
		source, _ := server.database(t)
		store := openPostgres(t, source)
		if err := store.Commit(context.Background(), keys); err != nil {
			t.Fatal(err)
		}
		return keystile.NewStoredLimits(store)
	})
}

func TestPostgreSQLKeepsTemplates(t *testing.T) {
	server := startPostgres(t)
	storetest.RunTemplates(t, func(t *testing.T) keystile.TemplateStore {
		source, _ := server.database(t)
		return openPostgres(t, source)
	})
}

func TestPostgreSQLMovesKeys(t *testing.T) {
	server := startPostgres(t)
	storetest.RunPortable(t, func(t *testing.T) keystile.PortableStore {
		source, _ := server.database(t)
		return openPostgres(t, source)
	})
}

func TestPostgreSQLRemembersRequests(t *testing.T) {
	server := startPostgres(t)
	storetest.RunRequests(t, func(t *testing.T) keystile.RequestStore {
		source, _ := server.database(t)
		return openPostgres(t, source)
	})
}

func TestTemplatesOfTheRustProgramAreReadInGoOnPostgreSQL(t *testing.T) {
	source, at := startPostgres(t).database(t)
	templatesBothWays(t, at, openPostgres(t, source))
}

func TestAKeyOfTheRustProgramVerifiesInGoOnPostgreSQL(t *testing.T) {
	server := startPostgres(t)
	source, at := server.database(t)
	bothWays(t, at, func(t *testing.T) keystile.Store { return openPostgres(t, source) })
}

func TestChangesByOtherCodeAreHeardOnPostgreSQL(t *testing.T) {
	source, _ := startPostgres(t).database(t)
	other, err := sql.Open("pgx", source)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	replicated := "SET session_replication_role = replica; UPDATE api_keys SET permissions = '[]' WHERE key_id = '%s'; RESET session_replication_role"
	heard(t, openPostgres(t, source), other, append([]string{replicated}, deniedBy...))
}
