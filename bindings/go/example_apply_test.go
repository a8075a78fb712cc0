package keystile_test

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	_ "modernc.org/sqlite"
)

// A template is changed, and its keys get its rights.
func ExampleAuthenticator_ApplyTemplate() {
	ctx := context.Background()
	db := keystile.Must(sql.Open("sqlite", ":memory:"))
	db.SetMaxOpenConns(1) // the database lasts as long as its connection
	defer db.Close()
	store := keystilesql.SQLite(db)
	keystile.Must(store.Migrate(ctx))
	now := time.Now()
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	keys := keystile.Must(keystile.NewAuthenticator(store, keystile.Must(keystile.NewVerifier(nil, issuer.Format)),
		keystile.Options{Clock: func() time.Time { return now }}))
	defer keys.Close(ctx)

	rights := func(permissions ...string) *keystile.ScopeTemplate {
		return keystile.Must(keystile.NewScopeTemplate("pro", keystile.Must(keystile.NewPermissionSet(permissions...)), nil, nil))
	}
	pro := keystile.NewStoredTemplate(rights("read", "export"), 0, now)
	fmt.Println(store.SaveTemplate(ctx, pro))
	usual := keystile.Must(keys.IssueFrom(ctx, "pro", issuer, keystile.IssueRequest{ClientName: "Acme Ltd"}))
	keystile.Must(keys.IssueFrom(ctx, "pro", issuer, keystile.IssueRequest{ClientName: "Globex", Permissions: []string{"export"}}))

	now = now.Add(time.Hour)
	fmt.Println(store.SaveTemplate(ctx, keystile.Must(pro.Changed(rights("read", "write"), 0, now))))
	var done keystile.Applied
	for _, dryRun := range []bool{true, false} {
		done = keystile.Must(keys.ApplyTemplate(ctx, "pro", keystile.ApplyOptions{DryRun: dryRun}))
		fmt.Println(len(done.Changed), "changed;", done.Own, "with rights of its own;", done.Exceeding, "exceeds the template")
	}
	fmt.Println(keystile.Must(keys.Record(ctx, usual.Record.ID)).Permissions)

	_, err := keys.ApplyTemplate(ctx, "plus", keystile.ApplyOptions{})
	fmt.Println(errors.Is(err, keystile.ErrNoTemplate))
	// Output:
	// <nil>
	// <nil>
	// 1 changed; 1 with rights of its own; 1 exceeds the template
	// 1 changed; 1 with rights of its own; 1 exceeds the template
	// read write
	// true
}
