package keystile

import (
	"testing"
	"time"
)

// A server that accepts connections and ends them at once is not asked ten times a second for ever.
func TestPausesBetweenAttemptsToListenGrow(t *testing.T) {
	pause := time.Duration(0)
	for _, one := range []struct{ listened, want time.Duration }{
		{0, listenPauseMin}, {0, 2 * listenPauseMin}, {time.Second, 4 * listenPauseMin}, {time.Hour, listenPauseMin},
		{time.Millisecond, 2 * listenPauseMin},
	} {
		if pause = pauseAfter(pause, one.listened); pause != one.want {
			t.Errorf("%v after %v, not %v", pause, one.listened, one.want)
		}
	}
	for range 99 {
		pause = pauseAfter(pause, listenedMin-1)
	}
	if pause != listenPauseMax {
		t.Error(pause)
	}
}
