package keystile

// LineResult is what became of a line of an import.
type LineResult string

// The results of lines.
const (
	// LineImported means that it was written, or would have been in a dry run.
	LineImported LineResult = "imported"
	// LinePresent means that the store has it already, with the same content. Last uses, uses that are
	// left and the state of the limit are not compared.
	LinePresent LineResult = "present"
	// LineConflict means that the store has something else in its place, which stays.
	LineConflict LineResult = "conflict"
	// lineWaiting means that it may be imported after a later line.
	lineWaiting LineResult = "waiting"
	// LineEnd means that it is the closing line of an export.
	LineEnd LineResult = "end"
	// LineRefused means that it cannot be imported to any store, or not under this lifetime policy.
	LineRefused LineResult = "refused"
)

// LineReport is what became of a line, and which it was.
type LineReport struct {
	// Line is its number, from 1.
	Line uint64
	// KeyID is the key, if the line can be read.
	KeyID KeyID
	// Result is what became of it.
	Result LineResult
	// Problem is why it was left out: of [LineConflict] and [LineRefused].
	Problem *LineProblem
}

// atLast returns what becomes of a line that waits if nothing follows.
func (r LineReport) atLast() LineReport {
	if r.Result != lineWaiting {
		return r
	}
	r.Result = LineRefused
	if r.Problem.Field == "remaining_uses" {
		r.Result = LineConflict
	}
	return r
}

// heldBytesMax is the limit on the text of lines that wait.
const heldBytesMax = 64 * 1024 * 1024

// numberedLine is a line, and its number in the input.
type numberedLine struct {
	number uint64
	text   []byte
}

// heldLines are the lines that wait for later ones.
type heldLines struct {
	lines []numberedLine
	bytes int
}

// hold keeps a line if it waits. If too many do, it is refused instead.
func (h *heldLines) hold(report *LineReport, text []byte) {
	if report.Result != lineWaiting {
		return
	}
	if h.bytes+len(text) > heldBytesMax {
		report.Result = LineRefused
		report.Problem = &LineProblem{report.Problem.Field,
			report.Problem.Expected + "; too many lines wait for others, so run the import again for this one"}
		return
	}
	h.bytes += len(text)
	// A copy: the memory of the input is used again.
	h.lines = append(h.lines, numberedLine{report.Line, append([]byte(nil), text...)})
}

// keep keeps those of other lines that still wait, and returns their reports and those of the rest.
func (h *heldLines) keep(held heldLines, reports []LineReport) (waiting, done []LineReport) {
	for at, report := range reports {
		if report.Result != lineWaiting {
			done = append(done, report)
			continue
		}
		h.bytes += len(held.lines[at].text)
		h.lines = append(h.lines, held.lines[at])
		waiting = append(waiting, report)
	}
	return waiting, done
}

// closing is whether what is imported is a whole export, by what the closing lines say of the lines
// before them.
type closing struct {
	// unclosed are the lines since the last closing line.
	unclosed uint64
	isClosed bool
	// lacksLines is whether a closing line had other numbers than those before it.
	lacksLines bool
}

// end reports whether the lines since the last closing line are those of this one.
func (c *closing) end(end ExportEnd) bool {
	is := end.Keys+end.RemovedKeys == c.unclosed
	c.unclosed, c.isClosed = 0, true
	c.lacksLines = c.lacksLines || !is
	return is
}

func (c *closing) isWhole() bool { return c.isClosed && !c.lacksLines && c.unclosed == 0 }
