package keystilesql

import (
	"errors"
	"fmt"
	"strings"

	keystile "github.com/keystile/keystile/bindings/go"
)

// The drivers' errors are told apart by what they say of themselves, so that none of them
// has to be linked.

// sqliteConstraint is the primary result code of a violated constraint, and the others are
// its extended ones.
const (
	sqliteConstraint        = 19
	sqliteConstraintPrimary = 1555
	sqliteConstraintUnique  = 2067
	sqliteConstraintTrigger = 1811
)

// sqliteCode is the extended result code, 0 where the error is not SQLite's.
func sqliteCode(err error) int {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return 0
}

// sqlState is PostgreSQL's code, empty where the error is not its.
func sqlState(err error) string {
	var stated interface{ SQLState() string }
	if errors.As(err, &stated) {
		return stated.SQLState()
	}
	return ""
}

// isDuplicate says whether an id or a digest is another row's.
func isDuplicate(err error) bool {
	if err == nil {
		return false
	}
	code := sqliteCode(err)
	return sqlState(err) == "23505" || code == sqliteConstraintUnique || code == sqliteConstraintPrimary ||
		(code == 0 && strings.Contains(err.Error(), "UNIQUE constraint failed"))
}

// isConstraint says whether any constraint of SQLite was violated.
func isConstraint(err error) bool {
	return err != nil && (sqliteCode(err)&0xff == sqliteConstraint || strings.Contains(err.Error(), "constraint failed") || isGuarded(err))
}

// isGuarded says whether a guard of 0002_guards.sql refused it.
func isGuarded(err error) bool {
	if err == nil {
		return false
	}
	state := sqlState(err)
	return state == "KS001" || state == "KS002" || sqliteCode(err) == sqliteConstraintTrigger ||
		strings.Contains(err.Error(), "a revoked or suspended key is not made active by this") ||
		strings.Contains(err.Error(), "a version never goes back")
}

// isPassing says whether PostgreSQL undid it only because others were in the way.
func isPassing(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

// unavailable wraps an error of the database; the store's own pass through.
func unavailable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keystile.ErrStale), errors.Is(err, keystile.ErrDuplicate),
		errors.Is(err, keystile.ErrNotFound), errors.Is(err, keystile.ErrCorrupt),
		errors.Is(err, keystile.ErrOutOfRange), errors.Is(err, keystile.ErrStoreUnavailable):
		return err
	}
	return fmt.Errorf("%w: %w", keystile.ErrStoreUnavailable, err)
}
