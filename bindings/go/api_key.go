package keystile

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every print path shows instead of a secret.
const redacted = "[redacted]"

// secret holds a text that no formatter, encoder or logger shows. A function returns it, so
// that not even a formatter that walks through private fields finds it.
type secret struct{ reveal func() string }

func conceal(text string) secret { return secret{func() string { return text }} }

// Expose returns the text itself. Nothing else does.
func (s secret) Expose() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// String returns a constant.
func (s secret) String() string { return redacted }

// Format writes a constant for every verb.
func (s secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// MarshalText returns a constant.
func (s secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue returns a constant.
func (s secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// APIKey is the text of a new key, which only its owner may see: show it once and store it
// nowhere. It prints as a constant with every verb, in JSON and in logs; only
// [APIKey.Expose] returns its text.
type APIKey struct{ secret }

// IsZero reports whether there is no key.
func (k APIKey) IsZero() bool { return k.reveal == nil }
