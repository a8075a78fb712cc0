package keystile

import (
	"errors"
	"strings"
	"testing"
	"time"
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
		{ErrValue, 304, "value"},
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

// An error names the field and the item, in one line, and is of its kind.
func TestAnErrorNamesItsFieldAndItem(t *testing.T) {
	issuer := &Issuer{Format: Must(StructuredFormat("acme"))}
	_, permission := NewPermissionSet("read", "a b")
	_, requested := issuer.Issue(IssueRequest{ClientName: "Acme", Permissions: []string{"read", "write", "inv*"}}, time.Now())
	_, email := issuer.Issue(IssueRequest{ClientName: "Acme", ClientEmail: "a\nb"}, time.Now())
	_, limit := NewRateLimit(1, 0)
	_, prefix := StructuredFormat("Acme")
	_, network := NewNetworks("192.0.2.0/24", "192.0.2.1/24")
	_, id := ParseKeyID("x")
	_, format := new(Issuer).Issue(IssueRequest{ClientName: "Acme"}, time.Now())
	_, template := issuer.Issue(IssueRequest{ClientName: "Acme", Template: &ScopeTemplate{}}, time.Now())
	item := &Error{Index: 2, Message: "a record must be", kind: ErrRecord.(statusError)}
	for _, expected := range []struct {
		err   error
		kind  error
		field string
		index int
		text  string
	}{
		{permission, ErrPermission, "permissions", 1, "keystile: permissions[1]: a permission must be segments"},
		{requested, ErrPermission, "permissions", 2, "keystile: permissions[2]: a permission must be segments"},
		{email, ErrRecord, "client_email", -1, "keystile: client_email: an e-mail address must be"},
		{limit, ErrLimit, "rate_limit.window", -1, "keystile: rate_limit.window: a rate limit's window must be"},
		{prefix, ErrName, "prefix", -1, "keystile: prefix: a prefix must be 1 to 16"},
		{network, ErrNetwork, "allowed_networks", 1, "keystile: allowed_networks[1]: a network must be"},
		{format, ErrFormat, "format", -1, "keystile: format: a format must have been created"},
		{template, ErrAbsent, "template", -1, "keystile: template: a template must have been created"},
		{item, ErrRecord, "", 2, "keystile: item 2: a record must be"},
		{id, ErrKeyID, "key_id", -1, "keystile: key_id: a key id must be 16 characters"},
	} {
		var detail *Error
		if !errors.As(expected.err, &detail) || detail.Field != expected.field || detail.Index != expected.index {
			t.Errorf("%v: %+v", expected.err, detail)
			continue
		}
		if text := expected.err.Error(); !strings.HasPrefix(text, expected.text) || strings.Contains(text, "\n") {
			t.Errorf("%q, expected %q", text, expected.text)
		}
		if !errors.Is(expected.err, expected.kind) || errors.Is(expected.err, ErrState) {
			t.Errorf("%v is not %v", expected.err, expected.kind)
		}
		if code := ErrorCode(expected.err); code != ErrorCode(expected.kind) {
			t.Errorf("%v has the code %s", expected.err, code)
		}
	}
}

// The intention of such a request is not known: neither wins.
func TestAKeyThatNeverExpiresHasNoLifetime(t *testing.T) {
	issuer := &Issuer{Format: Must(StructuredFormat("acme"))}
	_, err := issuer.Issue(IssueRequest{ClientName: "Acme", Lifetime: Ptr(time.Hour), NeverExpires: true}, time.Now())
	var detail *Error
	if !errors.Is(err, ErrValue) || !errors.As(err, &detail) || detail.Field != "lifetime" {
		t.Errorf("%v", err)
	}
	record := Must(issuer.Issue(IssueRequest{ClientName: "Acme"}, time.Now())).Record
	_, err = ChangeKey(record, KeyChange{Lifetime: Ptr(time.Hour), NeverExpires: true}, time.Now())
	if !errors.Is(err, ErrValue) || !errors.As(err, &detail) || detail.Field != "lifetime" {
		t.Errorf("%v", err)
	}
}
