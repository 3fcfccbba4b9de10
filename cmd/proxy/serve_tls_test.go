package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// authority signs certificates for tests.
type authority struct {
	t    testing.TB
	cert *x509.Certificate
	key  *ecdsa.PrivateKey
	pem  []byte
}

func newAuthority(t testing.TB) *authority {
	a := &authority{t: t}
	a.cert = &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), KeyUsage: x509.KeyUsageCertSign}
	a.pem, a.key = a.sign(a.cert)
	return a
}

// sign returns the certificate, signed by the authority, or by itself for the
// authority's own.
func (a *authority) sign(template *x509.Certificate) (certPEM []byte, key *ecdsa.PrivateKey) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		a.t.Fatal(err)
	}
	signer := a.key
	if signer == nil {
		signer = key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, a.cert, key.Public(), signer)
	if err != nil {
		a.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), key
}

// pair returns a certificate for 127.0.0.1, which change may change before it is signed,
// and its key, both in PEM.
func (a *authority) pair(change ...func(*x509.Certificate)) (certPEM, keyPEM []byte) {
	template := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "test"}, IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1)},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour), ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}}
	for _, fn := range change {
		fn(template)
	}
	certPEM, key := a.sign(template)
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		a.t.Fatal(err)
	}
	return certPEM, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
}

// trusts is a client's configuration, which trusts the authority and asks for name.
func (a *authority) trusts(name string) *tls.Config {
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(a.pem)
	return &tls.Config{RootCAs: roots, ServerName: name}
}

// client is trusts with a certificate of the authority's to show.
func (a *authority) client(change ...func(*x509.Certificate)) *tls.Config {
	a.t.Helper()
	certPEM, keyPEM := a.pair(change...)
	pair, err := tls.X509KeyPair(certPEM, keyPEM)
	if err != nil {
		a.t.Fatal(err)
	}
	config := a.trusts("127.0.0.1")
	config.Certificates = []tls.Certificate{pair}
	return config
}

// filesIn returns what writes a file in dir and returns its path.
func filesIn(t *testing.T, dir string) func(name string, content []byte) string {
	return func(name string, content []byte) string {
		t.Helper()
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, content, 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
}

// TestTLS has clients on the TLS port: with a certificate of the right authority they
// are served like all others, without one or with another's they are not.
func TestTLS(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	file := filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair()
	cfg := testConfig(t)
	cfg.TLS = TLSConfig{Listen: testbed.FreeAddr(t), CertFile: file("cert.pem", certPEM), KeyFile: file("key.pem", keyPEM), ClientCAFile: file("ca.pem", ca.pem)}
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)

	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.pem)
	big := strings.Repeat("v", 3<<20)
	input := "AUTH " + key + "\r\n*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$" + "3145728\r\n" + big + "\r\nGET big\r\nPING\r\nQUIT\r\n"
	want := "+OK\r\n+OK\r\n$3145728\r\n" + big + "\r\n+PONG\r\n+OK\r\n"
	for _, c := range []struct {
		name string
		from *authority
		ok   bool
	}{{"of the authority", ca, true}, {"of another authority", other, false}, {"none", nil, false}} {
		conf := &tls.Config{RootCAs: roots, ServerName: "127.0.0.1", MinVersion: tls.VersionTLS12}
		if c.from != nil {
			certPEM, keyPEM := c.from.pair()
			pair, err := tls.X509KeyPair(certPEM, keyPEM)
			if err != nil {
				t.Fatal(err)
			}
			conf.GetClientCertificate = func(*tls.CertificateRequestInfo) (*tls.Certificate, error) { return &pair, nil }
		}
		raw := dial(t, cfg.TLS.Listen)
		conn := tls.Client(raw, conf)
		go func() { _, _ = io.WriteString(conn, input) }()
		got, err := io.ReadAll(conn)
		if c.ok && (err != nil || string(got) != want) {
			t.Errorf("certificate %s: got %d bytes %.60q, %v, want %d bytes", c.name, len(got), got, err, len(want))
		}
		if !c.ok && (len(got) > 0 || err == nil) {
			t.Errorf("certificate %s: got %.60q, %v, want a refused handshake", c.name, got, err)
		}
		raw.Close()
	}
	if got := talk(t, cfg.TLS.Listen, "PING\r\nPING\r\n"); strings.Contains(got, "PONG") || strings.Contains(got, "NOAUTH") {
		t.Errorf("plain text on the TLS port: got %q", got)
	}
	if got := talk(t, r.addr, "AUTH "+key+"\r\nSTRLEN big\r\nQUIT\r\n"); got != "+OK|:3145728|+OK|" {
		t.Errorf("after the refused ones, the plain port: got %q", got)
	}
}

// TestTLSToBackends has backends that speak TLS only to whom they know, and who are known
// themselves; a backend that is not is not used.
func TestTLSToBackends(t *testing.T) {
	ca, other := newAuthority(t), newAuthority(t)
	file := filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair()
	cert, key, caFile, otherFile := file("cert.pem", certPEM), file("key.pem", keyPEM), file("ca.pem", ca.pem), file("other.pem", other.pem)
	plain := testbed.Redis(t)
	addr := testbed.Redis(t, "--tls-cert-file", cert, "--tls-key-file", key, "--tls-ca-cert-file", caFile, "--tls-auth-clients", "yes").Addr
	cfg := testConfig(t)
	cfg.Pool.DialAttempts = 1
	r := startServe(t, cfg)
	ours := "&cert_file=" + cert + "&key_file=" + key
	good := "rediss://" + addr + "/0?ca_file=" + caFile + ours
	value := "$3145728\r\n" + strings.Repeat("v", 3<<20) + "\r\n"
	ask := "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n" + value + "GET big\r\nMULTI\r\nGET big\r\nEXEC\r\n" // on a shared link and on one of its own
	for i, c := range []struct{ name, url, ask, want, or string }{
		{"known to each other", good, ask, "+OK\r\n" + value + "+OK\r\n+QUEUED\r\n*1\r\n" + value, ""},
		{"the backend is not trusted", "rediss://" + addr + "/0?ca_file=" + otherFile + ours, "GET a\r\n", "-ERR backend unavailable: its certificate is not trusted\r\n", ""},
		{"another name", good + "&server_name=redis.example", "GET a\r\n", "-ERR backend unavailable: its certificate is not trusted\r\n", ""},
		{"we show nothing", "rediss://" + addr + "/0?ca_file=" + caFile, "GET a\r\n", "-ERR backend unavailable: it refused the TLS handshake\r\n",
			"-ERR backend unavailable: connection closed\r\n"}, // where Redis's reset overtakes its alert
		{"no TLS there", "rediss://" + plain.Addr + "/0?ca_file=" + caFile, "GET a\r\n", "-ERR backend unavailable: timed out\r\n", ""},
		{"a file is missing", "rediss://" + addr + "/0?ca_file=/nonexistent", "GET a\r\n", "-ERR backend unavailable: its files for TLS cannot be used\r\n", ""},
	} {
		k := r.tenantAt(t, fmt.Sprintf("org%d", i), tenant.Secret(c.url), nil)
		want := strings.ReplaceAll("+OK\r\n"+c.want+"+OK\r\n", "\r\n", "|")
		or := strings.ReplaceAll("+OK\r\n"+c.or+"+OK\r\n", "\r\n", "|")
		if got := talk(t, r.addr, "AUTH "+k+"\r\n"+c.ask+"QUIT\r\n"); got != want && (c.or == "" || got != or) {
			t.Errorf("%s: got %d bytes %.200q, want %d bytes %.200q", c.name, len(got), got, len(want), want)
		}
	}
}
