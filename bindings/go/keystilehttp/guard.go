// Package keystilehttp guards net/http handlers with API keys.
//
//	guard, err := keystilehttp.New(authenticator, keystilehttp.Options{})
//	mux := http.NewServeMux()
//	mux.Handle("GET /api/profile", guard.Handler(profile))
//	mux.Handle("POST /api/data", guard.Require("write")(data))
//
// A refused request is answered with a status, header fields and a JSON body, and never
// reaches the handler; an allowed one gets fields that say what is left of its rate limit
// and that its key is being replaced. The handler finds whose key it was with [KeyFrom].
//
// It is plain net/http, and so goes with http.ServeMux and chi, and with gin by ten lines; the
// folder examples has each of them.
//
// # Paths
//
// A key's endpoint rules are held against the path as it was sent, not as some handler
// decoded, cleaned or cut it: what was matched is what was sent. A path that is not
// canonical, as "/api/../admin" or "/api/%2e%2e/admin", is refused whatever the rules. A
// guard before http.ServeMux answers it with 403; behind it, the mux sends a redirect to
// the cleaned path first, which is then checked as any other.
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

// Options are how a [Guard] is set up. The zero value is fine.
type Options struct {
	// Rules are where a key is read from; by default X-API-Key and Authorization: Bearer.
	// Never the query.
	Rules *keystile.CredentialExtractor
	// StatusPolicy is which status a refusal is answered with; by default RFC 9110's.
	StatusPolicy keystile.StatusPolicy
	// Environment is the deployment that this is: keys of another, or of none, are refused.
	// Empty is any.
	Environment string
	// Peer is the address that a request came from, for keys that are restricted to
	// networks; by default that of the connection. Behind a proxy that you trust, read what
	// it says; no header is trusted by itself.
	Peer func(*http.Request) netip.Addr
	// Path is the path that endpoint rules are held against; by default [SentPath].
	Path func(*http.Request) string
	// Logger hears of refusals and failures; by default nobody does. Neither key text nor
	// paths are logged, which could hold some.
	Logger *slog.Logger
	// Refuse answers a refused request in a way of your own; by default with the response as
	// it is.
	Refuse func(w http.ResponseWriter, r *http.Request, response keystile.Response)
	// Clock is what time it is, for header fields; by default [time.Now].
	Clock func() time.Time
}

// Guard lets requests with a valid key pass. Any number of goroutines may use it at once.
type Guard struct {
	authenticator *keystile.Authenticator
	options       Options
}

// New is a guard that asks an authenticator.
func New(authenticator *keystile.Authenticator, options Options) (*Guard, error) {
	if authenticator == nil {
		return nil, errors.New("keystilehttp: a guard needs an authenticator")
	}
	if options.Rules == nil {
		rules, err := keystile.NewCredentialExtractor()
		if err != nil {
			return nil, err
		}
		options.Rules = rules
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
	return &Guard{authenticator, options}, nil
}

// Handler lets requests with any valid key pass.
func (g *Guard) Handler(next http.Handler) http.Handler { return g.guarded(nil, next) }

// Require lets requests pass whose key meets a requirement, as "write" or "a AND (b OR c)".
//
// Behind [Guard.Handler] or another Require, which have checked the key and spent of its
// limit already, it looks at the requirement alone.
//
// It panics where the requirement cannot be read, as http.ServeMux does for a pattern: call
// it where routes are made, with a text of the program's own. [Guard.Requires] does not.
func (g *Guard) Require(requirement string) func(http.Handler) http.Handler {
	return g.Requires(keystile.Must(keystile.ParseRequirement(requirement)))
}

// Requires is [Guard.Require] for a requirement that was read before.
func (g *Guard) Requires(requirement *keystile.Requirement) func(http.Handler) http.Handler {
	return func(next http.Handler) http.Handler { return g.guarded(requirement, next) }
}

func (g *Guard) guarded(requirement *keystile.Requirement, next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key, is := KeyFrom(r.Context()); is && key.guard == g {
			if g.meets(w, r, key, requirement) {
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
		key := &VerifiedKey{guard: g, decision: decision}
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), contextKey{}, key)))
	})
}

// decide reads the key and asks the authenticator.
func (g *Guard) decide(r *http.Request, requirement *keystile.Requirement) keystile.Decision {
	key, refusal, found := g.options.Rules.ExtractFrom(r.Header)
	if !found {
		return refusal
	}
	decision, err := g.authenticator.Check(r.Context(), key, keystile.Request{
		Requirement: requirement,
		Method:      r.Method,
		Path:        g.options.Path(r),
		Environment: g.options.Environment,
		Address:     g.options.Peer(r),
	})
	if err != nil && r.Context().Err() == nil {
		g.options.Logger.ErrorContext(r.Context(), "a key could not be checked", "error", err)
	}
	return decision
}

// meets looks at a further requirement of a request whose key was checked before.
func (g *Guard) meets(w http.ResponseWriter, r *http.Request, key *VerifiedKey, requirement *keystile.Requirement) bool {
	if requirement == nil {
		return true
	}
	record, err := key.Record(r.Context())
	if err != nil {
		g.options.Logger.ErrorContext(r.Context(), "a key's record could not be read", "key_id", key.ID().String(), "error", err)
		decision := keystile.Refuse(keystile.CauseStoreUnavailable)
		g.refuse(w, r, &decision)
		return false
	}
	if decision := key.decision.Lacking(record, requirement); !decision.Allowed() {
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

// SentPath is the path as the client sent it, without its query.
func SentPath(r *http.Request) string {
	target := r.RequestURI
	if target == "" {
		// Not from a server: as a client would send it.
		return r.URL.EscapedPath()
	}
	if _, rest, absolute := strings.Cut(target, "://"); absolute && target[0] != '/' {
		// An empty path stands for the root, but was not sent as such.
		target = rest[strings.IndexAny(rest+"/", "/?#"):]
	}
	path, _, _ := strings.Cut(target, "?")
	return path
}

// ConnectionPeer is the address at the other end of the connection.
func ConnectionPeer(r *http.Request) netip.Addr {
	peer, err := netip.ParseAddrPort(r.RemoteAddr)
	if err != nil {
		return netip.Addr{}
	}
	return peer.Addr().WithZone("")
}
