// Package keystilehttp guards net/http handlers with API keys.
//
//	guard, err := keystilehttp.New(authenticator, keystilehttp.Options{})
//	mux := http.NewServeMux()
//	mux.Handle("GET /api/profile", guard.Handler(profile))
//	mux.Handle("POST /api/data", guard.Require("write")(data))
//
// A refused request gets a status, header fields and a JSON body, and never reaches the
// handler. An allowed request gets header fields with what is left of its rate limit and
// whether its key is being replaced. The handler reads the key of the request with
// [KeyFrom].
//
// The guard is plain net/http middleware. It works with http.ServeMux and chi, and with gin
// after ten lines; the folder examples has each of them.
//
// # Paths
//
// A key's endpoint rules are checked against the path as it was sent, not as a handler
// decoded, cleaned or cut it. A path that is not canonical, such as "/api/../admin" or
// "/api/%2e%2e/admin", is refused by all rules. A guard before http.ServeMux refuses it
// with 403; after the mux, the client first gets a redirect to the cleaned path, which is
// then checked like any other.
package keystilehttp

import (
	"context"
	"errors"
	"log/slog"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// Options configure a [Guard]. The zero value of a field selects its default.
type Options struct {
	// Sources are the headers that the key is read from; by default X-API-Key and Authorization:
	// Bearer. The query is never read.
	Sources keystile.CredentialSources
	// KeepCredential leaves the key in the headers that the handler gets. By default the fields
	// that carried it are removed from the request's headers.
	KeepCredential bool
	// StatusPolicy is which HTTP status a refusal gets; by default that of RFC 9110.
	StatusPolicy keystile.StatusPolicy
	// Environment is this deployment: keys for another, or for none, are refused. If it is
	// empty, the environment is not checked.
	Environment string
	// Peer returns the address that a request came from, for keys that are restricted to
	// networks; by default that of the connection. If you trust a proxy, return the address
	// from its header; no header is trusted by default.
	Peer func(*http.Request) netip.Addr
	// Path returns the path that endpoint rules are checked against; by default [SentPath].
	Path func(*http.Request) string
	// PathProfile is which paths the service accepts; by default [keystile.PathStrict].
	PathProfile keystile.PathProfile
	// Logger logs refusals and failures; by default nothing is logged. Logs contain no part
	// of a key and no path, which could contain one.
	Logger *slog.Logger
	// Refuse writes the response to a refused request; by default the given response.
	Refuse func(w http.ResponseWriter, r *http.Request, response keystile.Response)
	// Clock returns the current time, for header fields; by default [time.Now].
	Clock func() time.Time
}

// Guard allows only requests with a valid key. Any number of goroutines may use it at once.
type Guard struct {
	authenticator *keystile.Authenticator
	options       Options
	extractor     *keystile.CredentialExtractor
	damage        *damageLog
}

// New returns a guard that checks keys with an authenticator.
func New(authenticator *keystile.Authenticator, options Options) (*Guard, error) {
	if authenticator == nil {
		return nil, errors.New("keystilehttp: the authenticator must not be nil")
	}
	extractor, err := keystile.NewCredentialExtractor(authenticator.Verifier(), options.Sources)
	if err != nil {
		return nil, err
	}
	if options.Peer == nil {
		options.Peer = ConnectionPeer
	}
	if options.Path == nil {
		options.Path = SentPath
	}
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Refuse == nil {
		options.Refuse = answer
	}
	if options.Clock == nil {
		options.Clock = time.Now
	}
	return &Guard{authenticator, options, extractor, newDamageLog()}, nil
}

// Handler allows requests with any valid key.
func (g *Guard) Handler(next http.Handler) http.Handler { return g.guarded(nil, next) }

// Require allows requests whose key satisfies a requirement, such as "write" or "a AND (b
// OR c)".
//
// Inside [Guard.Handler] or another Require, which have already checked the key and counted
// the request, it checks only the requirement.
//
// It panics if the requirement cannot be parsed, as http.ServeMux does for a pattern: call
// it when routes are created, with a constant text. [Guard.Requires] does not panic.
func (g *Guard) Require(requirement string) func(http.Handler) http.Handler {
	return g.Requires(keystile.Must(keystile.ParseRequirement(requirement)))
}

// Requires is [Guard.Require] for a parsed requirement.
func (g *Guard) Requires(requirement *keystile.Requirement) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return g.guarded(requirement, next) }
}

func (g *Guard) guarded(requirement *keystile.Requirement, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key, is := KeyFrom(r.Context()); is && key.guard == g {
			if g.satisfies(w, r, key, requirement) {
				next.ServeHTTP(w, r)
			}
			return
		}
		decision := g.decide(r, requirement)
		if !decision.Allowed() {
			g.refuse(w, r, &decision)
			return
		}
		for _, field := range decision.Respond(g.options.StatusPolicy, g.options.Clock()).Headers {
			w.Header().Set(field.Name, field.Value)
		}
		if !g.options.KeepCredential {
			g.extractor.Remove(r.Header)
		}
		key := &VerifiedKey{guard: g, decision: decision}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, key)))
	})
}

// decide reads the key and checks it.
func (g *Guard) decide(r *http.Request, requirement *keystile.Requirement) keystile.Decision {
	key, refusal, found := g.extractor.ExtractFrom(r.Header)
	if !found {
		return refusal
	}
	decision, err := g.authenticator.Check(r.Context(), key, keystile.Request{
		Requirement: requirement,
		Method:      r.Method,
		Path:        g.options.Path(r),
		PathProfile: g.options.PathProfile,
		Environment: g.options.Environment,
		Address:     g.options.Peer(r),
	})
	if err != nil && r.Context().Err() == nil && g.damage.isDue(err, g.options.Clock()) {
		g.options.Logger.ErrorContext(r.Context(), "a key could not be checked", "error", err)
	}
	return decision
}

// satisfies checks a further requirement of a request whose key was checked before.
func (g *Guard) satisfies(w http.ResponseWriter, r *http.Request, key *VerifiedKey, requirement *keystile.Requirement) bool {
	if requirement == nil {
		return true
	}
	record, err := key.Record(r.Context())
	if err != nil {
		decision := keystile.Refuse(keystile.CauseStoreUnavailable)
		if errors.Is(err, keystile.ErrCorrupt) {
			decision = keystile.Refuse(keystile.CauseRecordDamaged)
		}
		if g.damage.isDue(err, g.options.Clock()) {
			g.options.Logger.ErrorContext(r.Context(), "a key's record could not be read", "key_id", key.ID().String(), "error", err)
		}
		g.refuse(w, r, &decision)
		return false
	}
	if decision := key.decision.Require(record, requirement); !decision.Allowed() {
		g.refuse(w, r, &decision)
		return false
	}
	return true
}

func (g *Guard) refuse(w http.ResponseWriter, r *http.Request, decision *keystile.Decision) {
	if g.options.Logger.Enabled(r.Context(), slog.LevelInfo) {
		g.options.Logger.LogAttrs(r.Context(), slog.LevelInfo, "a request was refused",
			slog.Any("decision", *decision), slog.String("method", r.Method),
			slog.String("route", r.Pattern), slog.String("peer", g.options.Peer(r).String()))
	}
	g.options.Refuse(w, r, decision.Respond(g.options.StatusPolicy, g.options.Clock()))
}

// answer writes a refusal.
func answer(w http.ResponseWriter, _ *http.Request, response keystile.Response) {
	for _, field := range response.Headers {
		w.Header().Set(field.Name, field.Value)
	}
	w.Header().Set("Content-Length", strconv.Itoa(len(response.Body)))
	w.WriteHeader(response.Status)
	_, _ = w.Write([]byte(response.Body))
}

// SentPath returns the path as the client sent it, without its query.
func SentPath(r *http.Request) string {
	target := r.RequestURI
	if target == "" {
		// The request does not come from a server: return what a client would send.
		return r.URL.EscapedPath()
	}
	if _, rest, absolute := strings.Cut(target, "://"); absolute && target[0] != '/' {
		// An empty path means the root, but was not sent as "/".
		target = rest[strings.IndexAny(rest+"/", "/?#"):]
	}
	path, _, _ := strings.Cut(target, "?")
	return path
}

// ConnectionPeer returns the address of the peer of the connection.
func ConnectionPeer(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().WithZone("")
}
