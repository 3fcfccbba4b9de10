package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

func commonName(name string) func(*x509.Certificate) {
	return func(c *x509.Certificate) { c.Subject.CommonName = name }
}

func withURI(text string) func(*x509.Certificate) {
	u, err := url.Parse(text)
	if err != nil {
		panic(err)
	}
	return func(c *x509.Certificate) { c.URIs = []*url.URL{u} }
}

// startWithCertificates runs a proxy whose TLS port wants certificates of the authority,
// and an organization with a key that the name opens, whose text it returns.
func startWithCertificates(t *testing.T, ca *authority, name string) (r *running, addr, key string) {
	t.Helper()
	file := filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair()
	cfg := testConfig(t)
	cfg.TLS = TLSConfig{Listen: testbed.FreeAddr(t), CertFile: file("cert.pem", certPEM), KeyFile: file("key.pem", keyPEM), ClientCAFile: file("ca.pem", ca.pem)}
	r = startServe(t, cfg)
	key = r.tenant(t, "acme", testbed.Redis(t).Addr, func(k *tenant.Key) { k.CertificateName = name })
	return r, cfg.TLS.Listen, key
}

// TestCertificateStandsForAKey has clients with certificates of all kinds, in both versions
// of TLS: one with the key's name needs no AUTH, with what it sends right behind the
// handshake answered in order.
func TestCertificateStandsForAKey(t *testing.T) {
	ca := newAuthority(t)
	r, addr, key := startWithCertificates(t, ca, "spiffe://corp/web")
	for _, c := range []struct {
		name   string
		change func(*x509.Certificate)
		want   string
	}{
		{"URI", withURI("spiffe://corp/web"), "+PONG"},
		{"DNS name", forNames("spiffe://corp/web"), "+PONG"},
		{"common name", commonName("spiffe://corp/web"), "+PONG"},
		{"another URI", withURI("spiffe://corp/web2"), "-NOAUTH Authentication required."},
		{"a part of it", commonName("web"), "-NOAUTH Authentication required."},
	} {
		for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
			t.Run(fmt.Sprintf("%s/%s", c.name, tls.VersionName(version)), func(t *testing.T) {
				config := ca.client(c.change)
				config.MaxVersion = version
				s := login(t, addr, config, "")
				if _, err := io.WriteString(s.Conn, strings.Repeat("PING\r\n", 100)+"AUTH "+key+"\r\nGET none\r\nQUIT\r\n"); err != nil {
					t.Fatal(err)
				}
				got, err := io.ReadAll(s)
				want := strings.Repeat(c.want+"\r\n", 100) + "+OK\r\n$-1\r\n+OK\r\n"
				if err != nil || string(got) != want {
					t.Errorf("got %q, %v, want %q", got, err, want)
				}
			})
		}
	}
	for result, want := range map[string]float64{"key": 6, "unknown": 4, "unavailable": 0} {
		if got := r.metric(t, `respgate_tls_client_certificates_total{result="`+result+`"}`); got != want {
			t.Errorf("%v certificates counted as %s, want %v", got, result, want)
		}
	}
}

// TestCertifiedSessionEnds: when the key is revoked, or its name taken away, whom the
// certificate has let in is disconnected, and not let in again.
func TestCertifiedSessionEnds(t *testing.T) {
	for name, change := range map[string]func(*running, string) error{
		"revoked": func(r *running, id string) error { _, err := r.store.RevokeKey(t.Context(), id, 0); return err },
		"unbound": func(r *running, id string) error {
			_, err := r.store.UpdateKey(t.Context(), id, func(k *tenant.Key) error { k.CertificateName = ""; return nil })
			return err
		},
		"expired": func(r *running, id string) error {
			_, err := r.store.UpdateKey(t.Context(), id, func(k *tenant.Key) error { k.ExpiresAt = time.Now(); return nil })
			return err
		},
	} {
		t.Run(name, func(t *testing.T) {
			ca := newAuthority(t)
			r, addr, key := startWithCertificates(t, ca, "web")
			config := ca.client(commonName("web"))
			s := login(t, addr, config, "")
			if got := ask(t, s, "SET a 1"); got != "+OK" {
				t.Fatalf("before: got %q, want +OK", got)
			}
			if err := change(r, keyID(key)); err != nil {
				t.Fatal(err)
			}
			if rest, err := io.ReadAll(s); err != nil || len(rest) > 0 {
				t.Errorf("the session: got %q, %v, want its end", rest, err)
			}
			if got := ask(t, login(t, addr, config, ""), "GET a"); got != "-NOAUTH Authentication required." {
				t.Errorf("another one: got %q, want NOAUTH", got)
			}
		})
	}
}

// A session that TLS resumes is as good as one with a whole handshake.
func TestCertificateOfAResumedSession(t *testing.T) {
	ca := newAuthority(t)
	_, addr, _ := startWithCertificates(t, ca, "web")
	config := ca.client(commonName("web"))
	config.ClientSessionCache = tls.NewLRUClientSessionCache(1)
	resumed := false
	for range 3 {
		s := login(t, addr, config, "")
		if got := ask(t, s, "PING"); got != "+PONG" {
			t.Errorf("got %q, want +PONG", got)
		}
		resumed = s.Conn.(*tls.Conn).ConnectionState().DidResume
		s.Close()
	}
	if !resumed {
		t.Error("no session was resumed")
	}
}
