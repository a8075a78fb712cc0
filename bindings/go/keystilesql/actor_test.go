package keystilesql_test

import (
	"bytes"
	"context"
	"errors"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

func TestVerbsSayWhoItWas(t *testing.T) {
	ctx, store := context.Background(), ledger(t)
	format := keystile.Must(keystile.StructuredFormat("acme"))
	authenticator := authenticatorOver(t, store, nil, format)
	ana := keystile.WithActor(ctx, keystile.By{Actor: "ana", Origin: "10.0.0.7", Reason: "ticket 7"})
	change := must[*keystile.Change](t)(authenticator.Issue(ana, &keystile.Issuer{Format: format}, keystile.IssueRequest{ClientName: "Acme"}))
	id := change.Record.ID
	for _, verb := range []func() (keystile.Outcome, error){
		func() (keystile.Outcome, error) { return authenticator.Suspend(ana, id) },
		func() (keystile.Outcome, error) { return authenticator.Resume(ana, id) },
		func() (keystile.Outcome, error) { return authenticator.Revoke(ana, id, "leaked") },
	} {
		must[keystile.Outcome](t)(verb())
	}
	events := must[[]keystile.NumberedEvent](t)(store.Events(ctx, id, 0, 9))
	if len(events) != 4 {
		t.Fatal(events)
	}
	for at, event := range events {
		reason := "ticket 7"
		if at == 3 {
			reason = "leaked"
		}
		if event.Actor == nil || *event.Actor != "ana" || event.Origin == nil || *event.Origin != "10.0.0.7" ||
			event.Reason == nil || *event.Reason != reason {
			t.Errorf("%d: %v", at, event)
		}
	}

	// An actor that cannot be written changes nothing.
	other := must[*keystile.Change](t)(authenticator.Issue(ctx, &keystile.Issuer{Format: format}, keystile.IssueRequest{ClientName: "Acme"}))
	forged := keystile.WithActor(ctx, keystile.By{Actor: "ana\nkey 7 revoked"})
	if _, err := authenticator.Revoke(forged, other.Record.ID, "leaked"); !errors.Is(err, keystile.ErrRecord) {
		t.Error(err)
	}
	events = must[[]keystile.NumberedEvent](t)(store.Events(ctx, other.Record.ID, 0, 9))
	if len(events) != 1 || events[0].Actor != nil {
		t.Error(events)
	}
}

func TestWhatAUseBringsAboutIsByKeystile(t *testing.T) {
	ctx, store := context.Background(), ledger(t)
	format := keystile.Must(keystile.StructuredFormat("acme"))
	change := must[*keystile.Change](t)(authenticatorOver(t, store, nil, format).Issue(ctx, &keystile.Issuer{Format: format}, keystile.IssueRequest{ClientName: "Acme"}))
	ring := must[*keystile.PepperRing](t)(keystile.NewPepperRing(7, bytes.Repeat([]byte{7}, 32)))
	authenticator := authenticatorOver(t, store, ring, format)
	var events []keystile.NumberedEvent
	eventually(t, "the digest is renewed", func() bool {
		_, _ = authenticator.Check(ctx, change.Key.Expose(), keystile.Request{})
		events = must[[]keystile.NumberedEvent](t)(store.ListEvents(ctx, keystile.EventFilter{Kind: keystile.EventRehashed}, 0, 9))
		return len(events) > 0
	})
	if events[0].Actor == nil || *events[0].Actor != "keystile" {
		t.Error(events[0])
	}
}

func TestManyKeysAreRevoked(t *testing.T) {
	ctx, store := context.Background(), ledger(t)
	format := keystile.Must(keystile.StructuredFormat("acme"))
	authenticator := authenticatorOver(t, store, nil, format)
	issue := func(owner string) *keystile.Change {
		request := keystile.IssueRequest{ClientName: "Acme", Owner: owner}
		return must[*keystile.Change](t)(authenticator.Issue(ctx, &keystile.Issuer{Format: format}, request))
	}
	own, other := []*keystile.Change{issue("acme"), issue("acme")}, issue("bolt")
	for _, filter := range []keystile.Filter{{}, {Status: keystile.StatusActive}} {
		if _, err := authenticator.RevokeAll(ctx, filter, keystile.BulkOptions{Reason: "left"}); !errors.Is(err, keystile.ErrRecord) {
			t.Error(err)
		}
	}
	filter := keystile.Filter{Owner: keystile.Ptr("acme")}
	if all, err := authenticator.SuspendAll(ctx, filter, keystile.BulkOptions{}); all.Count() != 2 || err != nil {
		t.Error(all, err)
	}
	for _, expected := range []int{2, 0} {
		if all, err := authenticator.RevokeAll(ctx, filter, keystile.BulkOptions{Reason: "left"}); all.Count() != expected || err != nil {
			t.Error(all, err)
		}
	}
	for _, one := range own {
		if decision, err := authenticator.Check(ctx, one.Key.Expose(), keystile.Request{}); err != nil || !errors.Is(decision.Err(), keystile.ErrKeyRevoked) {
			t.Error(decision, err)
		}
	}
	if decision, err := authenticator.Check(ctx, other.Key.Expose(), keystile.Request{}); err != nil || !decision.Allowed() {
		t.Error(decision, err)
	}
}
