package keystile

import (
	"errors"

	"github.com/keystile/keystile/bindings/go/internal/capi"
)

// statusError is an error of the library. Its text never holds part of an argument.
type statusError capi.Status

func (e statusError) Error() string { return "keystile: " + capi.Status(e).Text() }

// Why a value was not accepted, or a change not made. Compare with [errors.Is].
var (
	// ErrName: a prefix, environment, template or header name is not spelled as one.
	ErrName error = statusError(capi.ErrorName)
	// ErrFormat: a key format cannot be put together so.
	ErrFormat error = statusError(capi.ErrorFormat)
	// ErrKeyID: a text is no key id.
	ErrKeyID error = statusError(capi.ErrorKeyID)
	// ErrDigest: a digest or pepper is not well formed.
	ErrDigest error = statusError(capi.ErrorDigest)
	// ErrPermission: a permission or requirement is not spelled as one, or there are too many.
	ErrPermission error = statusError(capi.ErrorPermission)
	// ErrEndpoint: an endpoint rule is not spelled as one, or there are too many.
	ErrEndpoint error = statusError(capi.ErrorEndpoint)
	// ErrNetwork: a network is not spelled as one, or there are too many.
	ErrNetwork error = statusError(capi.ErrorNetwork)
	// ErrLimit: a rate limit, count of uses or capacity is out of its range.
	ErrLimit error = statusError(capi.ErrorLimit)
	// ErrTime: an instant or span is out of its range.
	ErrTime error = statusError(capi.ErrorTime)
	// ErrRecord: the fields of a record are too long or contradict each other.
	ErrRecord error = statusError(capi.ErrorRecord)
	// ErrState: the key is in no state to do that with it.
	ErrState error = statusError(capi.ErrorState)
	// ErrExceeds: more is asked for than the template or the source key holds.
	ErrExceeds error = statusError(capi.ErrorExceeds)
	// ErrRandomness: the source of randomness failed or gave too little.
	ErrRandomness error = statusError(capi.ErrorRandomness)
	// ErrJSON: a text is not the JSON that was expected.
	ErrJSON error = statusError(capi.ErrorJSON)
	// ErrAbsent: there is no such thing, as a preset of that name.
	ErrAbsent error = statusError(capi.ErrorAbsent)
	// ErrNotUTF8: a text is not UTF-8.
	ErrNotUTF8 error = statusError(capi.ErrorNotUTF8)
)

// Why a request was refused, as [Decision.Err] says it. Compare with [errors.Is].
var (
	// ErrMissingCredential: no credential was presented.
	ErrMissingCredential error = statusError(capi.DeniedMissingCredential)
	// ErrConflictingCredentials: two different credentials were presented.
	ErrConflictingCredentials error = statusError(capi.DeniedConflictingCredentials)
	// ErrInvalidKey: the credential is malformed, unknown or wrong; which, is not told.
	ErrInvalidKey error = statusError(capi.DeniedInvalidKey)
	// ErrKeyRevoked: the key is revoked.
	ErrKeyRevoked error = statusError(capi.DeniedKeyRevoked)
	// ErrKeySuspended: the key is suspended.
	ErrKeySuspended error = statusError(capi.DeniedKeySuspended)
	// ErrKeyExpired: the key has expired.
	ErrKeyExpired error = statusError(capi.DeniedKeyExpired)
	// ErrKeyReplaced: the key was replaced, and its overlap is over.
	ErrKeyReplaced error = statusError(capi.DeniedKeyReplaced)
	// ErrWrongEnvironment: the key is for another environment.
	ErrWrongEnvironment error = statusError(capi.DeniedWrongEnvironment)
	// ErrNetworkNotAllowed: the peer's address is not within the key's networks.
	ErrNetworkNotAllowed error = statusError(capi.DeniedNetwork)
	// ErrPathNotCanonical: the path is not canonical.
	ErrPathNotCanonical error = statusError(capi.DeniedPathNotCanonical)
	// ErrEndpointNotAllowed: no endpoint rule of the key matches.
	ErrEndpointNotAllowed error = statusError(capi.DeniedEndpoint)
	// ErrPermissionMissing: the key lacks a permission.
	ErrPermissionMissing error = statusError(capi.DeniedPermission)
	// ErrRateLimited: the rate limit is spent.
	ErrRateLimited error = statusError(capi.DeniedRateLimited)
	// ErrUsesSpent: the count of uses is spent.
	ErrUsesSpent error = statusError(capi.DeniedUsesSpent)
	// ErrStoreUnavailable: the store could not be asked, or did not answer in time.
	ErrStoreUnavailable error = statusError(capi.DeniedStoreUnavailable)
)

// What a store answers. An implementation of [Store] returns these, wrapped or bare.
var (
	// ErrStale: somebody else changed the record meanwhile; read it again.
	ErrStale = errors.New("keystile: the record was changed meanwhile")
	// ErrDuplicate: a key with this id or digest is there already.
	ErrDuplicate = errors.New("keystile: a key with this id or digest is there already")
	// ErrNotFound: there is no such key.
	ErrNotFound = errors.New("keystile: there is no such key")
	// ErrCorrupt: a stored row holds what no record can hold.
	ErrCorrupt = errors.New("keystile: a stored row is damaged")
	// ErrOutOfRange: a version or count is beyond what stores can keep.
	ErrOutOfRange = errors.New("keystile: a version is 1 or more, and a count at most 9223372036854775807")
)

// ErrClosed: the authenticator was closed.
var ErrClosed = errors.New("keystile: the authenticator is closed")

// ErrInternal: a bug in the library, which was caught. Please report it.
var ErrInternal error = statusError(capi.ErrorPanic)

// ErrorCode is the stable word for an error of this package, as it stands in the JSON
// bodies of refusals: "key_revoked". It is empty for errors from elsewhere.
func ErrorCode(err error) string {
	var status statusError
	if errors.As(err, &status) {
		return capi.Status(status).Name()
	}
	return ""
}

// failure is the error of a status, nil for OK.
func failure(status capi.Status) error {
	if status == capi.OK {
		return nil
	}
	return statusError(status)
}

// Must is for values that are fixed in a program's source: it panics where they are wrong.
//
//	var format = keystile.Must(keystile.StructuredFormat("acme"))
func Must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// Ptr is a pointer to a value, for fields that may be left out.
func Ptr[T any](value T) *T { return &value }

// Version is the version of the library that is linked.
func Version() string { return capi.Version() }
