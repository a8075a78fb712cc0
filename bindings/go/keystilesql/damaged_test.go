package keystilesql_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"hash/crc32"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// damages are what other code may write, each with the column that is then damaged.
var damages = [][2]string{
	{"key_hash = upper(key_hash)", "key_hash"},
	{"digest_pepper = -1", "digest_pepper"},
	{"permissions = '7'", "permissions"},
	{`permissions = '["read users"]'`, "permissions"},
	{`permissions = '{"read": true}'`, "permissions"},
	{"allowed_endpoints = 'null'", "allowed_endpoints"},
	{"allowed_networks = '[1]'", "allowed_networks"},
	{"rate_limit = -5", "rate_limit"},
	{"environment = 'Live'", "environment"},
	{"client_name = ''", "client_name"},
	{"created_at = NULL", "created_at"},
	{"expires_at = 'infinity'", "expires_at"},
	{"overlap_until = '2026-01-01 00:00:00'", "overlap_until"},
	{"replaced_by = '7'", "replaced_by"},
}

var damagesOfSQLite = [][2]string{
	{"permissions = 'not json'", "permissions"},
	{"expires_at = '2030-01-01'", "expires_at"},
	{"expires_at = ''", "expires_at"},
	{"expires_at = 1782043200000", "expires_at"},
	{"client_name = x'ff'", "client_name"},
	{"last_used_at = 'long ago'", "last_used_at"},
}

// beside is a store, and a connection of other code.
type beside struct {
	*testing.T
	store *keystilesql.Store
	other *sql.DB
}

func (b beside) sql(statement string, words ...any) {
	b.Helper()
	if _, err := b.other.Exec(fmt.Sprintf(statement, words...)); err != nil {
		b.Fatalf("%s: %v", statement, err)
	}
}

func besideSQLite(t *testing.T) beside {
	file := filepath.Join(t.TempDir(), "keys.db")
	other := must[*sql.DB](t)(sql.Open("sqlite", file+"?_pragma=busy_timeout(5000)"))
	t.Cleanup(func() { _ = other.Close() })
	return beside{t, openSQLite(t, file), other}
}

func besidePostgres(t *testing.T) beside {
	source, _ := startPostgres(t).database(t)
	other := must[*sql.DB](t)(sql.Open("pgx", source))
	t.Cleanup(func() { _ = other.Close() })
	return beside{t, openPostgres(t, source), other}
}

var damagedIssuer = &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}

func (b beside) authenticator() *keystile.Authenticator {
	return authenticatorOver(b.T, b.store, nil, damagedIssuer.Format)
}

func (b beside) issue(keys *keystile.Authenticator) *keystile.Change {
	b.Helper()
	limit := keystile.Must(keystile.NewRateLimit(100, time.Hour))
	request := keystile.IssueRequest{ClientName: "Acme", Owner: "tenant-7", RateLimit: &limit}
	return must[*keystile.Change](b.T)(keys.Issue(context.Background(), damagedIssuer, request))
}

// pages lists all rows in pages of a size, read on from each cursor or from its text.
func (b beside) pages(size int, byText bool) (sound []keystile.KeyID, damaged []*keystile.CorruptRow) {
	b.Helper()
	page := keystile.Page{Limit: size}
	for {
		listed := must[keystile.Listed](b.T)(b.store.List(context.Background(), keystile.Filter{Owner: keystile.Ptr("tenant-7")}, page))
		for _, record := range listed.Records {
			sound = append(sound, record.ID)
		}
		damaged = append(damaged, listed.Damaged...)
		if page.After = listed.Next; page.After.IsZero() {
			return sound, damaged
		}
		if byText {
			page.After = must[keystile.Cursor](b.T)(keystile.ParseCursor(page.After.String()))
		}
	}
}

func TestOneDamagedRowCostsOneRowOnSQLite(t *testing.T) {
	for _, damage := range append(damagesOfSQLite, damages...) {
		costsOneRow(besideSQLite(t), damage[0], damage[1])
	}
}

func TestOneDamagedRowCostsOneRowOnPostgreSQL(t *testing.T) {
	for _, damage := range damages {
		costsOneRow(besidePostgres(t), damage[0], damage[1])
	}
}

// withAnotherSecret returns the same id with another secret, and the check of both.
func withAnotherSecret(key string) string {
	const digits = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"
	text := []byte(key[:len(key)-6])
	slices.Reverse(text[len(text)-43:])
	rest, check := crc32.ChecksumIEEE(text), make([]byte, 6)
	for at := range check {
		check[len(check)-1-at] = digits[rest%62]
		rest /= 62
	}
	return string(append(text, check...))
}

// A damaged state costs the limit of one key.
func TestADamagedRateStateStopsNoOther(t *testing.T) {
	ctx, b := context.Background(), besideSQLite(t)
	keys := b.authenticator()
	bad, sound := b.issue(keys), b.issue(keys)
	b.sql("UPDATE api_key_usage SET rate_state = 'x' WHERE lineage = '%s'", bad.Record.ID)
	now := time.Now()
	limit, state := must[keystile.RateLimit](t)(keystile.NewRateLimit(9, time.Hour)), keystile.RateState(0)
	if _, passes, err := limit.Admit(&state, now); !passes || err != nil {
		t.Fatal(err)
	}
	var notes []keystile.RateNote
	for _, change := range []*keystile.Change{bad, sound} {
		notes = append(notes, keystile.RateNote{Lineage: change.Record.ID, State: state, Reach: time.Hour})
	}
	if err := b.store.NoteRates(ctx, notes, now); err != nil {
		t.Error(err)
	}
	stored := must[keystile.StoredUsage](t)(b.store.Usage(ctx, sound.Record.ID))
	if stored.Usage.Rate != state {
		t.Errorf("%v is not recorded: %v", state, stored.Usage)
	}
}

func costsOneRow(b beside, damage, column string) {
	ctx, keys := context.Background(), b.authenticator()
	first, bad, last := b.issue(keys), b.issue(keys), b.issue(keys)
	id := bad.Record.ID
	b.sql("UPDATE api_keys SET %s WHERE key_id = '%s'", damage, id)

	for size := 1; size <= 4; size++ {
		for _, byText := range []bool{false, true} {
			sound, damaged := b.pages(size, byText)
			if len(sound) != 2 || sound[0] != first.Record.ID || sound[1] != last.Record.ID {
				b.Errorf("%s: pages of %d: %v", damage, size, sound)
			}
			if len(damaged) != 1 || damaged[0].KeyID != id || damaged[0].Column != column || *damaged[0].Owner != "tenant-7" {
				b.Fatalf("%s: pages of %d: %v", damage, size, damaged)
			}
		}
	}
	for _, one := range []*keystile.Change{first, bad, last} {
		decision, err := keys.Check(ctx, one.Key.Expose(), keystile.Request{})
		isBad := one == bad
		if decision.Allowed() == isBad || errors.Is(err, keystile.ErrRecordDamaged) != isBad || errors.Is(err, keystile.ErrStoreUnavailable) {
			b.Errorf("%s: %v, %v", damage, decision, err)
		}
		checked, err := keystile.Check(ctx, b.store, keystile.Must(keystile.NewVerifier(nil, damagedIssuer.Format)), one.Key.Expose(), keystile.Request{}, time.Now())
		if isBad && (checked.Decision.Code() != "record_damaged" || !errors.Is(err, keystile.ErrCorrupt)) {
			b.Errorf("%s: %v, %v", damage, checked.Decision, err)
		}
		if !isBad && (err != nil || !checked.Decision.Allowed()) {
			b.Errorf("%s: %v, %v", damage, checked.Decision, err)
		}
	}
	used := time.Now().Add(time.Hour).Truncate(time.Second)
	uses := []keystile.Use{{KeyID: id, LastUsedAt: used}, {KeyID: last.Record.ID, LastUsedAt: used}}
	if err := b.store.NoteUses(ctx, uses); err != nil {
		b.Errorf("%s: %v", damage, err)
	}
	if found := must[*keystile.Record](b.T)(b.store.Find(ctx, keystile.Lookup{KeyID: last.Record.ID})); !found.LastUsedAt.Equal(used) {
		b.Errorf("%s: %v", damage, found.LastUsedAt)
	}

	var row *keystile.CorruptRow
	if _, err := b.store.Find(ctx, keystile.Lookup{KeyID: id}); !errors.As(err, &row) || strings.Contains(err.Error(), "acme_") {
		b.Fatalf("%s: %v", damage, err)
	}
	// Nothing is disclosed before the secret is verified, if the digest can be read.
	wrong, err := keys.Check(ctx, withAnotherSecret(bad.Key.Expose()), keystile.Request{})
	if isTold := row.Digest.Kind() == 0; wrong.Allowed() || errors.Is(err, keystile.ErrRecordDamaged) != isTold || (wrong.Code() == "invalid_key") == isTold {
		b.Errorf("%s: another secret: %v, %v", damage, wrong, err)
	}
	if isHash := column == "key_hash" || column == "digest_pepper"; isHash != (row.Digest.Kind() == 0) {
		b.Errorf("%s: %v", damage, row.Digest)
	}
	suspended := must[keystile.Outcome](b.T)(keys.Suspend(ctx, id))
	if !suspended.Changed || suspended.Record != nil || suspended.Damaged.State != keystile.StateSuspended || suspended.Damaged.Version != row.Version+1 {
		b.Errorf("%s: %+v", damage, suspended)
	}
	if again := must[keystile.Outcome](b.T)(keys.Suspend(ctx, id)); again.Changed {
		b.Errorf("%s: %+v", damage, again)
	}
	if _, err := keys.Resume(ctx, id); !errors.Is(err, keystile.ErrCorrupt) {
		b.Errorf("%s: %v", damage, err)
	}
	if _, err := keys.Rotate(ctx, damagedIssuer, id, keystile.DefaultRotationPolicy()); !errors.Is(err, keystile.ErrCorrupt) {
		b.Errorf("%s: %v", damage, err)
	}
	if _, err := keys.Revoke(ctx, id, "leaked\nkey 7 revoked"); !errors.Is(err, keystile.ErrRecord) {
		b.Errorf("%s: a reason that is no line: %v", damage, err)
	}
	revoked := must[keystile.Outcome](b.T)(keys.Revoke(ctx, id, "leaked"))
	if !revoked.Changed || revoked.Damaged.State != keystile.StateRevoked {
		b.Errorf("%s: %+v", damage, revoked)
	}
	if again := must[keystile.Outcome](b.T)(keys.Revoke(ctx, id, "again")); again.Changed {
		b.Errorf("%s: %+v", damage, again)
	}
	if _, err := keys.Suspend(ctx, id); !errors.Is(err, keystile.ErrState) {
		b.Errorf("%s: a revocation is final: %v", damage, err)
	}
	events := must[[]keystile.NumberedEvent](b.T)(b.store.Events(ctx, id, 0, 9))
	end := events[len(events)-1]
	if end.Kind != keystile.EventRevoked || end.Version != row.Version+2 || *end.Reason != "leaked" {
		b.Errorf("%s: %+v", damage, end)
	}
}

// P10: a damaged sibling does not become a third live key when its row is mended.
func TestADamagedSiblingEndsWithARotation(t *testing.T) {
	for _, open := range []func(*testing.T) beside{besideSQLite, besidePostgres} {
		b := open(t)
		ctx, keys := context.Background(), b.authenticator()
		first := b.issue(keys)
		rotate := func(id keystile.KeyID, policy keystile.RotationPolicy) *keystile.Change {
			return must[*keystile.Change](t)(keys.Rotate(ctx, damagedIssuer, id, policy))
		}
		second := rotate(first.Record.ID, keystile.DefaultRotationPolicy())
		b.sql("UPDATE api_keys SET permissions = '7' WHERE key_id = '%s'", first.Record.ID)
		third := rotate(second.Record.ID, keystile.DefaultRotationPolicy())
		b.sql("UPDATE api_keys SET permissions = '[]' WHERE key_id = '%s'", first.Record.ID)
		for key, expected := range map[*keystile.Change]error{first: keystile.ErrKeyReplaced, second: nil, third: nil} {
			// A new authenticator, which has nothing cached.
			decision, err := b.authenticator().Check(ctx, key.Key.Expose(), keystile.Request{})
			if err != nil || !errors.Is(decision.Err(), expected) {
				t.Errorf("%v, %v, expected %v", decision, err, expected)
			}
		}

		// Nor does a predecessor that was to end at the first use.
		old := b.issue(keys)
		policy := keystile.DefaultRotationPolicy()
		policy.EndOnFirstUse = true
		successor := rotate(old.Record.ID, policy)
		b.sql("UPDATE api_keys SET permissions = '7' WHERE key_id = '%s'", old.Record.ID)
		if decision, err := keys.Check(ctx, successor.Key.Expose(), keystile.Request{}); err != nil || !decision.Allowed() {
			t.Errorf("%v, %v", decision, err)
		}
		eventually(t, "the end of the predecessor", func() bool {
			found, err := b.store.Find(ctx, keystile.Lookup{KeyID: successor.Record.ID})
			return err == nil && found.EndsAtFirstUse.IsZero()
		})
		b.sql("UPDATE api_keys SET permissions = '[]' WHERE key_id = '%s'", old.Record.ID)
		if decision, err := b.authenticator().Check(ctx, old.Key.Expose(), keystile.Request{}); !errors.Is(decision.Err(), keystile.ErrKeyReplaced) {
			t.Errorf("%v, %v", decision, err)
		}
	}
}

func TestACursorSurvivesADeletedRow(t *testing.T) {
	for _, open := range []func(*testing.T) beside{besideSQLite, besidePostgres} {
		b := open(t)
		ctx, keys := context.Background(), b.authenticator()
		var ids []keystile.KeyID
		for range 4 {
			ids = append(ids, b.issue(keys).Record.ID)
		}
		page := must[keystile.Listed](t)(b.store.List(ctx, keystile.Filter{}, keystile.Page{Limit: 2}))
		if page.Next.String() != ids[1].String() {
			t.Errorf("it has the id and no number: %v", page.Next)
		}
		b.sql("DELETE FROM api_keys WHERE key_id = '%s'", ids[1])
		for _, after := range []keystile.Cursor{page.Next, must[keystile.Cursor](t)(keystile.ParseCursor(page.Next.String()))} {
			rest := must[keystile.Listed](t)(b.store.List(ctx, keystile.Filter{}, keystile.Page{After: after, Limit: 9}))
			if len(rest.Records) != 2 || rest.Records[0].ID != ids[2] || !rest.Next.IsZero() {
				t.Errorf("%v", rest)
			}
		}
		// A row without a readable id is passed too.
		b.sql("UPDATE api_keys SET key_id = 'x' WHERE key_id = '%s'", ids[2])
		for size := 1; size <= 3; size++ {
			for _, byText := range []bool{false, true} {
				sound, damaged := b.pages(size, byText)
				if len(sound) != 2 || sound[1] != ids[3] || len(damaged) != 1 || damaged[0].Column != "key_id" || !damaged[0].KeyID.IsZero() {
					t.Errorf("pages of %d: %v, %v", size, sound, damaged)
				}
			}
		}
	}
}

// A damaged event costs that event: the others are listed, and a process that follows them
// forgets what it has cached, and goes on.
func TestADamagedEventIsPassed(t *testing.T) {
	for _, open := range []func(*testing.T) beside{besideSQLite, besidePostgres} {
		b := open(t)
		ctx, writer, reader := context.Background(), b.authenticator(), b.authenticator()
		first, second := b.issue(writer), b.issue(writer)
		for _, key := range []*keystile.Change{first, second} {
			if decision, err := reader.Check(ctx, key.Key.Expose(), keystile.Request{}); err != nil || !decision.Allowed() {
				t.Fatalf("%v, %v", decision, err)
			}
		}
		// No event has this kind.
		b.sql("INSERT INTO api_key_events (kind, key_id, at) VALUES ('forged', '%s', '2026-01-01T00:00:00.000Z')", first.Record.ID)
		if _, err := writer.Revoke(ctx, second.Record.ID, "leaked"); err != nil {
			t.Fatal(err)
		}
		eventually(t, "a revocation after a damaged event", func() bool {
			decision, _ := reader.Check(ctx, second.Key.Expose(), keystile.Request{})
			return errors.Is(decision.Err(), keystile.ErrKeyRevoked)
		})
		var damaged, sound int
		for _, event := range must[[]keystile.NumberedEvent](t)(b.store.Events(ctx, keystile.KeyID{}, 0, 99)) {
			if event.Damaged == nil {
				sound++
			} else if event.Damaged.Column == "kind" && event.Damaged.Row == int64(event.Number) {
				damaged++
			}
		}
		if damaged != 1 || sound != 3 {
			t.Errorf("%d damaged, %d sound", damaged, sound)
		}
	}
}
