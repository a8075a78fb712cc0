package keystile_test

import (
	"context"
	"fmt"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// revocations prints what was revoked of an owner, from a store that selects events.
func revocations(ctx context.Context, store keystile.EventLister, owner string) error {
	filter := keystile.EventFilter{Owner: &owner, Kind: keystile.EventRevoked}
	for after := uint64(0); ; {
		page, err := store.ListEvents(ctx, filter, after, 100)
		if err != nil || len(page) == 0 {
			return err
		}
		for _, event := range page {
			fmt.Println(event.KeyID, *event.Actor)
			after = event.Number
		}
	}
}

// forget removes what happened more than 400 days ago.
func forget(ctx context.Context, store keystile.EventPruner, now time.Time) error {
	for {
		removed, err := store.PruneEvents(ctx, now.AddDate(0, 0, -400), keystile.PageMax)
		if err != nil || removed == 0 {
			return err
		}
	}
}

// audit is a store with one event, so that the example is short.
type audit struct{ keystile.NumberedEvent }

func (a audit) ListEvents(_ context.Context, filter keystile.EventFilter, after uint64, _ int) ([]keystile.NumberedEvent, error) {
	if after >= a.Number || filter.Kind != a.Kind {
		return nil, nil
	}
	return []keystile.NumberedEvent{a.NumberedEvent}, nil
}

func (a audit) PruneEvents(context.Context, time.Time, int) (int, error) { return 0, nil }

func ExampleEventFilter() {
	revoked := keystile.Event{Kind: keystile.EventRevoked, KeyID: keystile.Must(keystile.ParseKeyID("1AbCdEfGhIjKlMnO")), Actor: keystile.Ptr("ana")}
	store := audit{keystile.NumberedEvent{Number: 1, Event: revoked}}
	fmt.Println(revocations(context.Background(), store, "acme"))
	fmt.Println(forget(context.Background(), store, time.Now()))

	// A text that could forge a line of a log is refused.
	fmt.Println(keystile.By{Actor: "ana\nkey 7 revoked"}.Check() != nil)
	// Output:
	// 1AbCdEfGhIjKlMnO ana
	// <nil>
	// <nil>
	// true
}

func ExampleEventLister() {
	var store keystile.EventLister = audit{}
	page, err := store.ListEvents(context.Background(), keystile.EventFilter{Kind: keystile.EventIssued}, 0, 100)
	fmt.Println(len(page), err)
	// Output: 0 <nil>
}

func ExampleEventPruner() {
	var store keystile.EventPruner = audit{}
	removed, err := store.PruneEvents(context.Background(), time.Now().AddDate(0, 0, -400), keystile.PageMax)
	fmt.Println(removed, err)
	// Output: 0 <nil>
}
