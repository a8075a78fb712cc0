package keystileredis_test

import (
	"context"
	"errors"
	"fmt"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystileredis"
)

// Each process of a service opens these. It begins also while the server cannot be reached, and
// refuses the keys that have a limit until then.
func Example() {
	ctx, format := context.Background(), keystile.Must(keystile.StructuredFormat("acme"))
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	options := keystileredis.Options{URL: "redis://127.0.0.1:1", Timeout: 100 * time.Millisecond} // Where no server is.
	var limits *keystileredis.Limits = keystile.Must(keystileredis.Open(options))
	defer limits.Close()
	var wake *keystileredis.Wake = keystile.Must(keystileredis.OpenWake(options, "keys"))
	defer wake.Close()

	keys := keystile.Must(keystile.NewAuthenticator(keystile.NewMemoryStore(), verifier, keystile.Options{Limits: limits, Wake: wake}))
	defer keys.Close(ctx)
	hourly := keystile.Must(keystile.NewRateLimit(100, time.Hour))
	issued := keystile.Must(keys.Issue(ctx, &keystile.Issuer{Format: format}, keystile.IssueRequest{ClientName: "Acme", RateLimit: &hourly}))
	decision, err := keys.Check(ctx, issued.Key.Expose(), keystile.Request{})
	fmt.Println(decision, errors.Is(err, keystile.ErrStoreUnavailable))

	_, err = keystileredis.Open(keystileredis.Options{URL: "https://127.0.0.1"})
	fmt.Println(err)
	// Output:
	// store_unavailable true
	// keystileredis: an option is not valid: URL: expected redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] or rediss://…
}
