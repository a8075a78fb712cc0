package keystile_test

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

func TestWhatAnActorMayBe(t *testing.T) {
	for _, by := range []keystile.By{
		{Actor: "ana\nkey 7 revoked"}, {Actor: strings.Repeat("x", 256)}, {Origin: "a\tb"}, {Reason: "\x7f"},
		{Actor: "dt_" + strings.Repeat("0", 64)}, {Reason: "leaked: dt_" + strings.Repeat("0", 64) + "."}, {Actor: "\xff"}, {Actor: "  "},
	} {
		if err := by.Check(); !errors.Is(err, keystile.ErrRecord) {
			t.Errorf("%d bytes: %v", len(by.Actor), err)
		}
	}
	for _, by := range []keystile.By{{}, {Actor: "ana@example.com", Origin: "2001:db8::7", Reason: "ünpaid"}, {Actor: "1AbCdEfGhIjKlMnO"}} {
		if err := by.Check(); err != nil {
			t.Errorf("%v: %v", by, err)
		}
	}
}

func ExampleWithActor() {
	// Middleware that knows the caller puts it into the context of the request.
	ctx := keystile.WithActor(context.Background(), keystile.By{Actor: "ana", Origin: "10.0.0.7", Reason: "unpaid invoice"})
	by, _ := keystile.ActorOf(ctx)
	fmt.Println(by.Actor, "from", by.Origin)
	// Output: ana from 10.0.0.7
}
