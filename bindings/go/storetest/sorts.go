package storetest

import (
	keystile "github.com/keystile/keystile/bindings/go"
)

var sortsCases = map[string]func(*suite){
	"a list has the order that is asked for":       eachSort,
	"an order without an index is for few keys":    fewToSort,
	"a place in an order is that of a removed key": gonePlace,
}

// sortable inserts keys that each order has in another one, some of them at the same instants.
func sortable(s *suite) {
	record := func(number int, created, end, used int64) *keystile.Record {
		record := plain(number)
		record.CreatedAt, record.Owner = at(created), keystile.Ptr("tenant-7")
		if end != 0 {
			record.ExpiresAt = at(end)
		}
		if used != 0 {
			record.LastUsedAt = at(used)
		}
		return record
	}
	revoked := record(7, 60, 950, 0)
	revoked.State, revoked.RevokedAt, revoked.RevokedReason = keystile.StateRevoked, at(99), "leaked"
	for _, record := range []*keystile.Record{record(5, 70, 0, 100), record(3, 50, 900, 0),
		record(9, 50, 800, 300), record(1, 90, 900, 200), revoked} {
		s.insert(record)
	}
}

func (s *suite) sorted(filter keystile.Filter, sort keystile.Sort, size int) []keystile.KeyID {
	s.Helper()
	var found []keystile.KeyID
	for page := (keystile.Page{Limit: size, Sort: sort}); ; {
		listed := s.listed(filter, page)
		found = append(found, ids(listed.Records)...)
		if listed.Next.IsZero() {
			return found
		}
		// As a client gives it back.
		after, err := keystile.ParseCursor(listed.Next.String())
		s.is(err == nil, "the text of a cursor: %v", err)
		page.After = after
	}
}

func eachSort(s *suite) {
	sortable(s)
	owned := keystile.Filter{Owner: keystile.Ptr("tenant-7")}
	for _, one := range []struct {
		sort     keystile.Sort
		expected []int
		// owned is the order of the keys of an owner, for which there is no index.
		owned []int
	}{
		{keystile.SortInserted, []int{5, 3, 9, 1, 7}, []int{5, 3, 9, 1, 7}},
		{keystile.SortID, []int{1, 3, 5, 7, 9}, []int{1, 3, 5, 7, 9}},
		{keystile.SortIssued, []int{3, 9, 7, 5, 1}, []int{3, 9, 7, 5, 1}},
		{keystile.SortEnds, []int{7, 9, 3, 1, 5}, []int{7, 9, 1, 3, 5}},
		{keystile.SortLastUsed, []int{3, 7, 5, 1, 9}, []int{3, 7, 5, 1, 9}},
	} {
		for _, size := range []int{1, 2, 3, 50} {
			s.sameIDs(s.sorted(keystile.Filter{}, one.sort, size), numbered(one.expected), "by %s, in pages of %d", one.sort, size)
			s.sameIDs(s.sorted(owned, one.sort, size), numbered(one.owned), "of an owner by %s, in pages of %d", one.sort, size)
		}
	}
	_, err := s.store.List(ctx, keystile.Filter{}, keystile.Page{Limit: 1, Sort: "name"})
	s.is(err != nil, "an unknown order is an error")
}

func numbered(numbers []int) (found []keystile.KeyID) {
	for _, number := range numbers {
		found = append(found, id(number))
	}
	return found
}

func fewToSort(s *suite) {
	var records []*keystile.Record
	for number := 1; number <= keystile.PageMax; number++ {
		record := plain(number)
		if number > 1 {
			record.Owner = keystile.Ptr("many")
		}
		records = append(records, record)
	}
	s.insert(records...)
	page := keystile.Page{Limit: 2, Sort: keystile.SortLastUsed}
	s.is(len(s.list(keystile.Filter{Owner: keystile.Ptr("many")}, page)) == 2, "fewer than a page are sorted")
	_, err := s.store.List(ctx, keystile.Filter{}, page)
	s.refused(err, keystile.ErrTooManyToSort, "too many keys are not sorted by their last use")
}

func gonePlace(s *suite) {
	sortable(s)
	listed := s.listed(keystile.Filter{}, keystile.Page{Limit: 2, Sort: keystile.SortEnds})
	s.sameIDs(ids(listed.Records), numbered([]int{7, 9}), "the first page")
	changed := *listed.Records[1]
	changed.Version++
	changed.ExpiresAt = at(990)
	s.fine(s.store.Commit(ctx, updates(&changed)), "a change")
	page := keystile.Page{After: listed.Next, Limit: 9, Sort: keystile.SortEnds}
	s.sameIDs(s.sortedAfter(page), numbered([]int{3, 1, 9, 5}), "after a key that ends later now")
}

func (s *suite) sortedAfter(page keystile.Page) []keystile.KeyID {
	s.Helper()
	return ids(s.listed(keystile.Filter{}, page).Records)
}
