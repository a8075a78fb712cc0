package keystilesql_test

import (
	"context"
	"crypto/sha256"
	"errors"
	"fmt"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// As many keys as may derive from one are revoked with it in one step, and not one more is issued.
func TestTenThousandKeysEndTogether(t *testing.T) {
	if testing.Short() || raced {
		t.Skip("it writes ten thousand keys twice")
	}
	ctx, store := context.Background(), ledger(t)
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	authenticator := authenticatorOver(t, store, nil, issuer.Format)
	request := keystile.IssueRequest{ClientName: "Acme"}
	top := must[*keystile.Change](t)(authenticator.Issue(ctx, issuer, request)).Record
	example := must[*keystile.Change](t)(authenticator.Delegate(ctx, top.ID, issuer, request)).Record
	var batch keystile.Batch
	for number := range keystile.DerivedKeysMax - 2 {
		record := example.Clone()
		record.ID = keystile.Must(keystile.ParseKeyID(fmt.Sprintf("1%015d", number)))
		record.Lineage = record.ID
		record.Digest = keystile.NewDigest(keystile.DigestSHA256, 0, sha256.Sum256([]byte(record.ID.String())))
		batch.Inserts = append(batch.Inserts, record)
		batch.Events = append(batch.Events, keystile.Event{Kind: keystile.EventIssued, KeyID: record.ID, At: time.Now(), Version: 1})
	}
	if err := store.Commit(ctx, batch); err != nil {
		t.Fatal(err)
	}
	// The last one is derived from one that is derived: the first key of the chain counts.
	_ = must[*keystile.Change](t)(authenticator.Delegate(ctx, example.ID, issuer, request))
	for _, source := range []keystile.KeyID{top.ID, example.ID} {
		if _, err := authenticator.Delegate(ctx, source, issuer, request); !errors.Is(err, keystile.ErrTooManyDerived) {
			t.Error(err)
		}
	}
	ended, err := authenticator.RevokeIf(ctx, top.ID, "leaked", keystile.ReachLast, nil)
	if err != nil || len(ended.Derived) != keystile.DerivedKeysMax {
		t.Fatalf("%d keys, %v", len(ended.Derived), err)
	}
	left := must[keystile.Listed](t)(store.Derived(ctx, top.ID, time.Now()))
	if len(left.Records) != 0 {
		t.Errorf("%d escaped", len(left.Records))
	}
}
