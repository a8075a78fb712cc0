package keystile

import (
	"context"
	"fmt"
	"strings"
	"unicode"
	"unicode/utf8"
)

// byTextMax is the maximum length of each text of a [By] in bytes.
const byTextMax = 255

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
		if len(field.text) > byTextMax || !utf8.ValidString(field.text) ||
			strings.ContainsFunc(field.text, isHidden) || containsKey(field.text) {
			return fmt.Errorf("keystile: %s must be at most 255 bytes without control or invisible characters, and contain no whole key: %w", field.name, ErrRecord)
		}
	}
	return nil
}

// isHidden reports whether a character is a control, is not seen, or changes the direction of
// others. The ranges are those of the core.
func isHidden(c rune) bool {
	return unicode.IsControl(c) || unicode.Is(invisible, c)
}

var invisible = &unicode.RangeTable{
	R16: []unicode.Range16{
		{0xad, 0xad, 1}, {0x34f, 0x34f, 1}, {0x61c, 0x61c, 1}, {0x115f, 0x1160, 1},
		{0x17b4, 0x17b5, 1}, {0x180b, 0x180f, 1}, {0x200b, 0x200f, 1}, {0x2028, 0x202e, 1},
		{0x2060, 0x206f, 1}, {0x3164, 0x3164, 1}, {0xfeff, 0xfeff, 1}, {0xffa0, 0xffa0, 1},
		{0xfff0, 0xfffb, 1},
	},
	R32: []unicode.Range32{
		{0x1bca0, 0x1bca3, 1}, {0x1d173, 0x1d17a, 1}, {0xe0000, 0xe0fff, 1},
	},
	LatinOffset: 1,
}

// By fills in who it was on each event that does not name its actor, and why on each that has
// no reason.
func (b *Batch) By(by By) error {
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

// containsKey reports whether a text contains a whole key, of any prefix.
func containsKey(text string) bool {
	structured, err := AnyStructuredFormat()
	if err != nil {
		return true
	}
	opaque, err := AnyOpaqueFormat()
	if err != nil {
		return true
	}
	words := strings.FieldsFunc(text, func(char rune) bool {
		return char != '_' && (char > unicode.MaxASCII || !unicode.IsLetter(char) && !unicode.IsDigit(char))
	})
	for _, word := range words {
		if _, ok := structured.Parse(word); ok {
			return true
		}
		if digits := word[strings.LastIndexByte(word, '_')+1:]; len(digits) == 64 {
			if _, ok := opaque.Parse(word); ok {
				return true
			}
		}
	}
	return false
}
