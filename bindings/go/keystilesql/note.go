package keystilesql

import (
	"context"
	"encoding/json"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// ReplaceRate replaces the state of a lineage's rate limit if it has not changed.
func (s *Store) ReplaceRate(ctx context.Context, lineage keystile.KeyID, before, after keystile.RateState) (bool, error) {
	if err := s.made(); err != nil {
		return false, err
	}
	sql := "UPDATE api_key_usage SET rate_state = $3::bigint WHERE lineage = $1::text AND rate_state = $2::bigint"
	replaced := false
	err := s.write(ctx, func(tx execer) error {
		count, err := s.exec(ctx, tx, sql, lineage.String(), int64(before), int64(after))
		replaced = count == 1
		return err
	})
	return replaced && err == nil, err
}

// NoteRates writes the states of rate limits in bulk.
func (s *Store) NoteRates(ctx context.Context, rates []keystile.RateNote, now time.Time) error {
	if err := s.made(); err != nil {
		return err
	}
	if len(rates) == 0 {
		return nil
	}
	if s.dialect.noteRates != "" {
		type counted struct {
			Lineage string `json:"lineage"`
			Ahead   int64  `json:"ahead"`
			Burst   int64  `json:"burst"`
		}
		var all []counted
		start := uint64(max(now.UnixMilli(), 0)) << 20
		for _, note := range rates {
			burst := note.Reach.Milliseconds() << 20
			// A state that is not ahead of the clock is that of an unused limit.
			if state := uint64(note.State); state >= start {
				all = append(all, counted{note.Lineage.String(), int64(min(state-start, uint64(burst))), burst})
			}
		}
		text, err := json.Marshal(all)
		if err != nil || len(all) == 0 {
			return unavailable(err)
		}
		return s.write(ctx, func(tx execer) error {
			_, err := s.exec(ctx, tx, s.dialect.noteRates, string(text))
			return err
		})
	}
	return s.write(ctx, func(tx execer) error {
		for _, note := range rates {
			// Compare in Go: a state is an unsigned number, and SQLite has signed ones.
			found, err := s.cells(ctx, tx, "SELECT rowid AS row, rate_state FROM api_key_usage WHERE lineage = $1::text", note.Lineage.String())
			if err != nil {
				return err
			}
			if len(found) == 0 {
				continue
			}
			stored, err := found[0].number("rate_state")
			if err != nil {
				// A damaged row must not prevent the update of all others.
				continue
			}
			merged := int64(note.Merged(keystile.RateState(uint64(stored)), now))
			if merged == stored {
				continue
			}
			if _, err := s.exec(ctx, tx, "UPDATE api_key_usage SET rate_state = $2::bigint WHERE lineage = $1::text", note.Lineage.String(), merged); err != nil {
				return err
			}
		}
		return nil
	})
}

// NoteUses writes last uses in bulk.
func (s *Store) NoteUses(ctx context.Context, uses []keystile.Use) error {
	if err := s.made(); err != nil {
		return err
	}
	if len(uses) == 0 {
		return nil
	}
	if s.dialect.noteUses != "" {
		type used struct {
			KeyID string `json:"key_id"`
			At    int64  `json:"at"`
		}
		all := make([]used, len(uses))
		for at, use := range uses {
			all[at] = used{use.KeyID.String(), use.LastUsedAt.UnixMilli()}
		}
		text, err := json.Marshal(all)
		if err != nil {
			return unavailable(err)
		}
		return s.write(ctx, func(tx execer) error {
			_, err := s.exec(ctx, tx, s.dialect.noteUses, string(text))
			return err
		})
	}
	return s.write(ctx, func(tx execer) error {
		for _, use := range uses {
			// Compare in Go, not in SQL: other code may have written another form.
			found, err := s.cells(ctx, tx, "SELECT rowid AS row, +k.last_used_at AS last_used_at FROM api_keys k WHERE key_id = $1::text", use.KeyID.String())
			if err != nil {
				return err
			}
			if len(found) == 0 {
				continue
			}
			reader := reader{cells: &found[0]}
			noted := reader.instant("last_used_at")
			if reader.err != nil {
				// A damaged row must not prevent the update of all others.
				continue
			}
			if !use.LastUsedAt.After(noted) {
				continue
			}
			if _, err := s.exec(ctx, tx, "UPDATE api_keys SET last_used_at = $2::timestamptz WHERE key_id = $1::text",
				use.KeyID.String(), s.dialect.instant(use.LastUsedAt)); err != nil {
				return err
			}
		}
		return nil
	})
}
