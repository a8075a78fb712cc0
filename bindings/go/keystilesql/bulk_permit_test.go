package keystilesql_test

import (
	"context"
	"errors"
	"strings"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

// Who may not change a key is told the same as if there were none, also in a dry run and also if
// its row is damaged.
func TestAPermitHidesThatAKeyExists(t *testing.T) {
	ctx, b := context.Background(), besideSQLite(t)
	keys := b.authenticator()
	issue := func(owner string) keystile.KeyID {
		request := keystile.IssueRequest{ClientName: "Acme", Owner: owner}
		return must[*keystile.Change](t)(keys.Issue(ctx, damagedIssuer, request)).Record.ID
	}
	own, foreign, damaged, ended := issue("tenant-7"), issue("tenant-8"), issue("tenant-8"), issue("tenant-8")
	_ = must[keystile.Outcome](t)(keys.Revoke(ctx, ended, "left"))
	b.sql("UPDATE api_keys SET environment = 'Live' WHERE key_id = '%s'", damaged)
	permit := func(record *keystile.Record, row *keystile.CorruptRow) bool {
		var owner *string
		if record != nil {
			owner = record.Owner
		} else {
			owner = row.Owner
		}
		return owner != nil && *owner == "tenant-7"
	}
	before := len(must[[]keystile.NumberedEvent](t)(b.store.Events(ctx, keystile.KeyID{}, 0, keystile.PageMax)))
	for _, options := range []keystile.BulkOptions{{Permit: permit}, {Permit: permit, DryRun: true}} {
		for name, each := range map[string]func(context.Context, []keystile.KeyID, keystile.BulkOptions) (keystile.BulkEnded, error){
			"revoke": keys.RevokeEach, "suspend": keys.SuspendEach,
		} {
			said := func(id keystile.KeyID) string {
				all, err := each(ctx, []keystile.KeyID{own, id}, options)
				if !errors.Is(err, keystile.ErrNotFound) || errors.Is(err, keystile.ErrCorrupt) || all.Count() != 0 {
					t.Errorf("%s: %v, %v", name, all, err)
				}
				return strings.ReplaceAll(err.Error(), id.String(), "ID")
			}
			absent := said(keystile.Must(keystile.ParseKeyID("1AbCdEfGhIjKlMnO")))
			for what, id := range map[string]keystile.KeyID{"foreign": foreign, "damaged": damaged, "ended": ended} {
				if text := said(id); text != absent {
					t.Errorf("%s, %s: %q, and %q for none", name, what, text, absent)
				}
			}
		}
	}
	if after := len(must[[]keystile.NumberedEvent](t)(b.store.Events(ctx, keystile.KeyID{}, 0, keystile.PageMax))); after != before {
		t.Error("something was changed")
	}
	filter := keystile.Filter{ClientName: keystile.Ptr("Acme")}
	found, err := keys.RevokeAll(ctx, filter, keystile.BulkOptions{Permit: permit, DryRun: true})
	if err != nil || found.Count() != 1 || len(found.Damaged) != 0 {
		t.Errorf("by client: %v, %v", found, err)
	}
	all, err := keys.RevokeEach(ctx, []keystile.KeyID{own}, keystile.BulkOptions{Permit: permit})
	if err != nil || all.Count() != 1 {
		t.Errorf("its own: %v, %v", all, err)
	}
}

// breaksOff is a store whose lists fail from one on.
type breaksOff struct {
	*troubled
	lists, last int
}

func (s *breaksOff) List(ctx context.Context, filter keystile.Filter, page keystile.Page) (keystile.Listed, error) {
	if s.lists++; s.lists > s.last {
		return keystile.Listed{}, keystile.ErrStoreUnavailable
	}
	return s.troubled.List(ctx, filter, page)
}

// What failed and what is damaged is named, also if a later pass cannot be completed.
func TestAPassThatBreaksOffLosesNoFailure(t *testing.T) {
	ctx, b := context.Background(), besideSQLite(t)
	store := &breaksOff{troubled: &troubled{Store: b.store}, last: 1}
	keys := authenticatorOver(t, store, nil, damagedIssuer.Format)
	issue := func() keystile.KeyID { return b.issue(keys).Record.ID }
	fails, damaged, _ := issue(), issue(), issue()
	b.sql("UPDATE api_keys SET environment = 'Live' WHERE key_id = '%s'", damaged)
	store.before = func(id keystile.KeyID) error {
		if id == fails {
			return keystile.ErrOutOfRange
		}
		return nil
	}
	all, err := keys.RevokeAll(ctx, ofTenant, keystile.BulkOptions{})
	if !errors.Is(err, keystile.ErrStoreUnavailable) || all.Count() != 1 {
		t.Errorf("%v, %v", all, err)
	}
	if len(all.Failed) != 1 || all.Failed[0].KeyID != fails || len(all.Damaged) != 1 || all.Damaged[0].KeyID != damaged {
		t.Errorf("%v", all)
	}
	// What is named again in the pass that breaks off is named once.
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	last := issue()
	store.lists, store.last = 0, 2
	store.before = func(id keystile.KeyID) error {
		switch {
		case id == fails:
			return keystile.ErrOutOfRange
		case id == last && store.lists == 1:
			added := issue()
			store.before = func(id keystile.KeyID) error {
				if id == added {
					cancel()
				}
				if id == fails {
					return keystile.ErrOutOfRange
				}
				return nil
			}
		}
		return nil
	}
	all, err = keys.RevokeAll(ctx, ofTenant, keystile.BulkOptions{})
	if err == nil || len(all.Failed) != 1 || len(all.Damaged) != 1 {
		t.Errorf("%v, %v", all, err)
	}
}
