package keystile

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

const (
	// DerivedKeysMax is the maximum number of keys that derive from one key, directly or through
	// others, and are not revoked or expired for a minute: so many are written in one step if it
	// is revoked. The successors of derived keys may be as many again.
	DerivedKeysMax = 10_000
	// DerivedDepthMax is the maximum number of keys in a chain of keys that each derive from the
	// one before, without the first.
	DerivedDepthMax = 8
)

// Errors about keys that derive from each other; see also [ExceedingError].
var (
	// ErrSourceNotLive means that no key of the lineage that a key derives from is live.
	ErrSourceNotLive = errors.New("keystile: the key that it derives from must be live")
	// ErrTooManyDerived means that [DerivedKeysMax] keys derive from the first key of the chain.
	ErrTooManyDerived = fmt.Errorf("keystile: at most %d live keys may derive from one key", DerivedKeysMax)
	// ErrDerivedTooDeep means that the chain already has [DerivedDepthMax] derived keys.
	ErrDerivedTooDeep = fmt.Errorf("keystile: a key may derive from another through at most %d steps", DerivedDepthMax)
	// ErrExceedsSource means that a derived key would have more than the key that it derives
	// from, or would end after it.
	ErrExceedsSource = errors.New("keystile: a derived key must not exceed the key that it derives from")
	// ErrSourceOfLive means that keys that have not ended derive from a key's lineage, so that it
	// cannot be removed.
	ErrSourceOfLive = errors.New("keystile: keys that have not ended derive from it or its successors: it can be removed after they are revoked")
)

// ExceedingError is the error of a change or rotation after which keys that derive from the key
// would have more than it, or would end after it. [Authenticator.ChangeDerived] can say what
// becomes of them.
type ExceedingError struct{ Keys []KeyID }

// Error names at most 20 of the keys.
func (e *ExceedingError) Error() string {
	if e == nil {
		return "keystile: keys that derive from it would exceed it"
	}
	var shown []string
	for _, key := range e.Keys[:min(len(e.Keys), 20)] {
		shown = append(shown, key.String())
	}
	text := "keystile: keys that derive from it would exceed it, and must be suspended, revoked or kept: " + strings.Join(shown, ", ")
	if rest := len(e.Keys) - len(shown); rest > 0 {
		text += fmt.Sprintf(" and %d more", rest)
	}
	return text
}

// OfDerived is what becomes of the derived keys that would exceed a key after a change of it.
type OfDerived string

const (
	// RefuseDerived refuses the change, with an [ExceedingError].
	RefuseDerived OfDerived = "refuse"
	// SuspendDerived suspends them.
	SuspendDerived OfDerived = "suspend"
	// RevokeDerived revokes them.
	RevokeDerived OfDerived = "revoke"
	// KeepDerived lets them keep what they have.
	KeepDerived OfDerived = "keep"
)

// Reach says whether revoking or suspending a key reaches the keys that derive from it although
// its successor lives, which they derive from too.
type Reach uint8

const (
	// ReachLast reaches them only if its successor does not live: so the end of an old key ends
	// nothing else.
	ReachLast Reach = iota
	// ReachOwn also reaches them if its successor lives: then those that this very key was the
	// source of.
	ReachOwn
)

// DerivedState is what a [Batch] relies on: the keys that derive from a lineage, ended ones too,
// after the batch was written. If they are others, it is stale.
type DerivedState struct {
	// KeyID is a key of the lineage: one that the batch changes or relies on.
	KeyID KeyID
	// Lineage is the lineage that they derive from.
	Lineage KeyID
	// Keys is how many there are.
	Keys uint64
	// Versions is the sum of their versions, which each change raises.
	Versions uint64
}

// DerivedStateOf returns the state in which these records derive from the lineage of source.
func DerivedStateOf(source *Record, derived ...*Record) DerivedState {
	if source == nil {
		return DerivedState{}
	}
	state := DerivedState{KeyID: source.ID, Lineage: source.lineage(), Keys: uint64(len(derived))}
	for _, record := range derived {
		state.Versions += record.Version
	}
	return state
}

// DerivedLister is a [Store] that finds the keys that derive from others. For other stores, an
// [Authenticator] reads all records for each change, and holds them in memory. It then does not
// find derived keys whose rows cannot be read, nor what derives from these: they are not revoked
// with their source. A damaged key is refused until its row is mended: revoke it before that.
type DerivedLister interface {
	// Derived returns every key that derives from a lineage, directly or through others, is not
	// revoked, and had not expired at the instant since: in the order of their insertion, all as
	// they were at one instant. It is not limited, and has no next page. A row whose end cannot be
	// read is among them.
	Derived(ctx context.Context, lineage KeyID, since time.Time) (Listed, error)
	// DerivedState returns how many keys derive from the lineage of source, directly or through
	// others, and the sum of their versions: also of ended ones, so that both only grow as long as
	// no row is deleted.
	DerivedState(ctx context.Context, source *Record) (DerivedState, error)
}

func (p *parts) derived(ctx context.Context, lineage KeyID, since time.Time) (Listed, error) {
	if lister, ok := p.store.(DerivedLister); ok {
		return lister.Derived(ctx, lineage, since)
	}
	records, err := p.everyRecord(ctx)
	var listed Listed
	for _, record := range descendants(records, lineage) {
		if record.isLeft(since) {
			listed.Records = append(listed.Records, record)
		}
	}
	return listed, err
}

func (p *parts) derivedState(ctx context.Context, source *Record) (DerivedState, error) {
	if lister, ok := p.store.(DerivedLister); ok {
		return lister.DerivedState(ctx, source)
	}
	records, err := p.everyRecord(ctx)
	return DerivedStateOf(source, descendants(records, source.lineage())...), err
}

// everyRecord returns all records that can be read.
func (p *parts) everyRecord(ctx context.Context) ([]*Record, error) {
	var records []*Record
	for page := (Page{Limit: PageMax}); ; {
		listed, err := p.store.List(ctx, Filter{}, page)
		records = append(records, listed.Records...)
		if err != nil || listed.Next.IsZero() {
			return records, err
		}
		page.After = listed.Next
	}
}

// descendants returns those of the records that derive from a lineage, directly or through
// others, in their order; also revoked ones.
func descendants(records []*Record, lineage KeyID) []*Record {
	sources := map[KeyID][]KeyID{}
	for _, record := range records {
		if !record.DerivedFrom.IsZero() {
			sources[record.DerivedLineage] = append(sources[record.DerivedLineage], record.lineage())
		}
	}
	reached := map[KeyID]bool{lineage: true}
	for next := []KeyID{lineage}; len(next) > 0; {
		last := next[len(next)-1]
		next = next[:len(next)-1]
		for _, derived := range sources[last] {
			if !reached[derived] {
				reached[derived] = true
				next = append(next, derived)
			}
		}
	}
	var found []*Record
	for _, record := range records {
		if !record.DerivedFrom.IsZero() && reached[record.DerivedLineage] {
			found = append(found, record)
		}
	}
	return found
}
