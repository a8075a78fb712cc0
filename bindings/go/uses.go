package keystile

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/oneline"
)

const (
	// useBatch is the number of last uses or states in one write.
	useBatch = 1000
	// ratesInterval is how often states are written, unless uses are written more often.
	ratesInterval = time.Second
	// freeSoon is the time within which a limit must be free again for its state to be
	// written only at the end.
	freeSoon = 2 * time.Second
)

// uses are last uses that are not yet written: only the latest of each key, and of a
// limited number of keys, because a lost last use does no harm.
type uses struct {
	mutex   sync.Mutex
	waiting map[KeyID]Use
	dropped uint64
	most    int
	// rates belong to the flush that goes on.
	rates rates
	// flushing allows one flush at a time.
	flushing sync.Mutex
}

func (u *uses) note(use Use) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	if u.waiting == nil {
		u.waiting = map[KeyID]Use{}
	}
	known, waits := u.waiting[use.KeyID]
	if !waits && len(u.waiting) >= u.most {
		u.dropped++
		return
	}
	use.Count += known.Count
	if known.LastUsedAt.After(use.LastUsedAt) {
		use.LastUsedAt = known.LastUsedAt
	}
	u.waiting[use.KeyID] = use
}

// take removes and returns all uses in a fixed order, so that processes that write the same
// keys do not deadlock.
func (u *uses) take() []Use {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	all := make([]Use, 0, len(u.waiting))
	for _, use := range u.waiting {
		all = append(all, use)
	}
	clear(u.waiting)
	slices.SortFunc(all, func(a, b Use) int { return cmp.Compare(a.KeyID.String(), b.KeyID.String()) })
	return all
}

func (u *uses) stats() (waiting int, dropped uint64) {
	u.mutex.Lock()
	defer u.mutex.Unlock()
	return len(u.waiting), u.dropped
}

// The parts of what is written: limits that are not free again soon; these and the last
// uses; all last uses and all limits that are not free.
const (
	flushRates = iota
	flushAll
	flushRest
)

// noteUses writes the states of limits each second, and uses every few seconds, until the
// authenticator is closed; closing writes the last of them.
func (p *parts) noteUses(every time.Duration) {
	written := time.Now()
	for pause(p.stopped, min(every, ratesInterval)) {
		what := flushRates
		if time.Since(written) >= every {
			what, written = flushAll, time.Now()
		}
		if err := p.flush(p.stopped, what); err != nil && p.stopped.Err() == nil {
			p.log.Warn("cannot write last uses and limits; trying again later", "error", err)
		}
	}
}

// flush writes what was used so far. What cannot be written stays for the next time.
func (p *parts) flush(ctx context.Context, what int) error {
	p.uses.flushing.Lock()
	defer p.uses.flushing.Unlock()
	for _, use := range p.ring.DrainUses() {
		p.uses.note(Use{KeyID: KeyID{use.KeyID}, Lineage: KeyID{use.Lineage},
			LastUsedAt: timeOf(use.LastUsedAt), Count: use.Count})
		if use.RateState != 0 && p.usage != nil {
			p.uses.noteRate(RateNote{KeyID{use.Lineage}, RateState(use.RateState), spanOf(use.ReachMillis)})
		}
	}
	err := p.flushRates(ctx, what)
	if what == flushRates || p.noter == nil {
		return err
	}
	return oneline.Join(err, p.flushUses(ctx))
}

// flushRates writes the states of limits. Those that are free again soon wait, since the
// process may end before.
func (p *parts) flushRates(ctx context.Context, what int) error {
	due := p.uses.rates.due(p.clock(), what)
	for len(due) > 0 {
		batch := due[:min(useBatch, len(due))]
		due = due[len(batch):]
		if err := p.noteRates(ctx, batch); err != nil {
			return err
		}
		for _, note := range batch {
			delete(p.uses.rates, note.Lineage)
		}
	}
	return nil
}

func (p *parts) noteRates(ctx context.Context, batch []RateNote) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	// A reading for each batch, since a store compares it with its own clock.
	now := p.clock()
	notes := make([]RateNote, len(batch))
	for at, note := range batch {
		notes[at] = note.thatOnlyRaises(now)
	}
	begun := time.Now()
	err := p.usage.NoteRates(ctx, notes, now)
	if err == nil {
		p.noted.add(notes, time.Since(begun), now, p.uses.most)
	}
	return err
}

// flushUses writes all uses that wait.
func (p *parts) flushUses(ctx context.Context) error {
	left := p.uses.take()
	// What is not written waits, even if the store panics.
	defer func() {
		for _, use := range left {
			p.uses.note(use)
		}
	}()
	for len(left) > 0 {
		batch := left[:min(useBatch, len(left))]
		if err := p.noteBatch(ctx, batch); err != nil {
			return err
		}
		left = left[len(batch):]
	}
	return nil
}

func (p *parts) noteBatch(ctx context.Context, batch []Use) error {
	ctx, cancel := context.WithTimeout(ctx, p.timeout)
	defer cancel()
	return p.noter.NoteUses(ctx, batch)
}

// rates are the states of limits that are not yet written, by lineage.
type rates map[KeyID]RateNote

// noteRate keeps the latest state of a lineage. Only the flush that goes on calls it.
func (u *uses) noteRate(note RateNote) {
	if u.rates == nil {
		u.rates = rates{}
	}
	known, waits := u.rates[note.Lineage]
	switch {
	case !waits && len(u.rates) >= u.most:
		u.mutex.Lock()
		u.dropped++
		u.mutex.Unlock()
	case !waits || known.State <= note.State:
		u.rates[note.Lineage] = note
	}
}

// due returns the states to write, in one order, so that processes that write the same
// lineages do not deadlock; and forgets those of limits that are free.
func (r rates) due(now time.Time, what int) []RateNote {
	soon := now.Add(freeSoon)
	if what == flushRest {
		soon = now
	}
	var due []RateNote
	for lineage, note := range r {
		freeAt := note.State.FullAt()
		if !freeAt.After(now) {
			delete(r, lineage)
		} else if freeAt.After(soon) {
			due = append(due, note)
		}
	}
	slices.SortFunc(due, func(a, b RateNote) int { return cmp.Compare(a.Lineage.String(), b.Lineage.String()) })
	return due
}
