package keystile

import (
	"encoding/json"
	"slices"
	"time"
)

// policyForm is the JSON form of a rotation policy, which is the same in all languages.
type policyForm struct {
	MaxAgeMS      *uint64   `json:"max_age_ms"`
	OverlapMS     *uint64   `json:"overlap_ms"`
	EndOnFirstUse *bool     `json:"end_on_first_use"`
	NoticeLeadsMS *[]uint64 `json:"notice_leads_ms"`
	RetentionMS   *uint64   `json:"retention_ms"`
}

// Check returns [ErrTime] if a part of the policy is out of its range.
func (p RotationPolicy) Check() error {
	// Of no records, so that any instant will do.
	_, err := Plan(nil, p, time.Now())
	return err
}

// MarshalJSON writes the policy as Rust does. What belongs to a single rotation is not written:
// Lifetime, NeverExpires and LatestEnd.
func (p RotationPolicy) MarshalJSON() ([]byte, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	leads := make([]uint64, len(p.NoticeLeads))
	for at, lead := range p.NoticeLeads {
		leads[at] = spanMillis(lead)
	}
	return json.Marshal(policyForm{Ptr(spanMillis(p.MaxAge)), Ptr(spanMillis(p.Overlap)), &p.EndOnFirstUse, &leads,
		Ptr(spanMillis(p.Retention))})
}

// UnmarshalJSON reads what [RotationPolicy.MarshalJSON] writes. It returns [ErrJSON] for a field
// that is unknown, missing or there twice, and [ErrTime] for a part that is out of its range.
func (p *RotationPolicy) UnmarshalJSON(text []byte) error {
	var form policyForm
	if err := readStrictly(text, &form, "max_age_ms", "overlap_ms", "end_on_first_use", "notice_leads_ms", "retention_ms"); err != nil {
		return err
	}
	if p == nil || form.MaxAgeMS == nil || form.OverlapMS == nil || form.EndOnFirstUse == nil || form.NoticeLeadsMS == nil || form.RetentionMS == nil {
		return ErrJSON
	}
	read := RotationPolicy{MaxAge: spanOf(*form.MaxAgeMS), Overlap: spanOf(*form.OverlapMS),
		Retention: spanOf(*form.RetentionMS), EndOnFirstUse: *form.EndOnFirstUse}
	for _, lead := range *form.NoticeLeadsMS {
		read.NoticeLeads = append(read.NoticeLeads, spanOf(lead))
	}
	if err := read.Check(); err != nil {
		return err
	}
	*p = read
	return nil
}

// MarshalJSON writes the limit as Rust does. It returns [ErrLimit] for the zero value.
func (l RateLimit) MarshalJSON() ([]byte, error) {
	if _, err := NewRateLimitWithBurst(l.Limit(), l.Window(), l.Burst()); err != nil {
		return nil, err
	}
	return json.Marshal(limitForm{l.limit.Limit, l.limit.WindowMillis, l.limit.Burst})
}

// UnmarshalJSON reads what [RateLimit.MarshalJSON] writes. It returns [ErrJSON] for a field that is
// unknown or there twice, and [ErrLimit] for a limit that is out of its range, such as one without a window.
func (l *RateLimit) UnmarshalJSON(text []byte) error {
	var form limitForm
	if err := readStrictly(text, &form, "limit", "window_ms", "burst"); err != nil {
		return err
	}
	read, err := NewRateLimitWithBurst(form.Limit, spanOf(form.WindowMS), form.Burst)
	if err != nil || l == nil {
		return ErrLimit
	}
	*l = read
	return nil
}

// MarshalText returns [Requirement.String] for encoders. It returns [ErrPermission] for the zero
// value.
func (r *Requirement) MarshalText() ([]byte, error) {
	if r == nil || r.isUninitialized() {
		return nil, ErrPermission
	}
	return []byte(r.text), nil
}

// UnmarshalText is [ParseRequirement] for decoders.
func (r *Requirement) UnmarshalText(text []byte) error {
	parsed, err := ParseRequirement(string(text))
	if err != nil || r == nil {
		return ErrPermission
	}
	*r = *parsed
	return nil
}

// readStrictly reads an object with at most these fields, each once. The package encoding/json also
// accepts a field twice, or in another case.
func readStrictly(text []byte, form any, fields ...string) error {
	members, once, is := jsonObject(text)
	if !is || !once {
		return ErrJSON
	}
	for name := range members {
		if !slices.Contains(fields, name) {
			return ErrJSON
		}
	}
	if err := json.Unmarshal(text, form); err != nil {
		return ErrJSON
	}
	return nil
}
