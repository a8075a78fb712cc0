package keystilesql

import (
	"context"
	"fmt"
	"strings"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var _ keystile.DerivedLister = (*Store)(nil)

// sources are the lineages that the lineage of the first parameter is the source of, and itself.
// It is taken from the table and not from the parameter: PostgreSQL wants the same collation.
const sources = "WITH RECURSIVE sources (lineage) AS (SELECT u.lineage FROM api_key_usage u" +
	" WHERE u.lineage = $1::text UNION SELECT k.lineage FROM api_keys k" +
	" JOIN sources s ON k.derived_lineage = s.lineage) "

// derivedKeys and derivedVersions are sums over derivedRows: also of ended keys, and of revoked
// ones, so that they only grow, and no change cancels another.
const (
	derivedKeys     = "CAST(count(*) AS BIGINT)"
	derivedVersions = "CAST(coalesce(sum(CAST(k.version AS BIGINT)), 0) AS BIGINT)"
	derivedRows     = "FROM api_keys k JOIN sources s ON k.derived_lineage = s.lineage"
)

// Derived returns every key that derives from a lineage, is not revoked and has not ended before
// an instant.
func (s *Store) Derived(ctx context.Context, lineage keystile.KeyID, since time.Time) (keystile.Listed, error) {
	if err := s.made(); err != nil {
		return keystile.Listed{}, err
	}
	where := "JOIN sources s ON s.lineage = k.derived_lineage WHERE k.status <> 'revoked'"
	for _, end := range []string{"expires_at", "overlap_until"} {
		where += " AND " + strings.ReplaceAll(s.dialect.isLeft, "{end}", "k."+end)
	}
	return s.listed(ctx, sources+s.dialect.records()+where+" ORDER BY k."+s.dialect.rowID, lineage.String(), since.UnixMilli())
}

// DerivedState returns how many keys derive from the lineage of source, and the sum of their
// versions.
func (s *Store) DerivedState(ctx context.Context, source *keystile.Record) (keystile.DerivedState, error) {
	if err := s.made(); err != nil {
		return keystile.DerivedState{}, err
	}
	state := keystile.DerivedStateOf(source)
	found, err := s.cells(ctx, s.db, sources+"SELECT "+derivedKeys+" AS row, "+derivedVersions+" AS versions "+derivedRows, state.Lineage.String())
	if err != nil || len(found) == 0 {
		return state, err
	}
	versions, err := found[0].number("versions")
	state.Keys, state.Versions = uint64(found[0].row), uint64(versions)
	return state, err
}

// takeUses takes uses off what lineages have left.
func (s *Store) takeUses(ctx context.Context, tx execer, all []keystile.TakenUses) error {
	for _, taken := range all {
		err := oneUpdated(s.exec(ctx, tx, "UPDATE api_key_usage SET remaining_uses = remaining_uses - $2::bigint"+
			" WHERE lineage = $1::text AND remaining_uses >= $2::bigint", taken.Lineage.String(), int64(taken.Uses)))
		if err != nil {
			return err
		}
	}
	return nil
}

// relyOn locks a row: two batches of which one changes it and the other relies on it wait for each
// other.
func (s *Store) relyOn(ctx context.Context, tx execer, one keystile.KeyVersion) error {
	return oneUpdated(s.exec(ctx, tx, "UPDATE api_keys SET version = version WHERE key_id = $1::text AND version = $2::bigint",
		one.KeyID.String(), int64(one.Version)))
}

// remove deletes a row.
func (s *Store) remove(ctx context.Context, tx execer, one keystile.KeyVersion) error {
	return oneUpdated(s.exec(ctx, tx, "DELETE FROM api_keys WHERE key_id = $1::text AND version = $2::bigint - 1",
		one.KeyID.String(), int64(one.Version)))
}

// checkDerived fails unless the keys that derive from lineages are still those.
func (s *Store) checkDerived(ctx context.Context, tx execer, all []keystile.DerivedState) error {
	for _, state := range all {
		sums := fmt.Sprintf("%d,%d", state.Keys, state.Versions)
		err := oneUpdated(s.exec(ctx, tx, sources+"UPDATE api_keys SET version = version WHERE key_id = $3::text AND $2::text ="+
			" (SELECT CAST("+derivedKeys+" AS TEXT) || ',' || CAST("+derivedVersions+" AS TEXT) "+derivedRows+")",
			state.Lineage.String(), sums, state.KeyID.String()))
		if err != nil {
			return err
		}
	}
	return nil
}
