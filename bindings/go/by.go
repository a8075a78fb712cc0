package keystile

import (
	"context"
	"fmt"
	"strings"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// By is who changes keys, from where and why, for the audit. Each text has at most 255 bytes,
// no control characters, which could forge a line of a log, and contains no key. An empty text
// is not known.
type By struct {
	// Actor is the id of a key, a person or a program.
	Actor string
	// Origin is the address or host that it is done from.
	Origin string
	// Reason is why. The reason that a method gets, such as [Authenticator.Revoke], counts
	// before this one.
	Reason string
}

type byKey struct{}

// WithActor returns a context for what this actor does: the events of the methods of an
// [Authenticator] that get the context name it. It is in the context because that is what
// middleware, which knows the caller, passes on. If a text is not as [By] describes,
// the methods return [ErrRecord] and change nothing.
func WithActor(ctx context.Context, by By) context.Context {
	return context.WithValue(ctx, byKey{}, by)
}

// asKeystile is the context of what a use of a key brings about.
func asKeystile(ctx context.Context) context.Context {
	return WithActor(ctx, By{Actor: "keystile"})
}

// Check returns [ErrRecord] if a text is not as By describes.
func (b By) Check() error {
	for _, field := range []struct{ name, text string }{{"an actor", b.Actor}, {"an origin", b.Origin}, {"a reason", b.Reason}} {
		if field.text != "" && strings.TrimSpace(field.text) == "" {
			return fmt.Errorf("keystile: %s must not consist of spaces: %w", field.name, ErrRecord)
		}
		if capi.CheckActor(field.text) != nil && field.text != "" {
			return fmt.Errorf("keystile: %s must be at most 255 bytes without control or invisible characters, and contain no whole key: %w", field.name, ErrRecord)
		}
	}
	return nil
}

// By fills in who it was on each event that does not name its actor, and why on each that has
// no reason.
func (b *Batch) By(by By) error {
	if b == nil {
		return ErrRecord
	}
	if err := by.Check(); err != nil {
		return err
	}
	events := make([]Event, len(b.Events))
	copy(events, b.Events)
	for at := range events {
		if events[at].Actor == nil && events[at].Origin == nil {
			events[at].Actor, events[at].Origin = textOf(by.Actor), textOf(by.Origin)
		}
		if events[at].Reason == nil {
			events[at].Reason = textOf(by.Reason)
		}
	}
	b.Events = events
	return nil
}

func textOf(text string) *string {
	if text == "" {
		return nil
	}
	return &text
}
