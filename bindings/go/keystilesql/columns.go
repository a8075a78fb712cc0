package keystilesql

import (
	"encoding/json"
	"fmt"
	"math"
	"slices"
	"strings"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// columns returns a record's columns, their values in SQL, and the parameters, of which the
// first six are in the order of [columns].
func (s *Store) columns(record *keystile.Record, isNew bool) (names, values []string, params []any) {
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
	} else if span := spanMillis(record); isNew && span > lifetimeMillisMax {
		// A new key was given it, and a duration cannot hold it.
		fields["lifetime_ms"] = span
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

// lifetimeMillisMax is the longest duration, 292 years.
const lifetimeMillisMax = math.MaxInt64 / int64(time.Millisecond)

// spanMillis returns the time from the beginning of a key to its expiry; 0 if it never expires.
func spanMillis(record *keystile.Record) int64 {
	if record.ExpiresAt.IsZero() {
		return 0
	}
	return record.ExpiresAt.UnixMilli() - record.CreatedAt.UnixMilli()
}

// looksLikeNumber is for a column of the type JSONB, in which SQLite would convert "1.0" to
// a number; it does not convert a blob.
func looksLikeNumber(text string) bool {
	text = strings.TrimLeft(text, " \t\n\v\f\r")
	return text != "" && strings.ContainsRune("0123456789+-.", rune(text[0]))
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
