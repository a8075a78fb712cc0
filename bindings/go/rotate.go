package keystile

import (
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// RotationPolicy is how keys grow old and are replaced. Begin with
// [DefaultRotationPolicy]. A plain value: goroutines may share it as long as none changes it.
type RotationPolicy struct {
	// MaxAge is how long a successor lives: 1 hour to 90 days.
	MaxAge time.Duration
	// Overlap is how long the old key lives on beside it; 0 ends it at once.
	Overlap time.Duration
	// Retention is how long an ended key's record is kept.
	Retention time.Duration
	// NoticeLeads are how long before its end a key is due for a notice; 8 at most.
	NoticeLeads []time.Duration
	// EndOnFirstUse ends the overlap when the successor is first used.
	EndOnFirstUse bool
}

// DefaultRotationPolicy is 90 days of life, 7 of overlap, notices 14, 7 and 1 days ahead,
// ended keys kept for 30 days.
func DefaultRotationPolicy() RotationPolicy {
	defaults := capi.DefaultPolicy()
	policy := RotationPolicy{
		MaxAge:        spanOf(defaults.MaxAgeMillis),
		Overlap:       spanOf(defaults.OverlapMillis),
		Retention:     spanOf(defaults.RetentionMillis),
		EndOnFirstUse: defaults.EndOnFirstUse,
	}
	for _, lead := range defaults.NoticeLeadsMillis {
		policy.NoticeLeads = append(policy.NoticeLeads, spanOf(lead))
	}
	return policy
}

func (p *RotationPolicy) raw() (*capi.Policy, error) {
	raw := &capi.Policy{
		MaxAgeMillis:    spanMillis(p.MaxAge),
		OverlapMillis:   spanMillis(p.Overlap),
		RetentionMillis: spanMillis(p.Retention),
		EndOnFirstUse:   p.EndOnFirstUse,
	}
	if len(p.NoticeLeads) > capi.NoticeLeadsMax {
		return nil, ErrTime
	}
	for _, lead := range p.NoticeLeads {
		raw.NoticeLeadsMillis = append(raw.NoticeLeadsMillis, spanMillis(lead))
	}
	return raw, nil
}

// Rotate gives a key a successor of the same lineage, with the same rights. The old key
// lives to the end of the overlap or to its own expiry, whichever is first; the successor's
// expiry counts from now.
//
// The siblings are the other records of the lineage, through which a still older key is
// found whose overlap ends now: at most two keys of a lineage live at once. The first
// record of the change is the successor's.
//
// It is [ErrState] where the key is revoked, suspended, expired or replaced already.
func (i *Issuer) Rotate(record *Record, siblings []*Record, policy RotationPolicy, now time.Time) (*Change, error) {
	random, err := i.random()
	if err != nil {
		return nil, err
	}
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	others, err := handles(siblings)
	if err != nil {
		return nil, err
	}
	asked, err := policy.raw()
	if err != nil {
		return nil, err
	}
	return changeOf(capi.Rotate(handle, others, asked, i.Format.format, i.Peppers.handle(), random, millisOf(now)))
}

// PlanAction is what is due for a key.
type PlanAction string

const (
	// DueNotice: its owner should know that it ends, once for each pair of key and lead.
	DueNotice PlanAction = "notice"
	// DueRotate: it should be rotated.
	DueRotate PlanAction = "rotate"
	// DueCleanUp: it has ended, and its record need not be kept any longer.
	DueCleanUp PlanAction = "clean_up"
	// DueOther is something that this version has no name for.
	DueOther PlanAction = "other"
)

// PlanItem is a key, and what is due for it: a plain value.
type PlanItem struct {
	KeyID  KeyID
	Action PlanAction
	// At is when the key ends or ended.
	At time.Time
	// Lead is, for a notice, the shortest lead time that has been reached.
	Lead time.Duration
}

// Plan says which keys are due for a notice, a rotation or a clean-up, in the order of the
// records. It is pure: nothing is remembered.
func Plan(records []*Record, policy RotationPolicy, now time.Time) ([]PlanItem, error) {
	raw, err := handles(records)
	if err != nil {
		return nil, err
	}
	asked, err := policy.raw()
	if err != nil {
		return nil, err
	}
	found, status := capi.Plan(raw, asked, millisOf(now))
	if err := failure(status); err != nil {
		return nil, err
	}
	dues := make([]PlanItem, len(found))
	for at, due := range found {
		dues[at] = PlanItem{KeyID: KeyID{due.KeyID}, Action: DueOther, At: timeOf(due.At), Lead: spanOf(due.LeadMillis)}
		switch due.Action {
		case capi.DueNotice:
			dues[at].Action = DueNotice
		case capi.DueRotate:
			dues[at].Action = DueRotate
		case capi.DueCleanUp:
			dues[at].Action = DueCleanUp
		}
	}
	return dues, nil
}

func handles(records []*Record) ([]*capi.Record, error) {
	raw := make([]*capi.Record, len(records))
	for at, record := range records {
		handle, err := record.handle()
		if err != nil {
			return nil, err
		}
		raw[at] = handle
	}
	return raw, nil
}
