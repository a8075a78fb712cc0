package keystilesql_test

import (
	"context"
	"errors"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// A damaged row that derives from a key ends with it: of it, only the state is written. Until then
// it counts as a key that has not ended.
func TestADamagedDerivedRowEndsWithItsSource(t *testing.T) {
	for name, open := range map[string]func(*testing.T) beside{"SQLite": besideSQLite, "PostgreSQL": besidePostgres} {
		t.Run(name, func(t *testing.T) { damagedDerived(open(t)) })
	}
}

func damagedDerived(b beside) {
	ctx, keys := context.Background(), b.authenticator()
	request := keystile.IssueRequest{ClientName: "Acme"}
	top := must[*keystile.Change](b.T)(keys.Issue(ctx, damagedIssuer, request)).Record.ID
	child := must[*keystile.Change](b.T)(keys.Delegate(ctx, top, damagedIssuer, request)).Record.ID
	below := must[*keystile.Change](b.T)(keys.Delegate(ctx, child, damagedIssuer, request)).Record.ID
	for _, damage := range []string{"environment = 'Live'", "expires_at = 'infinity'"} {
		b.sql("UPDATE api_keys SET %s WHERE key_id = '%s'", damage, child)
	}
	row := func() *keystile.CorruptRow {
		b.Helper()
		var row *keystile.CorruptRow
		if _, err := b.store.Find(ctx, keystile.Lookup{KeyID: child}); !errors.As(err, &row) {
			b.Fatalf("%v", err)
		}
		return row
	}
	listed := must[keystile.Listed](b.T)(b.store.Derived(ctx, top, time.Now().AddDate(1, 0, 0)))
	if len(listed.Damaged) != 1 || listed.Damaged[0].KeyID != child || len(listed.Records) != 0 {
		b.Errorf("a row whose end cannot be read has not ended: %+v", listed)
	}
	for _, step := range []struct {
		state   keystile.State
		changes uint64
		act     func() (keystile.Ended, error)
	}{
		{keystile.StateSuspended, 1, func() (keystile.Ended, error) { return keys.SuspendIf(ctx, top, keystile.ReachLast, nil) }},
		{keystile.StateSuspended, 0, func() (keystile.Ended, error) { return keys.SuspendIf(ctx, top, keystile.ReachLast, nil) }},
		{keystile.StateRevoked, 1, func() (keystile.Ended, error) { return keys.RevokeIf(ctx, top, "leaked", keystile.ReachLast, nil) }},
	} {
		before := row()
		ended, err := step.act()
		after := row()
		if err != nil || after.State != step.state || after.Version != before.Version+step.changes {
			b.Errorf("%v, %v: %+v", ended, err, after)
		}
		found := must[*keystile.Record](b.T)(b.store.Find(ctx, keystile.Lookup{KeyID: below}))
		if found.State != step.state {
			b.Errorf("what derives from it: %v", found)
		}
		if step.changes == 0 {
			continue
		}
		events := must[[]keystile.NumberedEvent](b.T)(b.store.Events(ctx, child, 0, 99))
		if last := events[len(events)-1]; last.Version != after.Version {
			b.Errorf("an event of its version: %+v", last)
		}
	}
}
