package keystile_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// planStore is a store with one template, so that the example is short.
type planStore struct{ pro *keystile.StoredTemplate }

func (p *planStore) Template(_ context.Context, name string) (*keystile.StoredTemplate, error) {
	if p.pro == nil || p.pro.Template.Name() != name {
		return nil, nil
	}
	return p.pro, nil
}

func (p *planStore) ListTemplates(context.Context, string, int) (keystile.ListedTemplates, error) {
	return keystile.ListedTemplates{Templates: []*keystile.StoredTemplate{p.pro}}, nil
}

func (p *planStore) SaveTemplate(_ context.Context, template *keystile.StoredTemplate) error {
	if err := template.Check(); err != nil {
		return err
	}
	p.pro = template
	return nil
}

func (p *planStore) RemoveTemplate(context.Context, string, *keystile.StoredTemplate) error {
	p.pro = nil
	return nil
}

// A key is issued from a template of the store, and the template is changed.
func ExampleStoredTemplate() {
	var store keystile.TemplateStore = &planStore{}
	ctx, now := context.Background(), time.UnixMilli(1_790_000_000_000)
	read := keystile.Must(keystile.NewScopeTemplate("pro", keystile.Must(keystile.NewPermissionSet("read")), nil, nil))
	year := 365 * 24 * time.Hour
	fmt.Println(store.SaveTemplate(ctx, keystile.NewStoredTemplate(read, year, now)))

	pro := keystile.Must(keystile.FindTemplate(ctx, store, "pro"))
	issuer := keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	request := keystile.Must(pro.Request(keystile.IssueRequest{ClientName: "Acme Ltd"}))
	issued := keystile.Must(issuer.Issue(request, now))
	fmt.Println(issued.Record.Permissions.Strings(), issued.Record.ExpiresAt.Equal(now.Add(year)))

	// A longer life, an unknown name, and a preset that is replaced are refused.
	_, err := pro.Request(keystile.IssueRequest{ClientName: "Acme Ltd", NeverExpires: true})
	fmt.Println(errors.Is(err, keystile.ErrExceeds))
	_, err = keystile.FindTemplate(ctx, store, "plus")
	fmt.Println(errors.Is(err, keystile.ErrNoTemplate))
	admin := keystile.NewStoredTemplate(keystile.Must(keystile.PresetTemplate("admin")), 0, now)
	fmt.Println(errors.Is(store.SaveTemplate(ctx, admin), keystile.ErrPresetTemplate))

	more := keystile.Must(keystile.NewScopeTemplate("pro", keystile.Must(keystile.NewPermissionSet("read", "write")), nil, nil))
	changed := keystile.Must(pro.Changed(more, year, now))
	former := func(was keystile.FormerTemplate) string {
		return fmt.Sprint(was.Template.Permissions().Strings(), was.Until.Equal(now))
	}
	fmt.Println(changed.Version, former(changed.Former[0]))

	// A batch can rely on the version that was read; a preset has none.
	var relied *keystile.TemplateVersion = pro.Unchanged()
	preset := keystile.Must(keystile.FindTemplate(ctx, store, "admin"))
	fmt.Println(relied.Name, relied.Version, preset.Unchanged() == nil)
	// Output:
	// <nil>
	// [read] true
	// true
	// true
	// true
	// 2 [read] true
	// pro 1 true
}
