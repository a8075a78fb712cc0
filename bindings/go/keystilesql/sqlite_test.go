package keystilesql_test

import (
	"context"
	"database/sql"
	"os"
	"path/filepath"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	"github.com/keystile/keystile/bindings/go/storetest"
	_ "modernc.org/sqlite"
)

// openSQLite returns a store on a file, with its tables.
func openSQLite(t *testing.T, path string) *keystilesql.Store {
	t.Helper()
	db, err := sql.Open("sqlite", keystilesql.SQLiteDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = db.Close() })
	store := keystilesql.SQLite(db)
	if _, err := store.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	return store
}

func TestSQLiteIsALedger(t *testing.T) {
	storetest.Run(t, func(t *testing.T) keystile.Store {
		return openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
	})
}

func TestLimitsInSQLiteAreLimits(t *testing.T) {
	storetest.RunLimits(t, func(t *testing.T, keys keystile.Batch) keystile.Limits {
		store := openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
		if err := store.Commit(context.Background(), keys); err != nil {
			t.Fatal(err)
		}
		return keystile.NewStoredLimits(store)
	})
}

func TestSQLiteKeepsTemplates(t *testing.T) {
	storetest.RunTemplates(t, func(t *testing.T) keystile.TemplateStore {
		return openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
	})
}

func TestSQLiteMovesKeys(t *testing.T) {
	storetest.RunPortable(t, func(t *testing.T) keystile.PortableStore {
		return openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
	})
}

func TestSQLiteRemembersRequests(t *testing.T) {
	storetest.RunRequests(t, func(t *testing.T) keystile.RequestStore {
		return openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
	})
}

// A path is always that of a file, whatever its name is.
func TestAPathIsAFiles(t *testing.T) {
	for _, name := range []string{":memory:", "we?ird #1%20.db", "with space.db", "a&b=c.db", "ünï.db", "-x.db"} {
		folder := t.TempDir()
		openSQLite(t, filepath.Join(folder, name))
		if _, err := os.Stat(filepath.Join(folder, name)); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
	t.Chdir(t.TempDir())
	for _, name := range []string{":memory:", "keys.db", "folder%2Fkeys.db"} {
		openSQLite(t, name)
		if _, err := os.Stat(name); err != nil {
			t.Errorf("%q: %v", name, err)
		}
	}
}
