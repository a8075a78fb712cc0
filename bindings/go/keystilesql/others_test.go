package keystilesql_test

import (
	"context"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

// If another process was faster, its derived keys are refused here too when the verb returns, also
// those that stayed with the owner that their source had before.
func TestWhatOthersHaveEndedIsInForceWithItsDerivedKeys(t *testing.T) {
	ctx := context.Background()
	for name, isMoved := range map[string]bool{"stays": false, "moved": true} {
		t.Run(name, func(t *testing.T) {
			store := ledger(t)
			verifier := must[*keystile.Verifier](t)(keystile.NewVerifier(nil, damagedIssuer.Format))
			// It reads no events during the test.
			here := must[*keystile.Authenticator](t)(keystile.NewAuthenticator(store, verifier, keystile.Options{PollInterval: -1}))
			defer here.Close(ctx)
			elsewhere := authenticatorOver(t, store, nil, damagedIssuer.Format)
			request := keystile.IssueRequest{ClientName: "Acme", Owner: "tenant-7"}
			source := must[*keystile.Change](t)(elsewhere.Issue(ctx, damagedIssuer, request)).Record.ID
			derived := must[*keystile.Change](t)(elsewhere.Delegate(ctx, source, damagedIssuer, request))
			if isMoved {
				change := keystile.KeyChange{Owner: keystile.Set("tenant-8")}
				_ = must[keystile.Outcome](t)(elsewhere.ChangeDerived(ctx, source, change, keystile.KeepDerived, nil))
			}
			allows := func() bool {
				decision := must[keystile.Decision](t)(here.Check(ctx, derived.Key.Expose(), keystile.Request{}))
				return decision.Allowed()
			}
			if !allows() {
				t.Fatal("the key is good")
			}
			_ = must[keystile.Outcome](t)(elsewhere.Revoke(ctx, source, "leaked"))
			if outcome := must[keystile.Outcome](t)(here.Revoke(ctx, source, "leaked")); outcome.Changed || allows() {
				t.Errorf("%v, allowed: %v", outcome, allows())
			}
		})
	}
}
