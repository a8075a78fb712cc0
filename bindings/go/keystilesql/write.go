package keystilesql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/internal/oneline"
)

// passingTries is how many times a transaction is tried that the database undid only
// because of concurrent ones.
const passingTries = 5

// rateLimitMax is the largest value of the column rate_limit in PostgreSQL, an INTEGER.
const rateLimitMax = math.MaxInt32

// Commit inserts and updates records and appends events, all or nothing.
func (s *Store) Commit(ctx context.Context, batch keystile.Batch) error {
	if err := s.made(); err != nil {
		return err
	}
	if err := batch.Check(); err != nil {
		return err
	}
	return s.write(ctx, func(tx execer) error { return s.commit(ctx, tx, batch) })
}

// CommitIn is Commit in a transaction of the caller's, so that a key is issued or revoked
// together with rows of the application, or not at all. After an error, roll back.
//
// Other processes are notified when the transaction commits. In SQLite, a transaction that
// has read before it writes can fail because of another writer: call CommitIn first, or set
// _txlock=immediate in the data source name.
func (s *Store) CommitIn(ctx context.Context, tx *sql.Tx, batch keystile.Batch) error {
	if err := s.made(); err != nil {
		return err
	}
	if tx == nil {
		return fmt.Errorf("keystilesql: %w: Tx", keystile.ErrUninitialized)
	}
	if err := batch.Check(); err != nil {
		return err
	}
	return unavailable(s.prepared(tx, func(tx execer) error { return s.commit(ctx, tx, batch) }))
}

func (s *Store) commit(ctx context.Context, tx execer, batch keystile.Batch) error {
	if err := s.relyOnTemplate(ctx, tx, batch.TemplateUnchanged); err != nil {
		return err
	}
	if err := s.holdDigests(ctx, tx, batch.Imported); err != nil {
		return err
	}
	if err := s.answer(ctx, tx, batch.IssueRequest); err != nil {
		return err
	}
	// Events come first: to 0003_changes.sql, a change that has no event yet is one by
	// other code.
	for _, event := range batch.Events {
		if err := s.append(ctx, tx, event); err != nil {
			return err
		}
	}
	rates := ratesOf(batch.Imported)
	for _, record := range batch.Inserts {
		if err := s.insert(ctx, tx, record, rates[lineageOf(record)]); err != nil {
			return err
		}
	}
	if err := s.remember(ctx, tx, batch.Imported); err != nil {
		return err
	}
	// Before the keys, as all other code locks the two. The trigger on this table finds the
	// event of the next version, and leaves the versions to the updates.
	if err := s.takeUses(ctx, tx, batch.TakeUses); err != nil {
		return err
	}
	if err := s.setUses(ctx, tx, batch); err != nil {
		return err
	}
	for _, row := range s.rowsOf(batch) {
		if err := row.write(ctx, tx); err != nil {
			return err
		}
	}
	// After the locks: who adds a key to those that derive from another has locked that one.
	return s.checkDerived(ctx, tx, batch.Derived)
}

// writtenRow is a row that a batch locks, and how.
type writtenRow struct {
	id    keystile.KeyID
	write func(ctx context.Context, tx execer) error
}

// rowsOf returns what a batch does to existing rows. All writers lock rows in the same order, so
// that deadlocks are rare; what is done to the same key stays in its order.
func (s *Store) rowsOf(batch keystile.Batch) []writtenRow {
	var rows []writtenRow
	for _, one := range batch.Unchanged {
		rows = append(rows, writtenRow{one.KeyID, func(ctx context.Context, tx execer) error { return s.relyOn(ctx, tx, one) }})
	}
	for _, record := range batch.Updates {
		rows = append(rows, writtenRow{record.ID, func(ctx context.Context, tx execer) error { return s.update(ctx, tx, record) }})
	}
	for _, one := range batch.Upkeep {
		rows = append(rows, writtenRow{one.KeyID, func(ctx context.Context, tx execer) error { return s.keepUp(ctx, tx, one) }})
	}
	for _, one := range batch.Deletes {
		rows = append(rows, writtenRow{one.KeyID, func(ctx context.Context, tx execer) error { return s.remove(ctx, tx, one) }})
	}
	slices.SortStableFunc(rows, func(a, b writtenRow) int { return strings.Compare(a.id.String(), b.id.String()) })
	return rows
}

// setUses writes the remaining uses of the updates that the batch names, in the order of
// their lineages. Of updates of the same lineage the last one is written last.
func (s *Store) setUses(ctx context.Context, tx execer, batch keystile.Batch) error {
	set := slices.DeleteFunc(slices.Clone(batch.Updates), func(record *keystile.Record) bool {
		return !slices.Contains(batch.SetUses, record.ID)
	})
	slices.SortStableFunc(set, func(a, b *keystile.Record) int { return strings.Compare(lineageOf(a), lineageOf(b)) })
	for _, record := range set {
		err := oneUpdated(s.exec(ctx, tx, "UPDATE api_key_usage SET remaining_uses = $2::bigint WHERE lineage = $1::text",
			lineageOf(record), orNull(record.RemainingUses)))
		if err != nil {
			return err
		}
	}
	return nil
}

// manyKeys is the key of an event of more keys than have events of their own.
const manyKeys = "*"

func (s *Store) insert(ctx context.Context, tx execer, record *keystile.Record, rate keystile.RateState) error {
	// Any 64 bits are a state, and the column is signed.
	_, err := s.exec(ctx, tx, "INSERT INTO api_key_usage (lineage, rate_state, remaining_uses)"+
		" VALUES ($1::text, $3::bigint, $2::bigint) ON CONFLICT (lineage) DO NOTHING", lineageOf(record), orNull(record.RemainingUses), int64(rate))
	if err != nil {
		return err
	}
	names, values, params := s.columns(record, true)
	params = append(params, s.instant(record.LastUsedAt))
	_, err = s.exec(ctx, tx, fmt.Sprintf("INSERT INTO api_keys (%s, last_used_at) VALUES (%s, $%d::timestamptz)",
		strings.Join(names, ", "), strings.Join(values, ", "), len(params)), params...)
	if isDuplicate(err) || (s.dialect == &sqlite && isConstraint(err)) {
		return keystile.ErrDuplicate
	}
	return err
}

func (s *Store) update(ctx context.Context, tx execer, record *keystile.Record) error {
	names, values, params := s.columns(record, false)
	var set []string
	for at, name := range names {
		if name != "key_id" && name != "lineage" {
			set = append(set, name+" = "+values[at])
		}
	}
	// Usage and last uses are written elsewhere, and stay. The first six parameters also
	// select the row.
	count, err := s.exec(ctx, tx, "UPDATE api_keys SET "+strings.Join(set, ", ")+
		" WHERE key_id = $1::text AND lineage = $2::text AND version = $3::bigint - 1"+
		" AND (status <> 'revoked' OR (status = $4::text AND revoked_at = $5::timestamptz AND revoke_reason = $6::text))", params...)
	return oneUpdated(count, err)
}

// keepUp writes one field, and the version.
func (s *Store) keepUp(ctx context.Context, tx execer, upkeep keystile.Upkeep) error {
	params := []any{upkeep.KeyID.String(), int64(upkeep.Version)}
	var set string
	switch {
	case upkeep.Digest != nil:
		var pepper any
		if upkeep.Digest.Kind() == keystile.DigestHMACSHA256 {
			pepper = int64(upkeep.Digest.Pepper())
		}
		set, params = "key_hash = $3::text, digest_pepper = $4::bigint", append(params, hashOf(*upkeep.Digest), pepper)
	case upkeep.OverlapUntil != nil:
		set, params = "overlap_until = $3::timestamptz", append(params, s.instant(*upkeep.OverlapUntil))
	case upkeep.Status != nil:
		var reason any
		if upkeep.Status.State == keystile.StateRevoked {
			reason = upkeep.Status.RevokedReason
		}
		set = "status = $3::text, is_active = $4::boolean, revoked_at = $5::timestamptz, revoke_reason = $6::text"
		params = append(params, string(upkeep.Status.State), s.dialect.flag(false), s.instant(upkeep.Status.RevokedAt), reason)
	case upkeep.EndsAtFirstUse != nil:
		set, params = "ends_at_first_use = $3::text", append(params, idOrNull(*upkeep.EndsAtFirstUse))
	default:
		return keystile.ErrRecord
	}
	return oneUpdated(s.exec(ctx, tx, "UPDATE api_keys SET "+set+", version = $2::bigint"+
		" WHERE key_id = $1::text AND version = $2::bigint - 1 AND status <> 'revoked'", params...))
}

func oneUpdated(count int64, err error) error {
	switch {
	case isDuplicate(err):
		return keystile.ErrDuplicate
	case isGuarded(err):
		return keystile.ErrStale
	case err == nil && count == 0:
		return keystile.ErrStale
	}
	return err
}

func (s *Store) append(ctx context.Context, tx execer, event keystile.Event) error {
	var successor, reason any
	if !event.Successor.IsZero() {
		successor = event.Successor.String()
	}
	if event.Reason != nil {
		reason = *event.Reason
	}
	id := manyKeys
	if !event.KeyID.IsZero() {
		id = event.KeyID.String()
	}
	var version, changes any
	if event.Version > math.MaxInt64 {
		return keystile.ErrOutOfRange
	}
	if event.Version != 0 {
		version = int64(event.Version)
	}
	if len(event.Changes) != 0 {
		text, err := json.Marshal(event.Changes)
		if err != nil {
			return err
		}
		changes = string(text)
	}
	_, err := s.exec(ctx, tx, "INSERT INTO api_key_events (kind, key_id, at, reason, successor, version, actor, origin, changes)"+
		" VALUES ($1::text, $2::text, $3::timestamptz, $4::text, $5::text, $6::bigint, $7::text, $8::text, $9::text::jsonb)",
		string(event.Kind), id, s.instant(event.At), reason, successor, version,
		textOrNull(event.Actor), textOrNull(event.Origin), changes)
	return err
}

// write runs work in a transaction that begins as a writer, so that none fails half-way
// because of what it has read.
func (s *Store) write(ctx context.Context, work func(execer) error) error {
	for try := 1; ; try++ {
		err := s.writeOnce(ctx, work)
		if !isPassing(err) || try == passingTries {
			return unavailable(err)
		}
	}
}

func (s *Store) writeOnce(ctx context.Context, work func(execer) error) (err error) {
	connection, err := s.db.Conn(ctx)
	if err != nil {
		return err
	}
	defer func() { err = oneline.Join(err, connection.Close()) }()
	for _, statement := range s.dialect.begin {
		if _, err := connection.ExecContext(ctx, statement); err != nil {
			// The transaction may have begun, if the context ended at that moment.
			rollback(ctx, connection)
			return err
		}
	}
	if err := s.prepared(connection, work); err != nil {
		rollback(ctx, connection)
		return err
	}
	if _, err := connection.ExecContext(ctx, "COMMIT"); err != nil {
		rollback(ctx, connection)
		return err
	}
	return nil
}

// rollback undoes a transaction, even if the context has ended. If that fails, the
// connection is not used again: closing it undoes the transaction too.
func rollback(ctx context.Context, connection *sql.Conn) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
	defer cancel()
	if _, err := connection.ExecContext(ctx, "ROLLBACK"); err != nil {
		_ = connection.Raw(func(any) error { return driver.ErrBadConn })
	}
}
