package keystileredis_test

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	keystile "github.com/keystile/keystile/bindings/go"
	"github.com/keystile/keystile/bindings/go/keystileredis"
)

// certificate writes a certificate of this machine's address, signed by itself, and its key.
func certificate(t *testing.T, address string) (certificate, key string) {
	t.Helper()
	private := must(ecdsa.GenerateKey(elliptic.P256(), rand.Reader))
	form := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.ParseIP(address)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	write := func(name, kind string, bytes []byte) string {
		file := filepath.Join(t.TempDir(), name)
		if err := os.WriteFile(file, pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: bytes}), 0o600); err != nil {
			t.Fatal(err)
		}
		return file
	}
	return write("certificate", "CERTIFICATE", must(x509.CreateCertificate(rand.Reader, form, form, &private.PublicKey, private))),
		write("key", "EC PRIVATE KEY", must(x509.MarshalECPrivateKey(private)))
}

func TestAServerOverTLS(t *testing.T) {
	own, key := certificate(t, "127.0.0.1")
	other, _ := certificate(t, "127.0.0.1")
	server := start(t, "port 0", "tls-port PORT", "tls-auth-clients no", "tls-cert-file "+own, "tls-key-file "+key)
	options := keystileredis.Options{URL: fmt.Sprintf("rediss://127.0.0.1:%d", server.port), Timeout: patience, RootCertificates: own}
	if taken := must(server.open(options).Take(ctx, keystile.Take{Lineage: id(1), Limit: hourly(1), Tokens: 1})); taken.Tokens != 1 {
		t.Error(taken)
	}
	for _, roots := range []string{other, ""} {
		options.RootCertificates = roots
		if _, err := keystileredis.Connect(ctx, options); err == nil || !strings.Contains(err.Error(), "certificate") {
			t.Errorf("by a certificate that no one trusts: %v", err)
		}
	}
	// Nor without TLS, nor by another name.
	for _, url := range []string{fmt.Sprintf("redis://127.0.0.1:%d", server.port), fmt.Sprintf("rediss://localhost:%d", server.port)} {
		wrong := keystileredis.Options{URL: url, Timeout: patience}
		if strings.HasPrefix(url, "rediss") {
			wrong.RootCertificates = own
		}
		if _, err := keystileredis.Connect(ctx, wrong); err == nil {
			t.Error(url)
		}
	}
}
