package keystile

import (
	"encoding/json"
	"math"
	"time"
	"unicode/utf8"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// recordForm is the JSON form of a record, which is the same in all languages.
type recordForm struct {
	ID               string      `json:"id"`
	Digest           *string     `json:"digest,omitempty"`
	KeyPrefix        string      `json:"key_prefix"`
	ClientName       string      `json:"client_name"`
	ClientEmail      *string     `json:"client_email"`
	Owner            *string     `json:"owner"`
	Environment      *string     `json:"environment"`
	Permissions      []string    `json:"permissions"`
	AllowedEndpoints *[]string   `json:"allowed_endpoints"`
	AllowedNetworks  *[]string   `json:"allowed_networks"`
	RateLimit        *limitForm  `json:"rate_limit"`
	RemainingUses    *uint64     `json:"remaining_uses"`
	ScopeType        *string     `json:"scope_type"`
	Metadata         *string     `json:"metadata"`
	CreatedAt        uint64      `json:"created_at"`
	LastUsedAt       *uint64     `json:"last_used_at"`
	ExpiresAt        *uint64     `json:"expires_at"`
	Status           *statusForm `json:"status"`
	Lineage          string      `json:"lineage"`
	ReplacedBy       *string     `json:"replaced_by"`
	OverlapUntil     *uint64     `json:"overlap_until"`
	EndsAtFirstUse   *string     `json:"ends_at_first_use"`
	LifetimeMS       *uint64     `json:"lifetime_ms,omitempty"`
	DerivedFrom      *sourceForm `json:"derived_from,omitempty"`
	SuspendedWith    *string     `json:"suspended_with,omitempty"`
	Version          uint64      `json:"version"`
}

type limitForm struct {
	Limit    uint32 `json:"limit"`
	WindowMS uint64 `json:"window_ms"`
	Burst    uint32 `json:"burst"`
}

type sourceForm struct {
	KeyID   string `json:"key_id"`
	Lineage string `json:"lineage"`
}

type statusForm struct {
	State  State   `json:"state"`
	At     *uint64 `json:"at,omitempty"`
	Reason *string `json:"reason,omitempty"`
}

func (r *Record) form() (*recordForm, error) {
	for _, text := range []*string{&r.KeyPrefix, &r.ClientName, r.ClientEmail, r.Owner,
		r.Environment, r.ScopeType, r.Metadata, &r.RevokedReason} {
		// The encoder would silently replace the invalid bytes.
		if text != nil && !utf8.ValidString(*text) {
			return nil, ErrNotUTF8
		}
	}
	digest := r.Digest.Text()
	form := &recordForm{
		ID:               r.ID.String(),
		Digest:           &digest,
		KeyPrefix:        r.KeyPrefix,
		ClientName:       r.ClientName,
		ClientEmail:      r.ClientEmail,
		Owner:            r.Owner,
		Environment:      r.Environment,
		Permissions:      r.Permissions.Strings(),
		AllowedEndpoints: listed(r.AllowedEndpoints == nil, r.AllowedEndpoints.Strings()),
		AllowedNetworks:  listed(r.AllowedNetworks == nil, r.AllowedNetworks.Strings()),
		RemainingUses:    r.RemainingUses,
		ScopeType:        r.ScopeType,
		Metadata:         r.Metadata,
		CreatedAt:        millisOf(r.CreatedAt),
		LastUsedAt:       orNull(r.LastUsedAt),
		ExpiresAt:        orNull(r.ExpiresAt),
		Status:           &statusForm{State: r.State},
		Lineage:          r.lineage().String(),
		ReplacedBy:       idOrNull(r.ReplacedBy),
		OverlapUntil:     orNull(r.OverlapUntil),
		EndsAtFirstUse:   idOrNull(r.EndsAtFirstUse),
		Version:          r.Version,
	}
	form.SuspendedWith = idOrNull(r.SuspendedWith)
	if r.Lifetime != 0 && r.Lifetime != r.span() {
		form.LifetimeMS = Ptr(spanMillis(r.Lifetime))
	}
	if !r.DerivedFrom.IsZero() {
		form.DerivedFrom = &sourceForm{r.DerivedFrom.String(), r.DerivedLineage.String()}
	}
	if r.RateLimit != nil {
		limit := r.RateLimit.limit
		form.RateLimit = &limitForm{limit.Limit, limit.WindowMillis, limit.Burst}
	}
	// Contradictions are written as they are, so that the library refuses them.
	if r.State == StateRevoked || !r.RevokedAt.IsZero() || r.RevokedReason != "" {
		form.Status.At = Ptr(millisOf(r.RevokedAt))
		form.Status.Reason = &r.RevokedReason
	}
	return form, nil
}

// span returns the time from the beginning of the key to its expiry; 0 if it never expires, or if
// that is longer than a duration can be.
func (r *Record) span() time.Duration {
	span := r.ExpiresAt.Sub(r.CreatedAt)
	if r.ExpiresAt.IsZero() || span == math.MaxInt64 {
		return 0
	}
	return span
}

// readRecord parses a record that the library wrote.
func readRecord(text string) (*Record, error) {
	var form recordForm
	if err := json.Unmarshal([]byte(text), &form); err != nil || form.Digest == nil || form.Status == nil {
		return nil, ErrInternal
	}
	record := &Record{
		KeyPrefix:     form.KeyPrefix,
		ClientName:    form.ClientName,
		ClientEmail:   form.ClientEmail,
		Owner:         form.Owner,
		Environment:   form.Environment,
		Permissions:   permissionsOf(form.Permissions),
		RemainingUses: form.RemainingUses,
		ScopeType:     form.ScopeType,
		Metadata:      form.Metadata,
		CreatedAt:     timeOf(form.CreatedAt),
		LastUsedAt:    orZero(form.LastUsedAt),
		ExpiresAt:     orZero(form.ExpiresAt),
		State:         form.Status.State,
		RevokedAt:     orZero(form.Status.At),
		OverlapUntil:  orZero(form.OverlapUntil),
		Version:       form.Version,
	}
	if form.Status.Reason != nil {
		record.RevokedReason = *form.Status.Reason
	}
	if form.AllowedEndpoints != nil {
		record.AllowedEndpoints = endpointsOf(*form.AllowedEndpoints)
	}
	if form.AllowedNetworks != nil {
		record.AllowedNetworks = networksOf(*form.AllowedNetworks)
	}
	if limit := form.RateLimit; limit != nil {
		record.RateLimit = &RateLimit{capi.RateLimit{Limit: limit.Limit, Burst: limit.Burst, WindowMillis: limit.WindowMS}}
	}
	// The length is left out if it is that.
	record.Lifetime = record.span()
	if length := form.LifetimeMS; length != nil {
		record.Lifetime = spanOf(*length)
	}
	source := sourceForm{}
	if form.DerivedFrom != nil {
		source = *form.DerivedFrom
	}
	var err error
	if record.Digest, err = ParseDigest(*form.Digest); err != nil {
		return nil, ErrInternal
	}
	for _, id := range []struct {
		place *KeyID
		text  *string
	}{{&record.ID, &form.ID}, {&record.Lineage, &form.Lineage},
		{&record.ReplacedBy, form.ReplacedBy}, {&record.EndsAtFirstUse, form.EndsAtFirstUse},
		{&record.SuspendedWith, form.SuspendedWith}, {&record.DerivedFrom, &source.KeyID},
		{&record.DerivedLineage, &source.Lineage}} {
		if id.text == nil || *id.text == "" {
			continue
		}
		if *id.place, err = ParseKeyID(*id.text); err != nil {
			return nil, ErrInternal
		}
	}
	return record, nil
}

func readRecords(texts []string) ([]*Record, error) {
	records := make([]*Record, len(texts))
	for at, text := range texts {
		record, err := readRecord(text)
		if err != nil {
			return nil, err
		}
		records[at] = record
	}
	return records, nil
}

func listed(isNone bool, texts []string) *[]string {
	if isNone {
		return nil
	}
	return &texts
}

func orNull(at time.Time) *uint64 {
	if at.IsZero() {
		return nil
	}
	return Ptr(millisOf(at))
}

func orZero(millis *uint64) time.Time {
	if millis == nil {
		return time.Time{}
	}
	return timeOf(*millis)
}

func idOrNull(id KeyID) *string {
	if id.IsZero() {
		return nil
	}
	return Ptr(id.String())
}
