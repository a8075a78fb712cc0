package keystilesql_test

import (
	"context"
	"database/sql"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// side is a database, and who changes it.
type side struct {
	*testing.T
	db            *sql.DB
	issuer        *keystile.Issuer
	authenticator *keystile.Authenticator
	// program is that of Rust, and its options; nil if Go changes the database.
	program []string
	// places are the ids in the order of their rows, also of rows that were removed.
	places map[string]string
}

func newSide(t *testing.T, program string) *side {
	path := filepath.Join(t.TempDir(), "keys.db")
	db := must[*sql.DB](t)(sql.Open("sqlite", keystilesql.SQLiteDSN(path)))
	t.Cleanup(func() { _ = db.Close() })
	store := keystilesql.SQLite(db)
	_ = must[int](t)(store.Migrate(context.Background()))
	own := &side{T: t, db: db, places: map[string]string{}, issuer: &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}}
	own.authenticator = authenticatorOver(t, store, nil, own.issuer.Format)
	if program != "" {
		own.program = []string{program, "--store", "sqlite:" + path, "--actor", "test"}
	}
	return own
}

// keys are the ids in the order of their rows.
func (s *side) keys() []string {
	s.Helper()
	var ids []string
	for _, row := range s.rows("SELECT key_id FROM api_keys ORDER BY rowid") {
		ids = append(ids, row[0])
	}
	return ids
}

func (s *side) rows(query string) [][]string {
	s.Helper()
	found := must[*sql.Rows](s.T)(s.db.Query(query))
	defer found.Close()
	columns := must[[]string](s.T)(found.Columns())
	var rows [][]string
	for found.Next() {
		row, places := make([]sql.NullString, len(columns)), make([]any, len(columns))
		for at := range row {
			places[at] = &row[at]
		}
		if err := found.Scan(places...); err != nil {
			s.Fatal(err)
		}
		texts := make([]string, len(row))
		for at, cell := range row {
			texts[at] = cell.String
			if !cell.Valid {
				texts[at] = "NULL"
			}
		}
		rows = append(rows, texts)
	}
	if err := found.Err(); err != nil {
		s.Fatal(err)
	}
	return rows
}

// keyIDs finds ids in texts.
var keyIDs = regexp.MustCompile(`1[0-9A-Za-z]{15}`)

// state is everything that the verbs write, with the place of each key for its id, and without
// instants: of ends, whether they are within that of the source.
func (s *side) state() string {
	s.Helper()
	for _, id := range s.keys() {
		if _, known := s.places[id]; !known {
			s.places[id] = fmt.Sprintf("key %d", len(s.places))
		}
	}
	var lines []string
	for _, query := range []string{
		`SELECT key_id, client_name, owner, permissions, status, revoke_reason, lineage, replaced_by, ends_at_first_use,
			derived_from, derived_lineage, suspended_with, version, overlap_until IS NULL, lifetime_ms IS NULL,
			expires_at <= (SELECT max(s.expires_at) FROM api_keys s WHERE s.lineage = k.derived_lineage)
			FROM api_keys k ORDER BY rowid`,
		"SELECT lineage, remaining_uses FROM api_key_usage ORDER BY rowid",
		"SELECT key_id, version, place, owner, revoke_reason, revoked_at IS NULL FROM api_key_deleted ORDER BY place",
		"SELECT kind, key_id, successor, version, reason, changes FROM api_key_events ORDER BY number",
	} {
		for _, row := range s.rows(query) {
			lines = append(lines, strings.Join(row, " | "))
		}
	}
	return keyIDs.ReplaceAllStringFunc(strings.Join(lines, "\n"), func(id string) string {
		if place, known := s.places[id]; known {
			return place
		}
		return id
	})
}

// verb is a change of a key, in both languages, or of those that the words select.
type verb struct {
	words []string
	// many is whether no id is given.
	many bool
	in   func(s *side, id keystile.KeyID) error
}

// do changes a key, and reports whether that was not refused.
func (s *side) do(verb verb, at int) (bool, string) {
	s.Helper()
	id := s.keys()[at]
	if verb.words == nil || s.program == nil {
		err := verb.in(s, keystile.Must(keystile.ParseKeyID(id)))
		return err == nil, fmt.Sprint(err)
	}
	words := append(append([]string{}, s.program[1:]...), verb.words...)
	if !verb.many {
		words = append(words, id)
	}
	command := exec.Command(s.program[0], words...)
	command.Env = os.Environ()
	out, err := command.CombinedOutput()
	return err == nil, string(out)
}

func verbs() []verb {
	ctx := context.Background()
	derive := func(uses uint64, permissions ...string) verb {
		// Over the command line no key is derived, so Go does it on both sides.
		return verb{in: func(s *side, id keystile.KeyID) error {
			request := keystile.IssueRequest{ClientName: strings.Join(permissions, " and "), Permissions: permissions}
			if uses > 0 {
				request.Uses = &uses
			}
			_, err := s.authenticator.Delegate(ctx, id, s.issuer, request)
			return err
		}}
	}
	all := []verb{
		derive(12, "read", "write"), derive(7, "read"), derive(3, "read", "write"), derive(1, "write"), derive(0, "read"),
		{words: []string{"suspend"}, in: func(s *side, id keystile.KeyID) error { _, err := s.authenticator.Suspend(ctx, id); return err }},
		{words: []string{"resume"}, in: func(s *side, id keystile.KeyID) error { _, err := s.authenticator.Resume(ctx, id); return err }},
		{words: []string{"resume"}, in: func(s *side, id keystile.KeyID) error { _, err := s.authenticator.Resume(ctx, id); return err }},
		{words: []string{"revoke", "--reason", "left"}, in: func(s *side, id keystile.KeyID) error {
			_, err := s.authenticator.Revoke(ctx, id, "left")
			return err
		}},
		{words: []string{"revoke", "--derived"}, in: func(s *side, id keystile.KeyID) error {
			_, err := s.authenticator.RevokeIf(ctx, id, "", keystile.ReachOwn, nil)
			return err
		}},
		{words: []string{"rotate"}, in: func(s *side, id keystile.KeyID) error {
			_, err := s.authenticator.Rotate(ctx, s.issuer, id, keystile.DefaultRotationPolicy())
			return err
		}},
		{words: []string{"rotate", "--overlap", "0s", "--end-on-first-use"}, in: func(s *side, id keystile.KeyID) error {
			policy := keystile.DefaultRotationPolicy()
			policy.Overlap, policy.EndOnFirstUse = 0, true
			_, err := s.authenticator.Rotate(ctx, s.issuer, id, policy)
			return err
		}},
	}
	change := func(rule keystile.OfDerived, change keystile.KeyChange, words ...string) {
		words = append([]string{"change", "--derived", string(rule)}, words...)
		if rule == keystile.RefuseDerived {
			words = append([]string{"change"}, words[3:]...)
		}
		all = append(all, verb{words: words, in: func(s *side, id keystile.KeyID) error {
			_, err := s.authenticator.ChangeDerived(ctx, id, change, rule, nil)
			return err
		}})
	}
	for _, rule := range []keystile.OfDerived{keystile.RefuseDerived, keystile.SuspendDerived, keystile.RevokeDerived, keystile.KeepDerived} {
		change(rule, keystile.KeyChange{Permissions: keystile.Set([]string{"read"})}, "--permission", "read")
	}
	change(keystile.RefuseDerived, keystile.KeyChange{Permissions: keystile.Set([]string{"read", "write"})}, "--permission", "read", "--permission", "write")
	change(keystile.SuspendDerived, keystile.KeyChange{Permissions: keystile.Set([]string{"write"})}, "--permission", "write")
	change(keystile.KeepDerived, keystile.KeyChange{Uses: keystile.Set(uint64(20))}, "--uses", "20")
	change(keystile.SuspendDerived, keystile.KeyChange{Uses: keystile.Set(uint64(2))}, "--uses", "2")
	change(keystile.KeepDerived, keystile.KeyChange{Owner: keystile.Set("tenant-2")}, "--owner", "tenant-2")
	change(keystile.RefuseDerived, keystile.KeyChange{Owner: keystile.Set("tenant-1")}, "--owner", "tenant-1")
	return append(all, manyVerbs()...)
}

// manyVerbs change all keys that are selected.
func manyVerbs() []verb {
	ctx := context.Background()
	done := func(all keystile.BulkEnded, err error) error {
		if err == nil && len(all.Failed) > 0 {
			return all.Failed[0].Err
		}
		return err
	}
	return []verb{
		{words: []string{"revoke", "--owner", "tenant-2", "--reason", "left"}, many: true, in: func(s *side, _ keystile.KeyID) error {
			filter := keystile.Filter{Owner: keystile.Ptr("tenant-2")}
			return done(s.authenticator.RevokeAll(ctx, filter, keystile.BulkOptions{Reason: "left"}))
		}},
		{words: []string{"revoke", "--client", "write", "--derived"}, many: true, in: func(s *side, _ keystile.KeyID) error {
			filter := keystile.Filter{ClientName: keystile.Ptr("write")}
			return done(s.authenticator.RevokeAll(ctx, filter, keystile.BulkOptions{Reach: keystile.ReachOwn}))
		}},
		{words: []string{"suspend", "--client", "read", "--reason", "unpaid"}, many: true, in: func(s *side, _ keystile.KeyID) error {
			filter := keystile.Filter{ClientName: keystile.Ptr("read")}
			return done(s.authenticator.SuspendAll(ctx, filter, keystile.BulkOptions{Reason: "unpaid"}))
		}},
		{words: []string{"prune", "--ended-before", "2100-01-01"}, many: true, in: func(s *side, _ keystile.KeyID) error {
			// Its clock may not have gone on since the last verb.
			time.Sleep(2 * time.Millisecond)
			_, err := s.authenticator.Prune(ctx, time.Now().AddDate(50, 0, 0))
			return err
		}},
	}
}

// The same verbs, by the program of Rust on one database and by Go on another, are refused alike
// and end in the same rows and events.
func TestGoAndRustEndInTheSameRows(t *testing.T) {
	if testing.Short() {
		t.Skip("it runs a program many times")
	}
	own, seeds, done := program(t), uint64(8), 0
	// changed is how often something was changed by verbs of many keys.
	changed := map[string]int{}
	if more := os.Getenv("KEYSTILE_VERB_SEEDS"); more != "" {
		seeds = must[uint64](t)(strconv.ParseUint(more, 10, 64))
	}
	for seed := range seeds {
		random := rand.New(rand.NewPCG(seed, 0))
		byGo, byRust := newSide(t, ""), newSide(t, own)
		for _, side := range []*side{byGo, byRust} {
			request := keystile.IssueRequest{ClientName: "top", Owner: "tenant-1", Permissions: []string{"read", "write"}}
			if seed%2 == 1 {
				request.Uses = keystile.Ptr(uint64(30))
			}
			_ = must[*keystile.Change](t)(side.authenticator.Issue(context.Background(), side.issuer, request))
			request.Owner = "tenant-2"
			_ = must[*keystile.Change](t)(side.authenticator.Issue(context.Background(), side.issuer, request))
		}
		all := verbs()
		for step := range 60 {
			verb := all[random.IntN(len(all))]
			if step < 5 {
				// A tree first.
				verb = all[step]
			}
			if step == 10 && seed%2 == 0 {
				// As in a table that was adopted: how long a key was given is not known.
				for _, side := range []*side{byGo, byRust} {
					_ = must[sql.Result](t)(side.db.Exec("UPDATE api_keys SET lifetime_ms = NULL"))
				}
			}
			count := len(byGo.keys())
			if count == 0 {
				break
			}
			at := random.IntN(count)
			if random.IntN(2) == 0 {
				// Most of what follows from a change is that of the first keys.
				at = min(at, random.IntN(3))
			}
			before := byGo.state()
			inGo, goSays := byGo.do(verb, at)
			inRust, rustSays := byRust.do(verb, at)
			if inGo != inRust {
				t.Fatalf("seed %d, step %d, %v of key %d: Go: %s; Rust: %s", seed, step, verb.words, at, goSays, rustSays)
			}
			if inGo {
				done++
			}
			left, right := byGo.state(), byRust.state()
			if verb.many && left != before {
				changed[strings.Join(verb.words, " ")]++
			}
			if left != right {
				t.Fatalf("seed %d, step %d, %v of key %d: Go:\n%s\n\nRust:\n%s", seed, step, verb.words, at, left, right)
			}
		}
	}
	if done < 150 {
		t.Errorf("only %d verbs were not refused", done)
	}
	if len(changed) < len(manyVerbs()) {
		t.Errorf("some verbs of many keys changed nothing: %v", changed)
	}
}
