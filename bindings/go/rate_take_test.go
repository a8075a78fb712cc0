package keystile_test

import (
	"math"
	"math/rand/v2"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// What is taken here, and what the library admits one by one, are the same, for states of any
// kind.
func TestTakesAreAdmissions(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	start := time.UnixMilli(1_790_000_000_000).UTC()
	for round := range 20_000 {
		limit := anyLimit(random)
		now := start.Add(time.Duration(random.Int64N(1000)) * time.Millisecond)
		if round%50 == 0 {
			now = time.UnixMilli(1<<44 - 1 - random.Int64N(100_000))
		}
		var taken uint32
		state := keystile.RateState(random.Uint64())
		switch random.IntN(4) {
		case 0:
			state = 0
		case 1, 2:
			ahead := random.Int64N(2*int64(limit.Window()/time.Millisecond) + 2)
			state = keystile.RateState(uint64(now.UnixMilli()+ahead)<<20 | random.Uint64N(1<<20))
		}
		count := random.Uint32N(40)
		one, admittedAll := state, uint32(0)
		for admittedAll < count {
			if _, admitted, err := limit.Admit(&one, now); err != nil {
				t.Fatal(err)
			} else if !admitted {
				break
			}
			admittedAll++
		}
		var after keystile.RateState
		if taken, after = keystile.TakeRate(limit, state, now, count); taken != admittedAll || after != one {
			t.Fatalf("%+v: %d of %d from %x at %v to %x, and one by one %d to %x", limit, taken, count, state, now, after, admittedAll, one)
		}
		held, clamped := state, state
		if limit.Hold(&held, now) != nil || limit.Clamp(&clamped, now) != nil ||
			keystile.HeldRate(limit, state, now) != held || keystile.ClampedRate(limit, state, now) != clamped {
			t.Fatalf("%+v: %x at %v is held to %x and clamped to %x", limit, state, now, held, clamped)
		}
		// What is given back can be taken again, and leads to the same state.
		if taken > 0 {
			back := keystile.GiveBackRate(limit, after, taken)
			if again, same := keystile.TakeRate(limit, back, now, taken); again != taken || same != after {
				t.Fatalf("%+v: %d of %d again, to %x and not %x", limit, again, taken, same, after)
			}
		}
	}
}

func anyLimit(random *rand.Rand) keystile.RateLimit {
	windows := []time.Duration{time.Millisecond, 7 * time.Millisecond, time.Second, time.Hour, 366 * 24 * time.Hour}
	for {
		limit, err := keystile.NewRateLimitWithBurst(random.Uint32()>>random.IntN(32), windows[random.IntN(len(windows))], 1+random.Uint32()>>random.IntN(32))
		if err == nil {
			return limit
		}
	}
}

func TestNoMoreThanABurstIsGivenBack(t *testing.T) {
	now := time.UnixMilli(1_790_000_000_000)
	for _, burst := range []uint32{1, 10, math.MaxUint32} {
		limit := keystile.Must(keystile.NewRateLimitWithBurst(1_000_000_000, time.Second, burst))
		taken, state := keystile.TakeRate(limit, 0, now, burst)
		if back := keystile.GiveBackRate(limit, state, math.MaxUint32); taken != burst || uint64(back)>>20 > uint64(now.UnixMilli()) {
			t.Errorf("%d of %d: %x", taken, burst, back)
		}
	}
	if keystile.GiveBackRate(keystile.Must(keystile.NewRateLimit(1, 366*24*time.Hour)), math.MaxUint64, math.MaxUint32) != 0 {
		t.Error("a rest of more than there can be is all")
	}
}
