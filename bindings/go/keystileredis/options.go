package keystileredis

import (
	"crypto/x509"
	"errors"
	"fmt"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
	"github.com/redis/go-redis/v9/maintnotifications"
)

const (
	timeoutDefault, timeoutMin, timeoutMax = 250 * time.Millisecond, time.Millisecond, time.Minute
	prefixDefault                          = "keystile"
	// connectTimeout is how long an attempt to connect takes at most.
	connectTimeout = 2 * time.Second
)

// ErrOptions means that an option is not valid. The text names it, and does not have its value.
var ErrOptions = errors.New("keystileredis: an option is not valid")

// No braces: what is between the first ones decides which server of a cluster has a key.
var (
	prefixes = regexp.MustCompile(`^[A-Za-z0-9._:-]{1,64}$`)
	names    = regexp.MustCompile(`^[A-Za-z0-9._-]{1,64}$`)
)

// Options name a server. The zero value of a field other than URL selects its default.
type Options struct {
	// URL is redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE], or rediss:// for TLS. The password
	// is in no output.
	URL string
	// Timeout is how long a call waits for a connection and its answer together: 1 ms to a minute;
	// by default 250 ms.
	Timeout time.Duration
	// Prefix is how all names on the server begin: 1 to 64 letters, digits, "-", "_", "." and ":";
	// by default "keystile". Services that do not share their keys need different ones on one
	// server.
	Prefix string
	// RootCertificates is a PEM file of the certificates that may have signed the server's,
	// instead of those that the system trusts.
	RootCertificates string
}

// Format shows nothing but the prefix: the URL may have a password.
func (o Options) Format(state fmt.State, _ rune) {
	_, _ = fmt.Fprintf(state, "keystileredis.Options{Prefix: %q}", o.Prefix)
}

func invalid(option, expected string) error {
	return fmt.Errorf("%w: %s: expected %s", ErrOptions, option, expected)
}

// checked returns the options with their defaults.
func (o Options) checked() (Options, error) {
	if o.Timeout == 0 {
		o.Timeout = timeoutDefault
	}
	if o.Prefix == "" {
		o.Prefix = prefixDefault
	}
	if o.Timeout < timeoutMin || o.Timeout > timeoutMax {
		return o, invalid("Timeout", "1 ms to a minute")
	}
	if !prefixes.MatchString(o.Prefix) {
		return o, invalid("Prefix", "1 to 64 letters, digits, -, _, . or :")
	}
	return o, nil
}

// client returns a client that repeats nothing by itself, since it could give tokens back twice.
func (o Options) client() (*redis.Client, error) {
	const expected = "redis://[[USER]:PASSWORD@]HOST[:PORT][/DATABASE] or rediss://…"
	isTLS := strings.HasPrefix(o.URL, "rediss://")
	// A query could turn the verification of certificates off.
	if (!isTLS && !strings.HasPrefix(o.URL, "redis://")) || strings.ContainsAny(o.URL, "?#") {
		return nil, invalid("URL", expected)
	}
	// Without a host it would be this machine.
	if named, err := url.Parse(o.URL); err != nil || named.Hostname() == "" {
		return nil, invalid("URL", expected)
	}
	own, err := redis.ParseURL(o.URL)
	if err != nil {
		return nil, invalid("URL", expected)
	}
	if o.RootCertificates != "" {
		if !isTLS {
			return nil, invalid("URL", "rediss:// with RootCertificates")
		}
		roots := x509.NewCertPool()
		pem, err := os.ReadFile(o.RootCertificates)
		if err != nil || !roots.AppendCertsFromPEM(pem) {
			return nil, invalid("RootCertificates", "a PEM file of certificates")
		}
		own.TLSConfig.RootCAs = roots
	}
	own.MaxRetries, own.DialerRetries = -1, 1
	own.ContextTimeoutEnabled = true
	own.DialTimeout, own.ReadTimeout, own.WriteTimeout, own.PoolTimeout = connectTimeout, o.Timeout, o.Timeout, o.Timeout
	// Not to need rights for what it is not needed for.
	own.DisableIdentity = true
	own.MaintNotificationsConfig = &maintnotifications.Config{Mode: maintnotifications.ModeDisabled}
	return redis.NewClient(own), nil
}
