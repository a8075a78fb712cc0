// Consumer is a program outside the tree: it uses only the public packages.
package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilehttp"
)

type one struct{ record *keystile.Record }

func (o one) Find(_ context.Context, lookup keystile.Lookup) (*keystile.Record, error) {
	if lookup.KeyID == o.record.ID {
		return o.record, nil
	}
	return nil, nil
}

func run() error {
	format, err := keystile.StructuredFormat("acme")
	if err != nil {
		return err
	}
	issuer := &keystile.Issuer{Format: format}
	change, err := issuer.Issue(keystile.IssueRequest{ClientName: "Outside Ltd", Permissions: []string{"read"}}, time.Now())
	if err != nil {
		return err
	}
	verifier, err := keystile.NewVerifier(nil, format)
	if err != nil {
		return err
	}
	authenticator, err := keystile.NewAuthenticator(one{change.Record}, verifier, keystile.Options{})
	if err != nil {
		return err
	}
	defer authenticator.Close(context.Background())
	if _, err := keystilehttp.New(authenticator, keystilehttp.Options{}); err != nil {
		return err
	}
	read, err := keystile.ParseRequirement("read")
	if err != nil {
		return err
	}
	decision, err := authenticator.Check(context.Background(), change.Key.Expose(), keystile.Request{Requirement: read})
	if err != nil || !decision.Allowed() {
		return fmt.Errorf("a new key: %v, %w", decision, err)
	}
	decision, _ = authenticator.Check(context.Background(), change.Key.Expose()+"x", keystile.Request{Requirement: read})
	if !errors.Is(decision.Err(), keystile.ErrInvalidKey) {
		return fmt.Errorf("another text: %v", decision)
	}
	fmt.Println("an outside program, with keystile", keystile.Version())
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
