package keystile_test

import (
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

func TestAStateIsHeldAndMoved(t *testing.T) {
	now := time.UnixMilli(1_790_000_000_000).UTC()
	limit, err := keystile.NewRateLimit(60, time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	var wrong keystile.RateState
	if _, admitted, err := limit.Admit(&wrong, now.AddDate(1, 0, 0)); !admitted || err != nil {
		t.Fatal(admitted, err)
	}
	held := wrong
	if err := limit.Hold(&held, now); err != nil {
		t.Fatal(err)
	}
	if !held.FullAt().Equal(now.Add(time.Hour)) {
		t.Error("a state of a wrong clock is held to one burst, not until", held.FullAt())
	}
	// Within a minute it may be a reader that came late.
	late := held
	if err := limit.Hold(&late, now.Add(-time.Minute)); err != nil || late != held {
		t.Error(late, err)
	}
	if err := limit.Clamp(&late, now.Add(-time.Minute)); err != nil || late == held {
		t.Error(late, err)
	}
	moved := held
	if err := moved.Move(now, now.Add(3*time.Minute)); err != nil {
		t.Fatal(err)
	}
	if !moved.FullAt().Equal(now.Add(time.Hour + 3*time.Minute)) {
		t.Error(moved.FullAt())
	}
	if err := moved.Move(now.Add(3*time.Minute), now); err != nil || moved != held {
		t.Error(moved, err)
	}
	if unused := keystile.RateState(0); !unused.FullAt().IsZero() {
		t.Error(unused.FullAt())
	}
	if err := moved.Move(time.Time{}, now); err == nil {
		t.Error("the zero time is no reading of a clock")
	}
}
