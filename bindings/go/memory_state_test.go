package keystile

import (
	"context"
	"testing"
	"time"
)

// Of a key that was removed, no store keeps whom it was issued to.
func TestTheMemoryStoreForgetsRemovedKeys(t *testing.T) {
	ctx, store := context.Background(), NewMemoryStore()
	issuer := &Issuer{Format: Must(StructuredFormat("acme"))}
	keys := Must(NewAuthenticator(store, Must(NewVerifier(nil, issuer.Format)), Options{}))
	defer func() { _ = keys.Close(ctx) }()
	asked := IssueRequest{ClientName: "Acme", ClientEmail: "ops@acme.example", Metadata: `{"plan":"gold"}`, Lifetime: Ptr(time.Hour)}
	issued := Must(keys.Issue(ctx, issuer, asked)).Record.ID
	Must(keys.Revoke(ctx, issued, "left"))
	if _, err := keys.Delete(ctx, issued); err != nil {
		t.Fatal(err)
	}
	kept := store.state.removed(issued)
	if kept == nil || kept.ClientName != "" || kept.ClientEmail != nil || kept.Metadata != nil || kept.Permissions != nil || kept.State != StateRevoked {
		t.Errorf("%+v", kept)
	}
}
