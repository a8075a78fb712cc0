package storetest

import (
	"context"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var limitsCases = map[string]func(*suite){
	"states are only raised":             onlyRaised,
	"a state far ahead is held":          farAheadIsHeld,
	"clocks that differ share a limit":   clocksThatDiffer,
	"a wrong clock costs one burst":      wrongClock,
	"a raised limit is in force at once": raisedLimit,
	"a slower limit is not lowered":      slowerLimit,
}

func ten() keystile.RateLimit { return keystile.Must(keystile.NewRateLimit(10, time.Hour)) }

// spent returns the state of a limit of ten an hour that was spent so many times at once.
func spent(times int, now time.Time) (state keystile.RateState) {
	for range times {
		if _, admitted, err := ten().Admit(&state, now); !admitted {
			panic(err)
		}
	}
	return state
}

func rateNote(record *keystile.Record, state keystile.RateState) keystile.RateNote {
	return keystile.RateNote{Lineage: record.Lineage, State: state, Reach: time.Hour}
}

// noted notes states, and checks that the stored one is as expected, in the time of the
// store's clock.
func (s *suite) noted(notes []keystile.RateNote, record *keystile.Record, now time.Time, expected keystile.RateState, context string) {
	s.Helper()
	before := s.stored(record.Lineage)
	s.fine(s.store.NoteRates(ctx, notes, now), "states are noted in bulk")
	after := s.stored(record.Lineage)
	by := func(clock time.Time) keystile.RateState {
		state := expected
		if !clock.IsZero() {
			s.fine(state.Move(now, clock), "a state can be moved")
		}
		return state
	}
	low, high, found := by(before.Clock), by(after.Clock), after.Rate
	s.is(low <= found && found <= high, "%s: expected %d to %d, found %d", context, low, high, found)
	s.is(keystile.Usage{Remaining: before.Remaining}.Equal(keystile.Usage{Remaining: after.Remaining}), "%s: remaining uses do not change", context)
}

func onlyRaised(s *suite) {
	record, other := plain(1), plain(2)
	record.RemainingUses = keystile.Ptr(uint64(7))
	s.insert(record, other)
	now, later := at(0), at(1)
	s.noted([]keystile.RateNote{rateNote(record, spent(3, now))}, record, now, spent(3, now), "a first state")
	s.is(s.usage(other.Lineage).Equal(keystile.Usage{}), "the state of no other lineage")
	several := []keystile.RateNote{rateNote(record, spent(8, later)), rateNote(record, spent(9, later)),
		rateNote(plain(9), spent(9, later)), rateNote(record, spent(5, later))}
	s.noted(several, record, later, spent(9, later), "the latest of several")
	s.is(s.find(id(9)) == nil, "a state of an unknown lineage makes none")
	before := s.usage(record.Lineage)
	for _, lower := range []keystile.RateState{spent(1, later), 0, 1} {
		s.fine(s.store.NoteRates(ctx, []keystile.RateNote{rateNote(record, lower)}, later), "a lower state")
		s.is(s.usage(record.Lineage).Equal(before), "no state is lowered, and %d is lower", lower)
	}
	s.fine(s.store.NoteRates(ctx, nil, later), "no state is no error")
	var many []keystile.RateNote
	for range 1_000 {
		many = append(many, rateNote(other, spent(2, later)))
	}
	s.noted(many, other, later, spent(2, later), "many states at once")
	s.fine(s.store.Commit(ctx, updates(next(record))), "noting a state moves no version")
}

func farAheadIsHeld(s *suite) {
	record, now := plain(1), at(0)
	s.insert(record)
	for _, ahead := range []time.Duration{2 * time.Hour, 365 * 24 * time.Hour, 250 * 365 * 24 * time.Hour} {
		stored, clock := s.stored(record.Lineage), now
		if !stored.Clock.IsZero() {
			clock = stored.Clock
		}
		far := spent(1, now)
		s.fine(far.Move(now, clock.Add(ahead)), "a state can be moved")
		s.is(s.spend(keystile.SpendRequestOf(record, stored.Usage, keystile.Usage{Rate: far})), "any state is kept")
		s.noted([]keystile.RateNote{rateNote(record, spent(1, now))}, record, now, spent(10, now), "held to one burst")
	}
}

// limited issues a key, and returns a function that tells how many checks pass, one by each
// of these clocks.
func (s *suite) limited(request keystile.IssueRequest) (keystile.KeyID, func(clocks ...time.Time) int) {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	issued := keystile.Must((&keystile.Issuer{Format: format}).Issue(request, at(0)))
	s.fine(s.store.Commit(ctx, issued.Batch()), "a new key is kept")
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	return issued.Record.ID, func(clocks ...time.Time) (passed int) {
		for _, now := range clocks {
			checked, err := keystile.Check(context.Background(), s.store, verifier, issued.Key.Expose(), keystile.Request{}, now)
			s.fine(err, "a check is answered")
			if checked.Decision.Allowed() {
				passed++
			} else {
				s.is(checked.Decision.Cause() == keystile.CauseRateLimit, "refused only by the limit: %v", checked.Decision)
			}
		}
		return passed
	}
}

func again(count int, clocks ...time.Time) (all []time.Time) {
	for range count {
		all = append(all, clocks...)
	}
	return all
}

// Processes whose clocks are three minutes apart share one limit.
func clocksThatDiffer(s *suite) {
	_, passed := s.limited(keystile.IssueRequest{ClientName: "Acme Ltd", RateLimit: keystile.Ptr(ten())})
	count := passed(again(20, at(0), at(180_000))...)
	s.is(count == 10, "a limit of 10 admits %d of 40", count)
}

// A reading of the clock that is a month ahead costs at most one burst, and is not stored
// for ever.
func wrongClock(s *suite) {
	_, passed := s.limited(keystile.IssueRequest{ClientName: "Acme Ltd", RateLimit: keystile.Ptr(ten())})
	s.is(passed(at(30*86_400_000)) == 1, "by the wrong clock")
	atOnce := passed(again(20, at(0))...)
	s.is(atOnce <= 10, "no more than the limit: %d", atOnce)
	all := atOnce + passed(again(5, at(360_000))...)
	s.is(all >= 1 && all <= 11, "requests pass again: %d did", all)
}

// A limit that was raised is in force at once; what was spent of the earlier one costs at
// most one burst.
func raisedLimit(s *suite) {
	yearly := keystile.Must(keystile.NewRateLimit(24, 366*24*time.Hour))
	id, passed := s.limited(keystile.IssueRequest{ClientName: "Acme Ltd", RateLimit: &yearly, Uses: keystile.Ptr(uint64(1_000))})
	s.is(passed(again(30, at(0))...) == 24, "the limit of a year")
	raised := next(s.find(id))
	raised.RateLimit = keystile.Ptr(keystile.Must(keystile.NewRateLimit(100, 10*time.Second)))
	s.fine(s.store.Commit(ctx, updates(raised)), "a change")
	s.is(passed(at(0)) == 0, "a full burst of the new limit counts as spent")
	for millis := int64(100); millis < 10_000; millis += 10 {
		if passed(at(millis)) == 1 {
			return
		}
		time.Sleep(10 * time.Millisecond)
	}
	s.Fatal("the raised limit is not in force")
}

// What a key of a slower limit has counted is not given back by requests with another key of
// its lineage, though these may not pass.
func slowerLimit(s *suite) {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	issuer, verifier := &keystile.Issuer{Format: format}, keystile.Must(keystile.NewVerifier(nil, format))
	slow := keystile.Must(issuer.Issue(keystile.IssueRequest{ClientName: "Acme Ltd", RateLimit: keystile.Ptr(ten())}, at(0)))
	s.fine(s.store.Commit(ctx, slow.Batch()), "a new key is kept")
	rotated := keystile.Must(issuer.Rotate(slow.Record, nil, keystile.DefaultRotationPolicy(), at(0)))
	s.fine(s.store.Commit(ctx, rotated.Batch()), "a rotation")
	raised := next(rotated.Record)
	raised.RateLimit = keystile.Ptr(keystile.Must(keystile.NewRateLimit(100, time.Second)))
	s.fine(s.store.Commit(ctx, updates(raised)), "a change")
	passed := func(key *keystile.Change, count int) (passed int) {
		for range count {
			checked, err := keystile.Check(ctx, s.store, verifier, key.Key.Expose(), keystile.Request{}, at(0))
			s.fine(err, "a check is answered")
			if checked.Decision.Allowed() {
				passed++
			}
		}
		return passed
	}
	s.is(passed(slow, 11) == 10, "the slower limit")
	before, count := s.usage(raised.Lineage), 0
	for range 3 {
		passed(rotated, 2)
		count += passed(slow, 10)
	}
	s.is(count == 0, "%d requests more than the slower limit", count)
	s.is(s.usage(raised.Lineage).Equal(before), "the state is that of the slower limit")

	// Once it is revoked, nothing is held for it.
	s.fine(s.store.Commit(ctx, updates(revoked(s.find(slow.Record.ID), "left"))), "a revocation")
	passed(rotated, 1)
	s.is(s.usage(raised.Lineage).Rate < before.Rate, "one burst of the other limit is spent")
}
