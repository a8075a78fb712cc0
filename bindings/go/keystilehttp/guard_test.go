package keystilehttp_test

import (
	"bufio"
	"bytes"
	"context"
	"database/sql"
	"encoding/json"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystilehttp"
	"github.com/keystile/keystile/bindings/go/keystilesql"
	_ "modernc.org/sqlite"
)

// service is a server with a guard, over keys in SQLite.
type service struct {
	*testing.T
	authenticator *keystile.Authenticator
	issuer        *keystile.Issuer
	guard         *keystilehttp.Guard
	server        *httptest.Server
	mux           *http.ServeMux
	log           *bytes.Buffer
	// down makes the store fail, and damaged that it cannot read the record.
	down, damaged atomic.Bool
}

type flaky struct {
	*keystilesql.Store
	down, damaged *atomic.Bool
}

func (f flaky) Find(ctx context.Context, lookup keystile.Lookup) (*keystile.Record, error) {
	if f.down.Load() {
		return nil, errors.New("the database is away")
	}
	if f.damaged.Load() {
		return nil, &keystile.CorruptRow{Row: 7, KeyID: lookup.KeyID, Column: "permissions", Expected: "a list"}
	}
	return f.Store.Find(ctx, lookup)
}

func newService(t *testing.T, options keystilehttp.Options) *service {
	t.Helper()
	db, err := sql.Open("sqlite", keystilesql.SQLiteDSN(filepath.Join(t.TempDir(), "keys.db")))
	if err != nil {
		t.Fatal(err)
	}
	own := &service{T: t, log: &bytes.Buffer{}, mux: http.NewServeMux()}
	store := keystilesql.SQLite(db)
	if _, err := store.Migrate(context.Background()); err != nil {
		t.Fatal(err)
	}
	own.issuer = &keystile.Issuer{Format: keystile.Must(keystile.StructuredFormat("acme"))}
	verifier := keystile.Must(keystile.NewVerifier(nil, own.issuer.Format))
	own.authenticator = keystile.Must(keystile.NewAuthenticator(flaky{store, &own.down, &own.damaged}, verifier, keystile.Options{}))
	options.Logger = slog.New(slog.NewJSONHandler(own.log, nil))
	if own.guard, err = keystilehttp.New(own.authenticator, options); err != nil {
		t.Fatal(err)
	}
	own.server = httptest.NewUnstartedServer(own.mux)
	t.Cleanup(func() {
		own.server.Close()
		_ = own.authenticator.Close(context.Background())
		_ = db.Close()
	})
	return own
}

func (s *service) start() *service {
	s.server.Start()
	return s
}

func (s *service) issue(request keystile.IssueRequest) *keystile.Change {
	s.Helper()
	request.ClientName = "Acme Ltd"
	change, err := s.authenticator.Issue(context.Background(), s.issuer, request)
	if err != nil {
		s.Fatal(err)
	}
	return change
}

// send sends a request with exactly this target.
func (s *service) send(method, target string, headers ...string) (*http.Response, string) {
	s.Helper()
	connection, err := net.Dial("tcp", s.server.Listener.Addr().String())
	if err != nil {
		s.Fatal(err)
	}
	defer connection.Close()
	text := method + " " + target + " HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n"
	for at := 0; at < len(headers); at += 2 {
		text += headers[at] + ": " + headers[at+1] + "\r\n"
	}
	if _, err := io.WriteString(connection, text+"\r\n"); err != nil {
		s.Fatal(err)
	}
	return s.read(connection, method)
}

func (s *service) status(expected int, code, method, target string, headers ...string) *http.Response {
	s.Helper()
	response, body := s.send(method, target, headers...)
	var parts struct{ Error, Message, Code string }
	if expected >= 400 {
		if err := json.Unmarshal([]byte(body), &parts); err != nil || parts.Error == "" || parts.Message == "" {
			s.Errorf("%s %s: a body with texts: %q", method, target, body)
		}
	}
	if response.StatusCode != expected || parts.Code != code {
		s.Errorf("%s %s: %d %q for %d %q", method, target, response.StatusCode, parts.Code, expected, code)
	}
	return response
}

func done(w http.ResponseWriter, r *http.Request) {
	if _, is := keystilehttp.KeyFrom(r.Context()); !is {
		panic("no handler is reached without a key")
	}
	_, _ = io.WriteString(w, "done")
}

func TestBothPolicies(t *testing.T) {
	for policy, expected := range map[keystile.StatusPolicy][3]int{
		keystile.StatusRFC9110: {401, 401, 400}, keystile.StatusExpress: {401, 403, 401},
	} {
		s := newService(t, keystilehttp.Options{StatusPolicy: policy}).start()
		s.mux.Handle("GET /api/profile", s.guard.Handler(http.HandlerFunc(done)))
		change := s.issue(keystile.IssueRequest{})
		key, id := change.Key.Expose(), change.Record.ID
		typo := strings.Replace(key, "_1", "_2", 1)

		s.status(200, "", "GET", "/api/profile", "X-API-Key", key)
		s.status(200, "", "GET", "/api/profile", "Authorization", "bearer   "+key)
		s.status(200, "", "GET", "/api/profile", "Authorization", "Bearer "+key, "X-API-Key", key)
		response := s.status(expected[0], "missing_credential", "GET", "/api/profile")
		if response.Header.Get("WWW-Authenticate") != "Bearer" || response.Header.Get("Content-Type") != "application/json" {
			t.Errorf("%v", response.Header)
		}
		s.status(expected[0], "missing_credential", "GET", "/api/profile?api_key="+key)
		s.status(expected[0], "missing_credential", "GET", "/api/profile", "Cookie", "x-api-key="+key)
		s.status(expected[0], "missing_credential", "GET", "/api/profile", "Authorization", "Basic "+key)
		s.status(expected[1], "invalid_key", "GET", "/api/profile", "X-API-Key", "acme_live_x")
		s.status(expected[1], "invalid_key", "GET", "/api/profile", "X-API-Key", key[:len(key)-1]+"!")
		s.status(expected[2], "conflicting_credentials", "GET", "/api/profile", "X-API-Key", key, "Authorization", "Bearer "+typo)
		s.status(expected[2], "conflicting_credentials", "GET", "/api/profile", "X-API-Key", key, "X-API-Key", typo)
		if _, err := s.authenticator.Revoke(context.Background(), id, "leaked"); err != nil {
			t.Fatal(err)
		}
		s.status(expected[1], "key_revoked", "GET", "/api/profile", "X-API-Key", key)
		if log := s.log.String(); !strings.Contains(log, `"cause":"revoked"`) || !strings.Contains(log, id.String()) ||
			!strings.Contains(log, `"route":"GET /api/profile"`) {
			t.Errorf("refusals are logged: %s", log)
		}
		secret := key[strings.Index(key, id.String())+len(id.String())+1:]
		if strings.Contains(s.log.String(), secret) || strings.Contains(s.log.String(), key) {
			t.Error("no log holds key text")
		}
	}
}

func TestARouteRequiresPermissions(t *testing.T) {
	s := newService(t, keystilehttp.Options{}).start()
	s.mux.Handle("POST /api/data", s.guard.Require("write AND audit")(http.HandlerFunc(done)))
	s.mux.Handle("GET /api/data", s.guard.Require("read")(http.HandlerFunc(done)))
	key := s.issue(keystile.IssueRequest{Permissions: []string{"read", "write"}}).Key.Expose()
	s.status(200, "", "GET", "/api/data", "X-API-Key", key)
	response, body := s.send("POST", "/api/data", "X-API-Key", key)
	if response.StatusCode != 403 || !strings.Contains(body, `"missing":["audit"]`) {
		t.Errorf("%d %s", response.StatusCode, body)
	}
	defer func() {
		if recover() == nil {
			t.Error("a requirement that cannot be read is noticed where routes are made")
		}
	}()
	s.guard.Require("write and audit")
}

// A second guard on the same request checks its requirement, and spends nothing.
func TestGuardsInARow(t *testing.T) {
	s := newService(t, keystilehttp.Options{})
	s.server.Config.Handler = s.guard.Handler(s.mux)
	s.start()
	s.mux.Handle("/api/read", s.guard.Require("read")(http.HandlerFunc(done)))
	s.mux.Handle("/api/write", s.guard.Require("write")(http.HandlerFunc(done)))
	limit := keystile.Must(keystile.NewRateLimit(3, time.Hour))
	key := s.issue(keystile.IssueRequest{Permissions: []string{"read"}, RateLimit: &limit}).Key.Expose()
	response := s.status(200, "", "GET", "/api/read", "X-API-Key", key)
	if left := response.Header.Get("RateLimit-Remaining"); left != "2" {
		t.Errorf("%s left: %v", left, response.Header)
	}
	_, body := s.send("GET", "/api/write", "X-API-Key", key)
	if !strings.Contains(body, `"code":"permission_missing","missing":["write"]}`) {
		t.Error(body)
	}
	if response, _ := s.send("GET", "/api/nothing", "X-API-Key", key); response.StatusCode != 404 {
		t.Errorf("%d", response.StatusCode)
	}
	s.status(401, "missing_credential", "GET", "/api/nothing")
	s.status(429, "rate_limited", "GET", "/api/read", "X-API-Key", key)
}

func TestTheFieldsOfAResponse(t *testing.T) {
	s := newService(t, keystilehttp.Options{}).start()
	s.mux.Handle("/", s.guard.Handler(http.HandlerFunc(done)))
	limit := keystile.Must(keystile.NewRateLimit(2, time.Hour))
	change := s.issue(keystile.IssueRequest{RateLimit: &limit})
	key := change.Key.Expose()
	if response := s.status(200, "", "GET", "/", "X-API-Key", key); response.Header.Get("Sunset") != "" || response.Header.Get("RateLimit-Limit") != "2" {
		t.Errorf("%v", response.Header)
	}
	if _, err := s.authenticator.Rotate(context.Background(), s.issuer, change.Record.ID, keystile.DefaultRotationPolicy()); err != nil {
		t.Fatal(err)
	}
	response := s.status(200, "", "GET", "/", "X-API-Key", key)
	sunset, err := http.ParseTime(response.Header.Get("Sunset"))
	if err != nil || time.Until(sunset) > 7*24*time.Hour || time.Until(sunset) < 6*24*time.Hour || response.Header.Get("Deprecation") == "" {
		t.Errorf("%v, %v", response.Header, err)
	}
	response = s.status(429, "rate_limited", "GET", "/", "X-API-Key", key)
	if response.Header.Get("Retry-After") == "" || response.Header.Get("RateLimit-Remaining") != "0" || response.Header.Get("Cache-Control") != "no-store" {
		t.Errorf("%v", response.Header)
	}
	head, body := s.send("HEAD", "/")
	if head.StatusCode != 401 || body != "" || head.ContentLength <= 0 {
		t.Errorf("HEAD: %d, %q", head.StatusCode, body)
	}
}

// A1 to A24: rules match the path as it was sent.
func TestPathsAreMatchedAsTheyWereSent(t *testing.T) {
	for _, before := range []bool{true, false} {
		s := newService(t, keystilehttp.Options{})
		if before {
			s.server.Config.Handler = s.guard.Handler(s.mux)
		} else {
			s.server.Config.Handler = s.guard.Handler(http.HandlerFunc(done))
		}
		s.start()
		s.mux.Handle("/api/{rest...}", http.HandlerFunc(done))
		rules := keystile.Must(keystile.NewEndpointRules("GET /api/metrics/*"))
		restricted := s.issue(keystile.IssueRequest{Endpoints: rules}).Key.Expose()
		free := s.issue(keystile.IssueRequest{}).Key.Expose()
		s.status(200, "", "GET", "/api/metrics/cpu", "X-API-Key", restricted)
		s.status(200, "", "GET", "/api/metrics/cpu?a=/../b", "X-API-Key", restricted)
		s.status(200, "", "GET", "/api/metrics/a%20b", "X-API-Key", restricted)
		s.status(200, "", "GET", "http://localhost/api/metrics/cpu", "X-API-Key", restricted)
		s.status(403, "endpoint_not_allowed", "POST", "/api/metrics/cpu", "X-API-Key", restricted)
		s.status(403, "endpoint_not_allowed", "GET", "/api/admin", "X-API-Key", restricted)
		s.status(403, "endpoint_not_allowed", "GET", "/api/metricsx", "X-API-Key", restricted)
		for _, path := range []string{"/api/metrics/../admin", "/api/metrics/%2e%2e/admin", "/api/metrics/..%2fadmin",
			"//api/metrics/cpu", "/api//metrics/cpu", "/api/./metrics", "/api/metrics/%63pu", "/api/metrics/a;b",
			"/api/metrics/%00", "/api/metrics/%zz%41", "/api/metrics/a|b", "/api/metrics/\xc3\xa9", "*", "http://localhost",
			"http://localhost?/api/metrics/cpu"} {
			for _, key := range []string{restricted, free} {
				response, body := s.send("GET", path, "X-API-Key", key)
				// The server itself refuses a request that it cannot parse.
				if response.StatusCode == 400 && !strings.HasPrefix(body, "{") {
					continue
				}
				if response.StatusCode != 403 || !strings.Contains(body, "path_not_canonical") {
					t.Errorf("%s: %d %s", path, response.StatusCode, body)
				}
			}
		}
	}
}

func TestAStoreThatIsAwayIs503(t *testing.T) {
	s := newService(t, keystilehttp.Options{}).start()
	s.mux.Handle("/", s.guard.Handler(http.HandlerFunc(done)))
	change := s.issue(keystile.IssueRequest{})
	s.down.Store(true)
	s.status(503, "store_unavailable", "GET", "/", "X-API-Key", change.Key.Expose())
	s.down.Store(false)
	s.status(200, "", "GET", "/", "X-API-Key", change.Key.Expose())
	if !strings.Contains(s.log.String(), "the database is away") {
		t.Error("why is in the log")
	}
}

// A damaged row is logged once a minute, and not for each request.
func TestADamagedRecordIs500(t *testing.T) {
	var passed atomic.Int64
	start := time.Now()
	clock := func() time.Time { return start.Add(time.Duration(passed.Load())) }
	s := newService(t, keystilehttp.Options{Clock: clock}).start()
	s.mux.Handle("/", s.guard.Handler(http.HandlerFunc(done)))
	change := s.issue(keystile.IssueRequest{})
	s.damaged.Store(true)
	logged := func(expected int) {
		t.Helper()
		for range 5 {
			s.status(500, "record_damaged", "GET", "/", "X-API-Key", change.Key.Expose())
		}
		if lines := strings.Count(s.log.String(), "row 7, key "+change.Record.ID.String()+", column permissions: expected a list"); lines != expected {
			t.Errorf("%d lines, expected %d: %s", lines, expected, s.log)
		}
	}
	logged(1)
	passed.Store(int64(59 * time.Second))
	logged(1)
	passed.Store(int64(60 * time.Second))
	logged(2)
	if response, _ := s.send("GET", "/", "X-API-Key", change.Key.Expose()); response.Header.Get("Retry-After") != "" {
		t.Error("to wait is of no use")
	}
	s.damaged.Store(false)
	s.status(200, "", "GET", "/", "X-API-Key", change.Key.Expose())
}

func TestNetworksAndEnvironments(t *testing.T) {
	peer := netip.MustParseAddr("192.0.2.7")
	s := newService(t, keystilehttp.Options{Environment: "live", Peer: func(*http.Request) netip.Addr { return peer }}).start()
	s.mux.Handle("/", s.guard.Handler(http.HandlerFunc(done)))
	inside := keystile.Must(keystile.NewNetworks("192.0.2.0/24"))
	outside := keystile.Must(keystile.NewNetworks("198.51.100.0/24"))
	s.status(200, "", "GET", "/", "X-API-Key", s.issue(keystile.IssueRequest{Environment: "live", Networks: inside}).Key.Expose())
	s.status(403, "network_not_allowed", "GET", "/", "X-API-Key", s.issue(keystile.IssueRequest{Environment: "live", Networks: outside}).Key.Expose())
	s.status(403, "wrong_environment", "GET", "/", "X-API-Key", s.issue(keystile.IssueRequest{Environment: "test"}).Key.Expose())
	s.status(403, "wrong_environment", "GET", "/", "X-API-Key", s.issue(keystile.IssueRequest{}).Key.Expose())
}

func TestThePeerOfAConnection(t *testing.T) {
	for remote, expected := range map[string]string{
		"192.0.2.7:80": "192.0.2.7", "[2001:db8::7]:80": "2001:db8::7", "[fe80::1%eth0]:80": "fe80::1",
		"@": "invalid IP", "": "invalid IP", "192.0.2.7": "invalid IP",
	} {
		if peer := keystilehttp.ConnectionPeer(&http.Request{RemoteAddr: remote}); peer.String() != expected {
			t.Errorf("%q: %v", remote, peer)
		}
	}
}

func TestNobodyHasAKeyWithoutAGuard(t *testing.T) {
	if _, is := keystilehttp.KeyFrom(context.Background()); is {
		t.Error("nobody let that pass")
	}
	if _, err := keystilehttp.New(nil, keystilehttp.Options{}); err == nil {
		t.Error("a guard without an authenticator would guard nothing")
	}
}

func (s *service) read(connection net.Conn, method string) (*http.Response, string) {
	s.Helper()
	request, _ := http.NewRequest(method, "/", nil)
	response, err := http.ReadResponse(bufio.NewReader(connection), request)
	if err != nil {
		s.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		s.Fatal(err)
	}
	return response, string(body)
}

// BenchmarkGuard is a guarded handler on a cached key, without a network.
func BenchmarkGuard(b *testing.B) {
	format := keystile.Must(keystile.StructuredFormat("acme"))
	change := keystile.Must((&keystile.Issuer{Format: format}).Issue(keystile.IssueRequest{ClientName: "Acme", Permissions: []string{"write"}}, time.Now()))
	authenticator := keystile.Must(keystile.NewAuthenticator(only{change.Record}, keystile.Must(keystile.NewVerifier(nil, format)), keystile.Options{}))
	defer func() { _ = authenticator.Close(context.Background()) }()
	guard := keystile.Must(keystilehttp.New(authenticator, keystilehttp.Options{}))
	handler := guard.Require("write")(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	request := httptest.NewRequest("POST", "/api/data/7", nil)
	for name, value := range map[string]string{"X-Api-Key": change.Key.Expose(), "Accept": "*/*", "User-Agent": "bench", "Content-Type": "application/json"} {
		request.Header.Set(name, value)
	}
	recorder := httptest.NewRecorder()
	b.ReportAllocs()
	for b.Loop() {
		handler.ServeHTTP(recorder, request)
	}
	if recorder.Code != 200 {
		b.Fatal(recorder.Code)
	}
}

// only is a store of one record.
type only struct{ record *keystile.Record }

func (o only) Find(context.Context, keystile.Lookup) (*keystile.Record, error) { return o.record, nil }
