package keystilehttp_test

import (
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilehttp"
)

// O9: a user's token beside the key changes nothing, and reaches the handler. The key does not.
func TestTheKeyAndOnlyTheKeyIsRemoved(t *testing.T) {
	const token = "Bearer eyJhbGciOiJFUzI1NiJ9.e30.c2ln"
	seen := func(w http.ResponseWriter, r *http.Request) {
		_, _ = io.WriteString(w, strings.Join(append(r.Header["X-Api-Key"], r.Header["Authorization"]...), "|"))
	}
	for _, keeps := range []bool{false, true} {
		s := newService(t, keystilehttp.Options{KeepCredential: keeps}).start()
		s.mux.Handle("GET /api/profile", s.guard.Handler(http.HandlerFunc(seen)))
		key := s.issue(keystile.IssueRequest{}).Key.Expose()
		for _, headers := range [][]string{
			{"X-API-Key", key, "Authorization", token},
			{"Authorization", token, "Authorization", "Bearer " + key},
		} {
			response, body := s.send("GET", "/api/profile", headers...)
			if response.StatusCode != 200 || !strings.Contains(body, token) || strings.Contains(body, key) != keeps {
				t.Errorf("%v: %d %s", headers, response.StatusCode, body)
			}
		}
		s.status(401, "invalid_key", "GET", "/api/profile", "Authorization", token)
	}
}

func TestOnlyNamedSourcesAreRead(t *testing.T) {
	sources := keystile.CredentialSources{Headers: []string{"X-Acme-Key"}, Schemes: []string{"Api-Key"}, WithoutDefaults: true}
	s := newService(t, keystilehttp.Options{Sources: sources}).start()
	s.mux.Handle("GET /api/profile", s.guard.Handler(http.HandlerFunc(done)))
	key := s.issue(keystile.IssueRequest{}).Key.Expose()
	s.status(200, "", "GET", "/api/profile", "X-Acme-Key", key)
	s.status(200, "", "GET", "/api/profile", "Authorization", "api-key "+key)
	s.status(401, "missing_credential", "GET", "/api/profile", "X-API-Key", key)
	s.status(401, "missing_credential", "GET", "/api/profile", "Authorization", "Bearer "+key)
	if _, err := keystilehttp.New(s.authenticator, keystilehttp.Options{Sources: keystile.CredentialSources{Headers: []string{"Cookie"}}}); !errors.Is(err, keystile.ErrName) {
		t.Error(err)
	}
}

func TestAnEncodedSlashIsDataWhereTheServiceSaysSo(t *testing.T) {
	for profile, expected := range map[keystile.PathProfile]int{keystile.PathStrict: 403, keystile.PathEncodedSlashIsData: 200} {
		s := newService(t, keystilehttp.Options{PathProfile: profile}).start()
		s.mux.Handle("/", s.guard.Handler(http.HandlerFunc(done)))
		key := s.issue(keystile.IssueRequest{}).Key.Expose()
		response, body := s.send("GET", "/@scope%2Fpackage", "X-API-Key", key)
		if response.StatusCode != expected {
			t.Errorf("%d %s", response.StatusCode, body)
		}
		s.status(403, "path_not_canonical", "GET", "/a%2F%2E%2E%2Fb", "X-API-Key", key)
	}
}
