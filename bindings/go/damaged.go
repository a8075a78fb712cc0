package keystile

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/oneline"
)

// CorruptRow is the error of a stored row that cannot be read: where it is damaged, and what
// was expected there; not what was found. It is an [ErrCorrupt].
type CorruptRow struct {
	// Row is the number of the row in its table.
	Row int64
	// KeyID is the key; zero if its id cannot be read.
	KeyID KeyID
	// Column is the damaged column, and Expected what was expected in it.
	Column, Expected string
	// Owner is the key's owner, if that can be read: who may see the key may know of the
	// damage.
	Owner *string
	// State is the key's state, if that can be read; it may be the damage.
	State State
	// Version is the key's version; 0 if it cannot be read. With it, the key can be revoked and
	// suspended.
	Version uint64
	// Digest is the key's digest; zero if it cannot be read. With it, a text with another
	// secret is refused as for any other key, and nothing is disclosed.
	Digest Digest
}

// Error names the row, the key, the column and what was expected.
func (c *CorruptRow) Error() string {
	if c == nil {
		return ErrCorrupt.Error()
	}
	key := ""
	if !c.KeyID.IsZero() {
		key = ", key " + c.KeyID.String()
	}
	return fmt.Sprintf("%v: row %d%s, column %s: expected %s", ErrCorrupt, c.Row, key, c.Column, c.Expected)
}

// Is reports whether the target is [ErrCorrupt].
func (c *CorruptRow) Is(target error) bool { return target == ErrCorrupt }

// changeDamaged ends or suspends a key whose row cannot be read: only its state is written.
func (a *Authenticator) changeDamaged(ctx context.Context, row *CorruptRow, id KeyID, state State, verb func(*Record) (*Change, error)) (Outcome, error) {
	known, err := standIn(row, id, a.clock())
	if err != nil {
		return Outcome{}, err
	}
	if known.State == state {
		return Outcome{Damaged: row}, nil
	}
	change, err := verb(known)
	if err != nil {
		return Outcome{}, err
	}
	changed := change.Record
	batch := Batch{
		Upkeep: []Upkeep{{KeyID: id, Version: changed.Version, Status: &UpkeepStatus{
			State: changed.State, RevokedAt: changed.RevokedAt, RevokedReason: changed.RevokedReason}}},
		Events: []Event{*change.Event},
	}
	if err := a.commit(ctx, batch); err != nil {
		return Outcome{}, err
	}
	now := *row
	now.State, now.Version = changed.State, changed.Version
	return Outcome{Damaged: &now, Changed: true}, nil
}

// standIn returns a record with the id, the state and the version of a row, to decide by. The
// rest of it is written nowhere.
func standIn(row *CorruptRow, id KeyID, now time.Time) (*Record, error) {
	if row.Version == 0 {
		return nil, row
	}
	record := &Record{ID: id, Digest: NewDigest(DigestSHA256, 0, [32]byte{}), KeyPrefix: "-", ClientName: "-",
		CreatedAt: now, State: row.State, Version: row.Version}
	permissions, err := NewPermissionSet()
	if err != nil {
		return nil, err
	}
	record.Permissions = permissions
	switch row.State {
	case StateRevoked:
		record.RevokedAt = now
	case StateSuspended:
	default:
		record.State = StateActive
	}
	return record, nil
}

// endDamaged ends the overlap of a damaged key, as a rotation does for every older key of the
// lineage. It is refused as it is, and must not become a third live key when its row is
// mended. One that is revoked stays as it is.
func (b *Batch) endDamaged(row *CorruptRow, now time.Time) error {
	if row.State == StateRevoked {
		return nil
	}
	if row.KeyID.IsZero() || row.Version == 0 {
		return row
	}
	end := timeOf(millisOf(now))
	upkeep := Upkeep{KeyID: row.KeyID, Version: row.Version + 1, OverlapUntil: &end}
	b.Upkeep = append(b.Upkeep, upkeep)
	b.Events = append(b.Events, Event{Kind: EventChanged, KeyID: row.KeyID, At: end, Version: upkeep.Version,
		Changes: []FieldChange{{Field: upkeep.Field()}}})
	return nil
}

// endUnreadPredecessor notes the first use of a successor whose predecessor cannot be read, or
// is gone if row is nil: then there is nothing more to end, and later uses need not try again.
func endUnreadPredecessor(row *CorruptRow, successor *Record, now time.Time) (Batch, error) {
	var batch Batch
	if row != nil {
		if err := batch.endDamaged(row, now); err != nil {
			return batch, err
		}
	}
	upkeep := Upkeep{KeyID: successor.ID, Version: successor.Version + 1, EndsAtFirstUse: &KeyID{}}
	batch.Upkeep = append(batch.Upkeep, upkeep)
	batch.Events = append(batch.Events, Event{Kind: EventChanged, KeyID: successor.ID, At: timeOf(millisOf(now)),
		Version: upkeep.Version, Changes: []FieldChange{{Field: upkeep.Field()}}})
	return batch, nil
}

// refusedBecause returns the refusal of a request because of an error of the store, and the
// error of the check. A text that is not the key of a damaged row is refused without an error,
// as for any other key.
func (v *Verifier) refusedBecause(err error, key string, now time.Time) (Decision, error) {
	var row *CorruptRow
	if errors.As(err, &row) {
		if decision, refuses := v.refusesAnother(row, key, now); refuses {
			return decision, nil
		}
	}
	return unreadable(err)
}

// refusesAnother returns the refusal of a text that is not the key of a damaged row; false if
// it is, or if that cannot be known.
func (v *Verifier) refusesAnother(row *CorruptRow, key string, now time.Time) (Decision, bool) {
	if row.KeyID.IsZero() || row.Digest.Kind() == 0 {
		return Decision{}, false
	}
	known, err := standIn(&CorruptRow{State: StateActive, Version: 1}, row.KeyID, now)
	if err != nil {
		return Decision{}, false
	}
	known.Digest = row.Digest
	var usage Usage
	decision, err := v.Verify(key, known, Request{}, &usage, now)
	return decision, err == nil && !decision.Allowed() && decision.KeyID().IsZero()
}

func unreadable(err error) (Decision, error) {
	if errors.Is(err, ErrCorrupt) {
		return Refuse(CauseRecordDamaged), oneline.Join(ErrRecordDamaged, err)
	}
	return Refuse(CauseStoreUnavailable), unavailable(err)
}
