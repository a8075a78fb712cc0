package keystilesql

import (
	"context"
	"fmt"
	"io/fs"
	"path"

	keystile "github.com/keystile/keystile/bindings/go"
)

// Migrate makes the tables, or brings them up to date, and answers how many files that took.
// Each file is one transaction, and notes its own number, so that it does not matter which
// program ran it. Programs that start together take turns. It fails where a step fails,
// which then leaves nothing behind, and where the tables are newer than this program.
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
				return fmt.Errorf("%w: the tables are of version %d, and this program knows them up to %d",
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

// version is the number of the last file that was run, 0 where none was.
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
