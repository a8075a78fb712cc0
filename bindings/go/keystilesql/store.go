// Package keystilesql stores keys in SQLite or PostgreSQL, over database/sql and a driver
// of your choice.
//
// The tables are the same as for keystile in other languages: a key that the program
// keystile, or a Rust or C service, issued verifies here on the same database, and vice
// versa. The numbered files in the folder migrations create them; run [Store.Migrate], or
// any other program that runs SQL files. A service that must not create tables calls
// [Store.RequireTables]. An existing table "api_keys" of an application is adopted by the
// program keystile, with `keystile migrate`, and never by this package.
//
//	db, err := sql.Open("sqlite", keystilesql.SQLiteDSN("keys.db")) // modernc.org/sqlite
//	store := keystilesql.SQLite(db)
//	_, err = store.Migrate(ctx)
//
// It is tested with modernc.org/sqlite and with the stdlib driver of jackc/pgx.
package keystilesql

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"math"
	"net/url"
	"path/filepath"
	"strings"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/internal/oneline"
)

// Store is a [keystile.Store] in a SQL database. Any number of goroutines and processes may
// use one database at once.
//
// An acknowledged change is on the disk, if the database is configured for that; see
// [SQLiteDSN]. Errors of the database are wrapped; their text contains no part of a key.
type Store struct {
	db      *sql.DB
	dialect *dialect
}

var _ keystile.Store = (*Store)(nil)

// SQLite returns a store in a SQLite database, 3.39 or later. The caller closes the handle.
func SQLite(db *sql.DB) *Store { return &Store{db, &sqlite} }

// PostgreSQL returns a store in a PostgreSQL database, 13 or later, in the schema in which
// tables are created, the first of search_path. The caller closes the handle.
func PostgreSQL(db *sql.DB) *Store { return &Store{db, &postgres} }

// made returns an error if the store is nil, or has no database.
func (s *Store) made() error {
	if s == nil || s.db == nil {
		return fmt.Errorf("keystilesql: %w: Store", keystile.ErrUninitialized)
	}
	return nil
}

// SQLiteDSN returns a data source name for the driver modernc.org/sqlite: the file at the
// path, with a write-ahead log. Writers wait up to 5 seconds for one another, and
// acknowledged changes survive a loss of power.
func SQLiteDSN(path string) string {
	if !filepath.IsAbs(path) {
		// Otherwise SQLite would not treat the name ":memory:" as a file.
		path = "./" + path
	}
	file := url.URL{Scheme: "file", Opaque: url.PathEscape(path)}
	// The driver recognises slashes, which need no escape.
	file.Opaque = strings.ReplaceAll(file.Opaque, "%2F", "/")
	pragmas := []string{"busy_timeout(5000)", "journal_mode(wal)", "synchronous(full)", "foreign_keys(1)"}
	file.RawQuery = url.Values{"_pragma": pragmas}.Encode()
	return file.String()
}

// Find returns the record that a lookup names, or nil.
func (s *Store) Find(ctx context.Context, lookup keystile.Lookup) (*keystile.Record, error) {
	if err := s.made(); err != nil {
		return nil, err
	}
	if !lookup.KeyID.IsZero() {
		return first(s.records(ctx, s.db, "WHERE k.key_id = $1::text", lookup.KeyID.String()))
	}
	for _, digest := range lookup.Digests {
		// Compare again: the pepper is a separate column, and an adopted column may compare
		// without regard to case.
		record, err := first(s.records(ctx, s.db, "WHERE k.key_hash = $1::text", hashOf(digest)))
		if err != nil {
			return nil, err
		}
		if record != nil && record.Digest.Equal(digest) {
			return record, nil
		}
	}
	return nil, nil
}

// Lineage returns every record of a lineage, the oldest first.
func (s *Store) Lineage(ctx context.Context, lineage keystile.KeyID) (keystile.Listed, error) {
	if err := s.made(); err != nil {
		return keystile.Listed{}, err
	}
	where := "WHERE k.lineage = $1::text ORDER BY k." + s.dialect.rowID
	return s.listed(ctx, s.dialect.records()+where, lineage.String())
}

// listed returns the records of a query, and its damaged rows.
func (s *Store) listed(ctx context.Context, query string, params ...any) (keystile.Listed, error) {
	var listed keystile.Listed
	rows, err := s.cells(ctx, s.db, query, params...)
	if err != nil {
		return listed, err
	}
	for at := range rows {
		record, err := rows[at].record()
		if err := add(&listed, record, err); err != nil {
			return keystile.Listed{}, err
		}
	}
	return listed, nil
}

// Usage returns what a lineage has spent, and the server's clock in PostgreSQL.
func (s *Store) Usage(ctx context.Context, lineage keystile.KeyID) (keystile.StoredUsage, error) {
	if err := s.made(); err != nil {
		return keystile.StoredUsage{}, err
	}
	// The outer join has a row with the clock in any case.
	found, err := s.cells(ctx, s.db, "SELECT 0 AS row, "+s.dialect.clock+" AS clock, coalesce(rate_state, 0) AS rate_state, remaining_uses"+
		" FROM (SELECT $1::text AS asked) AS a LEFT JOIN api_key_usage ON lineage = asked", lineage.String())
	if err != nil || len(found) == 0 {
		return keystile.StoredUsage{}, err
	}
	return found[0].usage()
}

// Spend writes usage back if it has not changed since the decision.
func (s *Store) Spend(ctx context.Context, request keystile.SpendRequest) (bool, error) {
	if err := s.made(); err != nil {
		return false, err
	}
	version, before, after, err := spent(request)
	if err != nil {
		return false, err
	}
	is := s.dialect.is
	sql := "UPDATE api_key_usage SET rate_state = $4::bigint, remaining_uses = $6::bigint" +
		" WHERE lineage = $1::text AND rate_state = $3::bigint AND remaining_uses " + is + " $5::bigint" +
		" AND EXISTS (SELECT 1 FROM api_keys k WHERE k.key_id = $2::text AND k.version = $7::bigint AND k.lineage = $1::text)"
	params := []any{request.Lineage.String(), request.KeyID.String(), int64(request.Before.Rate),
		int64(request.After.Rate), before, after, version}
	written := false
	err = s.write(ctx, func(tx execer) error {
		count, err := s.exec(ctx, tx, sql, params...)
		written = count == 1
		return err
	})
	return written && err == nil, err
}

// Events returns events in the order in which they were written.
func (s *Store) Events(ctx context.Context, key keystile.KeyID, after uint64, limit int) ([]keystile.NumberedEvent, error) {
	if err := s.made(); err != nil {
		return nil, err
	}
	if after > math.MaxInt64 {
		// No event has a number above this one.
		return nil, nil
	}
	where, params := "", []any{int64(after), limited(limit)}
	if !key.IsZero() {
		where = " AND (key_id = $3::text OR successor = $3::text)"
		params = append(params, key.String())
	}
	return s.eventsWhere(ctx, where, params)
}

// eventsWhere returns a page of events with numbers above the first parameter, at most as many
// as the second one says.
func (s *Store) eventsWhere(ctx context.Context, where string, params []any) ([]keystile.NumberedEvent, error) {
	sql := "SELECT " + s.dialect.event + " FROM api_key_events k WHERE number > $1::bigint" + where
	found, err := s.cells(ctx, s.db, sql+" ORDER BY number LIMIT $2::bigint", params...)
	if err != nil {
		return nil, err
	}
	events := make([]keystile.NumberedEvent, 0, len(found))
	for _, row := range found {
		event, err := row.event()
		var damaged *keystile.CorruptRow
		if errors.As(err, &damaged) {
			event = keystile.NumberedEvent{Number: event.Number, Damaged: damaged}
		} else if err != nil {
			return nil, err
		}
		events = append(events, event)
	}
	return events, nil
}

// LastEvent returns the number of the last event; 0 if there is none.
func (s *Store) LastEvent(ctx context.Context) (uint64, error) {
	if err := s.made(); err != nil {
		return 0, err
	}
	found, err := s.cells(ctx, s.db, "SELECT coalesce(max(number), 0) AS row FROM api_key_events")
	if err != nil || len(found) == 0 {
		return 0, err
	}
	return uint64(max(found[0].row, 0)), nil
}

func (s *Store) records(ctx context.Context, from querier, where string, params ...any) ([]*keystile.Record, error) {
	found, err := s.cells(ctx, from, s.dialect.records()+where, params...)
	if err != nil {
		return nil, err
	}
	records := make([]*keystile.Record, 0, len(found))
	for _, row := range found {
		record, err := row.record()
		if err != nil {
			return nil, err
		}
		records = append(records, record)
	}
	return records, nil
}

// querier and execer are a handle, a connection or a transaction.
type querier interface {
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
}

type execer interface {
	querier
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
}

// cells reads whole rows.
func (s *Store) cells(ctx context.Context, from querier, query string, params ...any) (found []cells, err error) {
	rows, err := from.QueryContext(ctx, s.dialect.spell(query), params...)
	if err != nil {
		return nil, unavailable(err)
	}
	defer func() { err = oneline.Join(err, unavailable(rows.Close())) }()
	names, err := rows.Columns()
	if err != nil {
		return nil, unavailable(err)
	}
	for rows.Next() {
		values, places := make([]any, len(names)), make([]any, len(names))
		for at := range values {
			places[at] = &values[at]
		}
		if err := rows.Scan(places...); err != nil {
			return nil, unavailable(err)
		}
		row := cells{values: make(map[string]any, len(names)), inMillis: s.dialect == &postgres}
		for at, name := range names {
			row.values[name] = values[at]
		}
		if row.row, err = row.number("row"); err != nil {
			return nil, err
		}
		found = append(found, row)
	}
	return found, unavailable(rows.Err())
}

func (s *Store) exec(ctx context.Context, on execer, statement string, params ...any) (int64, error) {
	result, err := on.ExecContext(ctx, s.dialect.spell(statement), params...)
	if err != nil {
		return 0, err
	}
	return result.RowsAffected()
}

func first(records []*keystile.Record, err error) (*keystile.Record, error) {
	if err != nil || len(records) == 0 {
		return nil, err
	}
	return records[0], nil
}

func limited(limit int) int64 { return int64(min(max(limit, 0), keystile.PageMax)) }

func hashOf(digest keystile.Digest) string {
	text := digest.Text()
	return text[strings.LastIndexByte(text, ':')+1:]
}

// spent returns a request in the numbers of the columns.
func spent(request keystile.SpendRequest) (version int64, before, after any, err error) {
	signed := func(count *uint64) any {
		switch {
		case count == nil:
			return nil
		case *count > math.MaxInt64:
			err = keystile.ErrOutOfRange
		}
		return int64(*count)
	}
	before, after = signed(request.Before.Remaining), signed(request.After.Remaining)
	if request.Version > math.MaxInt64 {
		err = keystile.ErrOutOfRange
	}
	return int64(request.Version), before, after, err
}
