package keystile

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// useBatch is how many last uses are noted in one step.
const useBatch = 1000

// uses are last uses that wait to be noted. Of a key only the latest counts, and of keys no
// more than a bound: to lose a last use for a while does no harm.
type uses struct {
	mutex   sync.Mutex
	waiting map[KeyID]Use
	dropped uint64
	most    int
	// flushing lets one flush run at a time.
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

// take takes what waits, in one order: processes that note the same keys then do not lock
// crosswise.
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

// noteUses notes uses until the authenticator is closed, which notes the last of them.
func (p *parts) noteUses(every time.Duration) {
	for pause(p.stopped, every) {
		if err := p.flushUses(p.stopped); err != nil && p.stopped.Err() == nil {
			p.log.Warn("last uses could not be noted; they wait", "error", err)
		}
	}
}

// flushUses notes all uses so far. What cannot be noted waits for the next time.
func (p *parts) flushUses(ctx context.Context) error {
	p.uses.flushing.Lock()
	defer p.uses.flushing.Unlock()
	for _, use := range p.ring.DrainUses() {
		p.uses.note(Use{KeyID: KeyID{use.KeyID}, Lineage: KeyID{use.Lineage},
			LastUsedAt: timeOf(use.LastUsedAt), Count: use.Count})
	}
	left := p.uses.take()
	for len(left) > 0 {
		batch := left[:min(useBatch, len(left))]
		if err := p.noteBatch(ctx, batch); err != nil {
			for _, use := range left {
				p.uses.note(use)
			}
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
