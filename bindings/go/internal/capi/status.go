package capi

// #include "hot.h"
import "C"

// Status is the result of a call, as keystile.h numbers it.
type Status int32

// The statuses of calls that succeeded, or that have not been decided yet.
const (
	OK          Status = C.KEYSTILE_OK
	NeedsRecord Status = C.KEYSTILE_NEEDS_RECORD
	NeedsTokens Status = C.KEYSTILE_NEEDS_TOKENS
)

// The statuses of refusals.
const (
	DeniedMissingCredential      Status = C.KEYSTILE_DENIED_MISSING_CREDENTIAL
	DeniedConflictingCredentials Status = C.KEYSTILE_DENIED_CONFLICTING_CREDENTIALS
	DeniedInvalidKey             Status = C.KEYSTILE_DENIED_INVALID_KEY
	DeniedKeyRevoked             Status = C.KEYSTILE_DENIED_KEY_REVOKED
	DeniedKeySuspended           Status = C.KEYSTILE_DENIED_KEY_SUSPENDED
	DeniedKeyExpired             Status = C.KEYSTILE_DENIED_KEY_EXPIRED
	DeniedKeyReplaced            Status = C.KEYSTILE_DENIED_KEY_REPLACED
	DeniedWrongEnvironment       Status = C.KEYSTILE_DENIED_WRONG_ENVIRONMENT
	DeniedNetwork                Status = C.KEYSTILE_DENIED_NETWORK
	DeniedPathNotCanonical       Status = C.KEYSTILE_DENIED_PATH_NOT_CANONICAL
	DeniedEndpoint               Status = C.KEYSTILE_DENIED_ENDPOINT
	DeniedPermission             Status = C.KEYSTILE_DENIED_PERMISSION
	DeniedRateLimited            Status = C.KEYSTILE_DENIED_RATE_LIMITED
	DeniedUsesSpent              Status = C.KEYSTILE_DENIED_USES_SPENT
	DeniedStoreUnavailable       Status = C.KEYSTILE_DENIED_STORE_UNAVAILABLE
	DeniedPepperUnavailable      Status = C.KEYSTILE_DENIED_PEPPER_UNAVAILABLE
	DeniedRecordDamaged          Status = C.KEYSTILE_DENIED_RECORD_DAMAGED

	// All refusals are in this range, including those that this version has no name for.
	deniedFirst        = DeniedMissingCredential
	deniedLast  Status = C.KEYSTILE_DENIED
)

// The statuses of calls that failed.
const (
	ErrorName           Status = C.KEYSTILE_ERROR_NAME
	ErrorFormat         Status = C.KEYSTILE_ERROR_FORMAT
	ErrorKeyID          Status = C.KEYSTILE_ERROR_KEY_ID
	ErrorDigest         Status = C.KEYSTILE_ERROR_DIGEST
	ErrorPermission     Status = C.KEYSTILE_ERROR_PERMISSION
	ErrorEndpoint       Status = C.KEYSTILE_ERROR_ENDPOINT
	ErrorNetwork        Status = C.KEYSTILE_ERROR_NETWORK
	ErrorLimit          Status = C.KEYSTILE_ERROR_LIMIT
	ErrorTime           Status = C.KEYSTILE_ERROR_TIME
	ErrorRecord         Status = C.KEYSTILE_ERROR_RECORD
	ErrorState          Status = C.KEYSTILE_ERROR_STATE
	ErrorExceeds        Status = C.KEYSTILE_ERROR_EXCEEDS
	ErrorRandomness     Status = C.KEYSTILE_ERROR_RANDOMNESS
	ErrorJSON           Status = C.KEYSTILE_ERROR_JSON
	ErrorNullPointer    Status = C.KEYSTILE_ERROR_NULL_POINTER
	ErrorNotUTF8        Status = C.KEYSTILE_ERROR_NOT_UTF8
	ErrorValue          Status = C.KEYSTILE_ERROR_VALUE
	ErrorBufferTooSmall Status = C.KEYSTILE_ERROR_BUFFER_TOO_SMALL
	ErrorIndex          Status = C.KEYSTILE_ERROR_INDEX
	ErrorAbsent         Status = C.KEYSTILE_ERROR_ABSENT
	ErrorPanic          Status = C.KEYSTILE_ERROR_PANIC
)

// Failure is why a call did not succeed.
type Failure struct {
	Status Status
	// Message is what was expected, and Field what was wrong; empty if that is not known.
	Message, Field string
	// Index is the item of the field, -1 for none.
	Index int
}

// failed returns why a call did not succeed, nil if it did. The call may have told nothing.
func failed(status Status, why *C.keystile_error) *Failure {
	if status == OK {
		return nil
	}
	if why == nil || why.message.data == nil {
		return &Failure{Status: status, Message: status.Text(), Index: -1}
	}
	failure := &Failure{Status: status, Message: copied(why.message), Field: copied(why.field), Index: -1}
	if why.index != C.KEYSTILE_INDEX_NONE {
		failure.Index = int(why.index)
	}
	return failure
}

// IsRefusal reports whether the status refuses a request.
func (s Status) IsRefusal() bool { return s >= deniedFirst && s <= deniedLast }

// Name returns the name of the status in JSON bodies and logs.
func (s Status) Name() string { return C.GoString(C.keystile_status_name(C.int32_t(s))) }

// Text returns a sentence that explains the status.
func (s Status) Text() string { return C.GoString(C.keystile_status_text(C.int32_t(s))) }

// Version returns the version of the linked library.
func Version() string { return C.GoString(C.keystile_version()) }

// ABI returns the number of the ABI of the linked library, and of the header.
func ABI() (library, header uint32) {
	return uint32(C.keystile_abi_version()), C.KEYSTILE_ABI_VERSION
}
