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
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
)

// Options configure a [Guard]. The zero value of a field selects its default.
type Options struct {
	// Sources are the headers that the key is read from; by default X-API-Key and Authorization:
	// Bearer. The query is never read. WWW-Authenticate of a 401 names them.
	Sources keystile.CredentialSources
	// KeepCredential leaves the key in the headers that the handler gets. By default it gets a
	// request without the fields that carried it.
	KeepCredential bool
	// StatusPolicy is which HTTP status a refusal gets; by default that of RFC 9110.
	StatusPolicy keystile.StatusPolicy
	// RateLimitFields are the header fields about a key's rate limit; by default those of draft 6
	// of the IETF's RateLimit fields.
	RateLimitFields keystile.RateLimitFields
	// Environment is this deployment: keys for another, or for none, are refused. If it is
	// empty, the environment is not checked.
	Environment string
	// Peer returns the address of the peer of the connection, for keys that are restricted to
	// networks and for the limit on invalid keys; by default [ConnectionPeer]. No header is
	// trusted by default: see TrustedProxies.
	Peer func(*http.Request) netip.Addr
	// TrustedProxies are peers whose X-Forwarded-For and X-Forwarded-Proto are trusted; nil for
	// none. A proxy there must append its own peer to the first and set the second, whatever its
	// client sent.
	TrustedProxies *keystile.Networks
	// EncryptedOnly refuses requests over a connection that is not known to be encrypted: by
	// TLS of the server itself, or by X-Forwarded-Proto of a trusted proxy.
	EncryptedOnly bool
	// InvalidKeys limits invalid keys from one address, by default to 60 a minute. Each guard
	// counts for itself, and so does each process. A valid key still passes from an address over
	// the limit.
	InvalidKeys keystile.RateLimit
	// InvalidKeysUnlimited does not limit invalid keys: something in front of the service does.
	InvalidKeysUnlimited bool
	// PassPreflights lets CORS preflights pass without a key: OPTIONS with Origin and
	// Access-Control-Request-Method, to a path that the profile accepts. The handler finds no key
	// in their context. No middleware behind the guard may turn them into another method, as by
	// X-HTTP-Method-Override.
	PassPreflights bool
	// Path returns the path that endpoint rules are checked against; by default [SentPath].
	Path func(*http.Request) string
	// PathProfile is which paths the service accepts; by default [keystile.PathStrict].
	PathProfile keystile.PathProfile
	// Logger logs refusals and failures; by default nothing is logged. Logs contain no part
	// of a key and no path, which could contain one.
	Logger *slog.Logger
	// Refuse writes the response to a refused request; by default the given response.
	Refuse func(w http.ResponseWriter, r *http.Request, response keystile.Response)
	// Clock returns the current time, for header fields and the limit on invalid keys; by default
	// [time.Now].
	Clock func() time.Time
}

// Guard allows only requests with a valid key. Any number of goroutines may use it at once.
type Guard struct {
	authenticator *keystile.Authenticator
	options       Options
	extractor     *keystile.CredentialExtractor
	damage        *damageLog
	// invalidKeys is nil if they are not limited.
	invalidKeys *invalidKeys
	// hasWarned is whether it was logged that the limit has no effect.
	hasWarned atomic.Bool
}

// New returns a guard that checks keys with an authenticator. An option that is none of its
// constants is an error.
func New(authenticator *keystile.Authenticator, options Options) (*Guard, error) {
	if authenticator.Verifier() == nil {
		return nil, fmt.Errorf("keystilehttp: %w: Authenticator", keystile.ErrUninitialized)
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
	guard := &Guard{authenticator: authenticator, options: options, extractor: extractor, damage: newDamageLog()}
	if probe := keystile.Refuse(keystile.CauseStoreUnavailable); guard.respond(&probe).Status != http.StatusServiceUnavailable {
		return nil, errors.New("keystilehttp: StatusPolicy or RateLimitFields is none of the constants")
	}
	if !options.PathProfile.Accepts("/") {
		return nil, errors.New("keystilehttp: PathProfile is none of the constants")
	}
	if !options.InvalidKeysUnlimited {
		limit := options.InvalidKeys
		if limit == (keystile.RateLimit{}) {
			limit = keystile.Must(keystile.NewRateLimit(invalidKeysPerMinute, time.Minute))
		}
		guard.invalidKeys = newInvalidKeys(limit)
	}
	return guard, nil
}

// Handler allows requests with any valid key.
func (g *Guard) Handler(next http.Handler) http.Handler { return g.guarded(nil, false, next) }

// Optional allows requests without a key too, such as those with a user's token in Authorization;
// the handler finds no key in their context. A key that is sent must be valid.
func (g *Guard) Optional(next http.Handler) http.Handler { return g.guarded(nil, true, next) }

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
	return func(next http.Handler) http.Handler { return g.guarded(requirement, false, next) }
}

func (g *Guard) guarded(requirement *keystile.Requirement, isOptional bool, next http.Handler) http.Handler {
	if g == nil || g.authenticator == nil {
		// Only New makes a guard, and this one could check nothing.
		return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			answer(w, r, keystile.Decision{}.Respond(keystile.ResponsePolicy{}, time.Now()))
		})
	}
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if key, is := KeyFrom(r.Context()); is && key.guard == g {
			if g.satisfies(w, r, key, requirement) {
				next.ServeHTTP(w, r)
			}
			return
		}
		from := clientOf(r, g.options.Peer(r), g.options.TrustedProxies)
		if g.options.EncryptedOnly && !from.isEncrypted {
			g.write(w, r, "encryption_required", encryptionRequired())
			return
		}
		if g.options.PassPreflights && isPreflight(r) && g.options.PathProfile.Accepts(g.options.Path(r)) {
			next.ServeHTTP(w, g.withoutSources(withKey(r, nil)))
			return
		}
		decision := g.decide(r, from, requirement)
		switch {
		case decision.Allowed():
			for _, field := range g.respond(&decision).Headers {
				w.Header().Set(field.Name, field.Value)
			}
			key := &VerifiedKey{guard: g, decision: decision}
			passed := withKey(r, key)
			if !g.options.KeepCredential {
				passed.Header = maps.Clone(r.Header)
				g.extractor.Remove(passed.Header)
			}
			next.ServeHTTP(w, passed)
		// A token in Authorization that has the shape of no key may be meant for the handler.
		case isOptional && (decision.Cause() == keystile.CauseMissingCredential || decision.Cause() == keystile.CauseAlien):
			next.ServeHTTP(w, withKey(r, nil))
		default:
			g.refuseFrom(w, r, from, &decision)
		}
	})
}

// withKey returns a copy of a request with a key in its context; nil for none, also if another
// guard has found one.
func withKey(r *http.Request, key *VerifiedKey) *http.Request {
	return r.WithContext(context.WithValue(r.Context(), contextKey{}, key))
}

// withoutSources takes each field that a key may be in off a request, which must be a copy.
func (g *Guard) withoutSources(r *http.Request) *http.Request {
	r.Header = maps.Clone(r.Header)
	for _, name := range g.extractor.Names() {
		r.Header.Del(name)
	}
	return r
}

// decide reads the key and checks it.
func (g *Guard) decide(r *http.Request, from client, requirement *keystile.Requirement) keystile.Decision {
	key, refusal, found := g.extractor.ExtractFrom(r.Header)
	if !found {
		return refusal
	}
	request := keystile.Request{
		Requirement: requirement,
		Method:      r.Method,
		Path:        g.options.Path(r),
		PathProfile: g.options.PathProfile,
		Environment: g.options.Environment,
		Address:     from.address,
	}
	if g.isLimited(from) && g.invalidKeys.isReached(from.address, g.options.Clock()) {
		decision, isDecided := g.authenticator.TryCheck(key, request)
		if isDecided {
			return decision
		}
		decision = keystile.Refuse(keystile.CauseStoreUnavailable)
		g.invalidKeys.inTurn(r.Context(), func(ctx context.Context) { decision = g.check(r, ctx, key, request) })
		return decision
	}
	return g.check(r, r.Context(), key, request)
}

func (g *Guard) check(r *http.Request, ctx context.Context, key string, request keystile.Request) keystile.Decision {
	decision, err := g.authenticator.Check(ctx, key, request)
	if err != nil && r.Context().Err() == nil && g.damage.isDue(err, g.options.Clock()) {
		g.options.Logger.ErrorContext(r.Context(), "a key could not be checked", "error", err)
	}
	return decision
}

// isLimited reports whether invalid keys of a client are counted. If they should be and nothing
// tells its address, it logs that once.
func (g *Guard) isLimited(from client) bool {
	if g.invalidKeys == nil {
		return false
	}
	if !from.address.IsValid() && !g.hasWarned.Swap(true) {
		g.options.Logger.Warn("invalid keys are not limited: the address of a client is not known; set Options.Peer")
	}
	return from.address.IsValid()
}

// refuseFrom refuses a request of a client. An invalid key counts against its address.
func (g *Guard) refuseFrom(w http.ResponseWriter, r *http.Request, from client, decision *keystile.Decision) {
	if decision.IsGuess() && g.isLimited(from) {
		if wait, isTaken := g.invalidKeys.count(from.address, g.options.Clock()); !isTaken {
			g.write(w, r, "too_many_invalid_keys", tooManyInvalidKeys(wait))
			return
		}
	}
	g.refuse(w, r, decision)
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
		g.logRefusal(r, slog.Any("decision", *decision))
	}
	g.options.Refuse(w, r, g.respond(decision))
}

// write writes a refusal that is no decision about a key.
func (g *Guard) write(w http.ResponseWriter, r *http.Request, code string, response keystile.Response) {
	g.logRefusal(r, slog.String("code", code))
	g.options.Refuse(w, r, response)
}

// logRefusal logs why a request was refused, by which peer it came and, behind a trusted proxy,
// from which client.
func (g *Guard) logRefusal(r *http.Request, why slog.Attr) {
	peer := g.options.Peer(r)
	attributes := []slog.Attr{why, slog.String("method", r.Method), slog.String("route", r.Pattern), slog.String("peer", peer.String())}
	if from := clientOf(r, peer, g.options.TrustedProxies); from.address != peer.Unmap() {
		attributes = append(attributes, slog.String("client", from.address.String()))
	}
	g.options.Logger.LogAttrs(r.Context(), slog.LevelInfo, "a request was refused", attributes...)
}

func (g *Guard) respond(decision *keystile.Decision) keystile.Response {
	policy := keystile.ResponsePolicy{Status: g.options.StatusPolicy, RateLimitFields: g.options.RateLimitFields, Extractor: g.extractor}
	return decision.Respond(policy, g.options.Clock())
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
