package main

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/metrics"
)

func forNames(names ...string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.DNSNames = names }
}

// shown returns the names of the certificate that is shown to who asks for name.
func shownTo(t testing.TB, addr string, ca *authority, name string) string {
	t.Helper()
	config := ca.trusts(name)
	config.InsecureSkipVerify = true
	raw := dial(t, addr)
	defer raw.Close()
	conn := tls.Client(raw, config)
	if err := conn.Handshake(); err != nil {
		t.Fatalf("handshake for %q: %v", name, err)
	}
	return strings.Join(conn.ConnectionState().PeerCertificates[0].DNSNames, " ")
}

// TestCertificateByName: the name that a client asks for chooses the certificate.
func TestCertificateByName(t *testing.T) {
	ca := newAuthority(t)
	file := filesIn(t, t.TempDir())
	pair := func(names ...string) CertificateConfig {
		certPEM, keyPEM := ca.pair(forNames(names...))
		return CertificateConfig{file(names[0]+".pem", certPEM), file(names[0]+".key", keyPEM)}
	}
	first := pair("first.example")
	others := []CertificateConfig{pair("a.example", "b.example"), pair("*.wild.example")}
	for _, c := range []struct {
		name, asks string
		cfg        TLSConfig
		want       string
	}{
		{"the pair's own name", "first.example", TLSConfig{CertFile: first.CertFile, KeyFile: first.KeyFile, Certificates: others}, "first.example"},
		{"a further one's", "b.example", TLSConfig{CertFile: first.CertFile, KeyFile: first.KeyFile, Certificates: others}, "a.example b.example"},
		{"in other letters", "B.Example", TLSConfig{CertFile: first.CertFile, KeyFile: first.KeyFile, Certificates: others}, "a.example b.example"},
		{"a wildcard", "x.wild.example", TLSConfig{CertFile: first.CertFile, KeyFile: first.KeyFile, Certificates: others}, "*.wild.example"},
		{"nobody's", "other.example", TLSConfig{CertFile: first.CertFile, KeyFile: first.KeyFile, Certificates: others}, "first.example"},
		{"no name", "", TLSConfig{CertFile: first.CertFile, KeyFile: first.KeyFile, Certificates: others}, "first.example"},
		{"the list alone", "", TLSConfig{Certificates: others}, "a.example b.example"},
	} {
		t.Run(c.name, func(t *testing.T) {
			cfg := testConfig(t)
			cfg.TLS = c.cfg
			cfg.TLS.Listen = testbed.FreeAddr(t)
			startServe(t, cfg)
			if got := shownTo(t, cfg.TLS.Listen, ca, c.asks); got != c.want {
				t.Errorf("asking for %q: got the certificate of %q, want that of %q", c.asks, got, c.want)
			}
		})
	}
}

// TestCertificateFilesSettle: whatever the files hold meanwhile, the last good pair is
// shown, each bad state is told once, and what is good in the end is taken up.
func TestCertificateFilesSettle(t *testing.T) {
	ca := newAuthority(t)
	file := filesIn(t, t.TempDir())
	oldCert, oldKey := ca.pair(forNames("old.example"))
	newCert, newKey := ca.pair(forNames("new.example"))
	cfg := testConfig(t)
	cfg.TLS = TLSConfig{Listen: "127.0.0.1:0", CertFile: file("cert.pem", oldCert), KeyFile: file("key.pem", oldKey), ClientCAFile: file("ca.pem", ca.pem)}
	reg := prometheus.NewPedanticRegistry()
	m, err := metrics.New(reg, 1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	log := &testbed.Buffer{}
	certs, err := loadCertificates(cfg, m, slog.New(slog.NewTextHandler(log, nil)))
	if err != nil {
		t.Fatal(err)
	}
	complaints := 0
	for _, c := range []struct {
		name    string
		write   map[string][]byte
		serves  string
		wantErr string
	}{
		{"as before", nil, "old.example", ""},
		{"the certificate comes first", map[string][]byte{"cert.pem": newCert}, "old.example", "tls.cert_file, tls.key_file: tls: private key does not match public key"},
		{"half of the key", map[string][]byte{"key.pem": newKey[:len(newKey)/2]}, "old.example", "tls.cert_file, tls.key_file: tls: failed to find any PEM data in key input"},
		{"all of the key", map[string][]byte{"key.pem": newKey}, "new.example", ""},
		{"an empty certificate", map[string][]byte{"cert.pem": nil}, "new.example", "tls.cert_file, tls.key_file: tls: failed to find any PEM data in certificate input"},
		{"no authority", map[string][]byte{"cert.pem": oldCert, "key.pem": oldKey, "ca.pem": []byte("x")}, "new.example", "tls.client_ca_file: "},
		{"all good again", map[string][]byte{"ca.pem": ca.pem}, "old.example", ""},
	} {
		for name, content := range c.write {
			file(name, content)
		}
		if c.wantErr != "" {
			complaints++
		}
		for range 3 { // as often as it is polled
			certs.follow(certs.listeners[0])
		}
		now := certs.config("tls")()
		if got := now.Certificates[0].Leaf.DNSNames[0]; got != c.serves {
			t.Errorf("%s: shows the certificate of %s, want %s", c.name, got, c.serves)
		}
		if got := strings.Count(log.String(), "certificates cannot be used"); got != complaints {
			t.Errorf("%s: %d complaints so far, want %d:\n%s", c.name, got, complaints, log)
		}
		if err := certs.Reload(); (err == nil) != (c.wantErr == "") || err != nil && !strings.HasPrefix(err.Error(), c.wantErr) {
			t.Errorf("%s: Reload returned %v, want %q", c.name, err, c.wantErr)
		}
		complaints += min(len(c.wantErr), 1) // when asked for it is told again
		if certs.config("tls")().Certificates[0].Leaf.DNSNames[0] != c.serves {
			t.Errorf("%s: Reload has changed what is shown", c.name)
		}
	}
}

// TestCertificatesAreRenewedUnderLoad: while certificate and key are replaced, no handshake
// fails and no connection is lost.
func TestCertificatesAreRenewedUnderLoad(t *testing.T) {
	ca := newAuthority(t)
	file := filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair(forNames("old.example"))
	cfg := testConfig(t)
	cfg.TLS = TLSConfig{Listen: testbed.FreeAddr(t), CertFile: file("cert.pem", certPEM), KeyFile: file("key.pem", keyPEM)}
	cfg.HTTP.CertFile, cfg.HTTP.KeyFile = cfg.TLS.CertFile, cfg.TLS.KeyFile
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	old := login(t, cfg.TLS.Listen, ca.trusts("127.0.0.1"), key)
	returning := map[string]*tls.Config{cfg.TLS.Listen: ca.returning(), r.http: ca.returning()}
	for addr, config := range returning {
		if resumes(t, addr, config) || !resumes(t, addr, config) {
			t.Errorf("%s: a client that comes back makes a whole handshake, want its session resumed", addr)
		}
	}

	stop := make(chan struct{})
	var load sync.WaitGroup
	for range 2 {
		load.Go(func() {
			for n := 0; ; n++ {
				select {
				case <-stop:
					return
				default:
				}
				raw := dial(t, cfg.TLS.Listen)
				if err := tls.Client(raw, ca.trusts("127.0.0.1")).Handshake(); err != nil {
					t.Errorf("handshake %d: %v", n, err)
				}
				raw.Close()
			}
		})
	}
	certPEM, keyPEM = ca.pair(forNames("new.example"), func(c *x509.Certificate) { c.NotAfter = time.Unix(4e9, 0) })
	file("cert.pem", certPEM)
	testbed.Eventually(t, "the pair that does not fit is noticed", func() bool {
		return strings.Contains(r.log.String(), "private key does not match public key")
	})
	if got := shownTo(t, cfg.TLS.Listen, ca, "old.example"); got != "old.example" {
		t.Errorf("with half of the change made: the certificate of %q is shown, want old.example's", got)
	}
	file("key.pem", keyPEM)
	for listener, addr := range map[string]string{"tls": cfg.TLS.Listen, "http": r.http} {
		testbed.Eventually(t, "the new certificate is shown by "+listener, func() bool {
			return shownTo(t, addr, ca, "x.example") == "new.example"
		})
	}
	for addr, config := range returning {
		if resumes(t, addr, config) {
			t.Errorf("%s: a session from before the change is resumed, want none", addr)
		}
	}
	close(stop)
	load.Wait()
	if got := ask(t, old, "PING"); got != "+PONG" {
		t.Errorf("the connection from before: got %q, want +PONG", got)
	}
	body := getHTTPS(t, ca, r.http, "/metrics")
	for _, series := range []string{`respgate_tls_certificate_expiry_timestamp_seconds{listener="tls",name="new.example"} 4e+09`,
		`respgate_tls_certificate_expiry_timestamp_seconds{listener="http",name="new.example"} 4e+09`,
		`respgate_tls_reloads_total{listener="tls",result="ok"} 1`, `respgate_tls_reloads_total{listener="http",result="error"} 1`} {
		if !strings.Contains(body, series+"\n") {
			t.Errorf("/metrics has no %s", series)
		}
	}
	if strings.Contains(body, "old.example") {
		t.Error("/metrics still has the old certificate")
	}
}

// returning is the configuration of a client that remembers its TLS session.
func (a *authority) returning() *tls.Config {
	config := a.trusts("127.0.0.1")
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	config.MaxVersion = tls.VersionTLS12 // 1.3 gives tickets after the handshake
	return config
}

// resumes reports whether a client's handshake goes on with an earlier session.
func resumes(t testing.TB, addr string, config *tls.Config) bool {
	t.Helper()
	conn := tls.Client(dial(t, addr), config)
	defer conn.Close()
	if err := conn.Handshake(); err != nil {
		t.Error(err)
	}
	return conn.ConnectionState().DidResume
}

// session is a client's end of a connection.
type session struct {
	net.Conn
	*bufio.Reader
}

func (s session) Read(b []byte) (int, error) { return s.Reader.Read(b) }

// login connects and authenticates; without config in plain text, without key not at all.
func login(t testing.TB, addr string, config *tls.Config, key string) session {
	t.Helper()
	conn := dial(t, addr)
	t.Cleanup(func() { conn.Close() })
	if config != nil {
		conn = tls.Client(conn, config)
	}
	s := session{conn, bufio.NewReader(conn)}
	if key != "" {
		if got := ask(t, s, "AUTH "+key); got != "+OK" {
			t.Fatalf("AUTH: got %q", got)
		}
	}
	return s
}

// ask sends a command and returns the first line of what comes back.
func ask(t testing.TB, s session, command string) string {
	t.Helper()
	if _, err := io.WriteString(s.Conn, command+"\r\n"); err != nil {
		t.Errorf("%s: %v", command, err)
	}
	line, err := s.ReadString('\n')
	if err != nil {
		return fmt.Sprint(err)
	}
	return strings.TrimSpace(line)
}

func getHTTPS(t testing.TB, ca *authority, addr, path string) string {
	t.Helper()
	client := http.Client{Timeout: testbed.Patience, Transport: &http.Transport{TLSClientConfig: ca.trusts("127.0.0.1")}}
	defer client.CloseIdleConnections()
	res, err := client.Get("https://" + addr + path)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("GET %s: %d %s, %v", path, res.StatusCode, body, err)
	}
	return string(body)
}

// TestHTTPS: with a certificate the HTTP side speaks TLS only, 1.2 or newer, and the health
// check does not mind that it has expired.
func TestHTTPS(t *testing.T) {
	ca := newAuthority(t)
	file := filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair(func(c *x509.Certificate) { c.NotAfter = time.Now().Add(-time.Minute) })
	cfg := testConfig(t)
	cfg.HTTP.CertFile, cfg.HTTP.KeyFile = file("cert.pem", certPEM), file("key.pem", keyPEM)
	r := startServe(t, cfg)
	if !strings.Contains(r.log.String(), "certificate has expired") {
		t.Error("the log does not say that the certificate has expired")
	}
	testbed.Eventually(t, "the health check finds it ready", func() bool { return cfg.HTTP.askReady(t.Context(), r.http) == nil })
	if status, body := httpGet(t, "http://"+r.http+"/health/ready"); status != http.StatusBadRequest {
		t.Errorf("plain HTTP: got %d %s, want 400", status, body)
	}
	config := ca.trusts("127.0.0.1")
	config.MaxVersion, config.InsecureSkipVerify = tls.VersionTLS11, true
	raw := dial(t, r.http)
	defer raw.Close()
	if err := tls.Client(raw, config).Handshake(); err == nil {
		t.Error("TLS 1.1 is spoken, want a refused handshake")
	}
}
