package keystile_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// noted is what a custom store needs to remember requests, beside the methods of a
// [keystile.Store].
type noted struct {
	keystile.Store
	answers map[[32]byte]*keystile.IssueAnswer
}

var _ keystile.RequestStore = &noted{}

func (n *noted) IssueAnswer(_ context.Context, request *keystile.IssueOnce) (*keystile.IssueAnswer, error) {
	return n.answers[request.Request()], nil // a real store has one for each caller
}

func (n *noted) Commit(_ context.Context, batch keystile.Batch) error {
	var note *keystile.IssueNote = batch.IssueRequest
	if before := n.answers[note.Request.Request()]; before != nil && before.IsRemembered(note.At) {
		return keystile.ErrStale
	}
	n.answers[note.Request.Request()] = &keystile.IssueAnswer{Body: note.Request.Body(), KeyID: note.KeyID, At: note.At}
	return nil
}

// A client that got no answer sends its request again.
func ExampleIssueOnce() {
	ctx, now := context.Background(), time.Now()
	issuer := &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	store := &noted{answers: map[[32]byte]*keystile.IssueAnswer{}}
	keys := keystile.Must(keystile.NewAuthenticator(store, keystile.Must(keystile.NewVerifier(nil, issuer.Format)),
		keystile.Options{PollInterval: -1, Clock: func() time.Time { return now }}))
	defer keys.Close(ctx)
	issue := func(client string) (keystile.OnceIssued, error) {
		request := keystile.Must(keystile.NewIssueOnce("tenant-7", "order-4711", []byte(client)))
		return keys.Once(ctx, request, func(ctx context.Context) (*keystile.Change, error) {
			return keys.Issue(ctx, issuer, keystile.IssueRequest{ClientName: client})
		})
	}
	first := keystile.Must(issue("Acme"))
	again := keystile.Must(issue("Acme"))
	fmt.Println(first.Change.Key.Expose() != "", again.Change == nil, again.Before == first.Change.Record.ID)

	// Another request must not have the same idempotency key, for a day.
	_, err := issue("Other")
	fmt.Println(errors.Is(err, keystile.ErrAnotherRequest))
	now = now.Add(keystile.RequestRememberedFor)
	fmt.Println(keystile.Must(issue("Other")).Change != nil)
	_, err = keystile.NewIssueOnce("tenant-7", "two words", nil)
	fmt.Println(errors.Is(err, keystile.ErrIdempotencyKey))
	// Output:
	// true true true
	// true
	// true
	// true
}
