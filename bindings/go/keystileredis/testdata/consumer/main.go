// Consumer is a program outside the tree that counts on a Redis server.
package main

import (
	"errors"
	"fmt"
	"os"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystileredis"
)

func run() error {
	var limits keystile.Limits
	limits, err := keystileredis.Open(keystileredis.Options{URL: "redis://127.0.0.1"})
	if err != nil {
		return err
	}
	_ = limits
	if _, err := keystileredis.Open(keystileredis.Options{}); !errors.Is(err, keystileredis.ErrOptions) {
		return fmt.Errorf("options that name no server: %v", err)
	}
	return nil
}

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}
