package keystile

import (
	"cmp"
	"context"
	"slices"
	"sync"
	"time"
)

// useBatch is the number of last uses in one write.
const useBatch = 1000

// uses are last uses that are not yet written: only the latest of each key, and of a
// limited number of keys, because a lost last use does no harm.
type uses struct {
	mutex   sync.Mutex
	waiting map[KeyID]Use
	dropped uint64
	most    int
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

// noteUses writes uses until the authenticator is closed; closing writes the last of them.
func (p *parts) noteUses(every time.Duration) {
	for pause(p.stopped, every) {
		if err := p.flushUses(p.stopped); err != nil && p.stopped.Err() == nil {
			p.log.Warn("cannot write last uses; trying again later", "error", err)
		}
	}
}

// flushUses writes all uses so far. Those that cannot be written stay for the next time.
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
