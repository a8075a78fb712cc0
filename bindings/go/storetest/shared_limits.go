package storetest

import (
	"math"
	"math/bits"
	"slices"
	"sync"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// RunLimits tests limits for everything that [keystile.Limits] documents. Open must return new
// ones each time, of which nothing is spent. It gets the keys whose lineages are asked for. The
// limits may be on a server with a clock of its own; no case waits for longer than that clock
// needs for a fraction of a second.
func RunLimits(t *testing.T, open func(t *testing.T, keys keystile.Batch) keystile.Limits) {
	for name, act := range sharedLimitsCases {
		t.Run(name, func(t *testing.T) { act(&limitsSuite{t, open(t, limitedKeys())}) })
	}
}

var sharedLimitsCases = map[string]func(*limitsSuite){
	"a burst is granted once":                   grantedOnce,
	"tokens are granted in part":                grantedInPart,
	"a look takes nothing":                      lookTakesNothing,
	"concurrent takes share one burst":          shareOneBurst,
	"no time has more than the bound":           neverMoreThanTheBound,
	"a rest is taken back in time":              restInTime,
	"a late rest is not taken back":             lateRest,
	"no more than a burst is free again":        noMoreThanABurst,
	"a rest of an unknown lineage is nothing":   restOfNothing,
	"lineages are apart":                        lineagesAreApart,
	"a limit of zero grants nothing":            zeroGrantsNothing,
	"the largest limits are exact":              largestAreExact,
	"what a slower limit has spent stays spent": slowerStaysSpent,
	"a rest of a slower limit frees no other":   restFreesNoOther,
	"a raised limit is granted again":           raisedIsGranted,
}

type limitsSuite struct {
	*testing.T
	limits keystile.Limits
}

// limitedKeys are a lineage of two keys, of which the first one has the slower limit, and two
// lineages of one key.
func limitedKeys() keystile.Batch {
	first, second := plain(1), plain(2)
	first.RateLimit, second.RateLimit = keystile.Ptr(ten()), keystile.Ptr(fast())
	second.Lineage = first.ID
	return inserts(first, second, plain(3), plain(4))
}

// daily is so slow that nothing becomes free during a test.
func daily(limit uint32) keystile.RateLimit {
	return keystile.Must(keystile.NewRateLimit(limit, 24*time.Hour))
}

func fast() keystile.RateLimit { return keystile.Must(keystile.NewRateLimit(100, 10*time.Second)) }

func (s *limitsSuite) take(lineage int, limit keystile.RateLimit, tokens uint32) keystile.Taken {
	s.Helper()
	taken, err := s.limits.Take(ctx, keystile.Take{Lineage: id(lineage), Limit: limit, Tokens: tokens})
	if err != nil {
		s.Fatal("a take does not fail:", err)
	}
	if taken.Tokens > tokens {
		s.Fatalf("%d tokens, and %d were asked for", taken.Tokens, tokens)
	}
	return taken
}

func (s *limitsSuite) takes(lineage int, limit keystile.RateLimit, tokens, expected uint32, context string) {
	s.Helper()
	if taken := s.take(lineage, limit, tokens); taken.Tokens != expected {
		s.Fatalf("%s: %d of %d were granted, not %d", context, taken.Tokens, tokens, expected)
	}
}

func (s *limitsSuite) giveBack(rests ...keystile.Rest) {
	s.Helper()
	if err := s.limits.GiveBack(ctx, rests); err != nil {
		s.Fatal("tokens can be given back:", err)
	}
}

// after returns what is left by a state, and after what time one more would pass.
func (s *limitsSuite) after(limit keystile.RateLimit, taken keystile.Taken) (left uint32, wait time.Duration, ever bool) {
	s.Helper()
	// The quota is that of a request which is admitted or refused, so one less is left.
	state := taken.State
	quota, admitted, err := limit.Admit(&state, taken.Clock)
	if err != nil {
		s.Fatal(err)
	}
	wait, ever = quota.RetryAfter()
	if admitted {
		return quota.Remaining() + 1, 0, true
	}
	return 0, wait, ever
}

func rest(lineage int, limit keystile.RateLimit, taken keystile.Taken, tokens uint32, within time.Duration) keystile.Rest {
	return keystile.Rest{Lineage: id(lineage), Limit: limit, Tokens: tokens, TakenAt: taken.Clock, Within: within}
}

func grantedOnce(s *limitsSuite) {
	limit := daily(10)
	for number := range uint32(10) {
		taken := s.take(3, limit, 1)
		if left, _, _ := s.after(limit, taken); taken.Tokens != 1 || left != 9-number {
			s.Fatalf("take %d of a burst of 10: %d, and %d are left", number+1, taken.Tokens, left)
		}
	}
	for range 3 {
		refused := s.take(3, limit, 1)
		_, wait, ever := s.after(limit, refused)
		if refused.Tokens != 0 || !ever || wait <= 0 || wait > 24*time.Hour/10 {
			s.Fatal("one is free again after a tenth of a day:", refused.Tokens, wait, ever)
		}
	}
}

func grantedInPart(s *limitsSuite) {
	for _, granted := range []uint32{8, 2, 0} {
		s.takes(3, daily(10), 8, granted, "as many as there are")
	}
}

func lookTakesNothing(s *limitsSuite) {
	limit := daily(10)
	for _, step := range [][3]uint32{{0, 0, 10}, {0, 0, 10}, {3, 3, 7}, {0, 0, 7}, {9, 7, 0}} {
		taken := s.take(3, limit, step[0])
		if left, _, _ := s.after(limit, taken); taken.Tokens != step[1] || left != step[2] {
			s.Fatalf("%d of %d, and %d are left: a look takes nothing", taken.Tokens, step[0], left)
		}
	}
}

// all runs work in so many goroutines, and fails the test if one of them fails.
func all[T any](count int, work func(number int) (T, error)) ([]T, error) {
	var group sync.WaitGroup
	results, errs := make([]T, count), make([]error, count)
	for number := range count {
		group.Add(1)
		go func() {
			defer group.Done()
			results[number], errs[number] = work(number)
		}()
	}
	group.Wait()
	for _, err := range errs {
		if err != nil {
			return nil, err
		}
	}
	return results, nil
}

func shareOneBurst(s *limitsSuite) {
	sums, err := all(16, func(number int) (sum uint32, err error) {
		for {
			take := keystile.Take{Lineage: id(3), Limit: daily(100), Tokens: 1 + uint32(number%3)}
			taken, err := s.limits.Take(ctx, take)
			if err != nil || taken.Tokens == 0 {
				return sum, err
			}
			sum += taken.Tokens
		}
	})
	var sum uint32
	for _, own := range sums {
		sum += own
	}
	if err != nil || sum != 100 {
		s.Fatalf("16 goroutines share one burst of 100: %d, %v", sum, err)
	}
}

func neverMoreThanTheBound(s *limitsSuite) {
	// Ten each millisecond, for 50 ms by the clock of the limits.
	limit := keystile.Must(keystile.NewRateLimitWithBurst(10_000, time.Second, 100))
	start := s.take(3, limit, 0).Clock
	grants, err := all(8, func(int) (grants []keystile.Taken, err error) {
		for {
			taken, err := s.limits.Take(ctx, keystile.Take{Lineage: id(3), Limit: limit, Tokens: 1000})
			if err != nil || taken.Clock.Sub(start) > 50*time.Millisecond {
				return grants, err
			}
			if taken.Tokens > 0 {
				grants = append(grants, taken)
			}
		}
	})
	if err != nil {
		s.Fatal(err)
	}
	sorted := slices.Concat(grants...)
	slices.SortFunc(sorted, func(a, b keystile.Taken) int { return a.Clock.Compare(b.Clock) })
	for from, first := range sorted {
		var sum int64
		for _, last := range sorted[from:] {
			sum += int64(last.Tokens)
			if bound := 100 + 10*last.Clock.Sub(first.Clock).Milliseconds(); sum > bound {
				s.Fatalf("%d from %v to %v, of %d at most", sum, first.Clock, last.Clock, bound)
			}
		}
	}
	if len(sorted) == 0 {
		s.Fatal("nothing was granted")
	}
}

func restInTime(s *limitsSuite) {
	first, second := s.take(3, daily(10), 4), s.take(3, daily(10), 4)
	s.giveBack(rest(3, daily(10), first, 3, time.Hour), rest(3, daily(10), second, 2, time.Hour))
	s.giveBack()
	s.takes(3, daily(10), 10, 7, "two were left, and five were given back")
}

func lateRest(s *limitsSuite) {
	taken := s.take(3, daily(10), 8)
	// An hour ago, and in an hour, which cannot be.
	for _, off := range []time.Duration{-time.Hour, time.Hour} {
		wrong := taken
		wrong.Clock = taken.Clock.Add(off)
		s.giveBack(rest(3, daily(10), wrong, 5, time.Second))
	}
	s.giveBack(rest(3, daily(10), taken, 5, -time.Second))
	s.takes(3, daily(10), 10, 2, "a rest that is not in time is lost")
}

func noMoreThanABurst(s *limitsSuite) {
	taken := s.take(3, daily(10), 8)
	again := rest(3, daily(10), taken, 8, time.Hour)
	s.giveBack(again, again)
	s.giveBack(again)
	s.takes(3, daily(10), 100, 10, "at most a burst is free")
}

// Its state may have been lost.
func restOfNothing(s *limitsSuite) {
	look := s.take(3, daily(10), 0)
	for _, lineage := range []int{3, 9} {
		s.giveBack(rest(lineage, daily(10), look, 5, time.Hour))
	}
	s.takes(3, daily(10), 100, 10, "a rest of nothing gives nothing")
}

func lineagesAreApart(s *limitsSuite) {
	taken := s.take(3, daily(10), 6)
	s.takes(4, daily(10), 100, 10, "another lineage has its own burst")
	s.giveBack(rest(3, daily(10), taken, 6, time.Hour))
	s.takes(4, daily(10), 100, 0, "and gets nothing of the first")
	s.takes(3, daily(10), 100, 10, "which has all again")
}

func zeroGrantsNothing(s *limitsSuite) {
	zero := daily(0)
	for range 2 {
		refused := s.take(3, zero, 5)
		if _, _, ever := s.after(zero, refused); refused.Tokens != 0 || ever {
			s.Fatal("a limit of 0 grants nothing, and never will:", refused.Tokens, ever)
		}
	}
	s.takes(3, daily(10), 6, 6, "of another limit")
	s.takes(3, zero, 5, 0, "a limit of 0")
	s.takes(3, daily(10), 6, 4, "it spends nothing of another limit")
}

func largestAreExact(s *limitsSuite) {
	for number, limit := range []keystile.RateLimit{
		// A million each millisecond.
		keystile.Must(keystile.NewRateLimitWithBurst(1_000_000_000, time.Second, math.MaxUint32)),
		// As many parts of a millisecond as there can be.
		keystile.Must(keystile.NewRateLimit(1_048_573, time.Hour)),
		// The longest reach: nearly ten years.
		keystile.Must(keystile.NewRateLimitWithBurst(1, 366*24*time.Hour, 9)),
	} {
		lineage := []int{1, 3, 4}[number]
		first := s.take(lineage, limit, math.MaxUint32)
		next := s.take(lineage, limit, math.MaxUint32)
		high, low := bits.Mul64(uint64(next.Clock.Sub(first.Clock).Milliseconds()), uint64(limit.Limit()))
		free, _ := bits.Div64(high, low, uint64(limit.Window().Milliseconds()))
		if first.Tokens != limit.Burst() || uint64(next.Tokens) > free {
			s.Fatalf("%+v: %d, then %d of %d", limit, first.Tokens, next.Tokens, free)
		}
	}
}

func slowerStaysSpent(s *limitsSuite) {
	s.takes(1, ten(), 10, 10, "the slower limit")
	for range 3 {
		s.take(1, fast(), 5)
		s.take(1, fast(), 0)
		s.takes(1, ten(), 10, 0, "the slower limit is spent")
	}
}

// After the only key of the slower limit has got another one.
func restFreesNoOther(s *limitsSuite) {
	yearly := keystile.Must(keystile.NewRateLimit(24, 366*24*time.Hour))
	taken := s.take(3, yearly, 5)
	s.takes(3, daily(10), 1, 0, "a burst of the other limit is spent")
	s.giveBack(rest(3, yearly, taken, 5, time.Hour))
	s.takes(3, daily(10), 10, 0, "and still is")
}

func raisedIsGranted(s *limitsSuite) {
	yearly := keystile.Must(keystile.NewRateLimit(24, 366*24*time.Hour))
	s.takes(3, yearly, 30, 24, "the limit of a year")
	refused := s.take(3, fast(), 1)
	if refused.Tokens != 0 {
		s.Fatal("a full burst of it counts as spent")
	}
	for {
		taken := s.take(3, fast(), 1)
		if taken.Tokens == 1 {
			return
		}
		if passed := taken.Clock.Sub(refused.Clock); passed >= 200*time.Millisecond {
			s.Fatal("one is free after a tenth of a second, and this has passed:", passed)
		}
	}
}
