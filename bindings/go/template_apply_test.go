package keystile_test

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// beside is a store in memory to which others write at certain moments.
type beside struct {
	*keystile.MemoryStore
	// commit and list run before a batch is written, and before a page is read; nil for nothing.
	commit func()
	list   func() error
}

func (b *beside) Commit(ctx context.Context, batch keystile.Batch) error {
	if do := b.commit; do != nil {
		b.commit = nil
		do()
	}
	return b.MemoryStore.Commit(ctx, batch)
}

func (b *beside) List(ctx context.Context, filter keystile.Filter, page keystile.Page) (keystile.Listed, error) {
	if b.list != nil {
		if err := b.list(); err != nil {
			return keystile.Listed{}, err
		}
	}
	return b.MemoryStore.List(ctx, filter, page)
}

// planned is a store with a template.
type planned struct {
	*testing.T
	store    *beside
	keys     *keystile.Authenticator
	issuer   *keystile.Issuer
	template *keystile.StoredTemplate
}

func proTemplate(permissions ...string) *keystile.ScopeTemplate {
	return keystile.Must(keystile.NewScopeTemplate("pro", keystile.Must(keystile.NewPermissionSet(permissions...)), nil, nil))
}

func newPlanned(t *testing.T) *planned {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	own := &planned{T: t, store: &beside{MemoryStore: keystile.NewMemoryStore()}, issuer: &keystile.Issuer{Format: format}}
	own.keys = own.over(own.store)
	own.template = keystile.NewStoredTemplate(proTemplate("read", "write"), 0, time.Now())
	own.save(own.template)
	return own
}

func (p *planned) over(store keystile.Store) *keystile.Authenticator {
	p.Helper()
	verifier := keystile.Must(keystile.NewVerifier(nil, p.issuer.Format))
	keys := must[*keystile.Authenticator](p.T)(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
	p.Cleanup(func() { _ = keys.Close(context.Background()) })
	return keys
}

func (p *planned) save(template *keystile.StoredTemplate) {
	p.Helper()
	if err := p.store.SaveTemplate(context.Background(), template); err != nil {
		p.Fatal(err)
	}
}

// become changes the template, after the keys that are there were issued.
func (p *planned) become(permissions ...string) {
	p.Helper()
	p.template = keystile.Must(p.template.Changed(proTemplate(permissions...), 0, time.Now().Add(time.Hour)))
	p.save(p.template)
}

func (p *planned) issue(permissions ...string) keystile.KeyID {
	p.Helper()
	change := must[*keystile.Change](p.T)(p.keys.IssueFrom(context.Background(), "pro", p.issuer, keystile.IssueRequest{ClientName: "Acme", Permissions: permissions}))
	return change.Record.ID
}

func (p *planned) has(id keystile.KeyID, permissions string) {
	p.Helper()
	record := must[*keystile.Record](p.T)(p.store.Find(context.Background(), keystile.Lookup{KeyID: id}))
	if text := strings.Join(record.Permissions.Strings(), " "); text != permissions {
		p.Errorf("%q, not %q", text, permissions)
	}
}

// A key that another one has changed by a newer template keeps what it has.
func TestATemplateIsNotAppliedOverANewerOne(t *testing.T) {
	ctx, own := context.Background(), newPlanned(t)
	key := own.issue("write")
	other := own.over(own.store.MemoryStore)
	own.store.commit = func() {
		// After the template was looked at, and before the key is written.
		own.become("read")
		if applied, err := other.ApplyTemplate(ctx, "pro", keystile.ApplyOptions{All: true}); err != nil || len(applied.Changed) != 1 {
			t.Errorf("%+v, %v", applied, err)
		}
	}
	applied, err := own.keys.ApplyTemplate(ctx, "pro", keystile.ApplyOptions{All: true})
	if !errors.Is(err, keystile.ErrStale) || len(applied.Changed) != 0 || len(applied.Failed) != 0 {
		t.Errorf("%+v, %v", applied, err)
	}
	own.has(key, "read")
}

// The template changes after the first key was written, and before the second one is: what was taken back
// is not given, and the error says how many keys were changed.
func TestAnApplyStopsWhenItsTemplateChanges(t *testing.T) {
	ctx := context.Background()
	for name, change := range map[string]func(*planned){
		"changed": func(own *planned) { own.become() },
		"removed": func(own *planned) {
			if err := own.store.RemoveTemplate(ctx, "pro", nil); err != nil {
				own.Error(err)
			}
		},
	} {
		t.Run(name, func(t *testing.T) {
			own := newPlanned(t)
			first, second := own.issue(), own.issue()
			own.become("read", "write", "more")
			own.store.commit = func() { own.store.commit = func() { change(own) } }
			applied, err := own.keys.ApplyTemplate(ctx, "pro", keystile.ApplyOptions{})
			if !errors.Is(err, keystile.ErrTemplateChanged) || !errors.Is(err, keystile.ErrStale) || !strings.HasSuffix(err.Error(), "keys changed before: 1") {
				t.Error(err)
			}
			if !slices.Equal(applied.Changed, []keystile.KeyID{first}) || len(applied.Failed) != 0 {
				t.Errorf("%+v", applied)
			}
			own.has(first, "read write more")
			own.has(second, "read write")
		})
	}
}

// Each key is counted once, also if the keys are gone through several times.
func TestAnAppliedTemplateCountsEachKeyOnce(t *testing.T) {
	ctx, own := context.Background(), newPlanned(t)
	usual := own.issue()
	own.issue("write")
	source := own.issue()
	if _, err := own.keys.Delegate(ctx, source, own.issuer, keystile.IssueRequest{ClientName: "shop", Permissions: []string{"write"}}); err != nil {
		t.Fatal(err)
	}
	own.become("read")
	current := own.issue()
	// The second time, the store is gone.
	down, pages := errors.New("the store is down"), 0
	own.store.list = func() error {
		if pages++; pages == 2 {
			return down
		}
		return nil
	}
	is := func(applied keystile.Applied, changed []keystile.KeyID, currents int) {
		t.Helper()
		if !slices.Equal(applied.Changed, changed) || applied.Current != currents || applied.Own != 1 || applied.Exceeding != 1 ||
			len(applied.Failed) != 1 || applied.Failed[0].KeyID != source {
			t.Errorf("%+v", applied)
		}
	}
	planned, err := own.keys.ApplyTemplate(ctx, "pro", keystile.ApplyOptions{DryRun: true})
	if err != nil {
		t.Fatal(err)
	}
	is(planned, []keystile.KeyID{usual}, 1)
	pages = 0
	applied, err := own.keys.ApplyTemplate(ctx, "pro", keystile.ApplyOptions{})
	if !errors.Is(err, down) {
		t.Error(err)
	}
	is(applied, []keystile.KeyID{usual}, 1)
	own.has(usual, "read")
	own.has(current, "read")
	// What was done before is current now.
	if applied, err = own.keys.ApplyTemplate(ctx, "pro", keystile.ApplyOptions{}); err != nil {
		t.Error(err)
	}
	is(applied, nil, 2)
	// A key that is changed is not also one that was current.
	own.become()
	if applied, err = own.keys.ApplyTemplate(ctx, "pro", keystile.ApplyOptions{}); err != nil || applied.Current != 0 || len(applied.Changed) != 2 {
		t.Errorf("%+v, %v", applied, err)
	}
}
