package keystilesql_test

import (
	"context"
	"database/sql"
	"path/filepath"
	"testing"

	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// compiling counts how often SQLite compiles a statement, and has those that it compiled to be kept.
type compiling struct {
	*sql.Conn
	executed int
	compiled []*sql.Stmt
}

func (c *compiling) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	c.executed++
	return c.Conn.ExecContext(ctx, query, args...)
}

func (c *compiling) PrepareContext(ctx context.Context, query string) (*sql.Stmt, error) {
	statement, err := c.Conn.PrepareContext(ctx, query)
	c.compiled = append(c.compiled, statement)
	return statement, err
}

// The first execution is of the text, the others are of what was compiled at the second one.
func TestAStatementThatComesAgainIsCompiledOnce(t *testing.T) {
	ctx := context.Background()
	db := must[*sql.DB](t)(sql.Open("sqlite", keystilesql.SQLiteDSN(filepath.Join(t.TempDir(), "keys.db"))))
	defer func() { _ = db.Close() }()
	connection := &compiling{Conn: must[*sql.Conn](t)(db.Conn(ctx))}
	defer func() { _ = connection.Close() }()
	if _, err := connection.Conn.ExecContext(ctx, "CREATE TABLE numbers (number INTEGER PRIMARY KEY)"); err != nil {
		t.Fatal(err)
	}
	insert := "INSERT INTO numbers VALUES ($1)"
	changed, err := keystilesql.ExecEach(ctx, connection, insert, 1, 2, 3, 4, 5)
	if err != nil || changed != 5 || connection.executed != 1 || len(connection.compiled) != 1 {
		t.Errorf("%v: %d rows, executed %d times, compiled %d times", err, changed, connection.executed, len(connection.compiled))
	}
	// One that fails is an error, and the ones after it are not executed.
	changed, err = keystilesql.ExecEach(ctx, connection, insert, 6, 7, 7, 8)
	if err == nil || changed != 2 {
		t.Errorf("%v: %d rows", err, changed)
	}
	var rows, last int
	if err := connection.QueryRowContext(ctx, "SELECT count(*), max(number) FROM numbers").Scan(&rows, &last); err != nil || rows != 7 || last != 7 {
		t.Errorf("%v: %d rows to %d", err, rows, last)
	}
	for _, statement := range connection.compiled {
		if _, err := statement.ExecContext(ctx, 9); err == nil {
			t.Error("a statement is still open after the transaction")
		}
	}
}
