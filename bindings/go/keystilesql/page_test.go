package keystilesql_test

import (
	"context"
	"os"
	"strings"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

// The statement of the page revokes a whole chain, and nothing else.
func TestThePagesStatementRevokesAChain(t *testing.T) {
	page := string(must[[]byte](t)(os.ReadFile("../../../docs/concepts/rotation.md")))
	_, block, _ := strings.Cut(page, "\n```sql\n")
	statement, _, found := strings.Cut(block, "```")
	example := "1QJ4bo0RE6F7ptpH"
	if !found || strings.Count(statement, example) != 1 {
		t.Fatalf("the page has no statement: %q", statement)
	}
	for name, open := range map[string]func(*testing.T) beside{"SQLite": besideSQLite, "PostgreSQL": besidePostgres} {
		t.Run(name, func(t *testing.T) {
			b, ctx := open(t), context.Background()
			keys := b.authenticator()
			request := keystile.IssueRequest{ClientName: "Acme"}
			issue := func() *keystile.Change { return must[*keystile.Change](t)(keys.Issue(ctx, damagedIssuer, request)) }
			derive := func(source keystile.KeyID) *keystile.Change {
				return must[*keystile.Change](t)(keys.Delegate(ctx, source, damagedIssuer, request))
			}
			above, other := issue(), issue()
			top := derive(above.Record.ID)
			child, suspended := derive(top.Record.ID), derive(top.Record.ID)
			grandchild := derive(child.Record.ID)
			successor := must[*keystile.Change](t)(keys.Rotate(ctx, damagedIssuer, child.Record.ID, keystile.DefaultRotationPolicy()))
			below := derive(successor.Record.ID)
			_ = must[keystile.Outcome](t)(keys.Suspend(ctx, suspended.Record.ID))

			run := func() int64 {
				t.Helper()
				result, err := b.other.Exec(strings.Replace(statement, example, top.Record.ID.String(), 1))
				if err != nil {
					t.Fatal(err)
				}
				return must[int64](t)(result.RowsAffected())
			}
			if first, second := run(), run(); first != 6 || second != 0 {
				t.Errorf("%d and %d rows", first, second)
			}
			for what, one := range map[string]struct {
				change *keystile.Change
				state  keystile.State
			}{
				"above": {above, keystile.StateActive}, "other": {other, keystile.StateActive},
				"top": {top, keystile.StateRevoked}, "child": {child, keystile.StateRevoked}, "suspended": {suspended, keystile.StateRevoked},
				"grandchild": {grandchild, keystile.StateRevoked}, "successor": {successor, keystile.StateRevoked}, "below": {below, keystile.StateRevoked},
			} {
				found := must[*keystile.Record](t)(b.store.Find(ctx, keystile.Lookup{KeyID: one.change.Record.ID}))
				if found.State != one.state {
					t.Errorf("%s: %v", what, found)
				}
				if one.state == keystile.StateActive {
					continue
				}
				if found.RevokedAt.IsZero() || found.RevokedReason != "leaked" {
					t.Errorf("%s: %v, %q", what, found.RevokedAt, found.RevokedReason)
				}
				events := must[[]keystile.NumberedEvent](t)(b.store.Events(ctx, found.ID, 0, 99))
				if last := events[len(events)-1]; last.Kind != keystile.EventRevoked {
					t.Errorf("%s: %v", what, last)
				}
			}
		})
	}
}
