package capi

// #include "hot.h"
import "C"

// The kinds of digests.
const (
	DigestSHA256     = C.KEYSTILE_DIGEST_SHA256
	DigestHMACSHA256 = C.KEYSTILE_DIGEST_HMAC_SHA256
)

// Why an endpoint rule matches hardly any request.
const (
	NeverMatchesMethod    = C.KEYSTILE_NEVER_MATCHES_METHOD
	NeverMatchesParameter = C.KEYSTILE_NEVER_MATCHES_PARAMETER
)

// The findings about a text.
const (
	FindingWellFormed     = C.KEYSTILE_FINDING_WELL_FORMED
	FindingWrongChecksum  = C.KEYSTILE_FINDING_WRONG_CHECKSUM
	FindingWrapped        = C.KEYSTILE_FINDING_WRAPPED
	FindingWrongLength    = C.KEYSTILE_FINDING_WRONG_LENGTH
	FindingWrongCharacter = C.KEYSTILE_FINDING_WRONG_CHARACTER
	FindingForeign        = C.KEYSTILE_FINDING_FOREIGN
	FindingEmpty          = C.KEYSTILE_FINDING_EMPTY
)

// The kinds of decisions.
const (
	DecisionAllowed uint32 = C.KEYSTILE_DECISION_ALLOWED
	DecisionRefused uint32 = C.KEYSTILE_DECISION_REFUSED
)

// The causes of refusals.
const (
	CauseMissingCredential      = C.KEYSTILE_CAUSE_MISSING_CREDENTIAL
	CauseConflictingCredentials = C.KEYSTILE_CAUSE_CONFLICTING_CREDENTIALS
	CauseMalformed              = C.KEYSTILE_CAUSE_MALFORMED
	CauseUnknownKey             = C.KEYSTILE_CAUSE_UNKNOWN_KEY
	CauseWrongSecret            = C.KEYSTILE_CAUSE_WRONG_SECRET
	CausePepperUnavailable      = C.KEYSTILE_CAUSE_PEPPER_UNAVAILABLE
	CauseRevoked                = C.KEYSTILE_CAUSE_REVOKED
	CauseSuspended              = C.KEYSTILE_CAUSE_SUSPENDED
	CauseExpired                = C.KEYSTILE_CAUSE_EXPIRED
	CauseReplaced               = C.KEYSTILE_CAUSE_REPLACED
	CauseEnvironment            = C.KEYSTILE_CAUSE_ENVIRONMENT
	CauseNetwork                = C.KEYSTILE_CAUSE_NETWORK
	CausePathNotCanonical       = C.KEYSTILE_CAUSE_PATH_NOT_CANONICAL
	CauseEndpoint               = C.KEYSTILE_CAUSE_ENDPOINT
	CausePermission             = C.KEYSTILE_CAUSE_PERMISSION
	CauseRateLimit              = C.KEYSTILE_CAUSE_RATE_LIMIT
	CauseUsesSpent              = C.KEYSTILE_CAUSE_USES_SPENT
	CauseStoreUnavailable       = C.KEYSTILE_CAUSE_STORE_UNAVAILABLE
	CauseRecordDamaged          = C.KEYSTILE_CAUSE_RECORD_DAMAGED
	CauseAlien                  = C.KEYSTILE_CAUSE_ALIEN

	PathStrict             = C.KEYSTILE_PATH_PROFILE_STRICT
	PathEncodedSlashIsData = C.KEYSTILE_PATH_PROFILE_ENCODED_SLASH_IS_DATA
)

// The kinds of events.
const (
	EventIssued    = C.KEYSTILE_EVENT_ISSUED
	EventRotated   = C.KEYSTILE_EVENT_ROTATED
	EventRevoked   = C.KEYSTILE_EVENT_REVOKED
	EventSuspended = C.KEYSTILE_EVENT_SUSPENDED
	EventResumed   = C.KEYSTILE_EVENT_RESUMED
	EventExpired   = C.KEYSTILE_EVENT_EXPIRED
	EventRehashed  = C.KEYSTILE_EVENT_REHASHED
	EventImported  = C.KEYSTILE_EVENT_IMPORTED
	EventChanged   = C.KEYSTILE_EVENT_CHANGED
	EventDeleted   = C.KEYSTILE_EVENT_DELETED
	EventPruned    = C.KEYSTILE_EVENT_PRUNED
)

// The actions of a plan.
const (
	PlanNotice  = C.KEYSTILE_PLAN_NOTICE
	PlanRotate  = C.KEYSTILE_PLAN_ROTATE
	PlanCleanUp = C.KEYSTILE_PLAN_CLEAN_UP
)

// The policies for the HTTP status of a refusal.
const (
	StatusPolicyRFC9110 = C.KEYSTILE_STATUS_POLICY_RFC9110
	StatusPolicyExpress = C.KEYSTILE_STATUS_POLICY_EXPRESS

	RateLimitFieldsDraft6 = C.KEYSTILE_RATE_LIMIT_FIELDS_DRAFT6
	RateLimitFieldsDraft7 = C.KEYSTILE_RATE_LIMIT_FIELDS_DRAFT7
	RateLimitFieldsDraft8 = C.KEYSTILE_RATE_LIMIT_FIELDS_DRAFT8
	RateLimitFieldsX      = C.KEYSTILE_RATE_LIMIT_FIELDS_X
)
