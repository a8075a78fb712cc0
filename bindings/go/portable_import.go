package keystile

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
)

// importPartBytesMax is the limit on the text of lines that are read at once, so that long lines make
// small parts.
const importPartBytesMax = 8 * 1024 * 1024

// ImportOptions configure [Authenticator.Import]. The zero value of a field selects its default.
type ImportOptions struct {
	// DryRun writes nothing, and reports what would become of each line. It keeps in memory what it
	// would have written, and of metadata a digest.
	DryRun bool
	// Report gets what became of each line; nil for no report. Lines that wait for later ones are
	// reported at the end.
	Report func(LineReport)
	// Progress gets, after each transaction, how many lines it is done with; nil for none.
	Progress func(lines uint64)
	// BatchLines is how many lines are one transaction, at most 500; by default 500.
	BatchLines int
}

// ImportSummary is how many lines of an import became what.
type ImportSummary struct {
	// Imported, Present, Conflict and Refused count the lines with these results.
	Imported, Present, Conflict, Refused uint64
	// Whole is whether no line of an export is missing: the last line was its closing line, and each
	// closing line had the numbers of those before it.
	Whole bool
}

// Lines returns how many lines there were, without closing lines.
func (s ImportSummary) Lines() uint64 { return s.Imported + s.Present + s.Conflict + s.Refused }

// IsComplete reports whether each line was imported or was there already, and the export is whole.
func (s ImportSummary) IsComplete() bool { return s.Whole && s.Conflict == 0 && s.Refused == 0 }

// Import writes the lines of an export to the store, which must be a [PortableStore]: of
// [Authenticator.Export], or of the program keystile or a service in another language.
//
// It adds keys, and changes none. A key that the store has with other content, or whose id or digest
// it remembers of another key or of a removed one, is reported and left out: nothing is overwritten,
// and nothing that was revoked is valid again. A derived key that is live is imported only if its
// source is live in the store, and it has no more than that; if this is not so yet, since the source
// or its successor is a later line, it is imported at the end. [Options.Lifetimes] holds for each key
// that has not ended.
//
// A line that the store has already is [LinePresent]: an import that was interrupted is continued by
// doing it again. What use changes is not compared: last uses, and what is left of uses and limits.
// Each key begins with the event "imported", by the actor of [WithActor]. Export files can be joined.
//
// A line that is left out is no error: look at the summary. Errors are those of the reader, the store
// and the context. The summary then has what was done before: that stays.
func (a *Authenticator) Import(ctx context.Context, from io.Reader, options ImportOptions) (summary ImportSummary, err error) {
	store, err := a.portable()
	if err != nil {
		return summary, err
	}
	if by, is := ActorOf(ctx); is {
		if err := by.Check(); err != nil {
			return summary, err
		}
	}
	if from == nil {
		return summary, errors.New("keystile: the reader of an import must not be nil")
	}
	if options.BatchLines < 0 || options.BatchLines > importLinesMax {
		return summary, ErrOutOfRange
	}
	work := &importer{store: store, commit: a.commit, lifetimes: a.lifetimes, dryRun: options.DryRun, soFar: newImportIndex()}
	input := lineReader{input: bufio.NewReaderSize(from, 64*1024), most: orDefault(options.BatchLines, importLinesMax)}
	report := func(reports []LineReport) {
		for _, one := range reports {
			if one.Result != lineWaiting {
				summary.add(one, options.Report)
			}
		}
		if options.Progress != nil {
			options.Progress(summary.Lines())
		}
	}
	for isLast := false; !isLast; {
		if isLast, err = input.read(); err != nil {
			return summary, err
		}
		reports, err := work.add(ctx, input.lines, timeOf(millisOf(a.clock())))
		if err != nil {
			return summary, err
		}
		report(reports)
	}
	late, err := work.finish(ctx, timeOf(millisOf(a.clock())))
	if err != nil {
		return summary, err
	}
	report(late)
	summary.Whole = work.closing.isWhole()
	return summary, nil
}

func (s *ImportSummary) add(line LineReport, report func(LineReport)) {
	switch line.Result {
	case LineImported:
		s.Imported++
	case LinePresent:
		s.Present++
	case LineConflict:
		s.Conflict++
	case LineRefused:
		s.Refused++
	}
	if report != nil {
		report(line)
	}
}

// portable returns the store, if it is one for exports and imports.
func (a *Authenticator) portable() (PortableStore, error) {
	if err := a.writable(); err != nil {
		return nil, err
	}
	store, is := a.store.(PortableStore)
	if !is {
		return nil, fmt.Errorf("keystile: the store must implement PortableStore to be exported from and imported to: %w", errors.ErrUnsupported)
	}
	return store, nil
}

// lineReader reads some lines at once.
type lineReader struct {
	input *bufio.Reader
	most  int
	lines []numberedLine
	count uint64
}

// read reads the next lines, without empty ones, and reports whether they are the last ones. Of a line
// that is too long, also before its white space at the end, one byte more than the limit is kept, so that
// it is refused.
func (r *lineReader) read() (isLast bool, err error) {
	r.lines = nil
	for bytes := 0; len(r.lines) < r.most && bytes < importPartBytesMax; {
		text, isCut, err := r.line()
		if errors.Is(err, io.EOF) && text == nil {
			return true, nil
		} else if err != nil && !errors.Is(err, io.EOF) {
			return false, err
		}
		r.count++
		if !isCut {
			text = trimLine(text)
		}
		if len(text) > 0 {
			bytes += len(text)
			r.lines = append(r.lines, numberedLine{r.count, text})
		}
	}
	return false, nil
}

// line reads a line with its end, nil at the end of the input, and reports whether it has more than is
// kept and white space.
func (r *lineReader) line() (text []byte, isCut bool, err error) {
	for {
		part, err := r.input.ReadSlice('\n')
		if room := LineBytesMax + 1 - len(text); len(part) > room {
			isCut = isCut || len(trimLine(part[room:])) > 0
			part = part[:room]
		}
		text = append(text, part...)
		if !errors.Is(err, bufio.ErrBufferFull) {
			return text, isCut, err
		}
	}
}

func trimLine(text []byte) []byte { return bytes.TrimRight(text, " \t\n\f\r") }
