package storetest

import (
	"math"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var usageCases = map[string]func(*suite){
	"usage is exchanged only over what was judged": exchanged,
	"a claim on an older record loses":             olderLoses,
	"a lineage has one usage":                      oneUsage,
	"one use is redeemed once":                     redeemedOnce,
	"counted uses are exact":                       exactUses,
	"a limit admits no more than it says":          noMoreThanItSays,
	"the latest use is noted":                      latestUse,
}

func exchanged(s *suite) {
	record := plain(1)
	record.RemainingUses = keystile.Ptr(uint64(2))
	s.insert(record)
	usage := keystile.UsageOf(record)
	s.is(s.usage(record.Lineage).Equal(usage), "a new record brings its uses")
	count := func(number uint64) *uint64 { return &number }
	remaining := []*uint64{count(1), count(0), nil, count(0), count(math.MaxInt64), count(7)}
	for at, bits := range []uint64{1, 1 << 20, math.MaxInt64, 1 << 63, math.MaxUint64, 0} {
		after := keystile.Usage{Rate: keystile.RateState(bits), Remaining: remaining[at]}
		wrong := []keystile.Usage{
			{Rate: usage.Rate ^ 1, Remaining: usage.Remaining},
			{Rate: usage.Rate ^ 1<<63, Remaining: usage.Remaining},
		}
		if usage.Remaining != nil {
			wrong = append(wrong, keystile.Usage{Rate: usage.Rate, Remaining: count(*usage.Remaining ^ 1)},
				keystile.Usage{Rate: usage.Rate})
		} else {
			wrong = append(wrong, keystile.Usage{Rate: usage.Rate, Remaining: count(0)},
				keystile.Usage{Rate: usage.Rate, Remaining: count(1)})
		}
		for _, before := range wrong {
			s.is(!s.spend(keystile.SpendRequestOf(record, before, after)), "usage that was read otherwise")
			s.is(s.usage(record.Lineage).Equal(usage), "nothing was spent")
		}
		s.is(s.spend(keystile.SpendRequestOf(record, usage, after)), "usage that is still as it was judged is exchanged")
		usage = after
		s.is(s.usage(record.Lineage).Equal(usage), "every bit is kept: %x", bits)
		record.RemainingUses = remaining[at]
		s.same(s.find(record.ID), record, "with the uses left")
	}
}

// I3: a decision about a record that has changed since is not spent.
func olderLoses(s *suite) {
	record, other := plain(1), plain(2)
	s.insert(record, other)
	after := keystile.Usage{Rate: 1}
	changed := next(record)
	s.fine(s.store.Commit(ctx, updates(changed)), "an update")
	request := keystile.SpendRequestOf(record, keystile.Usage{}, after)
	foreign, gone, ahead := request, request, request
	foreign.KeyID, foreign.Version = other.ID, other.Version
	gone.KeyID = id(9)
	ahead.Version = 3
	for _, request := range []keystile.SpendRequest{request, foreign, gone, ahead} {
		s.is(!s.spend(request), "no such key of that version")
		s.is(s.usage(record.Lineage).Equal(keystile.Usage{}), "nor spent")
	}
	s.is(s.spend(keystile.SpendRequestOf(changed, keystile.Usage{}, after)), "a claim on the record as it is is accepted")
	s.fine(s.store.Commit(ctx, updates(revoked(changed, ""))), "a revocation")
	s.is(!s.spend(keystile.SpendRequestOf(changed, after, keystile.Usage{})), "nothing is spent after a revocation")
}

// A successor shares the allowance of its lineage.
func oneUsage(s *suite) {
	first := plain(1)
	first.RemainingUses = keystile.Ptr(uint64(5))
	s.insert(first)
	after := keystile.Usage{Rate: 77, Remaining: keystile.Ptr(uint64(2))}
	s.is(s.spend(keystile.SpendRequestOf(first, keystile.UsageOf(first), after)), "it is spent")
	// As it was read before the spending, so with more uses than are left.
	successor := plain(2)
	successor.Lineage, successor.RemainingUses = first.ID, keystile.Ptr(uint64(5))
	s.insert(successor)
	s.is(s.usage(first.ID).Equal(after), "an insert gives nothing back")
	s.is(s.usage(successor.ID).Equal(keystile.Usage{}), "no second usage")
	last := keystile.Usage{Rate: 78, Remaining: keystile.Ptr(uint64(1))}
	s.is(s.spend(keystile.SpendRequestOf(successor, after, last)), "the successor spends of it")
	for _, id := range []keystile.KeyID{first.ID, successor.ID} {
		s.is(*s.find(id).RemainingUses == 1, "both see what either has left")
	}
}

// I12: of many clients at once, only one redeems a single use.
func redeemedOnce(s *suite) {
	allowed, others := s.rush(keystile.IssueRequest{ClientName: "Acme Ltd", Uses: keystile.Ptr(uint64(1))}, 64)
	s.is(allowed == 1, "one use is redeemed %d times", allowed)
	s.is(others[keystile.CauseUsesSpent] == 63 && len(others) == 1, "the others: %v", others)
}

// Of many clients at once, exactly as many pass as there are uses.
func exactUses(s *suite) {
	allowed, others := s.rush(keystile.IssueRequest{ClientName: "Acme Ltd", Uses: keystile.Ptr(uint64(7))}, 40)
	s.is(allowed == 7, "seven uses are redeemed %d times", allowed)
	s.is(others[keystile.CauseUsesSpent] == 33 && len(others) == 1, "the others: %v", others)
}

// I2: checks at the same instant cannot exceed the limit.
func noMoreThanItSays(s *suite) {
	limit := keystile.Must(keystile.NewRateLimit(10, time.Hour))
	allowed, others := s.rush(keystile.IssueRequest{ClientName: "Acme Ltd", RateLimit: &limit}, 40)
	s.is(allowed == 10, "a limit of 10 admits %d of 40", allowed)
	s.is(others[keystile.CauseRateLimit] == 30 && len(others) == 1, "the others: %v", others)
}

// rush checks one key count times at the same instant.
func (s *suite) rush(request keystile.IssueRequest, count int) (allowed int, others map[keystile.Cause]int) {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	issued := keystile.Must((&keystile.Issuer{Format: format}).Issue(request, at(0)))
	s.fine(s.store.Commit(ctx, issued.Batch()), "a new key is kept")
	verifier := keystile.Must(keystile.NewVerifier(nil, format))
	causes := make([]keystile.Cause, count)
	for _, err := range atOnce(count, func(number int) error {
		checked, err := keystile.Check(ctx, s.store, verifier, issued.Key.Expose(), keystile.Request{}, at(1))
		causes[number] = checked.Decision.Cause()
		return err
	}) {
		s.fine(err, "a check is answered")
	}
	others = map[keystile.Cause]int{}
	for _, cause := range causes {
		if cause == 0 {
			allowed++
		} else {
			others[cause]++
		}
	}
	return allowed, others
}

func latestUse(s *suite) {
	active, ended := plain(1), revoked(plain(2), "leaked")
	s.insert(active, ended)
	use := func(number int, millis int64) keystile.Use {
		return keystile.Use{KeyID: id(number), Lineage: id(number), LastUsedAt: at(millis), Count: 1}
	}
	noted := func(record *keystile.Record, millis int64, context string) {
		s.Helper()
		expected := record.Clone()
		expected.LastUsedAt = at(millis)
		s.same(s.find(record.ID), expected, context)
	}
	uses := []keystile.Use{use(1, 20), use(9, 99), use(1, 10), use(2, 5)}
	s.fine(s.store.NoteUses(ctx, uses), "uses are noted in bulk")
	noted(active, 20, "the latest use")
	noted(ended, 5, "use of a revoked key")
	s.is(s.find(id(9)) == nil, "a use makes no record")
	for _, step := range [][2]int64{{19, 20}, {20, 20}, {21, 21}, {1, 21}, {1_000_000, 1_000_000}} {
		s.fine(s.store.NoteUses(ctx, []keystile.Use{use(1, step[0])}), "a use")
		noted(active, step[1], "an older use changes nothing")
	}
	s.fine(s.store.NoteUses(ctx, nil), "no use is no error")
	var many []keystile.Use
	for number := range int64(2_000) {
		many = append(many, use(1, 2_000_000+number))
	}
	s.fine(s.store.NoteUses(ctx, many), "many uses are noted in one step")
	noted(active, 2_001_999, "the latest of many")
	s.fine(s.store.Commit(ctx, updates(next(active))), "noting a use moves no version")
}
