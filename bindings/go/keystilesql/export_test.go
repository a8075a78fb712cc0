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
