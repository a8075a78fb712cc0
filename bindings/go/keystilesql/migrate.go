package keystilesql

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	keystile "github.com/keystile/keystile/bindings/go"
)

// Migrate creates the tables, or migrates them to the current version, and returns how many
// files it ran. Each file is one transaction and records its own number, so it does not
// matter which program ran it. Programs that start together take turns. Migrate fails if a
// step fails, which then changes nothing, and if the tables are newer than this program.
func (s *Store) Migrate(ctx context.Context) (int, error) {
	files, err := fs.Glob(s.dialect.files, path.Join(s.dialect.folder, "*.sql"))
	if err != nil {
		return 0, err
	}
	for count := 0; ; count++ {
		done := true
		err := s.write(ctx, func(tx execer) error {
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
				return fmt.Errorf("%w: the tables have version %d, and this program supports versions up to %d",
					keystile.ErrStoreUnavailable, last, len(files))
			}
			if done = last == len(files); done {
				return nil
			}
			text, err := fs.ReadFile(s.dialect.files, files[last])
			if err != nil {
				return err
			}
			_, err = tx.ExecContext(ctx, string(text))
			return err
		})
		if err != nil || done {
			return count, err
		}
	}
}

// version returns the number of the last file that was run; 0 if there is none.
func (s *Store) version(ctx context.Context, tx execer) (int, error) {
	found, err := s.cells(ctx, tx, s.dialect.hasTable)
	if err != nil || len(found) == 0 || found[0].row == 0 {
		return 0, err
	}
	found, err = s.cells(ctx, tx, "SELECT coalesce(max(version), 0) AS row FROM keystile_migrations")
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return int(found[0].row), nil
}
