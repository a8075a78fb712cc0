package storetest

import (
	"encoding/json"
	"errors"
	"slices"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// RunTemplates tests a store for everything that [keystile.TemplateStore] documents. Open must
// return a new, empty store each time.
func RunTemplates(t *testing.T, open func(t *testing.T) keystile.TemplateStore) {
	for name, act := range templatesCases {
		t.Run(name, func(t *testing.T) { act(t, open(t)) })
	}
}

var templatesCases = map[string]func(*testing.T, keystile.TemplateStore){
	"a template comes back as it was": func(t *testing.T, store keystile.TemplateStore) {
		nowhere := keystile.Must(keystile.NewScopeTemplate("nowhere", nil, keystile.Must(keystile.NewEndpointRules()), nil))
		bare := keystile.NewStoredTemplate(nowhere, 0, at(3))
		changed := keystile.Must(whole("pro").Changed(rights("pro", "read"), 0, at(5)))
		for _, template := range []*keystile.StoredTemplate{whole("pro"), bare, changed} {
			if err := store.SaveTemplate(ctx, template); err != nil {
				t.Fatal(err)
			}
			sameTemplate(t, keystile.Must(store.Template(ctx, template.Template.Name())), template)
		}
		if unknown, err := store.Template(ctx, "unknown"); unknown != nil || err != nil {
			t.Errorf("an unknown template: %v, %v", unknown, err)
		}
	},
	"a template is added once": func(t *testing.T, store keystile.TemplateStore) {
		refusedTemplate(t, store.SaveTemplate(ctx, whole("pro")), nil)
		again := keystile.NewStoredTemplate(rights("pro", "*"), 0, at(9))
		refusedTemplate(t, store.SaveTemplate(ctx, again), keystile.ErrTemplateExists)
		sameTemplate(t, keystile.Must(store.Template(ctx, "pro")), whole("pro"))
		preset := keystile.NewStoredTemplate(rights("admin", "*"), 0, at(9))
		refusedTemplate(t, store.SaveTemplate(ctx, preset), keystile.ErrPresetTemplate)
		unnumbered := whole("plus")
		unnumbered.Version = 0
		refusedTemplate(t, store.SaveTemplate(ctx, unnumbered), keystile.ErrOutOfRange)
	},
	"a template is replaced from the version before, and removed": func(t *testing.T, store keystile.TemplateStore) {
		first := whole("pro")
		second := keystile.Must(first.Changed(rights("pro", "read"), 0, at(5)))
		refusedTemplate(t, store.SaveTemplate(ctx, second), keystile.ErrStale)
		refusedTemplate(t, store.SaveTemplate(ctx, first), nil)
		refusedTemplate(t, store.SaveTemplate(ctx, second), nil)
		other := keystile.Must(first.Changed(rights("pro", "*"), 0, at(6)))
		refusedTemplate(t, store.SaveTemplate(ctx, other), keystile.ErrStale)
		sameTemplate(t, keystile.Must(store.Template(ctx, "pro")), second)
		refusedTemplate(t, store.RemoveTemplate(ctx, "pro", first), keystile.ErrStale)
		refusedTemplate(t, store.RemoveTemplate(ctx, "pro", second), nil)
		refusedTemplate(t, store.RemoveTemplate(ctx, "pro", nil), keystile.ErrNoTemplate)
		// One that was removed and added again is another one, with the same versions.
		again := whole("pro")
		again.CreatedAt, again.ChangedAt = at(7), at(7)
		refusedTemplate(t, store.SaveTemplate(ctx, again), nil)
		refusedTemplate(t, store.SaveTemplate(ctx, second), keystile.ErrStale)
		refusedTemplate(t, store.RemoveTemplate(ctx, "pro", first), keystile.ErrStale)
	},
	"templates are listed by name": func(t *testing.T, store keystile.TemplateStore) {
		for _, name := range []string{"b", "a_b", "ab", "a", "a0", "a-b"} {
			refusedTemplate(t, store.SaveTemplate(ctx, whole(name)), nil)
		}
		for _, limit := range []int{1, 2, 3, 100} {
			var names []string
			for after := ""; ; {
				page := keystile.Must(store.ListTemplates(ctx, after, limit))
				if len(page.Templates) > limit || len(page.Damaged) > 0 {
					t.Fatalf("a page of %d has %d, and %d damaged", limit, len(page.Templates), len(page.Damaged))
				}
				for _, template := range page.Templates {
					names = append(names, template.Template.Name())
				}
				if after = page.Next; after == "" {
					break
				}
			}
			if want := []string{"a", "a-b", "a0", "a_b", "ab", "b"}; !slices.Equal(names, want) {
				t.Errorf("pages of %d: %v", limit, names)
			}
		}
	},
}

func rights(name string, permissions ...string) *keystile.ScopeTemplate {
	return keystile.Must(keystile.NewScopeTemplate(name, keystile.Must(keystile.NewPermissionSet(permissions...)), nil, nil))
}

// whole returns a template with every optional field.
func whole(name string) *keystile.StoredTemplate {
	limit := keystile.Must(keystile.NewRateLimitWithBurst(100, time.Minute, 7))
	permissions := keystile.Must(keystile.NewPermissionSet("read", "invoices:*"))
	rules := keystile.Must(keystile.NewEndpointRules("GET /api/*"))
	template := keystile.Must(keystile.NewScopeTemplate(name, permissions, rules, &limit))
	return keystile.NewStoredTemplate(template, 1_234*time.Millisecond, at(1))
}

func sameTemplate(t *testing.T, found, want *keystile.StoredTemplate) {
	t.Helper()
	if one, other := string(keystile.Must(json.Marshal(found))), string(keystile.Must(json.Marshal(want))); one != other {
		t.Errorf("found %s, want %s", one, other)
	}
}

func refusedTemplate(t *testing.T, err, want error) {
	t.Helper()
	if !errors.Is(err, want) {
		t.Errorf("%v, want %v", err, want)
	}
}
