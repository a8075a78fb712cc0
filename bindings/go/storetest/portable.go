package storetest

import (
	"errors"
	"fmt"
	"math"
	"reflect"
	"slices"
	"strings"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

// RunPortable tests a store for everything that [keystile.PortableStore] documents. Open must return a
// new, empty store each time.
func RunPortable(t *testing.T, open func(t *testing.T) keystile.PortableStore) {
	for name, act := range portableCases {
		t.Run(name, func(t *testing.T) { act(&suite{T: t, store: open(t)}) })
	}
}

var portableCases = map[string]func(*suite){
	"an export is imported byte for byte":                          byteForByte,
	"a dry run writes nothing":                                     dryRun,
	"an export has pages":                                          exportPages,
	"what was revoked elsewhere stays refused":                     revokedElsewhere,
	"a removed key is not imported over a stored one":              removedOverStored,
	"a former digest is of one key":                                formerOfOne,
	"a digest that a live key has or had is not that of a revoked": digestOfLive,
	"an imported key can be revoked":                               importedRevoked,
	"each line of a chain that is too long is reported":            chainTooLong,
}

func lineOf(key keystile.PortableKey) string {
	return string(keystile.Must((&keystile.PortableLine{Key: &key}).Text()))
}

func removedLine(removed keystile.RemovedKey) string {
	return string(keystile.Must((&keystile.PortableLine{Removed: &removed}).Text()))
}

func digests(numbers ...int) []keystile.DigestBytes {
	var all []keystile.DigestBytes
	for _, number := range numbers {
		all = append(all, digest(number).Bytes())
	}
	slices.SortFunc(all, func(a, b keystile.DigestBytes) int { return slices.Compare(a[:], b[:]) })
	return all
}

// removedElsewhere is a key that was revoked and removed elsewhere.
func removedElsewhere(number int, had ...int) keystile.RemovedKey {
	return keystile.RemovedKey{KeyID: id(number), Version: 4, RevokedAt: at(9), RevokedReason: "it \"leaked\"", Digests: digests(had...)}
}

// sampleLines are those of keys of each kind: with every field, used, with a former digest, revoked,
// removed.
func sampleLines() []string {
	used := plain(20)
	used.RemainingUses = keystile.Ptr(uint64(7))
	renewed := next(plain(50))
	renewed.Digest = digest(51)
	expired := keystile.RemovedKey{KeyID: id(40), Version: 2, Owner: keystile.Ptr("Ünï \u2028 <&>")}
	return []string{
		lineOf(keystile.PortableKey{Record: full(1), FormerDigests: digests(60, 61, 62)}),
		// As far from zero as a signed column can hold, and beyond.
		lineOf(keystile.PortableKey{Record: used, Rate: math.MaxUint64 - 5}),
		lineOf(keystile.PortableKey{Record: renewed, FormerDigests: digests(50)}),
		removedLine(removedElsewhere(30, 30, 31)),
		removedLine(expired),
	}
}

// imported returns what became of lines, each in the order of their numbers.
func (s *service) imported(options keystile.ImportOptions, lines ...string) []keystile.LineReport {
	s.Helper()
	var reports []keystile.LineReport
	options.Report = func(report keystile.LineReport) { reports = append(reports, report) }
	summary, err := s.authenticator.Import(keystile.WithActor(ctx, keystile.By{Actor: "ana"}), strings.NewReader(strings.Join(lines, "\n")), options)
	s.fine(err, "an import does not fail")
	s.is(int(summary.Lines()) == len(reports), "%d reports, %+v", len(reports), summary)
	slices.SortStableFunc(reports, func(a, b keystile.LineReport) int { return int(a.Line) - int(b.Line) })
	return reports
}

func (s *service) results(expected string, lines ...string) {
	s.Helper()
	var found []string
	reports := s.imported(keystile.ImportOptions{}, lines...)
	for _, report := range reports {
		found = append(found, string(report.Result))
	}
	s.is(strings.Join(found, " ") == expected, "%v for %s: %+v", found, expected, reports)
}

// exported returns the lines of the store without the closing one.
func (s *service) exported() []string {
	s.Helper()
	var text strings.Builder
	summary, err := s.authenticator.Export(ctx, &text, keystile.ExportOptions{WithDigests: true})
	s.fine(err, "an export does not fail")
	lines := strings.Split(strings.TrimSuffix(text.String(), "\n"), "\n")
	last := len(lines) - 1
	end, is := keystile.ParseExportEnd([]byte(lines[last]))
	s.is(is && end == keystile.ExportEnd{Keys: summary.Keys, RemovedKeys: summary.RemovedKeys} &&
		uint64(last) == summary.Keys+summary.RemovedKeys && !summary.Changed && len(summary.Damaged) == 0, "%+v of %d lines", summary, last)
	return lines[:last]
}

func (s *suite) moving() *service {
	return s.service(keystile.Must(keystile.StructuredFormat("acme")), nil).at(100)
}

func byteForByte(s *suite) {
	subject, lines := s.moving(), sampleLines()
	subject.results("imported imported imported imported imported", lines...)
	again := subject.exported()
	s.is(reflect.DeepEqual(again, lines), "%s for %s", strings.Join(again, "\n"), strings.Join(lines, "\n"))
	events := s.allEvents()
	s.is(len(events) == 5, "%d events", len(events))
	for _, event := range events {
		s.is(event.Kind == keystile.EventImported && event.Actor != nil && *event.Actor == "ana" && event.At.Equal(at(100)), "%+v", event)
	}
	subject.results("present present present present present", lines...)
	s.is(len(s.allEvents()) == 5 && reflect.DeepEqual(subject.exported(), lines), "a second import changes nothing")
	s.is(s.usage(id(20)).Rate == math.MaxUint64-5, "the state of a limit comes along")
}

func dryRun(s *suite) {
	subject := s.moving()
	lines := sampleLines()
	lines = append(lines, lines[0], strings.Replace(lines[1], `"client_name":"Acme`, `"client_name":"Acne`, 1), "{}")
	planned := subject.imported(keystile.ImportOptions{DryRun: true, BatchLines: 3}, lines...)
	s.is(len(s.allEvents()) == 0 && len(subject.exported()) == 0, "a dry run writes nothing")
	done := subject.imported(keystile.ImportOptions{BatchLines: 3}, lines...)
	s.is(reflect.DeepEqual(planned, done), "%+v for %+v", planned, done)
	s.is(done[5].Result == keystile.LinePresent && done[6].Result == keystile.LineConflict && done[7].Result == keystile.LineRefused, "%+v", done)
}

func exportPages(s *suite) {
	subject := s.moving()
	var lines []string
	for number := range 5 {
		lines = append(lines, lineOf(keystile.PortableKey{Record: plain(number + 1), FormerDigests: digests(100 + number)}))
	}
	for number := range 3 {
		lines = append(lines, removedLine(removedElsewhere(10+number, 10+number)))
	}
	subject.results(strings.TrimSpace(strings.Repeat("imported ", 8)), lines...)
	store := s.store.(keystile.PortableStore)
	var found []string
	for page := (keystile.Page{Limit: 2}); ; {
		exported, err := store.Export(ctx, keystile.Filter{}, page)
		s.fine(err, "an export does not fail")
		s.is(len(exported.Keys) <= 2 && len(exported.Damaged) == 0, "%d keys", len(exported.Keys))
		for _, key := range exported.Keys {
			found = append(found, lineOf(key))
		}
		if page.After = exported.Next; page.After.IsZero() {
			break
		}
	}
	for after := ""; ; {
		page, err := store.RemovedKeys(ctx, after, 1)
		s.fine(err, "removed keys are listed")
		s.is(len(page.Keys) <= 1 && len(page.Damaged) == 0, "%d keys", len(page.Keys))
		for _, removed := range page.Keys {
			found = append(found, removedLine(removed))
		}
		if after = page.Next; after == "" {
			break
		}
	}
	s.is(reflect.DeepEqual(found, lines), "%v for %v", found, lines)
	_, err := store.Export(ctx, keystile.Filter{}, keystile.Page{Limit: 2, After: keystile.CursorOf(id(99))})
	s.refused(err, keystile.ErrNotFound, "a key that never was")
	// Of a filter only these, and what is shown has no digest.
	var shown strings.Builder
	summary, err := subject.authenticator.Export(ctx, &shown, keystile.ExportOptions{Filter: keystile.Filter{IDPrefix: id(3).String()}})
	s.fine(err, "an export to look at")
	s.is(summary.Keys == 1 && summary.RemovedKeys == 0 && !strings.Contains(shown.String(), "sha256") && !strings.Contains(shown.String(), "former"), "%s", &shown)
	reports := subject.imported(keystile.ImportOptions{}, shown.String())
	s.is(reports[0].Result == keystile.LineRefused && reports[0].Problem.Field == "digest", "%+v", reports)
}

// A key that was revoked and removed in another store, and comes back from a copy.
func revokedElsewhere(s *suite) {
	subject := s.moving()
	subject.results("imported", removedLine(removedElsewhere(1, 1, 11)))
	other := plain(2)
	other.Digest = digest(11)
	subject.results("conflict conflict", lineOf(keystile.PortableKey{Record: plain(1)}), lineOf(keystile.PortableKey{Record: other}))
	// Nor by other means.
	for _, copied := range []*keystile.Record{plain(1), other} {
		err := s.store.Commit(ctx, inserts(copied))
		if errors.Is(err, keystile.ErrDuplicate) {
			continue
		}
		s.fine(err, "it is refused, or stored as revoked")
		s.is(s.find(copied.ID).State == keystile.StateRevoked, "it is stored as revoked")
	}
}

func removedOverStored(s *suite) {
	subject := s.moving()
	s.insert(plain(1))
	subject.results("conflict", removedLine(removedElsewhere(1)))
	// Nor if the key was inserted after the import looked.
	s.refused(s.store.Commit(ctx, removalElsewhere(1)), keystile.ErrStale, "a key that is stored")
	// The row of a key that was removed here is remembered, and not imported again.
	s.fine(s.store.Commit(ctx, noted(keystile.Batch{Deletes: []keystile.KeyVersion{{KeyID: id(1), Version: 2}}})), "a removal")
	subject.results("conflict", lineOf(keystile.PortableKey{Record: plain(1)}))
}

// removalElsewhere is what an import writes of a key that was revoked and removed elsewhere.
func removalElsewhere(number int, had ...int) keystile.Batch {
	event := event(number)
	event.Version = 4
	return keystile.Batch{Imported: keystile.Imported{Removed: []keystile.RemovedKey{removedElsewhere(number, had...)}}, Events: []keystile.Event{event}}
}

// If another key has or had the digest, the batch was judged by what is not so any more.
func formerOfOne(s *suite) {
	s.insert(plain(1), plain(2))
	renewed := next(plain(2))
	renewed.Digest = digest(22)
	s.fine(s.store.Commit(ctx, updates(renewed)), "a digest is renewed")
	for _, had := range []int{1, 2, 33} {
		batch := inserts(plain(3))
		batch.Imported.FormerDigests = []keystile.FormerDigest{{Digest: digest(had).Bytes(), KeyID: id(3)}}
		err := s.store.Commit(ctx, batch)
		if had == 33 {
			s.fine(err, "a digest that no other key had")
		} else {
			s.refused(err, keystile.ErrStale, fmt.Sprint("the digest of another key, ", had))
		}
	}
}

// Also if the key was inserted after the import looked; a revoked key may have had it.
func digestOfLive(s *suite) {
	s.insert(plain(1))
	s.refused(s.store.Commit(ctx, removalElsewhere(2, 1)), keystile.ErrStale, "a live key has the digest")
	renewed := next(plain(1))
	renewed.Digest = digest(11)
	s.fine(s.store.Commit(ctx, updates(renewed)), "a digest is renewed")
	s.refused(s.store.Commit(ctx, removalElsewhere(2, 1)), keystile.ErrStale, "a live key had the digest")
	// Of the same batch.
	both, removed := inserts(plain(3)), removalElsewhere(4, 33)
	both.Imported, both.Events = removed.Imported, append(both.Events, removed.Events...)
	both.Imported.FormerDigests = []keystile.FormerDigest{{Digest: digest(33).Bytes(), KeyID: id(3)}}
	s.refused(s.store.Commit(ctx, both), keystile.ErrStale, "a live key of the batch had the digest")
	s.is(len(s.allEvents()) == 2, "nothing of them is written")
	s.fine(s.store.Commit(ctx, updates(revoked(renewed, "leaked"))), "a revocation")
	s.fine(s.store.Commit(ctx, removalElsewhere(2, 1)), "a digest that a revoked key had")
}

// The last ones come first, so that each line waits for the next one.
func chainTooLong(s *suite) {
	subject := s.moving()
	var lines []string
	for number := keystile.DerivedDepthMax + 4; number >= 1; number-- {
		record := plain(number)
		if number > 1 {
			record.DerivedFrom, record.DerivedLineage = id(number-1), id(number-1)
		}
		lines = append(lines, lineOf(keystile.PortableKey{Record: record}))
	}
	subject.results("refused refused"+strings.Repeat(" imported", keystile.DerivedDepthMax+2), lines...)
	// Doing it again goes on.
	subject.results("imported imported"+strings.Repeat(" present", keystile.DerivedDepthMax+2), lines...)
}

func importedRevoked(s *suite) {
	subject := s.moving()
	last, over := plain(1), plain(2)
	last.Version, over.Version = 1<<62, 1<<62+1
	subject.results("imported refused", lineOf(keystile.PortableKey{Record: last}), lineOf(keystile.PortableKey{Record: over}))
	_, err := subject.authenticator.Revoke(ctx, id(1), "leaked")
	s.fine(err, "revoking a key of the highest version")
	s.is(s.find(id(1)).State == keystile.StateRevoked, "it is revoked")
}
