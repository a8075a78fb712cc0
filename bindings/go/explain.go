package keystile

import (
	"context"
	"encoding/json"
	"time"
)

// Explanation is the decision that a request with a key would get, and what each check compares.
// It has every check, also those after the first one that refuses.
//
// An explanation tells more than a refusal does. It is for people who may read the record, and
// not for the sender of the request. It has no part of a key or a digest.
type Explanation struct {
	// Decision is "allow" or "deny".
	Decision string `json:"decision"`
	// Code is the name of the refusal, such as "permission_missing"; empty for an allow.
	Code string `json:"code"`
	// RefusedBy is the name of the first check that refuses; empty for an allow.
	RefusedBy string `json:"refused_by"`
	// Checks are all checks, in order.
	Checks []ExplainedCheck `json:"checks"`
}

// ExplainedCheck is a check, and what it compared.
type ExplainedCheck struct {
	// Check is its name: secret, status, expiry, overlap, environment, network, endpoint,
	// permission, rate_limit or uses.
	Check string `json:"check"`
	// Passes is whether the request passes this check.
	Passes bool `json:"passes"`
	// Code is what the check refuses the request with; empty if it passes.
	Code string `json:"code"`
	// Compared is the values of both sides, as a sentence for people.
	Compared string `json:"compared"`
}

// Allowed reports whether the request would be allowed.
func (e *Explanation) Allowed() bool { return e != nil && e.Decision == "allow" }

// Explain explains the decision that a request with a record's key would get, without the key's
// text. The secret is taken as verified; all other checks are those of [Verifier.Verify]. Nothing
// is spent.
func (v *Verifier) Explain(record *Record, request Request, usage Usage, now time.Time) (*Explanation, error) {
	if v.isUninitialized() {
		return nil, uninitialized("Verifier")
	}
	if request.Requirement.isUninitialized() {
		return nil, ErrPermission
	}
	if record == nil {
		return nil, ErrNotFound
	}
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	asked, spent := request.raw(), usage.raw()
	text, status := v.verifier.Explain(handle, &asked, &spent, millisOf(now))
	if err := failure(status); err != nil {
		return nil, err
	}
	explanation := new(Explanation)
	if err := json.Unmarshal([]byte(text), explanation); err != nil {
		return nil, err
	}
	return explanation, nil
}

// Explain explains the decision that a request with a key would get here, without the key's text.
// It spends and writes nothing. The record is the store's, and not the one that is cached; what
// this process has counted of its rate limit and its uses, and not recorded yet, counts too. A
// limit that [Options.Limits] count is as they have it, and the tokens that processes hold count as
// spent.
//
// It returns [ErrStoreUnavailable] if the Limits do not answer. It returns [ErrNotFound], or a [CorruptRow] with [ErrRecordDamaged] if the key's row cannot be
// read.
func (a *Authenticator) Explain(ctx context.Context, id KeyID, request Request) (*Explanation, error) {
	if a.isUninitialized() {
		return nil, uninitialized("Authenticator")
	}
	if id.IsZero() {
		return nil, ErrNotFound
	}
	now := a.clock()
	ctx, cancel := context.WithTimeout(ctx, a.timeout)
	defer cancel()
	record, stored, err := findWithUsage(ctx, a.finder, a.usage, Lookup{KeyID: id})
	if err != nil {
		_, err = unreadable(err)
		return nil, err
	}
	if record == nil {
		return nil, ErrNotFound
	}
	usage, err := stored.SeenAt(record.RateLimit, now)
	if err != nil {
		return nil, err
	}
	if a.tokens != nil && record.RateLimit != nil && record.RemainingUses == nil {
		if usage.Rate, err = a.rateAt(ctx, record.lineage(), *record.RateLimit, now); err != nil {
			return nil, err
		}
		return a.verifier.Explain(record, request, usage, now)
	}
	handle, err := record.handle()
	if err != nil {
		return nil, err
	}
	spent, status := a.ring.Usage(handle, usage.raw(), millisOf(now))
	if err := failure(status); err != nil {
		return nil, err
	}
	usage = Usage{Rate: RateState(spent.RateState)}
	if spent.HasRemainingUses != 0 {
		usage.Remaining = &spent.RemainingUses
	}
	return a.verifier.Explain(record, request, usage, now)
}
