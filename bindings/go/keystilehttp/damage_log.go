package keystilehttp

import (
	"errors"
	"sync"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// A damaged row is logged once in damageEvery, and not for each request. At most damageRowsMax
// rows are logged in that time.
const (
	damageEvery   = time.Minute
	damageRowsMax = 256
)

// damageLog holds when damaged rows were logged last.
type damageLog struct {
	mutex  sync.Mutex
	logged map[damagedColumn]time.Time
}

type damagedColumn struct {
	row    int64
	column string
}

func newDamageLog() *damageLog { return &damageLog{logged: map[damagedColumn]time.Time{}} }

// isDue reports whether an error is to be logged; if it is about a damaged row, that is then
// taken as done.
func (l *damageLog) isDue(err error, now time.Time) bool {
	var row *keystile.CorruptRow
	if !errors.As(err, &row) {
		return true
	}
	l.mutex.Lock()
	defer l.mutex.Unlock()
	at := damagedColumn{row.Row, row.Column}
	isRecent := func(then time.Time) bool { return now.Sub(then) < damageEvery }
	if then, is := l.logged[at]; is && isRecent(then) {
		return false
	}
	if len(l.logged) >= damageRowsMax {
		for known, then := range l.logged {
			if !isRecent(then) {
				delete(l.logged, known)
			}
		}
	}
	if len(l.logged) >= damageRowsMax {
		return false
	}
	l.logged[at] = now
	return true
}
