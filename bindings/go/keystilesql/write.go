package keystilesql

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// passingTries is how many times a transaction is tried that the database undid only
// because of concurrent ones.
const passingTries = 5

// rateLimitMax is the largest value of the column rate_limit in PostgreSQL, an INTEGER.
const rateLimitMax = math.MaxInt32

// Commit inserts and updates records and appends events, all or nothing.
func (s *Store) Commit(ctx context.Context, batch keystile.Batch) error {
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
	if err := batch.Check(); err != nil {
		return err
	}
	return unavailable(s.commit(ctx, tx, batch))
}

func (s *Store) commit(ctx context.Context, tx execer, batch keystile.Batch) error {
	// All writers lock rows in the same order; updates of the same key stay in their order.
	updates := slices.Clone(batch.Updates)
	if s.dialect == &postgres {
		slices.SortStableFunc(updates, func(a, b *keystile.Record) int { return strings.Compare(a.ID.String(), b.ID.String()) })
	}
	upkeep := slices.Clone(batch.Upkeep)
	slices.SortStableFunc(upkeep, func(a, b keystile.Upkeep) int { return strings.Compare(a.KeyID.String(), b.KeyID.String()) })
	// Events come first: to 0003_changes.sql, a change that has no event yet is one by
	// other code.
	for _, event := range batch.Events {
		if err := s.append(ctx, tx, event); err != nil {
			return err
		}
	}
	for _, record := range batch.Inserts {
		if err := s.insert(ctx, tx, record); err != nil {
			return err
		}
	}
	// Before the keys, as all other code locks the two. The trigger on this table finds the
	// event of the next version, and leaves the versions to the updates.
	if err := s.setUses(ctx, tx, batch); err != nil {
		return err
	}
	for _, record := range updates {
		if err := s.update(ctx, tx, record); err != nil {
			return err
		}
	}
	for _, one := range upkeep {
		if err := s.keepUp(ctx, tx, one); err != nil {
			return err
		}
	}
	return nil
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

func (s *Store) insert(ctx context.Context, tx execer, record *keystile.Record) error {
	_, err := s.exec(ctx, tx, "INSERT INTO api_key_usage (lineage, rate_state, remaining_uses)"+
		" VALUES ($1::text, 0, $2::bigint) ON CONFLICT (lineage) DO NOTHING", lineageOf(record), orNull(record.RemainingUses))
	if err != nil {
		return err
	}
	names, values, params := s.columns(record)
	params = append(params, s.instant(record.LastUsedAt))
	_, err = s.exec(ctx, tx, fmt.Sprintf("INSERT INTO api_keys (%s, last_used_at) VALUES (%s, $%d::timestamptz)",
		strings.Join(names, ", "), strings.Join(values, ", "), len(params)), params...)
	if isDuplicate(err) || (s.dialect == &sqlite && isConstraint(err)) {
		return keystile.ErrDuplicate
	}
	return err
}

func (s *Store) update(ctx context.Context, tx execer, record *keystile.Record) error {
	names, values, params := s.columns(record)
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

// columns returns a record's columns, their values in SQL, and the parameters, of which the
// first six are in the order of [columns].
func (s *Store) columns(record *keystile.Record) (names, values []string, params []any) {
	fields := map[string]any{
		"key_id":            record.ID.String(),
		"lineage":           lineageOf(record),
		"version":           int64(record.Version),
		"status":            string(record.State),
		"revoked_at":        s.instant(record.RevokedAt),
		"is_active":         s.dialect.flag(record.State == keystile.StateActive),
		"key_hash":          hashOf(record.Digest),
		"key_prefix":        record.KeyPrefix,
		"client_name":       record.ClientName,
		"client_email":      textOrNull(record.ClientEmail),
		"owner":             textOrNull(record.Owner),
		"environment":       textOrNull(record.Environment),
		"permissions":       arrayOf(record.Permissions.Strings()),
		"scope_type":        textOrNull(record.ScopeType),
		"created_at":        s.instant(record.CreatedAt),
		"expires_at":        s.instant(record.ExpiresAt),
		"replaced_by":       idOrNull(record.ReplacedBy),
		"overlap_until":     s.instant(record.OverlapUntil),
		"ends_at_first_use": idOrNull(record.EndsAtFirstUse),
		"derived_from":      idOrNull(record.DerivedFrom),
		"derived_lineage":   idOrNull(record.DerivedLineage),
		"suspended_with":    idOrNull(record.SuspendedWith),
	}
	if record.Lifetime != 0 {
		fields["lifetime_ms"] = record.Lifetime.Milliseconds()
	}
	if record.State == keystile.StateRevoked {
		fields["revoke_reason"] = record.RevokedReason
	}
	if record.Digest.Kind() == keystile.DigestHMACSHA256 {
		fields["digest_pepper"] = int64(record.Digest.Pepper())
	}
	if record.AllowedEndpoints != nil {
		fields["allowed_endpoints"] = arrayOf(record.AllowedEndpoints.Strings())
	}
	if record.AllowedNetworks != nil {
		fields["allowed_networks"] = arrayOf(record.AllowedNetworks.Strings())
	}
	if limit := record.RateLimit; limit != nil {
		fields["rate_limit"] = int64(limit.Limit())
		fields["rate_window_ms"] = limit.Window().Milliseconds()
		if limit.Burst() != limit.Limit() {
			fields["rate_burst"] = int64(limit.Burst())
		}
		if s.dialect == &postgres && limit.Limit() > rateLimitMax {
			fields["rate_limit"], fields["rate_limit_wide"] = int64(rateLimitMax), int64(limit.Limit())
		}
	}
	if text := record.Metadata; text != nil {
		fields["metadata_text"], fields["metadata"] = []byte(*text), []byte(*text)
		if s.dialect == &sqlite && !looksLikeNumber(*text) {
			fields["metadata"] = *text
		}
	}
	for _, column := range slices.Concat(columns, s.dialect.metadata) {
		params = append(params, fields[column.name])
		value := fmt.Sprintf("$%d", len(params))
		if column.cast != "" {
			value += "::" + column.cast
		}
		if s.dialect == &postgres && column.name == "metadata" {
			value = "keystile_jsonb(" + value + ")"
		}
		names, values = append(names, column.name), append(values, value)
	}
	return names, values, params
}

// looksLikeNumber is for a column of the type JSONB, in which SQLite would convert "1.0" to
// a number; it does not convert a blob.
func looksLikeNumber(text string) bool {
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	return text != "" && strings.ContainsRune("0123456789+-.", rune(text[0]))
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
	defer func() { err = errors.Join(err, connection.Close()) }()
	for _, statement := range s.dialect.begin {
		if _, err := connection.ExecContext(ctx, statement); err != nil {
			// The transaction may have begun, if the context ended at that moment.
			rollback(ctx, connection)
			return err
		}
	}
	if err := work(connection); err != nil {
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

func (s *Store) instant(at time.Time) any {
	if at.IsZero() {
		return nil
	}
	return s.dialect.instant(time.UnixMilli(at.UnixMilli()).UTC())
}

func lineageOf(record *keystile.Record) string {
	if record.Lineage.IsZero() {
		return record.ID.String()
	}
	return record.Lineage.String()
}

func arrayOf(texts []string) string {
	text, _ := json.Marshal(texts)
	return string(text)
}

func orNull(count *uint64) any {
	if count == nil {
		return nil
	}
	return int64(*count)
}

func textOrNull(text *string) any {
	if text == nil {
		return nil
	}
	return *text
}

func idOrNull(id keystile.KeyID) any {
	if id.IsZero() {
		return nil
	}
	return id.String()
}
