package keystile

import (
	"errors"
	"testing"
)

func TestEachErrorHasTheNumberAndTheNameOfItsStatus(t *testing.T) {
	for _, expected := range []struct {
		err    error
		number int32
		name   string
	}{
		{ErrMissingCredential, 100, "missing_credential"},
		{ErrConflictingCredentials, 101, "conflicting_credentials"},
		{ErrInvalidKey, 102, "invalid_key"},
		{ErrKeyRevoked, 103, "key_revoked"},
		{ErrKeySuspended, 104, "key_suspended"},
		{ErrKeyExpired, 105, "key_expired"},
		{ErrKeyReplaced, 106, "key_replaced"},
		{ErrWrongEnvironment, 107, "wrong_environment"},
		{ErrNetworkNotAllowed, 108, "network_not_allowed"},
		{ErrPathNotCanonical, 109, "path_not_canonical"},
		{ErrEndpointNotAllowed, 110, "endpoint_not_allowed"},
		{ErrPermissionMissing, 111, "permission_missing"},
		{ErrRateLimited, 112, "rate_limited"},
		{ErrUsesSpent, 113, "uses_spent"},
		{ErrStoreUnavailable, 114, "store_unavailable"},
		{ErrPepperUnavailable, 115, "pepper_unavailable"},
		{ErrRecordDamaged, 116, "record_damaged"},
		{ErrName, 200, "name"},
		{ErrFormat, 201, "format"},
		{ErrKeyID, 202, "key_id"},
		{ErrDigest, 203, "digest"},
		{ErrPermission, 204, "permission"},
		{ErrEndpoint, 205, "endpoint"},
		{ErrNetwork, 206, "network"},
		{ErrLimit, 207, "limit"},
		{ErrTime, 208, "time"},
		{ErrRecord, 209, "record"},
		{ErrState, 210, "state"},
		{ErrExceeds, 211, "exceeds"},
		{ErrRandomness, 212, "randomness"},
		{ErrJSON, 213, "json"},
		{ErrNotUTF8, 302, "not_utf8"},
		{ErrAbsent, 307, "absent"},
		{ErrInternal, 400, "panic"},
	} {
		var status statusError
		if !errors.As(expected.err, &status) || int32(status) != expected.number {
			t.Errorf("%s: %d, expected %d", expected.name, status, expected.number)
		}
		if name := ErrorCode(expected.err); name != expected.name {
			t.Errorf("%d: %q, expected %q", expected.number, name, expected.name)
		}
	}
}

func TestEachCauseHasItsNumberItsWordAndItsError(t *testing.T) {
	causes := []struct {
		cause Cause
		word  string
		err   error
	}{
		{CauseMissingCredential, "missing_credential", ErrMissingCredential},
		{CauseConflictingCredentials, "conflicting_credentials", ErrConflictingCredentials},
		{CauseMalformed, "malformed", ErrInvalidKey},
		{CauseUnknownKey, "unknown_key", ErrInvalidKey},
		{CauseWrongSecret, "wrong_secret", ErrInvalidKey},
		{CausePepperUnavailable, "pepper_unavailable", ErrPepperUnavailable},
		{CauseRevoked, "revoked", ErrKeyRevoked},
		{CauseSuspended, "suspended", ErrKeySuspended},
		{CauseExpired, "expired", ErrKeyExpired},
		{CauseReplaced, "replaced", ErrKeyReplaced},
		{CauseEnvironment, "environment", ErrWrongEnvironment},
		{CauseNetwork, "network", ErrNetworkNotAllowed},
		{CausePathNotCanonical, "path_not_canonical", ErrPathNotCanonical},
		{CauseEndpoint, "endpoint", ErrEndpointNotAllowed},
		{CausePermission, "permission", ErrPermissionMissing},
		{CauseRateLimit, "rate_limit", ErrRateLimited},
		{CauseUsesSpent, "uses_spent", ErrUsesSpent},
		{CauseStoreUnavailable, "store_unavailable", ErrStoreUnavailable},
		{CauseRecordDamaged, "record_damaged", ErrRecordDamaged},
		{CauseAlien, "alien", ErrInvalidKey},
	}
	for at, expected := range causes {
		decision := Refuse(expected.cause)
		if expected.cause != Cause(at+1) || decision.Cause() != expected.cause {
			t.Errorf("%s: %d", expected.word, expected.cause)
		}
		if word := expected.cause.String(); word != expected.word {
			t.Errorf("%d: %q, expected %q", expected.cause, word, expected.word)
		}
		if !errors.Is(decision.Err(), expected.err) {
			t.Errorf("%s: %v", expected.word, decision.Err())
		}
	}
	for _, unknown := range []Cause{0, Cause(len(causes) + 1)} {
		decision := Refuse(unknown)
		if unknown.String() != "other" || decision.Allowed() || decision.Cause() != 0 {
			t.Errorf("%d: %v", unknown, decision)
		}
	}
}
