package keystilesql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// deniedBy are changes by other code after which a key is refused.
var deniedBy = []string{
	"UPDATE api_keys SET permissions = '[]' WHERE key_id = '%s'",
	"UPDATE api_keys SET allowed_endpoints = '[]' WHERE key_id = '%s'",
	"UPDATE api_keys SET expires_at = '2020-01-01T00:00:00.000Z' WHERE key_id = '%s'",
	"UPDATE api_keys SET is_active = FALSE WHERE key_id = '%s'",
	"UPDATE api_keys SET status = 'suspended', is_active = FALSE WHERE key_id = '%s'",
	"UPDATE api_keys SET status = 'revoked', is_active = FALSE, revoke_reason = 'leaked' WHERE key_id = '%s'",
	"UPDATE api_keys SET permissions = '[]', version = version + 1 WHERE key_id = '%s'",
	"UPDATE api_key_usage SET remaining_uses = 0 WHERE lineage = '%s'",
	"DELETE FROM api_keys WHERE key_id = '%s'",
	"INSERT INTO api_keys (key_hash, key_prefix, client_name) SELECT key_hash, key_prefix, client_name FROM api_keys WHERE key_id = '%s'" +
		" ON CONFLICT (key_hash) DO UPDATE SET permissions = '[]'",
}

func TestChangesByOtherCodeAreHeardOnSQLite(t *testing.T) {
	file := filepath.Join(t.TempDir(), "keys.db")
	other, err := sql.Open("sqlite", file+"?_pragma=busy_timeout(30000)")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	replace := "INSERT OR REPLACE INTO api_keys (key_hash, key_prefix, client_name) SELECT key_hash, key_prefix, client_name FROM api_keys WHERE key_id = '%s'"
	heard(t, openSQLite(t, file), other, append([]string{replace}, deniedBy...))
}

// heard changes a key by each statement, under an authenticator that has it cached.
func heard(t *testing.T, store *keystilesql.Store, other *sql.DB, statements []string) {
	ctx := context.Background()
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	authenticator := keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	defer func() { _ = authenticator.Close(ctx) }()
	request := keystile.Request{Requirement: keystile.Must(keystile.ParseRequirement("read")), Method: "GET", Path: "/api/data"}
	allowed := func(key string) bool {
		decision, _ := authenticator.Check(ctx, key, request)
		return decision.Allowed()
	}
	issue := func() *keystile.Change {
		change, err := issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd", Permissions: []string{"read"}}, time.Now())
		if err == nil {
			err = store.Commit(ctx, change.Batch())
		}
		if err != nil {
			t.Fatal(err)
		}
		return change
	}
	var keys []*keystile.Change
	for range statements {
		keys = append(keys, issue())
	}
	// Many at once share an event.
	var many []*keystile.Change
	for range 1_100 {
		change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Many Ltd", Permissions: []string{"read"}}, time.Now()))
		many = append(many, change)
	}
	var batch keystile.Batch
	for _, change := range many {
		batch.Inserts, batch.Events = append(batch.Inserts, change.Record), append(batch.Events, *change.Event)
	}
	if err := store.Commit(ctx, batch); err != nil {
		t.Fatal(err)
	}
	// Its first look invalidates what was cached before, and it has read what was issued then.
	time.Sleep(2500 * time.Millisecond)
	for _, change := range append(keys, many...) {
		if !allowed(change.Key.Expose()) {
			t.Fatalf("%s is refused", change.Record.ID)
		}
	}
	for number, statement := range statements {
		if _, err := other.ExecContext(ctx, fmt.Sprintf(statement, keys[number].Record.ID)); err != nil {
			t.Fatalf("%s: %v", statement, err)
		}
	}
	if _, err := other.ExecContext(ctx, "UPDATE api_keys SET permissions = '[]' WHERE client_name = 'Many Ltd'"); err != nil {
		t.Fatal(err)
	}
	// A second or so on a quiet machine: the authenticator looks once a second.
	start := time.Now()
	for number, change := range append(keys, many...) {
		for allowed(change.Key.Expose()) {
			if time.Since(start) > 20*time.Second {
				t.Fatalf("key %d is allowed after %v: %v", number, time.Since(start), append(statements, "many")[min(number, len(statements))])
			}
			time.Sleep(10 * time.Millisecond)
		}
	}
	events, err := store.Events(ctx, keys[len(keys)-1].Record.ID, 0, 9)
	if err != nil || len(events) != 2 || events[1].Actor == nil || events[1].Version != 2 ||
		len(events[1].Changes) != 1 || events[1].Changes[0].Field != "permissions" {
		t.Errorf("%+v, %v", events, err)
	}
}

// A digest is renewed by a write of the digest alone.
func TestUpkeepUndoesNothing(t *testing.T) {
	ctx := context.Background()
	file := filepath.Join(t.TempDir(), "keys.db")
	store := openSQLite(t, file)
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	change := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd"}, time.Now()))
	if err := store.Commit(ctx, change.Batch()); err != nil {
		t.Fatal(err)
	}
	peppers := keystile.Must(keystile.NewPepperRing(1, []byte(strings.Repeat("p", 32))))
	verifier := keystile.Must(keystile.NewVerifier(peppers, issuer.Format))
	renewed := keystile.Must(verifier.Rehash(change.Record, change.Key.Expose(), time.Now()))
	other, err := sql.Open("sqlite", file)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = other.Close() }()
	// Without its trigger the change keeps its version, and the record that was read is stale.
	for _, statement := range []string{"DROP TRIGGER api_keys_changed", "UPDATE api_keys SET allowed_endpoints = '[]'"} {
		if _, err := other.ExecContext(ctx, statement); err != nil {
			t.Fatal(err)
		}
	}
	if err := store.Commit(ctx, renewed.Batch()); err != nil && !errors.Is(err, keystile.ErrStale) {
		t.Fatal(err)
	}
	record, err := store.Find(ctx, keystile.Lookup{KeyID: change.Record.ID})
	if err != nil || record.AllowedEndpoints == nil || record.Digest.Kind() != keystile.DigestHMACSHA256 {
		t.Errorf("%+v, %v", record, err)
	}
}
