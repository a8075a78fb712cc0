package keystilesql

import (
	"context"

	keystile "github.com/keystile/keystile/bindings/go"
)

// For tests of package keystilesql_test.
var ReadInstant = readInstant

// FindIn looks a record up in a transaction of SQLite.
func FindIn(ctx context.Context, from querier, lookup keystile.Lookup) (*keystile.Record, error) {
	return first((&Store{nil, &sqlite}).records(ctx, from, "WHERE k.key_id = $1::text", lookup.KeyID.String()))
}

// ExecEach executes a statement of SQLite with each of the values, as one transaction does, and
// returns how many rows it changed.
func ExecEach(ctx context.Context, on preparer, statement string, values ...int) (changed int64, err error) {
	err = (&Store{nil, &sqlite}).prepared(on, func(tx execer) error {
		for _, value := range values {
			result, err := tx.ExecContext(ctx, statement, value)
			if err != nil {
				return err
			}
			rows, err := result.RowsAffected()
			if changed += rows; err != nil {
				return err
			}
		}
		return nil
	})
	return changed, err
}
