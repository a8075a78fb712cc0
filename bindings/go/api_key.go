package keystile

import (
	"fmt"
	"io"
	"log/slog"
)

// redacted is what every print path shows of a secret.
const redacted = "[redacted]"

// secret holds a text that no formatter, encoder or logger shows. It stands behind a
// function, so that not even a formatter that walks through private fields finds it.
type secret struct{ reveal func() string }

func conceal(text string) secret { return secret{func() string { return text }} }

// Expose is the text itself: the one way out.
func (s secret) Expose() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// String is a constant.
func (s secret) String() string { return redacted }

// Format writes a constant, whatever the verb.
func (s secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, redacted) }

// MarshalText is a constant.
func (s secret) MarshalText() ([]byte, error) { return []byte(redacted), nil }

// LogValue is a constant.
func (s secret) LogValue() slog.Value { return slog.StringValue(redacted) }

// APIKey is the text of a new key, for its owner alone: show it once, and keep it nowhere.
// It prints as a constant under every verb, in JSON and in logs; [APIKey.Expose] is the one
// way out. It never changes, and goroutines may share it.
type APIKey struct{ secret }

// IsZero says whether there is no key.
func (k APIKey) IsZero() bool { return k.reveal == nil }
