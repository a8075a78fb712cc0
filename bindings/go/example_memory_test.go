package keystile_test

import (
	"context"
	"fmt"

	keystile "github.com/keystile/keystile/bindings/go"
)

// A test of a service needs no database: its keys end with the process.
func ExampleMemoryStore() {
	ctx := context.Background()
	format := keystile.Must(keystile.StructuredFormat("acme"))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	keys := keystile.Must(keystile.NewAuthenticator(keystile.NewMemoryStore(), verifier, keystile.Options{}))
	defer keys.Close(ctx)

	issuer := &keystile.Issuer{Format: format}
	issued := keystile.Must(keys.Issue(ctx, issuer, keystile.IssueRequest{ClientName: "Acme", Permissions: []string{"read"}}))
	decision, err := keys.Check(ctx, issued.Key.Expose(), keystile.Request{})
	fmt.Println(decision, err)

	keystile.Must(keys.Revoke(ctx, issued.Record.ID, "left"))
	decision, err = keys.Check(ctx, issued.Key.Expose(), keystile.Request{})
	fmt.Println(decision, err)

	// Another store knows nothing of it.
	other := keystile.Must(keystile.Check(ctx, new(keystile.MemoryStore), verifier, issued.Key.Expose(), keystile.Request{}, issued.Record.CreatedAt))
	fmt.Println(other.Decision)
	// Output:
	// allowed <nil>
	// key_revoked <nil>
	// invalid_key
}

// announced is a store whose changes are announced by other means, such as a message queue.
type announced struct {
	*keystile.MemoryStore
	announcements chan struct{}
}

// Listen is called again if it returns an error; meanwhile, and in any case, changes are polled.
func (a announced) Listen(ctx context.Context, changed func()) error {
	// What changed before this was not announced.
	changed()
	for {
		select {
		case <-a.announcements:
			changed()
		case <-ctx.Done():
			return ctx.Err()
		}
	}
}

// A store that is told of changes makes an authenticator read them at once.
func ExampleChangeListener() {
	var listener keystile.ChangeListener = announced{keystile.NewMemoryStore(), make(chan struct{})}
	ctx, cancel := context.WithCancel(context.Background())
	err := listener.Listen(ctx, func() {
		fmt.Println("read the changes")
		cancel()
	})
	fmt.Println(err)
	// Output:
	// read the changes
	// context canceled
}
