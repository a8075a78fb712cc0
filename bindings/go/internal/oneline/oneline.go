// Package oneline joins errors as [errors.Join] does, but on one line, as logs have them.
package oneline

import "strings"

// Join returns an error that is each of these to [errors.Is] and [errors.As]; nil if all of
// them are nil.
func Join(errs ...error) error {
	var all joined
	for _, err := range errs {
		if err != nil {
			all = append(all, err)
		}
	}
	switch len(all) {
	case 0:
		return nil
	case 1:
		return all[0]
	}
	return all
}

type joined []error

func (j joined) Error() string {
	texts := make([]string, len(j))
	for at, err := range j {
		// A driver or another [errors.Join] may have written several lines.
		texts[at] = strings.Join(strings.FieldsFunc(err.Error(), isBreak), "; ")
	}
	return strings.Join(texts, ": ")
}

func (j joined) Unwrap() []error { return j }

func isBreak(char rune) bool { return char == '\n' || char == '\r' }
