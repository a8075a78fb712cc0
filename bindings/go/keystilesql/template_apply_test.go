package keystilesql_test

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
)

// plan is a template in a store, with keys that were issued from it.
type plan struct {
	*testing.T
	store  *keystilesql.Store
	keys   *keystile.Authenticator
	issuer *keystile.Issuer
	pro    *keystile.StoredTemplate
	// usual follows the template, narrow has less, and other is of none.
	usual, narrow, other keystile.KeyID
}

func proOf(permissions ...string) *keystile.ScopeTemplate {
	return keystile.Must(keystile.NewScopeTemplate("pro", keystile.Must(keystile.NewPermissionSet(permissions...)), nil, nil))
}

func newPlan(t *testing.T, store *keystilesql.Store) *plan {
	t.Helper()
	format := keystile.Must(keystile.StructuredFormat("acme"))
	own := &plan{T: t, store: store, issuer: &keystile.Issuer{Format: format}, keys: authenticatorOver(t, store, nil, format)}
	own.pro = keystile.NewStoredTemplate(proOf("read", "write"), 0, time.Now())
	own.save(own.pro)
	own.usual = own.issue(keystile.IssueRequest{ClientName: "usual"})
	own.narrow = own.issue(keystile.IssueRequest{ClientName: "narrow", Permissions: []string{"write"}})
	change, err := own.keys.Issue(context.Background(), own.issuer, keystile.IssueRequest{ClientName: "other", Permissions: []string{"read", "write"}})
	if err != nil {
		t.Fatal(err)
	}
	own.other = change.Record.ID
	return own
}

func (p *plan) save(template *keystile.StoredTemplate) {
	p.Helper()
	if err := p.store.SaveTemplate(context.Background(), template); err != nil {
		p.Fatal(err)
	}
}

func (p *plan) issue(request keystile.IssueRequest) keystile.KeyID {
	p.Helper()
	change, err := p.keys.IssueFrom(context.Background(), "pro", p.issuer, request)
	if err != nil {
		p.Fatal(err)
	}
	return change.Record.ID
}

// become changes the template. Its clock must have gone on since keys were issued.
func (p *plan) become(permissions ...string) {
	p.Helper()
	time.Sleep(3 * time.Millisecond)
	p.pro = keystile.Must(p.pro.Changed(proOf(permissions...), 0, time.Now()))
	p.save(p.pro)
}

func (p *plan) apply(options keystile.ApplyOptions) keystile.Applied {
	p.Helper()
	applied, err := p.keys.ApplyTemplate(context.Background(), "pro", options)
	if err != nil {
		p.Fatal(err)
	}
	return applied
}

func (p *plan) has(id keystile.KeyID, permissions string) {
	p.Helper()
	record, err := p.keys.Record(context.Background(), id)
	if err != nil {
		p.Fatal(err)
	}
	if text := strings.Join(record.Permissions.Strings(), " "); text != permissions {
		p.Errorf("%s has %q, not %q", record.ClientName, text, permissions)
	}
}

func (p *plan) lastEvent() uint64 {
	p.Helper()
	return must[uint64](p.T)(p.store.LastEvent(context.Background()))
}

func TestAChangedTemplateReachesItsKeys(t *testing.T) {
	appliedAsInRust(t, sqliteRust(t))
	appliedAsInRust(t, postgresRust(t))
}

// appliedAsInRust applies a template, and the program says before and after what Go says.
func appliedAsInRust(t *testing.T, both *rustStore) {
	own := newPlan(t, both.store)
	rotated := own.issue(keystile.IssueRequest{ClientName: "rotated"})
	own.become("read")
	successor, err := own.keys.Rotate(context.Background(), own.issuer, rotated, keystile.DefaultRotationPolicy())
	if err != nil {
		t.Fatal(err)
	}
	ctx, last := context.Background(), own.lastEvent()
	for _, all := range []bool{false, true} {
		planned := own.apply(keystile.ApplyOptions{DryRun: true, All: all})
		words := []string{"template", "apply", "pro", "--dry-run", "--json"}
		if all {
			words = append(words, "--all")
		}
		var theirs struct{ Changed, Derived, Current, Own, Exceeding int }
		if err := json.Unmarshal([]byte(both.run("", words...)), &theirs); err != nil {
			t.Fatal(err)
		}
		if len(planned.Changed) != theirs.Changed || planned.Own != theirs.Own || planned.Exceeding != theirs.Exceeding ||
			planned.Current != theirs.Current || theirs.Own != 1 || theirs.Exceeding != 1 {
			t.Errorf("all %v: %+v, and Rust says %+v", all, planned, theirs)
		}
	}
	if own.lastEvent() != last {
		t.Error("a dry run has written")
	}
	applied := own.apply(keystile.ApplyOptions{})
	// A successor is as new as the rotation, but its rights are as old as the lineage.
	slices.SortFunc(applied.Changed, func(a, b keystile.KeyID) int { return strings.Compare(a.String(), b.String()) })
	want := []keystile.KeyID{own.usual, successor.Record.ID}
	slices.SortFunc(want, func(a, b keystile.KeyID) int { return strings.Compare(a.String(), b.String()) })
	if !slices.Equal(applied.Changed, want) || applied.Own != 1 || len(applied.Failed) != 0 {
		t.Errorf("%+v", applied)
	}
	own.has(own.usual, "read")
	own.has(successor.Record.ID, "read")
	own.has(own.narrow, "write")
	own.has(own.other, "read write")
	events := must[[]keystile.NumberedEvent](t)(both.store.Events(ctx, own.usual, 0, 9))
	if event := events[len(events)-1]; event.Kind != keystile.EventChanged || *event.Reason != "template pro" {
		t.Errorf("%+v", event)
	}
	if again := own.apply(keystile.ApplyOptions{}); len(again.Changed) != 0 || again.Current != 2 {
		t.Errorf("again: %+v", again)
	}
	if out := both.run("", "template", "apply", "pro", "--json"); !strings.Contains(out, `"changed":0`) || !strings.Contains(out, `"current":2`) {
		t.Error(out)
	}
	if applied := own.apply(keystile.ApplyOptions{All: true, Reason: "all alike"}); !slices.Equal(applied.Changed, []keystile.KeyID{own.narrow}) {
		t.Errorf("%+v", applied)
	}
	own.has(own.narrow, "read")
}

func TestAKeyWithDerivedKeysIsAppliedToAsAsked(t *testing.T) {
	own := newPlan(t, openSQLite(t, filepath.Join(t.TempDir(), "keys.db")))
	change, err := own.keys.Delegate(context.Background(), own.usual, own.issuer, keystile.IssueRequest{ClientName: "shop", Permissions: []string{"write"}})
	if err != nil {
		t.Fatal(err)
	}
	own.become("read")
	for _, dryRun := range []bool{true, false} {
		applied := own.apply(keystile.ApplyOptions{DryRun: dryRun})
		var exceeding *keystile.ExceedingError
		if len(applied.Changed) != 0 || len(applied.Failed) != 1 || applied.Failed[0].KeyID != own.usual || !errors.As(applied.Failed[0].Err, &exceeding) {
			t.Errorf("%+v", applied)
		}
	}
	own.has(own.usual, "read write")
	// No key that the caller may not change, and nothing is said of it.
	none := own.apply(keystile.ApplyOptions{All: true, OfDerived: keystile.SuspendDerived, Permit: func(*keystile.Record, *keystile.CorruptRow) bool { return false }})
	if len(none.Changed) != 0 || none.Own != 0 || none.Current != 0 {
		t.Errorf("%+v", none)
	}
	for _, dryRun := range []bool{true, false} {
		applied := own.apply(keystile.ApplyOptions{DryRun: dryRun, OfDerived: keystile.SuspendDerived})
		if !slices.Equal(applied.Changed, []keystile.KeyID{own.usual}) || !slices.Equal(applied.Derived, []keystile.KeyID{change.Record.ID}) {
			t.Errorf("%+v", applied)
		}
	}
	own.has(own.usual, "read")
	record, err := own.keys.Record(context.Background(), change.Record.ID)
	if err != nil || record.State != keystile.StateSuspended {
		t.Errorf("%v, %v", record, err)
	}
}

// It would write rights that someone has taken back.
func TestAnOlderTemplateIsNotApplied(t *testing.T) {
	ctx := context.Background()
	own := newPlan(t, openSQLite(t, filepath.Join(t.TempDir(), "keys.db")))
	second := own.issue(keystile.IssueRequest{ClientName: "second"})
	own.become("read")
	asked := 0
	change := func(record *keystile.Record, _ *keystile.CorruptRow) bool {
		// While the first key is decided about.
		if asked++; asked == 1 {
			own.become()
		}
		return true
	}
	applied, err := own.keys.ApplyTemplate(ctx, "pro", keystile.ApplyOptions{Permit: change})
	if !errors.Is(err, keystile.ErrStale) || len(applied.Changed) != 0 {
		t.Errorf("%+v, %v", applied, err)
	}
	own.has(own.usual, "read write")
	own.has(second, "read write")
	if applied := own.apply(keystile.ApplyOptions{}); len(applied.Changed) != 2 {
		t.Errorf("%+v", applied)
	}
	own.has(second, "")
	for name, options := range map[string]keystile.ApplyOptions{
		"plus": {}, "pro": {OfDerived: "some"}, "pro\n": {},
	} {
		if _, err := own.keys.ApplyTemplate(ctx, name, options); err == nil {
			t.Errorf("%q is applied", name)
		}
	}
	if err := own.store.RemoveTemplate(ctx, "pro", nil); err != nil {
		t.Fatal(err)
	}
	if _, err := own.keys.ApplyTemplate(ctx, "pro", keystile.ApplyOptions{}); !errors.Is(err, keystile.ErrNoTemplate) {
		t.Errorf("a removed template: %v", err)
	}
}
