package keystilesql_test

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"database/sql"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

func recipeKey(digit string) string { return "dt_" + strings.Repeat(digit, 64) }

func sha256Of(digit string) string {
	sum := sha256.Sum256([]byte(recipeKey(digit)))
	return hex.EncodeToString(sum[:])
}

func expectAdopted(t *testing.T, store *keystilesql.Store) {
	t.Helper()
	verifier := keystile.Must(keystile.NewVerifier(nil, keystile.Must(keystile.OpaqueFormat("dt"))))
	authenticator := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer func() { _ = authenticator.Close(context.Background()) }()
	for digit, expected := range map[string]error{"0": nil, "1": keystile.ErrKeyRevoked, "2": keystile.ErrKeyExpired, "3": keystile.ErrInvalidKey} {
		for range 2 {
			decision, err := authenticator.Check(context.Background(), recipeKey(digit), keystile.Request{})
			if err != nil || !errors.Is(decision.Err(), expected) {
				t.Errorf("key %s: %v, %v", digit, decision, err)
			}
		}
	}
}

// A row that is not a valid record is an error, never a record that grants more.
func TestADamagedRowIsAnError(t *testing.T) {
	ctx, path := context.Background(), filepath.Join(t.TempDir(), "keys.db")
	store := openSQLite(t, path)
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme", Endpoints: keystile.Must(keystile.NewEndpointRules("/api/*"))}, time.Now()))
	if err := store.Commit(ctx, change.Batch()); err != nil {
		t.Fatal(err)
	}
	db, err := sql.Open("sqlite", keystilesql.SQLiteDSN(path))
	if err != nil {
		t.Fatal(err)
	}
	defer db.Close()
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	for _, damage := range []string{
		"expires_at = 'never'", "expires_at = 0", "expires_at = 1782043200000", "expires_at = '2026-02-30 12:00:00'",
		"permissions = 'read'", "permissions = '\"read\"'", "permissions = '[null]'", "permissions = 'null'", "permissions = '[\"inv*\"]'",
		"allowed_endpoints = ''", "allowed_endpoints = 'null'", "allowed_endpoints = '[\"api\"]'", "allowed_endpoints = x'5b5d00'",
		"allowed_networks = '[1]'", "rate_window_ms = NULL", "rate_limit = -1", "rate_limit = 'many'", "rate_limit = 4294967296",
		"digest_pepper = -1", "key_hash = upper(key_hash)", "key_hash = 'abc'", "lineage = 'x'", "replaced_by = 'x'",
		"overlap_until = ''", "client_name = ''", "created_at = NULL", "key_prefix = x'ff'", "revoked_at = '2026-01-01T00:00:00.000Z'",
		"environment = 'LIVE'", "scope_type = 'Bad Name'", "owner = x'ff'",
	} {
		transaction, err := db.BeginTx(ctx, nil)
		if err != nil {
			t.Fatal(err)
		}
		if damage == "rate_window_ms = NULL" {
			damage = "rate_limit = 7, rate_window_ms = NULL"
		}
		for _, statement := range []string{"PRAGMA defer_foreign_keys = ON", "DROP TRIGGER api_keys_changed", "UPDATE api_keys SET " + damage} {
			if _, err := transaction.ExecContext(ctx, statement); err != nil {
				t.Fatalf("%s: %v", damage, err)
			}
		}
		_, err = keystilesql.FindIn(ctx, transaction, keystile.Lookup{KeyID: change.Record.ID})
		if !errors.Is(err, keystile.ErrCorrupt) || strings.Contains(err.Error(), "acme_") {
			t.Errorf("%s: %v", damage, err)
		}
		if err := transaction.Rollback(); err != nil {
			t.Fatal(err)
		}
	}
	authenticator := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer func() { _ = authenticator.Close(ctx) }()
	if _, err := db.ExecContext(ctx, "UPDATE api_keys SET allowed_endpoints = '[\"api\"]'"); err != nil {
		t.Fatal(err)
	}
	decision, err := authenticator.Check(ctx, change.Key.Expose(), keystile.Request{Method: "GET", Path: "/api/x"})
	if decision.Cause() != keystile.CauseRecordDamaged || !errors.Is(err, keystile.ErrRecordDamaged) || !errors.Is(err, keystile.ErrCorrupt) ||
		errors.Is(err, keystile.ErrStoreUnavailable) {
		t.Errorf("%v, %v", decision, err)
	}
}

func TestInstantsOfOtherCode(t *testing.T) {
	noon := time.UnixMilli(1_782_043_200_000).UTC()
	for _, text := range []string{"2026-06-21 12:00:00", "2026-06-21T12:00:00", "2026-06-21T12:00:00Z", "2026-06-21T12:00:00.000Z",
		"2026-06-21 12:00:00+00", "2026-06-21 12:00:00.000000+00", "2026-06-21T14:00:00+02:00", "2026-06-21T06:30:00-05:30", "2026-06-22 11:59:00+23:59"} {
		if at, is := keystilesql.ReadInstant(text); !is || !at.Equal(noon) {
			t.Errorf("%s: %v", text, at)
		}
	}
	if at, is := keystilesql.ReadInstant("2026-06-21 12:00:00.0019999"); !is || at.UnixMilli() != noon.UnixMilli()+1 {
		t.Errorf("cut off, not rounded: %v", at)
	}
	for _, text := range []string{"", " ", "never", "infinity", "null", "0", "1782043200", "1782043200000", "2026-06-21", "2026-06-21T12:00",
		"2026-6-21 12:00:00", "26-06-21 12:00:00", "2026-02-29 12:00:00", "2100-02-29 12:00:00", "2026-02-30 12:00:00", "2026-13-01 12:00:00",
		"2026-00-01 12:00:00", "2026-01-00 12:00:00", "2026-04-31 12:00:00", "2026-06-21 24:00:00", "2026-06-21 12:60:00", "2026-06-21 12:00:60",
		"2026-06-21 12:00:00.", "2026-06-21 12:00:00.0000000001", "2026-06-21 12:00:00z", "2026-06-21 12:00:00 Z", "2026-06-21 12:00:00+2",
		"2026-06-21 12:00:00+0200", "2026-06-21 12:00:00+24:00", "2026-06-21 12:00:00+02:60", "2026-06-21 12:00:00Z ", " 2026-06-21 12:00:00Z",
		"2026-06-21  12:00:00", "+026-06-21 12:00:00", "2026-+6-21 12:00:00", "2026-06-21 12:00:+1", "1969-12-31 23:59:59", "1972-01-01 00:00:00",
		"10000-01-01 00:00:00", "2026-06-21 12:00:00\x00", "２026-06-21 12:00:00", "2026-06-21 12:00:00.٣", "2026-06-21 12:00:00+", "2026-06-21 12:00:00-",
		"2026-06-21 12:00:00,5", "9999-12-31 23:59:59-00:01"} {
		if at, is := keystilesql.ReadInstant(text); is {
			t.Errorf("%q is no instant: %v", text, at)
		}
	}
}
