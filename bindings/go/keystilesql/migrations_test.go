package keystilesql_test

import (
	"context"
	"database/sql"
	"errors"
	"os"
	"path/filepath"
	"testing"

	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// The files here are copies of those that the Rust store runs.
func TestTheMigrationsAreThoseOfTheRustStore(t *testing.T) {
	for _, folder := range []string{"sqlite", "postgres"} {
		const origin = "../../../adapters/store/migrations"
		originals, err := filepath.Glob(filepath.Join(origin, folder, "*.sql"))
		if err != nil || len(originals) == 0 {
			t.Fatal(err, len(originals))
		}
		copies, _ := filepath.Glob(filepath.Join("migrations", folder, "*.sql"))
		if len(copies) != len(originals) {
			t.Errorf("%s: %d files for %d; run `cargo xtask go-lib`", folder, len(copies), len(originals))
		}
		for _, file := range originals {
			own, err := os.ReadFile(filepath.Join("migrations", folder, filepath.Base(file)))
			if err != nil {
				t.Error(err)
				continue
			}
			if original, err := os.ReadFile(file); err != nil || string(original) != string(own) {
				t.Errorf("%s differs; run `cargo xtask go-lib`", file)
			}
		}
	}
}

func TestMigratingTwiceIsMigratingOnce(t *testing.T) {
	ctx := context.Background()
	store := openSQLite(t, filepath.Join(t.TempDir(), "keys.db"))
	if count, err := store.Migrate(ctx); count != 0 || err != nil {
		t.Errorf("%d, %v", count, err)
	}
}

func TestNewerTablesAreNotTouched(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "keys.db")
	store := openSQLite(t, path)
	db, err := sql.Open("sqlite", keystilesql.SQLiteDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "INSERT INTO keystile_migrations (version, name) VALUES (99, 'of the future')"); err != nil {
		t.Fatal(err)
	}
	if _, err := store.Migrate(ctx); err == nil {
		t.Error("tables of another version")
	}
}

// The table of the Express recipe is left as it is. When it is adopted, its keys verify.
func TestTheExpressRecipesTableIsAdoptedOnlyIfThatIsAskedFor(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "keys.db")
	db, err := sql.Open("sqlite", keystilesql.SQLiteDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	// The keys are "dt_" and 64 times the digit 0, 1 or 2, with SHA-256 as in the recipe.
	for _, statement := range []string{
		`CREATE TABLE api_keys (id INTEGER PRIMARY KEY AUTOINCREMENT, key_hash VARCHAR(64) NOT NULL UNIQUE,
		 key_prefix VARCHAR(10) NOT NULL, client_name VARCHAR(255) NOT NULL, client_email VARCHAR(255),
		 permissions JSONB NOT NULL DEFAULT '[]', created_at TIMESTAMP WITH TIME ZONE DEFAULT CURRENT_TIMESTAMP,
		 last_used_at TIMESTAMP WITH TIME ZONE, expires_at TIMESTAMP WITH TIME ZONE, is_active BOOLEAN DEFAULT TRUE,
		 rate_limit INTEGER DEFAULT 1000, metadata JSONB DEFAULT '{}')`,
		"INSERT INTO api_keys (key_hash, key_prefix, client_name, permissions) VALUES ('" + sha256Of("0") + `', 'dt_0000000', 'Old Ltd', '["read"]')`,
		"INSERT INTO api_keys (key_hash, key_prefix, client_name, is_active) VALUES ('" + sha256Of("1") + "', 'dt_1111111', 'Gone Ltd', 0)",
		"INSERT INTO api_keys (key_hash, key_prefix, client_name, expires_at) VALUES ('" + sha256Of("2") + "', 'dt_2222222', 'Late Ltd', '2020-01-01 00:00:00')",
	} {
		if _, err := db.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	store := keystilesql.SQLite(db)
	if count, err := store.Migrate(ctx); count != 0 || !errors.Is(err, keystilesql.ErrNotAdopted) {
		t.Errorf("%d, %v", count, err)
	}
	if err := store.RequireTables(ctx); !errors.Is(err, keystilesql.ErrNotAdopted) {
		t.Error(err)
	}
	var columns int
	if err := db.QueryRowContext(ctx, "SELECT count(*) FROM pragma_table_info('api_keys')").Scan(&columns); columns != 12 || err != nil {
		t.Errorf("%d columns, %v", columns, err)
	}
	for version, name := range []string{"0001_tables", "0002_guards", "0003_changes"} {
		if err := store.RequireTables(ctx); version > 0 && !errors.Is(err, keystilesql.ErrTablesOld) {
			t.Errorf("version %d: %v", version, err)
		}
		text, err := os.ReadFile(filepath.Join("migrations", "sqlite", name+".sql"))
		if err != nil {
			t.Fatal(err)
		}
		if _, err := db.ExecContext(ctx, string(text)); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.RequireTables(ctx); err != nil {
		t.Error(err)
	}
	expectAdopted(t, store)
}

// Tables are created beside those of an application, if that is asked for.
func TestRequiringTablesCreatesNone(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "keys.db")
	db, err := sql.Open("sqlite", keystilesql.SQLiteDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	if _, err := db.ExecContext(ctx, "CREATE TABLE users (id INTEGER)"); err != nil {
		t.Fatal(err)
	}
	store := keystilesql.SQLite(db)
	for range 2 {
		if err := store.RequireTables(ctx); !errors.Is(err, keystilesql.ErrTablesMissing) {
			t.Error(err)
		}
	}
	if count, err := store.Migrate(ctx); count != 3 || err != nil {
		t.Errorf("%d, %v", count, err)
	}
	if err := store.RequireTables(ctx); err != nil {
		t.Error(err)
	}
}
