package keystile

import (
	"math"
	"time"
)

// millisOf returns an instant in milliseconds since 1970; 0 for the zero time. An instant
// before 1970 becomes 1, which no function accepts, so that it never means none.
func millisOf(at time.Time) uint64 {
	if at.IsZero() {
		return 0
	}
	if millis := at.UnixMilli(); millis > 0 {
		return uint64(millis)
	}
	return 1
}

// timeOf returns the instant of a number of milliseconds; the zero time for 0.
func timeOf(millis uint64) time.Time {
	if millis == 0 || millis > math.MaxInt64 {
		return time.Time{}
	}
	return time.UnixMilli(int64(millis)).UTC()
}

// spanMillis returns a duration in milliseconds. A negative one becomes one that no
// function accepts; so does the longest duration, which [spanOf] returns for all that are
// too long.
func spanMillis(span time.Duration) uint64 {
	if span < 0 || span == math.MaxInt64 {
		return math.MaxUint64 - 1
	}
	return uint64(span.Milliseconds())
}

// spanOf returns a duration of milliseconds; the longest duration if it is longer.
func spanOf(millis uint64) time.Duration {
	const most = uint64(math.MaxInt64 / int64(time.Millisecond))
	if millis > most {
		return math.MaxInt64
	}
	return time.Duration(millis) * time.Millisecond
}
