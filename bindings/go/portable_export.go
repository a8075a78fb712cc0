package keystile

import (
	"bufio"
	"context"
	"errors"
	"io"
	"time"
)

// exportPage is how many keys are held in memory at once.
const exportPage = 500

// ExportOptions configure [Authenticator.Export]. The zero value of a field selects its default.
type ExportOptions struct {
	// WithDigests also writes the digests of keys, so that the lines can be imported, and a closing
	// line. The file then has what a store recognises keys by: keep it as safe as a backup.
	WithDigests bool
	// Filter selects the keys. With one, removed keys are not exported.
	Filter Filter
	// Progress gets, after each page, how many keys were exported; nil for none.
	Progress func(keys uint64)
}

// ExportSummary is what [Authenticator.Export] did.
type ExportSummary struct {
	// Keys and RemovedKeys are how many there are in the export.
	Keys, RemovedKeys uint64
	// Damaged are the rows that cannot be read: they are not in the export.
	Damaged []*CorruptRow
	// Changed is whether keys were changed meanwhile, which may be in the export as they were before.
	// To move a store, stop what writes to it and export again.
	Changed bool
}

// Export writes all that the store, which must be a [PortableStore], holds of its keys, as lines of
// JSON: the same bytes as the program keystile writes. They never have keys. Without
// [ExportOptions.WithDigests] the lines are to look at, and an import refuses them. With digests and
// without a filter, it also writes what is remembered of removed keys, so that none of them comes back.
//
// A row that cannot be read is left out, and is no error. After an error, what was written is no whole
// export: an import notices that its closing line is missing.
func (a *Authenticator) Export(ctx context.Context, to io.Writer, options ExportOptions) (summary ExportSummary, err error) {
	store, err := a.portable()
	if err != nil {
		return summary, err
	}
	if to == nil {
		return summary, errors.New("keystile: the writer of an export must not be nil")
	}
	before, err := store.LastEvent(ctx)
	if err != nil {
		return summary, err
	}
	output := bufio.NewWriterSize(to, 64*1024)
	if err := summary.keys(ctx, store, output, options); err != nil {
		return summary, err
	}
	options.Filter.Now = time.Time{}
	if options.WithDigests {
		if options.Filter == (Filter{}) {
			if err := summary.removedKeys(ctx, store, output); err != nil {
				return summary, err
			}
		}
		// Without it, an import says that a part is missing.
		if err := writeLine(output, ExportEnd{summary.Keys, summary.RemovedKeys}.Text(), nil); err != nil {
			return summary, err
		}
	}
	if err := output.Flush(); err != nil {
		return summary, err
	}
	after, err := store.LastEvent(ctx)
	summary.Changed = after != before
	return summary, err
}

func (s *ExportSummary) keys(ctx context.Context, store PortableStore, output *bufio.Writer, options ExportOptions) error {
	for page := (Page{Limit: exportPage, Sort: SortInserted}); ; {
		exported, err := store.Export(ctx, options.Filter, page)
		if err != nil {
			return err
		}
		s.Damaged = append(s.Damaged, exported.Damaged...)
		for at := range exported.Keys {
			text, err := exported.Keys[at].text(options.WithDigests)
			if err := writeLine(output, text, err); err != nil {
				return err
			}
			s.Keys++
		}
		if options.Progress != nil {
			options.Progress(s.Keys)
		}
		if exported.Next.IsZero() {
			return nil
		}
		page.After = exported.Next
	}
}

func (s *ExportSummary) removedKeys(ctx context.Context, store PortableStore, output *bufio.Writer) error {
	for after := ""; ; {
		page, err := store.RemovedKeys(ctx, after, exportPage)
		if err != nil {
			return err
		}
		s.Damaged = append(s.Damaged, page.Damaged...)
		for at := range page.Keys {
			text, err := (&PortableLine{Removed: &page.Keys[at]}).Text()
			if err := writeLine(output, text, err); err != nil {
				return err
			}
			s.RemovedKeys++
		}
		if after = page.Next; after == "" {
			return nil
		}
	}
}

func writeLine(output *bufio.Writer, text []byte, err error) error {
	if err != nil {
		return err
	}
	_, err = output.Write(append(text, '\n'))
	return err
}
