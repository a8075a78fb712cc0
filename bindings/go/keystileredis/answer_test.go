package keystileredis

import (
	"context"
	"errors"
	"testing"

	"github.com/redis/go-redis/v9"
)

// An answer that cannot be lets nothing pass.
func TestAnAnswerThatCannotBeIsAnError(t *testing.T) {
	const clock = int64(1_790_000_000_000)
	answer := func(numbers ...any) *redis.Cmd {
		answer := redis.NewCmd(context.Background())
		answer.SetVal(numbers)
		return answer
	}
	good, err := taken(answer(int64(3), clock+5, int64(7), clock), 4)
	if err != nil || good.Tokens != 3 || uint64(good.State) != uint64(clock+5)<<20|7 || good.Clock.UnixMilli() != clock {
		t.Error(good, err)
	}
	none := int64(0)
	for _, wrong := range []*redis.Cmd{
		answer(int64(5), clock, none, clock), answer(int64(-1), clock, none, clock), answer(none, int64(1)<<44, none, clock),
		answer(none, int64(-1), none, clock), answer(none, clock, int64(1)<<20, clock), answer(none, clock, int64(-1), clock),
		answer(none, clock, none, none), answer(none, clock, none, int64(1)<<44), answer(none, clock, none), answer(),
		answer(none, clock, none, clock, none), answer("x", clock, none, clock), redis.NewCmd(context.Background()),
	} {
		if taken, err := taken(wrong, 4); taken.Tokens != 0 || !errors.Is(err, errAnswer) {
			t.Errorf("%v: %v, %v", wrong.Val(), taken, err)
		}
	}
}
