package keystilehttp_test

import (
	"context"
	"io"
	"net/http"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilehttp"
)

const usersToken = "eyJhbGciOiJFUzI1NiJ9.e30.c2ln"

// A user's token in Authorization is no guess, however often it comes.
func TestAUsersTokenIsNoGuess(t *testing.T) {
	s := newService(t, keystilehttp.Options{InvalidKeys: keystile.Must(keystile.NewRateLimit(3, time.Hour))}).start()
	s.mux.Handle("/", s.guard.Handler(http.HandlerFunc(done)))
	for range 10 {
		s.status(401, "invalid_key", "GET", "/", "Authorization", "Bearer "+usersToken)
	}
	for range 3 {
		s.status(401, "invalid_key", "GET", "/", "X-API-Key", usersToken)
	}
	s.status(429, "too_many_invalid_keys", "GET", "/", "X-API-Key", usersToken)
}

// A guard says nothing of the key that another guard has found.
func TestTheKeyOfAnotherGuardIsNotTheKeyOfThisOne(t *testing.T) {
	s := newService(t, keystilehttp.Options{}).start()
	inner := keystile.Must(keystilehttp.New(s.authenticator, keystilehttp.Options{PassPreflights: true}))
	s.mux.Handle("/", s.guard.Handler(inner.Optional(http.HandlerFunc(echo))))
	key := s.issue(keystile.IssueRequest{}).Key.Expose()
	for _, headers := range [][]string{{"X-API-Key", key}, {"X-API-Key", key, "Origin", "https://a.example", "Access-Control-Request-Method", "PUT"}} {
		if response, body := s.send("OPTIONS", "/", headers...); response.StatusCode != 200 || body != "" {
			t.Errorf("%d %q", response.StatusCode, body)
		}
	}
}

// echo answers with the headers that carry keys, as the handler got them.
func echo(w http.ResponseWriter, r *http.Request) {
	_, is := keystilehttp.KeyFrom(r.Context())
	if is {
		_, _ = io.WriteString(w, "with a key;")
	}
	_, _ = io.WriteString(w, strings.Join(append(r.Header["X-Api-Key"], r.Header["Authorization"]...), ","))
}

func TestTheHandlerGetsNoKey(t *testing.T) {
	for _, keeps := range []bool{false, true} {
		s := newService(t, keystilehttp.Options{KeepCredential: keeps}).start()
		var outside http.Header
		guarded := s.guard.Handler(http.HandlerFunc(echo))
		s.mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
			guarded.ServeHTTP(w, r)
			outside = r.Header
		})
		key := s.issue(keystile.IssueRequest{}).Key.Expose()
		for _, headers := range [][]string{{"X-API-Key", key}, {"Authorization", "Bearer " + key}, {"X-API-Key", key, "X-API-Key", key}} {
			response, body := s.send("GET", "/", headers...)
			if response.StatusCode != 200 || strings.Contains(body, key) != keeps || !strings.HasPrefix(body, "with a key;") {
				t.Errorf("%d %v: %s", response.StatusCode, keeps, body)
			}
			if len(outside["X-Api-Key"])+len(outside["Authorization"]) == 0 {
				t.Error("the server's own request is not changed")
			}
		}
	}
}

// A limit on invalid keys locks no one out: a valid key from the same address still passes, also
// one that is not cached.
func TestInvalidKeysAreLimited(t *testing.T) {
	limit := keystile.Must(keystile.NewRateLimit(3, time.Hour))
	s := newService(t, keystilehttp.Options{InvalidKeys: limit}).start()
	s.mux.Handle("/", s.guard.Handler(http.HandlerFunc(done)))
	key, cold := s.issue(keystile.IssueRequest{}).Key.Expose(), s.issue(keystile.IssueRequest{}).Key.Expose()
	s.status(200, "", "GET", "/", "X-API-Key", key)
	for range 5 {
		s.status(401, "missing_credential", "GET", "/")
	}
	for range 3 {
		s.status(401, "invalid_key", "GET", "/", "X-API-Key", key[:len(key)-1]+"!")
	}
	response := s.status(429, "too_many_invalid_keys", "GET", "/", "X-API-Key", "acme_live_x")
	if response.Header.Get("Retry-After") != "1200" || response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", response.Header)
	}
	s.status(200, "", "GET", "/", "X-API-Key", key)
	s.status(200, "", "GET", "/", "X-API-Key", cold)
	unlimited := newService(t, keystilehttp.Options{InvalidKeys: limit, InvalidKeysUnlimited: true}).start()
	unlimited.mux.Handle("/", unlimited.guard.Handler(http.HandlerFunc(done)))
	for range 5 {
		unlimited.status(401, "invalid_key", "GET", "/", "X-API-Key", "acme_live_x")
	}
}

// A limit that has no effect is logged, once.
func TestALimitWithoutAddressesIsLogged(t *testing.T) {
	limit := keystile.Must(keystile.NewRateLimit(1, time.Hour))
	nobody := func(*http.Request) netip.Addr { return netip.Addr{} }
	s := newService(t, keystilehttp.Options{InvalidKeys: limit, Peer: nobody}).start()
	s.mux.Handle("/", s.guard.Handler(http.HandlerFunc(done)))
	for range 3 {
		s.status(401, "invalid_key", "GET", "/", "X-API-Key", "acme_live_x")
	}
	if lines := strings.Count(s.log.String(), "invalid keys are not limited"); lines != 1 {
		t.Errorf("%d lines: %s", lines, s.log)
	}
}

func TestOnlyEncryptedRequestsPass(t *testing.T) {
	proxies := keystile.Must(keystile.NewNetworks("127.0.0.1", "::1"))
	s := newService(t, keystilehttp.Options{EncryptedOnly: true, TrustedProxies: proxies}).start()
	s.mux.Handle("/", s.guard.Handler(http.HandlerFunc(done)))
	inside := keystile.Must(keystile.NewNetworks("192.0.2.0/24"))
	key := s.issue(keystile.IssueRequest{Networks: inside}).Key.Expose()
	s.status(403, "encryption_required", "GET", "/", "X-API-Key", key)
	s.status(403, "encryption_required", "GET", "/", "X-API-Key", key, "X-Forwarded-Proto", "http")
	s.status(403, "network_not_allowed", "GET", "/", "X-API-Key", key, "X-Forwarded-Proto", "https", "X-Forwarded-For", "198.51.100.1")
	s.status(403, "network_not_allowed", "GET", "/", "X-API-Key", key, "X-Forwarded-Proto", "https", "X-Forwarded-For", "192.0.2.1, nowhere")
	s.status(200, "", "GET", "/", "X-API-Key", key, "X-Forwarded-Proto", "https", "X-Forwarded-For", "198.51.100.1, 192.0.2.1")
	own := newService(t, keystilehttp.Options{EncryptedOnly: true}).start()
	own.mux.Handle("/", own.guard.Handler(http.HandlerFunc(done)))
	own.status(403, "encryption_required", "GET", "/", "X-API-Key", own.issue(keystile.IssueRequest{}).Key.Expose(), "X-Forwarded-Proto", "https")
}

func TestAnOptionalKeyMayBeMissingAndNotWrong(t *testing.T) {
	s := newService(t, keystilehttp.Options{}).start()
	s.mux.Handle("/", s.guard.Optional(http.HandlerFunc(echo)))
	s.mux.Handle("/inner", s.guard.Optional(s.guard.Require("read")(http.HandlerFunc(echo))))
	change := s.issue(keystile.IssueRequest{})
	if response, body := s.send("GET", "/"); response.StatusCode != 200 || body != "" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	if response, body := s.send("GET", "/", "X-API-Key", change.Key.Expose()); response.StatusCode != 200 || body != "with a key;" {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	s.status(401, "invalid_key", "GET", "/", "X-API-Key", "acme_live_x")
	s.status(401, "invalid_key", "GET", "/", "X-API-Key", usersToken)
	if response, body := s.send("GET", "/", "Authorization", "Bearer "+usersToken); response.StatusCode != 200 || body != "Bearer "+usersToken {
		t.Errorf("%d %q", response.StatusCode, body)
	}
	s.status(401, "missing_credential", "GET", "/inner")
	if _, err := s.authenticator.Revoke(context.Background(), change.Record.ID, "leaked"); err != nil {
		t.Fatal(err)
	}
	s.status(401, "key_revoked", "GET", "/", "X-API-Key", change.Key.Expose())
}

// A preflight passes without a key, and never as one; each other request needs its key.
func TestPreflightsPassOnlyWhereAskedFor(t *testing.T) {
	preflight := []string{"Origin", "https://app.example", "Access-Control-Request-Method", "DELETE"}
	refusing := newService(t, keystilehttp.Options{}).start()
	refusing.mux.Handle("/", refusing.guard.Handler(http.HandlerFunc(echo)))
	refusing.status(401, "missing_credential", "OPTIONS", "/", preflight...)
	s := newService(t, keystilehttp.Options{PassPreflights: true}).start()
	s.mux.Handle("/", s.guard.Require("admin")(http.HandlerFunc(echo)))
	key := s.issue(keystile.IssueRequest{}).Key.Expose()
	for _, headers := range [][]string{preflight, slices.Concat(preflight, []string{"X-API-Key", key, "Authorization", "Bearer " + key})} {
		if response, body := s.send("OPTIONS", "/", headers...); response.StatusCode != 200 || body != "" {
			t.Errorf("%d %q", response.StatusCode, body)
		}
	}
	s.status(401, "missing_credential", "OPTIONS", "/", preflight[:2]...)
	s.status(401, "missing_credential", "OPTIONS", "/", preflight[2:]...)
	s.status(401, "missing_credential", "OPTIONS", "/", slices.Concat(preflight, preflight)...)
	s.status(401, "missing_credential", "OPTIONS", "/", "Origin", "", preflight[2], preflight[3])
	s.status(401, "missing_credential", "OPTIONS", "/", preflight[0], preflight[1], preflight[2], "two words")
	s.status(401, "missing_credential", "OPTIONS", "/%2e%2e/a", preflight...)
	s.status(401, "missing_credential", "GET", "/", preflight...)
	s.status(401, "missing_credential", "DELETE", "/", preflight...)
}

func TestTheFormOfTheRateLimitsFields(t *testing.T) {
	limit := keystile.Must(keystile.NewRateLimit(1, time.Hour))
	for form, name := range map[keystile.RateLimitFields]string{
		keystile.RateLimitFieldsDraft6: "RateLimit-Remaining", keystile.RateLimitFieldsDraft7: "RateLimit",
		keystile.RateLimitFieldsDraft8: "RateLimit", keystile.RateLimitFieldsX: "X-RateLimit-Remaining",
	} {
		s := newService(t, keystilehttp.Options{RateLimitFields: form}).start()
		s.mux.Handle("/", s.guard.Handler(http.HandlerFunc(done)))
		key := s.issue(keystile.IssueRequest{RateLimit: &limit}).Key.Expose()
		if allowed := s.status(200, "", "GET", "/", "X-API-Key", key); allowed.Header.Get(name) == "" {
			t.Errorf("%v: %v", form, allowed.Header)
		}
		if refused := s.status(429, "rate_limited", "GET", "/", "X-API-Key", key); refused.Header.Get(name) == "" {
			t.Errorf("%v: %v", form, refused.Header)
		}
	}
}

func TestAnOptionThatIsNoConstantIsAnError(t *testing.T) {
	s := newService(t, keystilehttp.Options{})
	for _, options := range []keystilehttp.Options{{StatusPolicy: 9}, {RateLimitFields: 9}, {PathProfile: 9}} {
		if _, err := keystilehttp.New(s.authenticator, options); err == nil {
			t.Errorf("%+v", options)
		}
	}
}
