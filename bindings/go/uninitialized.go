package keystile

import (
	"errors"
	"fmt"
)

// ErrUninitialized means that a value is nil, or the zero value of a type that only its
// constructor makes, such as [NewVerifier] a [Verifier].
var ErrUninitialized = errors.New("keystile: the value was not made by its constructor")

func uninitialized(name string) error { return fmt.Errorf("%w: %s", ErrUninitialized, name) }
