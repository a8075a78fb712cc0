package keystilesql

import (
	"strings"
	"time"
)

// The first and the last instant of a record, in milliseconds since 1970.
const (
	instantMin = 100_000_000_000
	instantMax = 253_402_300_799_999
)

// writeInstant formats as RFC 3339, in UTC, to the millisecond: 2026-09-21T14:13:20.000Z.
func writeInstant(at time.Time) string { return at.UTC().Format("2006-01-02T15:04:05.000Z") }

// readInstant parses what writeInstant formats, and forms that other code writes: with a
// space instead of the T, without a fraction, with another offset, and without any offset
// as UTC. Parts of a millisecond are cut off, so that a key ends no later than was written.
func readInstant(text string) (time.Time, bool) {
	const date, clock = len("2006-01-02"), len("15:04:05")
	if len(text) < date+1+clock || (text[date] != 'T' && text[date] != ' ') {
		return time.Time{}, false
	}
	rest := text[date+1+clock:]
	// The parser accepts a comma, and fractions of any length.
	if fraction, found := strings.CutPrefix(rest, "."); found {
		digits := len(fraction) - len(strings.TrimLeft(fraction, "0123456789"))
		if digits < 1 || digits > 9 {
			return time.Time{}, false
		}
		rest = fraction[digits:]
	} else if strings.HasPrefix(rest, ",") {
		return time.Time{}, false
	}
	layout := "2006-01-02T15:04:05"
	switch {
	case rest == "":
	case rest == "Z":
		layout += "Z"
	case len(rest) == len("+02") && rest[1:] < "24":
		layout += "-07"
	case len(rest) == len("+02:00") && rest[1:3] < "24" && rest[4:] < "60":
		layout += "-07:00"
	default:
		return time.Time{}, false
	}
	at, err := time.Parse(layout, text[:date]+"T"+text[date+1:])
	if err != nil {
		return time.Time{}, false
	}
	millis := at.UnixMilli()
	return time.UnixMilli(millis).UTC(), millis >= instantMin && millis <= instantMax
}
