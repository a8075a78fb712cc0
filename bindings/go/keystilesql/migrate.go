package keystilesql

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"

	keystile "github.com/keystile/keystile/bindings/go"
)

// Errors of tables that cannot be used. Compare with [errors.Is].
var (
	// ErrNotAdopted means that the table "api_keys" is an application's, and is not adopted,
	// or not entirely. The program keystile adopts it: `keystile migrate`.
	ErrNotAdopted = errors.New("keystile: the table api_keys is not adopted; run keystile migrate")
	// ErrTablesMissing means that the database has no tables of keystile.
	ErrTablesMissing = errors.New("keystile: the database has no tables of keystile")
	// ErrTablesOld means that the tables are of an earlier version.
	ErrTablesOld = errors.New("keystile: the tables are of an earlier version")
)

// Migrate creates the tables, or migrates them to the current version, in one transaction, and
// returns how many files it ran. Each file records its own number, so it does not matter which
// program ran it. Programs that start together take turns. The tables may be beside an
// application's other tables.
//
// It never adopts a table "api_keys" that is not keystile's: that is [ErrNotAdopted], and the
// program keystile does it. Migrate also fails if a step fails, which then changes nothing, and
// if the tables are newer than this program.
func (s *Store) Migrate(ctx context.Context) (int, error) {
	if err := s.made(); err != nil {
		return 0, err
	}
	files, err := fs.Glob(s.dialect.files, path.Join(s.dialect.folder, "*.sql"))
	if err != nil {
		return 0, err
	}
	count := 0
	err = s.write(ctx, func(tx execer) error {
		if s.dialect.lock != "" {
			if _, err := tx.ExecContext(ctx, s.dialect.lock); err != nil {
				return err
			}
		}
		last, err := s.version(ctx, tx)
		if err != nil {
			return err
		}
		if last > len(files) {
			return newer(last, len(files))
		}
		if last == 0 {
			if err := s.withoutKeys(ctx, tx); err != nil {
				return err
			}
		}
		for _, file := range files[last:] {
			text, err := fs.ReadFile(s.dialect.files, file)
			if err != nil {
				return err
			}
			if _, err := tx.ExecContext(ctx, string(text)); err != nil {
				return err
			}
		}
		count = len(files) - last
		return nil
	})
	if err != nil {
		return 0, err
	}
	return count, nil
}

// RequireTables fails unless the tables exist and have the current version. It creates and
// changes nothing: a service with a wrong data source should not start with an empty store.
func (s *Store) RequireTables(ctx context.Context) error {
	if err := s.made(); err != nil {
		return err
	}
	files, err := fs.Glob(s.dialect.files, path.Join(s.dialect.folder, "*.sql"))
	if err != nil {
		return err
	}
	// Before the version: another program may create the tables in between.
	foreign := s.withoutKeys(ctx, s.db)
	last, err := s.version(ctx, s.db)
	switch {
	case err != nil:
		return unavailable(err)
	case last > len(files):
		return newer(last, len(files))
	case last == len(files):
		return nil
	case last > 0:
		return ErrTablesOld
	case foreign != nil:
		return unavailable(foreign)
	}
	return ErrTablesMissing
}

func newer(last, known int) error {
	return fmt.Errorf("%w: the tables have version %d, and this program supports versions up to %d",
		keystile.ErrStoreUnavailable, last, known)
}

// withoutKeys fails if there is a table api_keys: without a version, it is not keystile's.
func (s *Store) withoutKeys(ctx context.Context, from querier) error {
	found, err := s.cells(ctx, from, s.dialect.hasKeys)
	if err != nil {
		return err
	}
	if len(found) > 0 && found[0].row != 0 {
		return ErrNotAdopted
	}
	return nil
}

// version returns the number of the last file that was run; 0 if there is none.
func (s *Store) version(ctx context.Context, from querier) (int, error) {
	found, err := s.cells(ctx, from, s.dialect.hasTable)
	if err != nil || len(found) == 0 || found[0].row == 0 {
		return 0, err
	}
	found, err = s.cells(ctx, from, "SELECT coalesce(max(version), 0) AS row FROM keystile_migrations")
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return int(found[0].row), nil
}
