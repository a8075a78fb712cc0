package keystilesql

import (
	"context"
	"fmt"
	"math"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var (
	_ keystile.EventLister = (*Store)(nil)
	_ keystile.EventPruner = (*Store)(nil)
)

// ListEvents returns the events that a filter selects, in the order in which they were written.
func (s *Store) ListEvents(ctx context.Context, filter keystile.EventFilter, after uint64, limit int) ([]keystile.NumberedEvent, error) {
	if err := s.made(); err != nil {
		return nil, err
	}
	if after > math.MaxInt64 {
		// No event has a number above this one.
		return nil, nil
	}
	where, params := "", []any{int64(after), limited(limit)}
	add := func(condition, cast string, value any) {
		params = append(params, value)
		where += " AND " + fmt.Sprintf(condition, fmt.Sprintf("$%d::%s", len(params), cast))
	}
	if !filter.KeyID.IsZero() {
		add("(key_id = %[1]s OR successor = %[1]s)", "text", filter.KeyID.String())
	}
	if filter.Owner != nil {
		// Compared twice: an adopted column may ignore case, and only its own comparison uses
		// an index.
		add("(key_id IN (SELECT o.key_id FROM api_keys o WHERE o.owner = %[1]s AND "+s.dialect.exactOwner+" = %[1]s)"+
			" OR key_id IN (SELECT d.key_id FROM api_key_deleted d WHERE d.owner = %[1]s))", "text", *filter.Owner)
	}
	if filter.Kind != "" {
		add("kind = %s", "text", string(filter.Kind))
	}
	if !filter.Since.IsZero() {
		add("at >= %s", "timestamptz", s.dialect.instant(filter.Since))
	}
	if !filter.Until.IsZero() {
		add("at < %s", "timestamptz", s.dialect.instant(filter.Until))
	}
	return s.eventsWhere(ctx, where, params)
}

// PruneEvents removes events before an instant.
func (s *Store) PruneEvents(ctx context.Context, before time.Time, limit int) (int, error) {
	if err := s.made(); err != nil {
		return 0, err
	}
	by, _ := keystile.ActorOf(ctx)
	if err := by.Check(); err != nil {
		return 0, err
	}
	instant, removed := s.dialect.instant(before), 0
	err := s.write(ctx, func(tx execer) error {
		removed = 0
		// The mark of an earlier removal does not count.
		due, err := s.cells(ctx, tx, "SELECT number AS row FROM api_key_events WHERE number > 0 AND at < $1::timestamptz"+
			" AND kind <> 'pruned' ORDER BY number LIMIT $2::bigint", instant, limited(limit))
		if err != nil {
			return err
		}
		removed = len(due)
		if removed == 0 {
			return nil
		}
		// The last one stays, as one of no key: a reader that has not read the others finds it,
		// and invalidates everything.
		last := due[len(due)-1].row
		if _, err := s.exec(ctx, tx, "DELETE FROM api_key_events WHERE number > 0 AND number < $2::bigint AND at < $1::timestamptz", instant, last); err != nil {
			return err
		}
		_, err = s.exec(ctx, tx, "UPDATE api_key_events SET kind = 'pruned', key_id = '*', version = NULL, reason = $2::text,"+
			" successor = NULL, actor = $3::text, origin = $4::text, changes = NULL WHERE number = $1::bigint",
			last, nullIfEmpty(by.Reason), nullIfEmpty(by.Actor), nullIfEmpty(by.Origin))
		return err
	})
	if err != nil {
		return 0, err
	}
	return removed, nil
}

func nullIfEmpty(text string) any {
	if text == "" {
		return nil
	}
	return text
}
