package storetest

import (
	"math"

	keystile "github.com/keystile/keystile/bindings/go"
)

var replacedRatesCases = map[string]func(*suite){
	"a state is replaced only over itself": onlyOverItself,
	"one of replacements at once wins":     oneReplacementWins,
}

func (s *suite) replaceRate(lineage keystile.KeyID, before, after keystile.RateState) bool {
	s.Helper()
	replaced, err := s.store.ReplaceRate(ctx, lineage, before, after)
	s.fine(err, "a state can be replaced")
	return replaced
}

func onlyOverItself(s *suite) {
	record, other := plain(1), plain(2)
	record.RemainingUses = keystile.Ptr(uint64(7))
	s.insert(record, other)
	var current keystile.RateState
	for _, after := range []keystile.RateState{1, 1 << 20, math.MaxInt64, 1 << 63, math.MaxUint64, 0} {
		for _, wrong := range []keystile.RateState{current ^ 1, current ^ 1<<63} {
			s.is(!s.replaceRate(record.Lineage, wrong, after), "a state that is not %d must not be replaced: it is %d", wrong, current)
			s.is(s.usage(record.Lineage).Rate == current, "the state stays")
		}
		s.is(s.replaceRate(record.Lineage, current, after), "an unchanged state is replaced")
		current = after
		expected := keystile.Usage{Rate: current, Remaining: record.RemainingUses}
		s.is(s.usage(record.Lineage).Equal(expected), "every bit is kept, and the remaining uses: %x", uint64(current))
	}
	s.is(s.usage(other.Lineage).Equal(keystile.Usage{}), "the state of no other lineage")
	// It is the lineage's, whatever becomes of its keys.
	changed := next(record)
	s.fine(s.store.Commit(ctx, updates(changed)), "an update")
	s.fine(s.store.Commit(ctx, updates(revoked(changed, "left"))), "a revocation")
	events := len(s.allEvents())
	s.is(s.replaceRate(record.Lineage, current, 77), "no key is looked at")
	s.is(!s.replaceRate(id(9), 0, 77), "an unknown lineage has no state")
	s.is(s.find(id(9)) == nil && s.usage(id(9)).Equal(keystile.Usage{}), "and gets none")
	s.is(len(s.allEvents()) == events, "a state is no event")
}

func oneReplacementWins(s *suite) {
	record := plain(1)
	s.insert(record)
	var current keystile.RateState
	for round := range 10 {
		won := make([]bool, 8)
		state := func(number int) keystile.RateState { return keystile.RateState(100*(round+1) + number) }
		for _, err := range atOnce(len(won), func(number int) (err error) {
			won[number], err = s.store.ReplaceRate(ctx, record.Lineage, current, state(number))
			return err
		}) {
			s.fine(err, "a replacement does not fail")
		}
		winners := 0
		for number, has := range won {
			if has {
				winners++
				current = state(number)
			}
		}
		s.is(winners == 1, "round %d: one of 8 replacements wins, and %d did", round, winners)
		s.is(s.usage(record.Lineage).Rate == current, "the state is that of the winner")
	}
}
