package keystile_test

import (
	"context"
	"database/sql"
	"fmt"
	"strings"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	_ "modernc.org/sqlite"
)

// Keys are moved from one store to another; their clients keep them.
func ExampleAuthenticator_Import() {
	ctx := context.Background()
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, issuer.Format))
	var services [2]*keystile.Authenticator
	for at := range services {
		db := keystile.Must(sql.Open("sqlite", ":memory:"))
		db.SetMaxOpenConns(1) // the database lasts as long as its connection
		defer db.Close()
		store := keystilesql.SQLite(db)
		keystile.Must(store.Migrate(ctx))
		services[at] = keystile.Must(keystile.NewAuthenticator(store, verifier, keystile.Options{}))
		defer services[at].Close(ctx)
	}
	old, new := services[0], services[1]
	issued := keystile.Must(old.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme Ltd"}))

	var file strings.Builder
	var export keystile.ExportSummary = keystile.Must(old.Export(ctx, &file, keystile.ExportOptions{WithDigests: true}))
	fmt.Println(export.Keys, "key is exported")
	report := func(line keystile.LineReport) {
		if line.Result == keystile.LineResult("conflict") {
			fmt.Println("line", line.Line, "is left out:", line.Problem)
		}
	}
	var summary keystile.ImportSummary
	for _, dryRun := range []bool{true, false} {
		summary = keystile.Must(new.Import(ctx, strings.NewReader(file.String()), keystile.ImportOptions{DryRun: dryRun, Report: report}))
		fmt.Println(summary.Imported, "key is imported, and the export is whole:", summary.Whole)
	}
	decision := keystile.Must(new.Check(ctx, issued.Key.Expose(), keystile.Request{}))
	fmt.Println(decision.Allowed())

	// A key that was revoked here is not made valid by an import.
	keystile.Must(new.Revoke(ctx, issued.Record.ID, "leaked"))
	summary = keystile.Must(new.Import(ctx, strings.NewReader(file.String()), keystile.ImportOptions{Report: report}))
	fmt.Println(summary.IsComplete())
	// Output:
	// 1 key is exported
	// 1 key is imported, and the export is whole: true
	// 1 key is imported, and the export is whole: true
	// true
	// line 1 is left out: status: the key is revoked in the store, and stays so
	// false
}
