package keystile

import (
	"context"
	"errors"
	"fmt"
)

// RevokeAll revokes the keys that a filter selects, each as [Authenticator.Revoke] does, with
// an event each, and returns how many were not revoked before. The filter must have an owner,
// client, environment, template or prefix of the id: [ErrRecord] otherwise. Rows that cannot be
// read are not changed. If it fails, the keys before stay revoked: call it again.
func (a *Authenticator) RevokeAll(ctx context.Context, filter Filter, reason string) (int, error) {
	return a.all(ctx, filter, func(record *Record) bool { return record.State != StateRevoked }, func(id KeyID) (Outcome, error) {
		return a.Revoke(ctx, id, reason)
	})
}

// SuspendAll suspends the keys that a filter selects, as [Authenticator.RevokeAll] revokes
// them.
func (a *Authenticator) SuspendAll(ctx context.Context, filter Filter) (int, error) {
	return a.all(ctx, filter, func(record *Record) bool { return record.State == StateActive }, func(id KeyID) (Outcome, error) {
		return a.Suspend(ctx, id)
	})
}

func (a *Authenticator) all(ctx context.Context, filter Filter, isDue func(*Record) bool, verb func(KeyID) (Outcome, error)) (int, error) {
	if err := a.writable(); err != nil {
		return 0, err
	}
	if filter.Owner == nil && filter.ClientName == nil && filter.Environment == nil && filter.Template == nil && filter.IDPrefix == "" {
		return 0, fmt.Errorf("keystile: a change of many keys must select them by owner, client, environment, template or a prefix of the id: %w", ErrRecord)
	}
	changed := 0
	for page := (Page{Limit: 200}); ; {
		listed, err := a.store.List(ctx, filter, page)
		if err != nil {
			return changed, err
		}
		for _, record := range listed.Records {
			if !isDue(record) {
				continue
			}
			outcome, err := verb(record.ID)
			// Deleted or revoked meanwhile.
			if errors.Is(err, ErrNotFound) || errors.Is(err, ErrState) {
				continue
			}
			if err != nil {
				return changed, err
			}
			if outcome.Changed {
				changed++
			}
		}
		if listed.Next.IsZero() {
			return changed, nil
		}
		page.After = listed.Next
	}
}
