package keystile

import (
	"fmt"
	"log/slog"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Cause is why a request was refused, in the detail that only an audit may see.
type Cause uint32

// The causes of refusals.
const (
	CauseMissingCredential      Cause = capi.CauseMissingCredential
	CauseConflictingCredentials Cause = capi.CauseConflictingCredentials
	CauseMalformed              Cause = capi.CauseMalformed
	CauseUnknownKey             Cause = capi.CauseUnknownKey
	CauseWrongSecret            Cause = capi.CauseWrongSecret
	CausePepperUnavailable      Cause = capi.CausePepperUnavailable
	CauseRevoked                Cause = capi.CauseRevoked
	CauseSuspended              Cause = capi.CauseSuspended
	CauseExpired                Cause = capi.CauseExpired
	CauseReplaced               Cause = capi.CauseReplaced
	CauseEnvironment            Cause = capi.CauseEnvironment
	CauseNetwork                Cause = capi.CauseNetwork
	CausePathNotCanonical       Cause = capi.CausePathNotCanonical
	CauseEndpoint               Cause = capi.CauseEndpoint
	CausePermission             Cause = capi.CausePermission
	CauseRateLimit              Cause = capi.CauseRateLimit
	CauseUsesSpent              Cause = capi.CauseUsesSpent
	CauseStoreUnavailable       Cause = capi.CauseStoreUnavailable
)

var causes = map[Cause]string{
	CauseMissingCredential:      "missing_credential",
	CauseConflictingCredentials: "conflicting_credentials",
	CauseMalformed:              "malformed",
	CauseUnknownKey:             "unknown_key",
	CauseWrongSecret:            "wrong_secret",
	CausePepperUnavailable:      "pepper_unavailable",
	CauseRevoked:                "revoked",
	CauseSuspended:              "suspended",
	CauseExpired:                "expired",
	CauseReplaced:               "replaced",
	CauseEnvironment:            "environment",
	CauseNetwork:                "network",
	CausePathNotCanonical:       "path_not_canonical",
	CauseEndpoint:               "endpoint",
	CausePermission:             "permission",
	CauseRateLimit:              "rate_limit",
	CauseUsesSpent:              "uses_spent",
	CauseStoreUnavailable:       "store_unavailable",
}

// String is a word, as "wrong_secret". It belongs in an audit and in no response.
func (c Cause) String() string {
	if name, known := causes[c]; known {
		return name
	}
	return "other"
}

// Decision is the answer to a request. The zero value refuses. It holds no key text, never
// changes, and goroutines may share it.
type Decision struct {
	raw         capi.Decision
	status      capi.Status
	requirement *Requirement
	// lacks is set where a further requirement was not met, which the decision knows nothing
	// of.
	lacks *[]string
}

// Refuse makes a refusal where no key was judged, as when a store could not be asked.
func Refuse(cause Cause) Decision {
	var decision Decision
	decision.status = capi.Refuse(uint32(cause), &decision.raw)
	if !decision.status.IsRefusal() {
		// There is no such cause. The zero decision refuses too.
		return Decision{}
	}
	return decision
}

// Allowed says whether the request may go on. Nothing else says so.
func (d *Decision) Allowed() bool {
	return d.status == capi.OK && d.raw.Kind == capi.DecisionAllowed
}

// Err is nil for an allowed request, else why it was refused, to be compared with
// [errors.Is]: [ErrKeyRevoked], [ErrRateLimited], and so on.
func (d *Decision) Err() error {
	switch {
	case d.Allowed():
		return nil
	case d.status == capi.OK || d.status == capi.NeedsRecord:
		return ErrStoreUnavailable
	default:
		return failure(d.status)
	}
}

// Code is the stable word of a refusal, as it stands in its body; empty for an allowed
// request.
func (d *Decision) Code() string { return ErrorCode(d.Err()) }

// Cause is why the request was refused, for the audit alone; 0 where it is allowed.
func (d *Decision) Cause() Cause { return Cause(d.raw.Cause) }

// KeyID is the key's public id once its secret was proved; before that, none.
func (d *Decision) KeyID() KeyID { return KeyID{d.raw.KeyID} }

// Lineage is the first key of its lineage, under which usage is kept; none in a refusal.
func (d *Decision) Lineage() KeyID { return KeyID{d.raw.Lineage} }

// Missing names the permissions that a refused request lacked.
func (d *Decision) Missing() []string {
	if d.lacks != nil {
		return append([]string{}, *d.lacks...)
	}
	return d.raw.MissingFrom(d.requirement.raw())
}

// Quota is what is left of the rate limit; false where there is none.
func (d *Decision) Quota() (Quota, bool) {
	return Quota{d.raw.Quota}, d.raw.Quota.Limit.WindowMillis != 0
}

// RemainingUses is the uses that are left; false where they are not counted.
func (d *Decision) RemainingUses() (uint64, bool) {
	return d.raw.RemainingUses, d.raw.HasRemainingUses != 0
}

// Replacement is the key that takes this one's place, and from when on this one is refused;
// false where it is not being replaced.
func (d *Decision) Replacement() (by KeyID, until time.Time, some bool) {
	by = KeyID{d.raw.ReplacedBy}
	return by, timeOf(d.raw.ReplacedUntil), !by.IsZero()
}

// EndsOverlapOf is the predecessor whose overlap this use ends; see [EndOverlap]. A
// [Authenticator] over a [Store] does it by itself.
func (d *Decision) EndsOverlapOf() KeyID { return KeyID{d.raw.EndsOverlapOf} }

// NeedsRehash says whether the record should get a new digest; see [Verifier.Rehash]. A
// [Authenticator] over a [Store] does it by itself.
func (d *Decision) NeedsRehash() bool { return d.raw.NeedsRehash != 0 }

// Lacking is the decision where the key's record, which it was made on, meets a further
// requirement; else one that refuses for what it lacks.
func (d *Decision) Lacking(record *Record, requirement *Requirement) Decision {
	if !d.Allowed() || requirement.IsSatisfiedBy(record.Permissions) {
		return *d
	}
	refusal := Refuse(CausePermission)
	refusal.raw.KeyID = d.raw.KeyID
	refusal.requirement = requirement
	refusal.lacks = Ptr(requirement.Missing(record.Permissions))
	return refusal
}

// String is "allowed", or the code of the refusal.
func (d Decision) String() string {
	if d.Allowed() {
		return "allowed"
	}
	return d.Code()
}

// Format writes [Decision.String], whatever the verb.
func (d Decision) Format(state fmt.State, _ rune) { _, _ = state.Write([]byte(d.String())) }

// LogValue is what an audit wants: the outcome, the cause and the key's id.
func (d Decision) LogValue() slog.Value {
	attrs := []slog.Attr{slog.String("outcome", d.String())}
	if !d.Allowed() {
		attrs = append(attrs, slog.String("cause", d.Cause().String()))
	}
	if id := d.KeyID(); !id.IsZero() {
		attrs = append(attrs, slog.String("key_id", id.String()))
	}
	return slog.GroupValue(attrs...)
}

// orMisuse tells a call that was wrong from a decision; it refuses too.
func (d *Decision) orMisuse() (Decision, error) {
	if d.status == capi.OK || d.status.IsRefusal() {
		return *d, nil
	}
	return Refuse(CauseStoreUnavailable), failure(d.status)
}
