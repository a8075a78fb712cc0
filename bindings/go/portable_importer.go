package keystile

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"slices"
	"strings"
	"time"
)

const (
	// importLinesMax is the limit on the lines of one transaction.
	importLinesMax = 500
	// importTriesMax is how often a batch is tried that others keep from being written.
	importTriesMax = 32
	// duplicatesMax is after how many tries a row that nothing is known of is in the way.
	duplicatesMax = 3
	// importRoundsMax is how often lines that wait are judged again: as often as keys derive from each
	// other.
	importRoundsMax = 9
)

// importer writes the lines of an export to a store.
type importer struct {
	store     PortableStore
	commit    func(ctx context.Context, batch Batch) error
	lifetimes LifetimePolicy
	dryRun    bool
	// soFar is what a dry run would have written, and the lineages that have the uses of their lines.
	soFar   *importIndex
	held    heldLines
	closing closing
}

// parsedLine is a line of an import: one of its fields is set, or it is a closing line.
type parsedLine struct {
	number  uint64
	line    *PortableLine
	problem *LineProblem
}

// add imports lines in one transaction: those that can be, or, if it fails, none. The reports are in
// the same order. After an error the same lines may be imported again.
func (i *importer) add(ctx context.Context, lines []numberedLine, now time.Time) ([]LineReport, error) {
	counted := i.closing
	reports, err := i.write(ctx, lines, now)
	if err != nil {
		// The same lines come again.
		i.closing = counted
		return nil, err
	}
	for at := range reports {
		i.held.hold(&reports[at], lines[at].text)
	}
	return reports, nil
}

// finish judges the lines that wait again, after the last one, and reports each of them: those are
// imported whose sources are in the store by now.
func (i *importer) finish(ctx context.Context, now time.Time) ([]LineReport, error) {
	counted := i.closing
	// These lines were counted before.
	defer func() { i.closing = counted }()
	var done, waiting []LineReport
	for range importRoundsMax {
		held := i.held
		i.held = heldLines{}
		var reports []LineReport
		for part := range slices.Chunk(held.lines, importLinesMax) {
			some, err := i.write(ctx, part, now)
			if err != nil {
				i.held = held
				return nil, err
			}
			reports = append(reports, some...)
		}
		someAreNew := slices.ContainsFunc(reports, func(report LineReport) bool { return report.Result == LineImported })
		var some []LineReport
		waiting, some = i.held.keep(held, reports)
		done = append(done, some...)
		if !someAreNew || len(waiting) == 0 {
			break
		}
	}
	// Also those of a longer chain of keys than can be issued.
	for _, report := range waiting {
		done = append(done, report.atLast())
	}
	i.held = heldLines{}
	slices.SortStableFunc(done, func(a, b LineReport) int { return cmp.Compare(a.Line, b.Line) })
	return done, nil
}

func (i *importer) write(ctx context.Context, lines []numberedLine, now time.Time) ([]LineReport, error) {
	parsed := make([]parsedLine, len(lines))
	for at, line := range lines {
		parsed[at] = i.parse(line)
	}
	reports, isWritten, err := i.writeTogether(ctx, parsed, now)
	if err != nil || isWritten {
		return reports, err
	}
	// One by one, so that the line that cannot be written is the only one that is not.
	reports = make([]LineReport, 0, len(parsed))
	for at := range parsed {
		one, isWritten, err := i.writeTogether(ctx, parsed[at:at+1], now)
		switch {
		case err != nil:
			return nil, err
		case isWritten:
			reports = append(reports, one...)
		default:
			reports = append(reports, parsed[at].inTheWay())
		}
	}
	return reports, nil
}

func (i *importer) parse(line numberedLine) parsedLine {
	parsed := parsedLine{number: line.number}
	if end, is := ParseExportEnd(line.text); is {
		if !i.closing.end(end) {
			parsed.problem = &LineProblem{"end", "must have the numbers of the lines before it: some are missing"}
		}
		return parsed
	}
	i.closing.unclosed++
	var err error
	if parsed.line, err = ParsePortableLine(line.text); err != nil && !errors.As(err, &parsed.problem) {
		parsed.problem = &LineProblem{"line", err.Error()}
	}
	return parsed
}

// writeTogether writes lines; false if rows that cannot be read keep them from being written.
func (i *importer) writeTogether(ctx context.Context, parsed []parsedLine, now time.Time) ([]LineReport, bool, error) {
	asked := askedOf(parsed)
	duplicates := 0
	for range importTriesMax {
		known, err := i.known(ctx, asked)
		if err != nil {
			return nil, false, err
		}
		index := importIndexOf(known)
		var batch Batch
		reports := make([]LineReport, 0, len(parsed))
		for _, line := range parsed {
			reports = append(reports, i.judge(index, &batch, line, now))
		}
		if i.dryRun {
			i.soFar.merge(index)
			return reports, true, nil
		}
		slices.SortFunc(batch.Unchanged, func(a, b KeyVersion) int {
			return cmp.Or(strings.Compare(a.KeyID.String(), b.KeyID.String()), cmp.Compare(a.Version, b.Version))
		})
		batch.Unchanged = slices.Compact(batch.Unchanged)
		if len(batch.Events) > 0 {
			err = i.commit(ctx, batch)
		}
		switch {
		case err == nil:
			i.soFar.agreeAs(index)
			return reports, true, nil
		// Someone else has written one of these keys: what the store knows is another.
		case errors.Is(err, ErrStale):
		case errors.Is(err, ErrDuplicate) && duplicates < duplicatesMax:
			duplicates++
		case errors.Is(err, ErrDuplicate):
			return nil, false, nil
		default:
			return nil, false, err
		}
	}
	return nil, false, ErrStale
}

// judge decides about a line, and adds it to the batch if it is new.
func (i *importer) judge(index *importIndex, batch *Batch, parsed parsedLine, now time.Time) LineReport {
	report := LineReport{Line: parsed.number, Result: LineEnd, Problem: parsed.problem}
	switch {
	case parsed.problem != nil:
		report.Result = LineRefused
		return report
	case parsed.line == nil:
		return report
	}
	found := index.judge(i.soFar, parsed.line, i.lifetimes, now)
	if found.result == LineImported || found.result == LinePresent {
		index.agree(i.soFar, parsed.line)
	}
	if found.result == LineImported {
		batch.Unchanged = append(batch.Unchanged, found.reliedOn...)
		batch.addLine(parsed.line, now)
		index.add(parsed.line)
	}
	report.KeyID, report.Result, report.Problem = parsed.line.KeyID(), found.result, found.problem
	return report
}

// addLine writes a line with the batch, and the event of it.
func (b *Batch) addLine(line *PortableLine, now time.Time) {
	event := Event{Kind: EventImported, KeyID: line.KeyID(), At: now}
	if line.Removed != nil {
		b.Imported.Removed = append(b.Imported.Removed, *line.Removed)
		event.Version = line.Removed.Version
	} else {
		record := line.Key.Record
		b.Inserts = append(b.Inserts, record)
		b.Imported.Rates = append(b.Imported.Rates, LineageRate{record.lineage(), line.Key.Rate})
		for _, digest := range line.Key.FormerDigests {
			b.Imported.FormerDigests = append(b.Imported.FormerDigests, FormerDigest{digest, record.ID})
		}
		event.Version = record.Version
	}
	b.Events = append(b.Events, event)
}

// known returns what the store knows of the lines, and of the keys that had their digests.
func (i *importer) known(ctx context.Context, asked Asked) (Known, error) {
	known, err := i.store.Known(ctx, asked)
	if err != nil {
		return known, err
	}
	var others Asked
	for _, former := range known.FormerDigests {
		if !former.KeyID.IsZero() && !slices.Contains(asked.IDs, former.KeyID) && !slices.Contains(others.IDs, former.KeyID) {
			others.IDs = append(others.IDs, former.KeyID)
		}
	}
	if len(others.IDs) == 0 {
		return known, nil
	}
	more, err := i.store.Known(ctx, others)
	known.Records = append(known.Records, more.Records...)
	known.Damaged = append(known.Damaged, more.Damaged...)
	known.Removed = append(known.Removed, more.Removed...)
	return known, err
}

func (p *parsedLine) inTheWay() LineReport {
	report := LineReport{Line: p.number, Result: LineConflict,
		Problem: &LineProblem{"digest", "a row of the store that cannot be read has this id or digest"}}
	if p.line != nil {
		report.KeyID = p.line.KeyID()
	}
	return report
}

// askedOf returns what the store has to be asked about.
func askedOf(parsed []parsedLine) Asked {
	var asked Asked
	for _, one := range parsed {
		if one.line == nil {
			continue
		}
		asked.IDs = append(asked.IDs, one.line.KeyID())
		asked.Digests = append(asked.Digests, one.line.digests()...)
		if key := one.line.Key; key != nil {
			asked.Lineages = append(asked.Lineages, key.Record.lineage())
			if source := key.Record.DerivedLineage; !source.IsZero() {
				asked.Lineages = append(asked.Lineages, source)
			}
		}
	}
	byText := func(a, b KeyID) int { return strings.Compare(a.String(), b.String()) }
	slices.SortFunc(asked.IDs, byText)
	slices.SortFunc(asked.Lineages, byText)
	slices.SortFunc(asked.Digests, func(a, b DigestBytes) int { return bytes.Compare(a[:], b[:]) })
	return Asked{slices.Compact(asked.IDs), slices.Compact(asked.Lineages), slices.Compact(asked.Digests)}
}
