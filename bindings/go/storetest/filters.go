package storetest

import (
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

var filtersCases = map[string]func(*suite){
	"each filter selects":                eachFilter,
	"a match after many rows is in time": lateMatch,
}

// filtered is the instant at which statuses are read.
const filtered = 1_000

func eachFilter(s *suite) {
	change := func(number int, change func(*keystile.Record)) {
		record := plain(number)
		change(record)
		s.insert(record)
	}
	replaced := func(until int64) func(*keystile.Record) {
		return func(r *keystile.Record) { r.ReplacedBy, r.OverlapUntil = id(99), at(until) }
	}
	expires := func(end int64) func(*keystile.Record) {
		return func(r *keystile.Record) { r.ExpiresAt = at(end) }
	}
	labels := func(environment, template string, used int64) func(*keystile.Record) {
		return func(r *keystile.Record) {
			r.Environment, r.ScopeType, r.LastUsedAt = &environment, &template, at(used)
		}
	}
	s.insert(plain(1))
	change(2, expires(filtered))
	change(3, expires(filtered+1))
	change(4, func(r *keystile.Record) { r.State = keystile.StateSuspended })
	change(5, func(r *keystile.Record) {
		r.State, r.RevokedAt, r.RevokedReason, r.ExpiresAt = keystile.StateRevoked, at(7), "leaked", at(filtered+1)
	})
	change(6, replaced(filtered))
	change(7, replaced(filtered+5))
	change(8, labels("live", "admin", 500))
	change(9, labels("test", "monitoring", 499))
	s.insert(plain(700_000))

	now, text := at(filtered), keystile.Ptr[string]
	status := func(status keystile.KeyStatus, now time.Time) keystile.Filter {
		return keystile.Filter{Status: status, Now: now}
	}
	for _, one := range []struct {
		what     string
		filter   keystile.Filter
		expected []int
	}{
		{"active", status(keystile.StatusActive, now), []int{3, 1, 8, 9, 700_000}},
		{"retiring", status(keystile.StatusRetiring, now), []int{7}},
		{"replaced", status(keystile.StatusReplaced, now), []int{6}},
		{"expired", status(keystile.StatusExpired, now), []int{2}},
		{"expired later", status(keystile.StatusExpired, at(filtered+1)), []int{2, 3}},
		{"suspended", status(keystile.StatusSuspended, now), []int{4}},
		{"revoked", status(keystile.StatusRevoked, now), []int{5}},
		{"of an environment", keystile.Filter{Environment: text("live")}, []int{8}},
		{"of no such environment", keystile.Filter{Environment: text("liv")}, nil},
		{"of a template", keystile.Filter{Template: text("monitoring")}, []int{9}},
		{"of no such template", keystile.Filter{Template: text("monitor")}, nil},
		{"with a prefix", keystile.Filter{IDPrefix: "10000000007"}, []int{700_000}},
		{"with a whole id", keystile.Filter{IDPrefix: id(8).String()}, []int{8}},
		{"with a pattern", keystile.Filter{IDPrefix: "1%"}, nil},
		{"that end", keystile.Filter{EndsBefore: at(filtered + 6), Now: now}, []int{3, 7}},
		{"that end earlier", keystile.Filter{EndsBefore: at(filtered + 5), Now: now}, []int{3}},
		{"that end at once", keystile.Filter{EndsBefore: at(filtered + 1), Now: now}, nil},
		{"not used since", keystile.Filter{UnusedSince: at(500)}, []int{1, 2, 3, 4, 5, 6, 7, 9}},
		{"issued after that", keystile.Filter{UnusedSince: at(3)}, []int{1, 2}},
		{"issued from", keystile.Filter{IssuedFrom: at(9)}, []int{9, 700_000}},
		{"issued before", keystile.Filter{IssuedBefore: at(3)}, []int{1, 2}},
		{"issued between", keystile.Filter{IssuedFrom: at(3), IssuedBefore: at(5)}, []int{3, 4}},
	} {
		var expected []keystile.KeyID
		for _, number := range one.expected {
			expected = append(expected, id(number))
		}
		for _, size := range []int{1, 2, 50} {
			s.sameIDs(s.allPages(one.filter, size), expected, "the keys %s, in pages of %d", one.what, size)
		}
	}
}

// lateMatch lets a store read a limited number of rows for a page: the list still continues.
func lateMatch(s *suite) {
	var records []*keystile.Record
	for number := 1; number <= keystile.PageMax+2; number++ {
		records = append(records, plain(number))
	}
	first, last := records[0], records[len(records)-1]
	first.ExpiresAt, last.ExpiresAt = at(filtered), at(filtered)
	s.insert(records...)
	expired := keystile.Filter{Status: keystile.StatusExpired, Now: at(filtered)}
	s.sameIDs(s.allPages(expired, 50), []keystile.KeyID{first.ID, last.ID}, "after many others")
}
