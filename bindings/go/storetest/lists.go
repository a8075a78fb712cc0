package storetest

import (
	keystile "github.com/keystile/keystile/bindings/go"
)

var listsCases = map[string]func(*suite){
	"pages are complete and in order":      completePages,
	"a page has a bound":                   boundedPage,
	"pages hold while records change":      steadyPages,
	"filters compare whole texts":          wholeTexts,
	"a lineage is told apart and in order": lineageApart,
}

// backwards returns records whose ids and times are in the reverse order of their
// insertion.
func backwards(count int) []*keystile.Record {
	var records []*keystile.Record
	for number := 1; number <= count; number++ {
		record := plain(7_919 * number % 10_007)
		record.CreatedAt = at(int64(1_000_000 - number))
		records = append(records, record)
	}
	return records
}

func (s *suite) allPages(filter keystile.Filter, size int) []keystile.KeyID {
	s.Helper()
	var found []keystile.KeyID
	for page := (keystile.Page{Limit: size}); ; {
		listed := s.listed(filter, page)
		s.is(len(listed.Records) <= size, "a page of %d holds no more", size)
		s.is(len(listed.Records) < size || !listed.Next.IsZero(), "a full page of %d has a next one", size)
		found = append(found, ids(listed.Records)...)
		if page.After = listed.Next; page.After.IsZero() {
			return found
		}
	}
}

func completePages(s *suite) {
	records := backwards(25)
	for _, record := range records {
		s.insert(record)
	}
	for _, size := range []int{1, 3, 7, 24, 25, 26} {
		s.sameIDs(s.allPages(keystile.Filter{}, size), ids(records), "in pages of %d", size)
	}
	_, err := s.store.List(ctx, keystile.Filter{}, keystile.Page{After: keystile.CursorOf(id(9_999)), Limit: 9})
	s.refused(err, keystile.ErrNotFound, "a list behind a record that is not there says so")
}

func boundedPage(s *suite) {
	records := backwards(keystile.PageMax + 1)
	s.insert(records...)
	for _, one := range [][2]int{{0, 0}, {1, 1}, {keystile.PageMax, keystile.PageMax}, {1 << 62, keystile.PageMax}, {-1, 0}} {
		page := s.list(keystile.Filter{}, keystile.Page{Limit: one[0]})
		s.is(len(page) == one[1], "a page that was asked to hold %d holds %d", one[0], len(page))
	}
	s.sameIDs(s.allPages(keystile.Filter{}, keystile.PageMax), ids(records), "the last page holds what the first had no room for")
}

func steadyPages(s *suite) {
	records := backwards(6)
	for _, record := range records {
		s.insert(record)
	}
	first := s.listed(keystile.Filter{}, keystile.Page{Limit: 3})
	s.fine(s.store.Commit(ctx, updates(next(records[0]), next(records[4]))), "updates")
	s.fine(s.store.NoteUses(ctx, []keystile.Use{{KeyID: records[2].ID, LastUsedAt: at(5)}, {KeyID: records[5].ID, LastUsedAt: at(5)}}), "uses")
	late := plain(1)
	s.insert(late)
	s.is(first.Next.String() == records[2].ID.String(), "a cursor is written as the id of the last key")
	parsed, err := keystile.ParseCursor(first.Next.String())
	s.fine(err, "and read again")
	for _, after := range []keystile.Cursor{first.Next, parsed} {
		second := s.list(keystile.Filter{}, keystile.Page{After: after, Limit: 9})
		s.sameIDs(append(ids(first.Records), ids(second)...), append(ids(records), late.ID), "changes move no record; new ones come at the end")
	}
}

// L3, K8: an owner's list has only that owner's keys.
func wholeTexts(s *suite) {
	owners := []string{"", "a", "A", "a ", " a", "aa", "a%", "%", "_", "a*", "a\u0301", "á", "null", "a' OR '1'='1"}
	all := []*string{nil}
	for at := range owners {
		all = append(all, &owners[at])
	}
	for at, owner := range all {
		for half, name := range []string{"One", "one"} {
			record := plain(2*(at+1) + half)
			record.Owner, record.ClientName = owner, name
			s.insert(record)
		}
	}
	one, other := "one", "One"
	for at, owner := range all[1:] {
		number := 2 * (at + 2)
		s.sameIDs(s.allPages(keystile.Filter{Owner: owner}, 1), []keystile.KeyID{id(number), id(number + 1)}, "the keys of %q", *owner)
		s.sameIDs(s.allPages(keystile.Filter{Owner: owner, ClientName: &one}, 9), []keystile.KeyID{id(number + 1)}, "both filters hold together")
	}
	s.is(len(s.allPages(keystile.Filter{ClientName: &other}, 4)) == len(all), "one client's keys of every owner, and of none")
	for _, pair := range [][2]string{{"b", "One"}, {"a", "o%"}, {"a", "ONE"}, {"a", ""}} {
		s.is(len(s.allPages(keystile.Filter{Owner: &pair[0], ClientName: &pair[1]}, 9)) == 0, "nobody is %v", pair)
	}
}

func lineageApart(s *suite) {
	first, second, third := plain(5), plain(9), plain(3)
	second.Lineage, third.Lineage = first.ID, first.ID
	for _, record := range []*keystile.Record{first, plain(6), second, plain(4), third} {
		s.insert(record)
	}
	s.sameIDs(ids(s.lineage(first.ID)), []keystile.KeyID{first.ID, second.ID, third.ID}, "a lineage, the oldest first")
	s.is(len(s.lineage(second.ID)) == 0, "named by its first key alone")
}
