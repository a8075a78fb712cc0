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

// A client that followed another challenge would send its key where it is not read, and not taken
// out of the request.
func TestARefusalNamesTheSourcesOfTheGuard(t *testing.T) {
	const invalid = `Bearer error="invalid_token"`
	for _, one := range []struct {
		sources          keystile.CredentialSources
		missing, invalid string
	}{
		{keystile.CredentialSources{}, "Bearer", invalid},
		{keystile.CredentialSources{Headers: []string{"X-Acme-Key"}, WithoutDefaults: true}, `ApiKey header="X-Acme-Key"`, `ApiKey header="X-Acme-Key"`},
		{keystile.CredentialSources{Schemes: []string{"Token"}, WithoutDefaults: true}, "Token", "Token"},
		{keystile.CredentialSources{Basic: true}, `Bearer, Basic realm="API key"`, invalid + `, Basic realm="API key"`},
		{keystile.CredentialSources{WithoutDefaults: true}, "Bearer", ""},
	} {
		s := newService(t, keystilehttp.Options{Sources: one.sources}).start()
		s.mux.Handle("GET /api/profile", s.guard.Handler(http.HandlerFunc(done)))
		s.mux.Handle("GET /api/data", s.guard.Optional(s.guard.Require("read")(http.HandlerFunc(done))))
		for _, path := range []string{"/api/profile", "/api/data"} {
			response, _ := s.send("GET", path)
			if challenge := response.Header.Get("WWW-Authenticate"); response.StatusCode != 401 || challenge != one.missing {
				t.Errorf("%+v, %s: %d, %q", one.sources, path, response.StatusCode, challenge)
			}
		}
		const typo = "acme_live_x"
		response, _ := s.send("GET", "/api/profile", "X-API-Key", typo, "X-Acme-Key", typo, "Authorization", "Token "+typo)
		if challenge := response.Header.Get("WWW-Authenticate"); one.invalid != "" && challenge != one.invalid {
			t.Errorf("%+v: %q", one.sources, challenge)
		}
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
