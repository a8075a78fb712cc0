package keystilehttp

import (
	"crypto/tls"
	"net/http"
	"net/netip"
	"testing"

	keystile "github.com/keystile/keystile/bindings/go"
)

func seen(peer string, headers http.Header) client {
	proxies := keystile.Must(keystile.NewNetworks("10.0.0.0/8", "fd00::/8"))
	return clientOf(&http.Request{Header: headers}, netip.MustParseAddr(peer), proxies)
}

func TestOnlyATrustedProxysHeadersAreRead(t *testing.T) {
	spoofed := http.Header{"X-Forwarded-For": {"192.0.2.1"}, "X-Forwarded-Proto": {"https"}}
	if direct := seen("203.0.113.9", spoofed); direct.address != netip.MustParseAddr("203.0.113.9") || direct.isEncrypted {
		t.Errorf("%v", direct)
	}
	for _, proxy := range []string{"10.0.0.1", "::ffff:10.0.0.1"} {
		if proxied := seen(proxy, spoofed); proxied.address != netip.MustParseAddr("192.0.2.1") || !proxied.isEncrypted {
			t.Errorf("%v", proxied)
		}
	}
	request := &http.Request{Header: spoofed, TLS: &tls.ConnectionState{}}
	if own := clientOf(request, netip.MustParseAddr("10.0.0.1"), nil); own.address != netip.MustParseAddr("10.0.0.1") || !own.isEncrypted {
		t.Errorf("no proxy is trusted by default: %v", own)
	}
	if unknown := clientOf(&http.Request{Header: spoofed}, netip.Addr{}, keystile.Must(keystile.NewNetworks("::/0", "0.0.0.0/0"))); unknown != (client{}) {
		t.Errorf("%v", unknown)
	}
}

func TestTheLastHopThatIsNotTrustedIsTheClient(t *testing.T) {
	for _, row := range []struct {
		expected string
		values   []string
	}{
		{"10.0.0.1", nil},
		{"192.0.2.1", []string{"192.0.2.1"}},
		{"192.0.2.1", []string{"198.51.100.7, 192.0.2.1"}},
		{"192.0.2.1", []string{"198.51.100.7", "192.0.2.1"}},
		{"192.0.2.1", []string{"192.0.2.1, 10.9.9.9"}},
		{"192.0.2.1", []string{"192.0.2.1", "10.9.9.9, fd00::1"}},
		{"10.1.1.1", []string{"10.1.1.1,10.2.2.2"}},
		{"192.0.2.1", []string{"192.0.2.1:4711"}},
		{"2001:db8::1", []string{"[2001:db8::1]:4711"}},
		{"2001:db8::1", []string{"[2001:db8::1]"}},
		{"192.0.2.1", []string{"::ffff:192.0.2.1"}},
		{"invalid IP", []string{"192.0.2.1, unknown"}},
		{"invalid IP", []string{"192.0.2.1,"}},
		{"invalid IP", []string{"010.0.0.1"}},
		{"invalid IP", []string{"fe80::1%eth0"}},
		{"invalid IP", []string{""}},
		{"192.0.2.1", []string{"\xff, 192.0.2.1"}},
		{"invalid IP", []string{"192.0.2.1, \xff"}},
	} {
		if found := seen("10.0.0.1", http.Header{"X-Forwarded-For": row.values}); found.address.String() != row.expected {
			t.Errorf("%q: %v, expected %s", row.values, found.address, row.expected)
		}
	}
}

func TestOneHopWithoutEncryptionIsEnoughToRefuse(t *testing.T) {
	for _, row := range []struct {
		expected bool
		values   []string
	}{
		{true, []string{"https"}}, {true, []string{"HTTPS"}}, {false, []string{"https", "http"}},
		{false, []string{"https, http"}}, {false, []string{"http"}}, {false, []string{""}}, {false, nil},
	} {
		if found := seen("10.0.0.1", http.Header{"X-Forwarded-Proto": row.values}); found.isEncrypted != row.expected {
			t.Errorf("%q", row.values)
		}
	}
}
