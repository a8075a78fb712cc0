package keystile

import (
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// RotationPolicy is when and how keys are replaced. Start with
// [DefaultRotationPolicy].
type RotationPolicy struct {
	// MaxAge is the age at which a key is due for rotation, 1 hour to 90 days. It is not the
	// lifetime of a successor, which lives as long as its predecessor was given.
	MaxAge time.Duration
	// Overlap is how long the old key stays valid beside its successor, at most half of the
	// successor's lifetime; 0 ends it at once.
	Overlap time.Duration
	// Retention is how long the record of an ended key is kept.
	Retention time.Duration
	// NoticeLeads are how long before its end a key is due for a notice; at most 8.
	NoticeLeads []time.Duration
	// EndOnFirstUse ends the overlap when the successor is first used.
	EndOnFirstUse bool
	// Lifetime is how long a successor lives, 1 ms or more; 0 for as long as its predecessor
	// was given.
	Lifetime time.Duration
	// NeverExpires is set for successors that do not expire, and then Lifetime must be 0.
	NeverExpires bool
	// LatestEnd is when a successor ends at the latest; nil for the end of the key itself if
	// it derives from another, and the zero time for no such instant. [Authenticator.Rotate]
	// takes the end of the key that it derives from.
	LatestEnd *time.Time
}

// DefaultRotationPolicy returns rotation at 90 days of age, an overlap of 7 days, notices 14, 7
// and 1 days ahead, and records of ended keys kept for 30 days.
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
		NeverExpires:    p.NeverExpires,
	}
	if p.Lifetime != 0 {
		if p.NeverExpires {
			return nil, ErrTime
		}
		raw.LifetimeMillis = orDefaultMillis(p.Lifetime)
	}
	if p.LatestEnd != nil {
		raw.LatestEnd = Ptr(uint64(0))
		if !p.LatestEnd.IsZero() {
			*raw.LatestEnd = millisOf(*p.LatestEnd)
		}
	}
	if len(p.NoticeLeads) > capi.NoticeLeadsMax {
		return nil, ErrTime
	}
	for _, lead := range p.NoticeLeads {
		raw.NoticeLeadsMillis = append(raw.NoticeLeadsMillis, spanMillis(lead))
	}
	return raw, nil
}

// Rotate issues a successor of the same lineage and with the same rights. The old key ends
// with the overlap or at its own expiry, whichever is first; the successor's lifetime
// starts now.
//
// The siblings are the other records of the lineage. If one of them is still in its
// overlap, that ends now: at most two keys of a lineage are live at once. The first record
// of the change is the successor's.
//
// It returns [ErrState] if the key is revoked, suspended, expired or already replaced, and
// [ErrTime] for a lifetime that the issuer does not allow.
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
	if asked.Lifetimes, err = i.Lifetimes.raw(); err != nil {
		return nil, err
	}
	change, err := record.changed(capi.Rotate(handle, others, asked, i.Format.format, i.Peppers.handle(), random, millisOf(now)))
	if err != nil {
		return nil, err
	}
	for _, sibling := range siblings {
		sibling.keepLifetime(change)
	}
	return change, nil
}

// PlanAction is an action that is due for a key.
type PlanAction string

const (
	// PlanNotice means that its owner should be told that it is about to end, once for each
	// pair of key and lead time.
	PlanNotice PlanAction = "notice"
	// PlanRotate means that it should be rotated.
	PlanRotate PlanAction = "rotate"
	// PlanCleanUp means that it has ended, and its record need no longer be kept.
	PlanCleanUp PlanAction = "clean_up"
	// PlanOther is an action that has no name in this version.
	PlanOther PlanAction = "other"
)

// PlanItem is a key, and the action that is due for it.
type PlanItem struct {
	KeyID  KeyID
	Action PlanAction
	// At is when the key ends or ended.
	At time.Time
	// Lead is, for a notice, the shortest lead time that has been reached.
	Lead time.Duration
}

// Plan returns which keys are due for a notice, a rotation or a clean-up, in the order of
// the records. The result depends only on the arguments.
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
	items := make([]PlanItem, len(found))
	for at, due := range found {
		items[at] = PlanItem{KeyID: KeyID{due.KeyID}, Action: PlanOther, At: timeOf(due.At), Lead: spanOf(due.LeadMillis)}
		switch due.Action {
		case capi.PlanNotice:
			items[at].Action = PlanNotice
		case capi.PlanRotate:
			items[at].Action = PlanRotate
		case capi.PlanCleanUp:
			items[at].Action = PlanCleanUp
		}
	}
	return items, nil
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
