package keystile

import (
	"sync"
	"time"
)

// clockRounding is what both clocks cut off: each has whole milliseconds.
const clockRounding = 2 * time.Millisecond

// noted are the states of rate limits as this process has written them, until their limits
// are free again.
//
// A store with a clock of its own returns them later than they are: by the time that the write
// took to arrive, and by the time since it read its clock. A process that believed this would
// refuse steady traffic at the limit after each fetch. So a state that is later by no more
// than these is taken as it was written. What another process has counted in between is less
// than that time, and each process grants the whole limit anyway.
type noted struct {
	mutex  sync.Mutex
	states map[KeyID]notedState
}

type notedState struct {
	state RateState
	took  time.Duration
}

// add remembers what was written, and how long that took; of most lineages at most.
func (n *noted) add(notes []RateNote, took time.Duration, now time.Time, most int) {
	n.mutex.Lock()
	defer n.mutex.Unlock()
	if n.states == nil {
		n.states = map[KeyID]notedState{}
	}
	for lineage, known := range n.states {
		if !known.state.FullAt().After(now) {
			delete(n.states, lineage)
		}
	}
	for _, note := range notes {
		if _, known := n.states[note.Lineage]; known || len(n.states) < most {
			n.states[note.Lineage] = notedState{note.State, took}
		}
	}
}

// exact returns what was written of a lineage, if seen is that and has been read in took;
// otherwise seen.
func (n *noted) exact(lineage KeyID, stored StoredUsage, seen RateState, took time.Duration) RateState {
	if stored.Clock.IsZero() {
		return seen
	}
	n.mutex.Lock()
	defer n.mutex.Unlock()
	known, is := n.states[lineage]
	late := RateState(spanMillis(took+known.took+clockRounding) * rateUnit)
	if is && seen >= known.state && seen-known.state <= late {
		return known.state
	}
	return seen
}
