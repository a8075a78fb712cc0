// Package keystilepgx is the store of keystilesql for services that reach PostgreSQL with the
// driver jackc/pgx: a revocation by another process is in force as soon as the server says that
// there was a change, and not only when an authenticator next polls.
//
//	db, err := sql.Open("pgx", source) // github.com/jackc/pgx/v5/stdlib
//	keys, err := keystile.NewAuthenticator(keystilepgx.PostgreSQL(db), verifier, keystile.Options{})
//
// It is a package of its own so that a service with SQLite or another driver does not link pgx.
package keystilepgx

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/stdlib"
	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/internal/oneline"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

const (
	// connectTime is how long a connection may take to be made, and then to begin to listen.
	connectTime = 10 * time.Second
	// pingInterval is how often a silent connection is checked, and pingTime how long its answer
	// may take.
	pingInterval, pingTime = 20 * time.Second, 5 * time.Second
)

// Store is a [keystilesql.Store] in PostgreSQL that is also a [keystile.ChangeListener]. Only
// [PostgreSQL] makes one: the methods of the zero value and of a nil pointer return
// [keystile.ErrUninitialized].
type Store struct {
	// Not embedded: a method of a nil pointer would panic before it is called.
	tables *keystilesql.Store
	db     *sql.DB
}

var (
	_ keystile.Store          = (*Store)(nil)
	_ keystile.ChangeListener = (*Store)(nil)
)

// PostgreSQL returns a store as [keystilesql.PostgreSQL] does. The handle must be one of pgx's
// package stdlib. The caller closes it.
func PostgreSQL(db *sql.DB) *Store { return &Store{keystilesql.PostgreSQL(db), db} }

// Listen calls changed when it has begun to listen, and after each change of a key, until the
// context or the connection ends. It has a connection of its own, with the settings of the
// handle's. A pooler that hands a connection on after each transaction, such as PgBouncer in
// that mode, passes no notifications: then changes are only polled. Its password is that of a connection
// of the handle: if passwords are short-lived, as with [stdlib.OptionBeforeConnect], let
// [sql.DB.SetConnMaxLifetime] be less than they live.
func (s *Store) Listen(ctx context.Context, changed func()) error {
	if s == nil || s.db == nil {
		return fmt.Errorf("keystilepgx: %w: Store", keystile.ErrUninitialized)
	}
	connection, err := s.connect(ctx)
	if err != nil {
		return fmt.Errorf("keystilepgx: cannot listen for changes: %w", err)
	}
	defer func() {
		closing, cancel := context.WithTimeout(context.WithoutCancel(ctx), pingTime)
		defer cancel()
		_ = connection.Close(closing)
	}()
	if err := listen(ctx, connection); err != nil {
		return fmt.Errorf("keystilepgx: cannot listen for changes: %w", err)
	}
	// Changes before this were not received.
	changed()
	for {
		notified, err := next(ctx, connection)
		if err != nil {
			return fmt.Errorf("keystilepgx: the connection that listens for changes was lost: %w", err)
		}
		if notified {
			changed()
		}
	}
}

// listen asks for notifications, and does not wait for an answer that never comes.
func listen(ctx context.Context, connection *pgx.Conn) error {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	_, err := connection.Exec(ctx, "LISTEN keystile_changes")
	return err
}

// next waits for a notification. If none comes for a while, it checks the connection, and
// returns false.
func next(ctx context.Context, connection *pgx.Conn) (notified bool, err error) {
	waiting, cancel := context.WithTimeout(ctx, pingInterval)
	defer cancel()
	if _, err := connection.WaitForNotification(waiting); err == nil {
		return true, nil
	} else if ctx.Err() != nil || waiting.Err() == nil {
		return false, err
	}
	asking, stop := context.WithTimeout(ctx, pingTime)
	defer stop()
	return false, connection.Ping(asking)
}

// connect makes a connection like those of the handle. One of its own would be missing there, and
// a handle may have only one.
func (s *Store) connect(ctx context.Context) (*pgx.Conn, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTime)
	defer cancel()
	pooled, err := s.db.Conn(ctx)
	if err != nil {
		return nil, err
	}
	var config *pgx.ConnConfig
	err = pooled.Raw(func(connection any) error {
		own, is := connection.(*stdlib.Conn)
		if !is {
			return errors.New("the handle must be of the driver github.com/jackc/pgx/v5/stdlib")
		}
		config = own.Conn().Config()
		return nil
	})
	if err = oneline.Join(err, pooled.Close()); err != nil {
		return nil, err
	}
	// Otherwise the application's own handler would get the notifications.
	config.OnNotification = nil
	return pgx.ConnectConfig(ctx, config)
}
