package keystilehttp

import (
	"net/http"
	"net/netip"
	"strings"

	keystile "github.com/keystile/keystile/bindings/go"
)

// client is what is known of the client that sent a request.
type client struct {
	// address is not valid if the connection's is not, or if a trusted proxy sent an
	// X-Forwarded-For that cannot be read.
	address     netip.Addr
	isEncrypted bool
}

// clientOf returns the client at the other end of the connection or, if that is a trusted
// proxy, the one that its headers name. A nil list trusts none.
func clientOf(r *http.Request, peer netip.Addr, proxies *keystile.Networks) client {
	peer = peer.Unmap()
	if proxies == nil || !peer.IsValid() || !proxies.Contains(peer) {
		return client{peer, r.TLS != nil}
	}
	return client{forwardedFor(r, peer, proxies), isForwardedEncrypted(r)}
}

// forwardedFor returns the last address in X-Forwarded-For that is not a trusted proxy's. Each
// proxy appends its own peer, so everything before that address is the client's own claim.
func forwardedFor(r *http.Request, peer netip.Addr, proxies *keystile.Networks) netip.Addr {
	nearest := peer
	values := r.Header.Values("X-Forwarded-For")
	for at := len(values) - 1; at >= 0; at-- {
		hops := strings.Split(values[at], ",")
		for hop := len(hops) - 1; hop >= 0; hop-- {
			nearest = parseAddress(strings.Trim(hops[hop], " \t"))
			// A trusted proxy writes nothing that cannot be read.
			if !nearest.IsValid() || !proxies.Contains(nearest) {
				return nearest
			}
		}
	}
	return nearest
}

// parseAddress parses an address, which may be in brackets or have a port; it returns the zero
// address for anything else.
func parseAddress(text string) netip.Addr {
	bare := text
	if strings.HasPrefix(text, "[") && strings.HasSuffix(text, "]") {
		bare = text[1 : len(text)-1]
	}
	address, err := netip.ParseAddr(bare)
	if err != nil {
		socket, err := netip.ParseAddrPort(text)
		if err != nil {
			return netip.Addr{}
		}
		address = socket.Addr()
	}
	if address.Zone() != "" {
		return netip.Addr{}
	}
	return address.Unmap()
}

// isForwardedEncrypted reports whether X-Forwarded-Proto is there, and every value of it is
// https.
func isForwardedEncrypted(r *http.Request) bool {
	values := r.Header.Values("X-Forwarded-Proto")
	for _, value := range values {
		if !strings.EqualFold(value, "https") {
			return false
		}
	}
	return len(values) > 0
}

// isPreflight reports whether a request is one that a browser sends before the real one, to ask
// whether that is allowed (Fetch standard, "CORS-preflight fetch"). It never has a key.
func isPreflight(r *http.Request) bool {
	origin, asked := r.Header["Origin"], r.Header["Access-Control-Request-Method"]
	return r.Method == http.MethodOptions && len(origin) == 1 && origin[0] != "" && len(asked) == 1 && isToken(asked[0])
}

// isToken reports whether a text is a token, as each method is (RFC 9110, section 5.6.2).
func isToken(text string) bool {
	return text != "" && strings.IndexFunc(text, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && !strings.ContainsRune("!#$%&'*+-.^_`|~", c)
	}) < 0
}
