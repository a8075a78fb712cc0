package keystile

import (
	"errors"
	"fmt"
	"log/slog"
	"time"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// Cause is why a request was refused, in detail that only an audit may see.
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
	CauseRecordDamaged          Cause = capi.CauseRecordDamaged
	CauseAlien                  Cause = capi.CauseAlien
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
	CauseRecordDamaged:          "record_damaged",
	CauseAlien:                  "alien",
}

// String returns the cause as a word, such as "wrong_secret". Never send it in a response.
func (c Cause) String() string {
	if name, known := causes[c]; known {
		return name
	}
	return "other"
}

// Decision is the answer to a request. The zero value refuses. It contains no part of a
// key. It is passed by value: a decision that is returned or in a map can be asked at once, such
// as Refuse(cause).Err().
type Decision struct {
	raw         capi.Decision
	status      capi.Status
	requirement *Requirement
	// lacks is set if a further requirement, which raw does not know, was not satisfied.
	lacks *[]string
}

// Refuse returns a refusal without a key, for example because the store is unavailable.
func Refuse(cause Cause) Decision {
	var decision Decision
	decision.status = capi.Refuse(uint32(cause), &decision.raw)
	if !decision.status.IsRefusal() {
		// There is no such cause. The zero decision refuses too.
		return Decision{}
	}
	return decision
}

// Allowed reports whether the request may go on. Nothing else does.
func (d Decision) Allowed() bool {
	return d.status == capi.OK && d.raw.Kind == capi.DecisionAllowed
}

// Err returns nil for an allowed request, otherwise the reason, such as [ErrKeyRevoked] or
// [ErrRateLimited]. Compare with [errors.Is].
func (d Decision) Err() error {
	switch {
	case d.Allowed():
		return nil
	case d.status == capi.OK || d.status == capi.NeedsRecord || d.status == capi.NeedsTokens:
		return ErrStoreUnavailable
	default:
		return failure(d.status)
	}
}

// Code returns the stable code of a refusal, as it is in the response body; "" for an
// allowed request.
func (d Decision) Code() string { return ErrorCode(d.Err()) }

// Cause returns why the request was refused, which only an audit may see; 0 if it is
// allowed.
func (d Decision) Cause() Cause { return Cause(d.raw.Cause) }

// IsGuess reports whether the request was an attempt with a key that is not valid, which counts
// towards a limit on guesses. A token in Authorization without the shape of a key does not.
func (d Decision) IsGuess() bool {
	return d.Cause() != CauseAlien && errors.Is(d.Err(), ErrInvalidKey)
}

// KeyID returns the key's public id if its secret was verified, otherwise the zero id.
func (d Decision) KeyID() KeyID { return KeyID{d.raw.KeyID} }

// Lineage returns the first key of the key's lineage, which usage is counted for; the zero
// id in a refusal.
func (d Decision) Lineage() KeyID { return KeyID{d.raw.Lineage} }

// Missing returns the permissions that a refused request lacked.
func (d Decision) Missing() []string {
	if d.lacks != nil {
		return append([]string{}, *d.lacks...)
	}
	raw := d.raw
	return raw.MissingFrom(d.requirement.raw())
}

// Quota returns what is left of the rate limit; false if there is none.
func (d Decision) Quota() (Quota, bool) {
	return Quota{d.raw.Quota}, d.raw.Quota.Limit.WindowMillis != 0
}

// RemainingUses returns the uses left; false if they are not counted.
func (d Decision) RemainingUses() (uint64, bool) {
	return d.raw.RemainingUses, d.raw.HasRemainingUses != 0
}

// Replacement returns the key that replaces this one, and when this one is refused; false
// if it is not being replaced.
func (d Decision) Replacement() (by KeyID, until time.Time, some bool) {
	by = KeyID{d.raw.ReplacedBy}
	return by, timeOf(d.raw.ReplacedUntil), !by.IsZero()
}

// EndsOverlapOf returns the predecessor whose overlap ends with this use; see [EndOverlap].
// An [Authenticator] over a [Store] ends it itself.
func (d Decision) EndsOverlapOf() KeyID { return KeyID{d.raw.EndsOverlapOf} }

// NeedsRehash reports whether the record should get a new digest; see [Verifier.Rehash]. An
// [Authenticator] over a [Store] renews it itself.
func (d Decision) NeedsRehash() bool { return d.raw.NeedsRehash != 0 }

// Require checks a further requirement against the record that the decision was made on. It
// returns the decision if the requirement is satisfied, otherwise a refusal.
func (d Decision) Require(record *Record, requirement *Requirement) Decision {
	if !d.Allowed() || requirement.IsSatisfiedBy(record.Permissions) {
		return d
	}
	refusal := Refuse(CausePermission)
	refusal.raw.KeyID = d.raw.KeyID
	refusal.requirement = requirement
	refusal.lacks = Ptr(requirement.Missing(record.Permissions))
	return refusal
}

// String returns "allowed", or the code of the refusal.
func (d Decision) String() string {
	if d.Allowed() {
		return "allowed"
	}
	return d.Code()
}

// Format writes [Decision.String] for every verb.
func (d Decision) Format(state fmt.State, _ rune) { _, _ = state.Write([]byte(d.String())) }

// LogValue returns the outcome, the cause and the key's id, for audits.
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

// orMisuse returns the decision, or an error and a refusal if the call itself was wrong.
func (d Decision) orMisuse() (Decision, error) {
	if d.status == capi.OK || d.status.IsRefusal() {
		return d, nil
	}
	return Refuse(CauseStoreUnavailable), failure(d.status)
}
