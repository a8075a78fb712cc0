package keystile

import (
	"errors"
	"fmt"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// statusError is an error of the library. Its text never contains any part of an argument.
type statusError capi.Status

func (e statusError) Error() string { return "keystile: " + capi.Status(e).Text() }

// Error is why a value is invalid or an operation is not possible, in one line, such as
// "keystile: permissions[2]: a permission must be ...". [errors.Is] finds the kind of it, such as
// [ErrPermission], and [errors.As] the fields. It never contains any part of an argument.
type Error struct {
	// Field is what is wrong, such as "client_name" or "rate_limit.window"; empty if that is not
	// known, or if it is not of one field.
	Field string
	// Index is the item of the field that is wrong, from 0; -1 if it is not of one item.
	Index int
	// Message is what was expected.
	Message string
	kind    statusError
}

// Error returns the field, the index and the message in one line.
func (e *Error) Error() string {
	switch {
	case e == nil:
		return ErrInternal.Error()
	case e.Field != "" && e.Index >= 0:
		return fmt.Sprintf("keystile: %s[%d]: %s", e.Field, e.Index, e.Message)
	case e.Field != "":
		return "keystile: " + e.Field + ": " + e.Message
	case e.Index >= 0:
		return fmt.Sprintf("keystile: item %d: %s", e.Index, e.Message)
	default:
		return "keystile: " + e.Message
	}
}

// Unwrap returns the kind of the error, such as [ErrPermission].
func (e *Error) Unwrap() error {
	if e == nil {
		return ErrInternal
	}
	return e.kind
}

// Errors about invalid values and operations. Compare with [errors.Is].
var (
	// ErrName means that a prefix, environment, template or header name is not well formed.
	ErrName error = statusError(capi.ErrorName)
	// ErrFormat means that the parts of a key format do not fit together.
	ErrFormat error = statusError(capi.ErrorFormat)
	// ErrKeyID means that a text is not a key id.
	ErrKeyID error = statusError(capi.ErrorKeyID)
	// ErrDigest means that a digest or pepper is not well formed.
	ErrDigest error = statusError(capi.ErrorDigest)
	// ErrPermission means that a permission or requirement is not well formed, or that
	// there are too many.
	ErrPermission error = statusError(capi.ErrorPermission)
	// ErrEndpoint means that an endpoint rule is not well formed, or that there are too
	// many.
	ErrEndpoint error = statusError(capi.ErrorEndpoint)
	// ErrNetwork means that a network is not well formed, or that there are too many.
	ErrNetwork error = statusError(capi.ErrorNetwork)
	// ErrLimit means that a rate limit, number of uses, capacity or TTL is out of its
	// range.
	ErrLimit error = statusError(capi.ErrorLimit)
	// ErrTime means that an instant or duration is out of its range.
	ErrTime error = statusError(capi.ErrorTime)
	// ErrRecord means that the fields of a record are too long or contradict each other.
	ErrRecord error = statusError(capi.ErrorRecord)
	// ErrState means that the key's current state does not allow the operation.
	ErrState error = statusError(capi.ErrorState)
	// ErrExceeds means that a request exceeds the template or the source key.
	ErrExceeds error = statusError(capi.ErrorExceeds)
	// ErrRandomness means that the source of randomness failed or returned too little.
	ErrRandomness error = statusError(capi.ErrorRandomness)
	// ErrJSON means that a text is not the expected JSON.
	ErrJSON error = statusError(capi.ErrorJSON)
	// ErrAbsent means that the requested part does not exist, such as a preset of that
	// name.
	ErrAbsent error = statusError(capi.ErrorAbsent)
	// ErrValue means that values contradict each other, such as a lifetime of a key that never
	// expires.
	ErrValue error = statusError(capi.ErrorValue)
	// ErrNotUTF8 means that a text is not UTF-8.
	ErrNotUTF8 error = statusError(capi.ErrorNotUTF8)
)

// Errors of refused requests, which [Decision.Err] returns. Compare with [errors.Is].
var (
	// ErrMissingCredential means that no credential was presented.
	ErrMissingCredential error = statusError(capi.DeniedMissingCredential)
	// ErrConflictingCredentials means that two different credentials were presented.
	ErrConflictingCredentials error = statusError(capi.DeniedConflictingCredentials)
	// ErrInvalidKey means that the credential is malformed, unknown or wrong; which of them
	// is not disclosed.
	ErrInvalidKey error = statusError(capi.DeniedInvalidKey)
	// ErrKeyRevoked means that the key is revoked.
	ErrKeyRevoked error = statusError(capi.DeniedKeyRevoked)
	// ErrKeySuspended means that the key is suspended.
	ErrKeySuspended error = statusError(capi.DeniedKeySuspended)
	// ErrKeyExpired means that the key has expired.
	ErrKeyExpired error = statusError(capi.DeniedKeyExpired)
	// ErrKeyReplaced means that the key was replaced, and its overlap is over.
	ErrKeyReplaced error = statusError(capi.DeniedKeyReplaced)
	// ErrWrongEnvironment means that the key is for another environment.
	ErrWrongEnvironment error = statusError(capi.DeniedWrongEnvironment)
	// ErrNetworkNotAllowed means that the peer's address is not in the key's networks.
	ErrNetworkNotAllowed error = statusError(capi.DeniedNetwork)
	// ErrPathNotCanonical means that the path is not canonical.
	ErrPathNotCanonical error = statusError(capi.DeniedPathNotCanonical)
	// ErrEndpointNotAllowed means that no endpoint rule of the key matches.
	ErrEndpointNotAllowed error = statusError(capi.DeniedEndpoint)
	// ErrPermissionMissing means that the key lacks a required permission.
	ErrPermissionMissing error = statusError(capi.DeniedPermission)
	// ErrRateLimited means that the rate limit is exceeded.
	ErrRateLimited error = statusError(capi.DeniedRateLimited)
	// ErrUsesSpent means that the key has no uses left.
	ErrUsesSpent error = statusError(capi.DeniedUsesSpent)
	// ErrStoreUnavailable means that the store failed or did not answer in time.
	ErrStoreUnavailable error = statusError(capi.DeniedStoreUnavailable)
	// ErrPepperUnavailable means that the key's digest was made with a pepper that the ring
	// does not hold, so whether the key is valid cannot be known.
	ErrPepperUnavailable error = statusError(capi.DeniedPepperUnavailable)
	// ErrRecordDamaged means that the stored record of the key cannot be read. To try again
	// is of no use.
	ErrRecordDamaged error = statusError(capi.DeniedRecordDamaged)
)

// Errors of stores. An implementation of [Store] returns these, wrapped or not.
var (
	// ErrStale means that another writer changed the record; read it again.
	ErrStale = errors.New("keystile: the record was changed by another writer; read it again")
	// ErrDuplicate means that a key with this id or digest already exists.
	ErrDuplicate = errors.New("keystile: a key with this id or digest already exists")
	// ErrNotFound means that there is no such key.
	ErrNotFound = errors.New("keystile: no such key")
	// ErrTooManyToSort means that a list was asked for in an order for which there is no index, of
	// [PageMax] keys or more.
	ErrTooManyToSort = errors.New("keystile: this order has no index, so the filter must select fewer than 1,000 keys")
	// ErrCorrupt means that a stored row does not hold a valid record.
	ErrCorrupt = errors.New("keystile: a stored row is not a valid record")
	// ErrWithoutEvent means that a record would be written without an event of it, so that no
	// other process would be notified.
	ErrWithoutEvent = errors.New("keystile: each record must be written with an event that has its id and its version")
	// ErrOutOfRange means that a version or count is too large or too small for a store.
	ErrOutOfRange = errors.New("keystile: a version must be 1 or more, and a count at most 9223372036854775807")
)

// ErrClosed means that the authenticator is closed.
var ErrClosed = errors.New("keystile: the authenticator is closed")

// ErrInternal means that a bug in the library was caught. Please report it.
var ErrInternal error = statusError(capi.ErrorPanic)

// ErrorCode returns the stable code of an error of this package, as it is in the JSON body
// of a refusal, such as "key_revoked". It returns "" for other errors.
func ErrorCode(err error) string {
	var status statusError
	if errors.As(err, &status) {
		return capi.Status(status).Name()
	}
	return ""
}

// inField is the error of a field of which nothing but the kind is known.
func inField(field, expected string, kind capi.Status) error {
	return &Error{Field: field, Index: -1, Message: expected, kind: statusError(kind)}
}

// contradictsNeverExpires is the error of a lifetime for a key that never expires.
func contradictsNeverExpires() error {
	return inField("lifetime", "a key that never expires must not have a lifetime", capi.ErrorValue)
}

// failure returns the error of a call, nil if it succeeded.
func failure[R capi.Status | *capi.Failure](result R) error {
	switch result := any(result).(type) {
	case *capi.Failure:
		if result == nil {
			return nil
		}
		return &Error{result.Field, result.Index, result.Message, statusError(result.Status)}
	case capi.Status:
		if result == capi.OK {
			return nil
		}
		return statusError(result)
	}
	return ErrInternal
}

// Must returns the value, and panics if there is an error. Use it for values that are fixed
// in a program's source.
//
//	var format = keystile.Must(keystile.StructuredFormat("acme"))
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Ptr returns a pointer to a value, for optional fields.
func Ptr[T any](value T) *T { return &value }

// Version returns the version of the linked library.
func Version() string { return capi.Version() }
