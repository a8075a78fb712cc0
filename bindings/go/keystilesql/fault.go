package keystilesql

import (
	"errors"
	"strings"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/internal/oneline"
)

// Errors of drivers are recognised by their methods, so that no driver needs to be linked.

// sqliteConstraint is the primary result code of a violated constraint; the others are its
// extended codes.
const (
	sqliteConstraint        = 19
	sqliteConstraintPrimary = 1555
	sqliteConstraintUnique  = 2067
	sqliteConstraintTrigger = 1811
)

// sqliteCode returns the extended result code; 0 if the error is not SQLite's.
func sqliteCode(err error) int {
	var coded interface{ Code() int }
	if errors.As(err, &coded) {
		return coded.Code()
	}
	return 0
}

// sqlState returns PostgreSQL's code; "" if the error is not PostgreSQL's.
func sqlState(err error) string {
	var stated interface{ SQLState() string }
	if errors.As(err, &stated) {
		return stated.SQLState()
	}
	return ""
}

// isDuplicate reports whether another row has the same id or digest.
func isDuplicate(err error) bool {
	if err == nil {
		return false
	}
	code := sqliteCode(err)
	return sqlState(err) == "23505" || code == sqliteConstraintUnique || code == sqliteConstraintPrimary ||
		(code == 0 && strings.Contains(err.Error(), "UNIQUE constraint failed"))
}

// isConstraint reports whether any constraint of SQLite was violated.
func isConstraint(err error) bool {
	return err != nil && (sqliteCode(err)&0xff == sqliteConstraint || strings.Contains(err.Error(), "constraint failed") || isGuarded(err))
}

// isGuarded reports whether a guard of 0002_guards.sql refused the change.
func isGuarded(err error) bool {
	if err == nil {
		return false
	}
	state := sqlState(err)
	return state == "KS001" || state == "KS002" || sqliteCode(err) == sqliteConstraintTrigger ||
		strings.Contains(err.Error(), "a revoked key must stay revoked, and is_active must be false unless status is active") ||
		strings.Contains(err.Error(), "version must not decrease")
}

// isPassing reports whether PostgreSQL undid the transaction only because of concurrent
// ones.
func isPassing(err error) bool {
	state := sqlState(err)
	return state == "40001" || state == "40P01"
}

// unavailable wraps an error of the database; errors of the store are returned as they are.
func unavailable(err error) error {
	switch {
	case err == nil:
		return nil
	case errors.Is(err, keystile.ErrStale), errors.Is(err, keystile.ErrDuplicate),
		errors.Is(err, keystile.ErrNotFound), errors.Is(err, keystile.ErrCorrupt),
		errors.Is(err, keystile.ErrOutOfRange), errors.Is(err, keystile.ErrWithoutEvent), errors.Is(err, keystile.ErrStoreUnavailable):
		return err
	}
	return oneline.Join(keystile.ErrStoreUnavailable, err)
}
