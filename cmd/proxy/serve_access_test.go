package main

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

const (
	wrongPass = "-WRONGPASS invalid username-password pair or user is disabled."
	noAuth    = "-NOAUTH Authentication required."
)

// TestAuthTimeout has clients that do not authenticate, each in its own way: all are cut
// off in time.
func TestAuthTimeout(t *testing.T) {
	file := filesIn(t, t.TempDir())
	certPEM, keyPEM := newAuthority(t).pair()
	cfg := testConfig(t)
	cfg.Limits.AuthTimeout = 500 * time.Millisecond
	cfg.TLS = TLSConfig{Listen: testbed.FreeAddr(t), CertFile: file("cert.pem", certPEM), KeyFile: file("key.pem", keyPEM)}
	r := startServe(t, cfg)
	trusting := &tls.Config{InsecureSkipVerify: true}
	silent := func(net.Conn) error { return nil }
	say := func(text string) func(net.Conn) error {
		return func(c net.Conn) error { _, err := io.WriteString(c, text); return err }
	}
	pings := func(c net.Conn) error {
		for {
			if _, err := io.WriteString(c, strings.Repeat("PING\r\n", 1000)); err != nil {
				return err
			}
		}
	}
	clients := []struct {
		name, addr string
		say        func(net.Conn) error // what it says; an error ends it, as its being cut off does
		deaf       bool                 // it does not read meanwhile
		heard      string               // what it is told, again and again
	}{
		{"nothing sent", r.addr, silent, false, ""},
		{"half a command", r.addr, say("*2\r\n$4\r\nAUTH\r\n$56\r\nrg_"), false, ""},
		{"half a line", r.addr, say("PI"), false, ""},
		{"endless PINGs", r.addr, pings, false, noAuth + "\r\n"},
		{"endless PINGs, and nothing read", r.addr, pings, true, ""},
		{"no TLS handshake begun", cfg.TLS.Listen, silent, false, ""},
		{"half a TLS handshake", cfg.TLS.Listen, func(c net.Conn) error { return tls.Client(&firstHalf{Conn: c}, trusting).Handshake() }, false, ""},
		{"TLS, and nothing in it", cfg.TLS.Listen, func(c net.Conn) error { return tls.Client(c, trusting).Handshake() }, true, ""},
	}
	for _, c := range clients {
		t.Run(c.name, func(t *testing.T) {
			began := time.Now()
			conn := dial(t, c.addr)
			defer conn.Close()
			said := make(chan error, 1)
			go func() { said <- c.say(conn) }()
			if c.deaf {
				<-said
			}
			got, err := io.ReadAll(conn)
			var late net.Error
			if errors.As(err, &late) && late.Timeout() {
				t.Fatalf("not cut off after %v", time.Since(began))
			}
			if took := time.Since(began); took < cfg.Limits.AuthTimeout {
				t.Errorf("cut off after %v, before its time: %v", took, err)
			}
			n := strings.Count(string(got), noAuth)
			if c.heard != "" && (n == 0 || !strings.HasPrefix(strings.Repeat(c.heard, n+1), string(got))) {
				t.Errorf("got %d bytes %.100q, want %q again and again", len(got), got, c.heard)
			}
			if c.heard == "" && !c.deaf && len(got) > 0 {
				t.Errorf("got %q, want nothing", got)
			}
		})
	}
	testbed.Eventually(t, "the log tells of each", func() bool {
		return strings.Count(r.log.String(), "not authenticated in time") == len(clients)
	})
}

// firstHalf passes the half of what is written first on, and nothing more.
type firstHalf struct {
	net.Conn
	once sync.Once
}

func (h *firstHalf) Write(b []byte) (int, error) {
	h.once.Do(func() { _, _ = h.Conn.Write(b[:len(b)/2]) })
	return len(b), nil
}

// openFrom opens a session of key from an address of the loopback.
func openFrom(t testing.TB, addr, from, key string) (c net.Conn, said string) {
	t.Helper()
	dialer := net.Dialer{LocalAddr: &net.TCPAddr{IP: net.ParseIP(from)}}
	c, err := dialer.DialContext(t.Context(), "tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(testbed.Patience))
	_, _ = io.WriteString(c, "AUTH "+key+"\r\n")
	return c, line(t, c)
}

// line reads one line, byte by byte.
func line(t testing.TB, r io.Reader) string {
	t.Helper()
	var got []byte
	for b := make([]byte, 1); !strings.HasSuffix(string(got), "\r\n"); got = append(got, b[0]) {
		if _, err := io.ReadFull(r, b); err != nil {
			t.Errorf("after %q: %v", got, err)
			return string(got)
		}
	}
	return strings.TrimSuffix(string(got), "\r\n")
}

// ended reports whether a session ends by itself within d, without another word.
func ended(c net.Conn, d time.Duration) bool {
	_ = c.SetDeadline(time.Now().Add(d))
	got, err := io.ReadAll(c)
	return len(got) == 0 && err == nil
}

func alive(t testing.TB, c net.Conn) bool {
	t.Helper()
	_, _ = io.WriteString(c, "PING\r\n")
	return line(t, c) == "+PONG"
}

// TestAllowFrom has a key that may be used from one address of two; then from the other.
func TestAllowFrom(t *testing.T) {
	r := startServe(t, testConfig(t))
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	allow := func(text string) {
		t.Helper()
		_, err := r.store.UpdateKey(t.Context(), keyID(key), func(k *tenant.Key) (err error) {
			k.AllowFrom, err = tenant.ParseNetworks(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	allow("127.0.0.1,2001:db8::/32")
	one, said := openFrom(t, r.addr, "127.0.0.1", key)
	if said != "+OK" || !alive(t, one) {
		t.Errorf("from where it may be used: got %q", said)
	}
	if _, said := openFrom(t, r.addr, "127.0.0.2", key); said != wrongPass {
		t.Errorf("from elsewhere: got %q, want %q", said, wrongPass)
	}
	if got := r.metric(t, `api_key_auth_failures_total{reason="address"}`); got != 1 {
		t.Errorf("%v failures for the address were counted, want 1", got)
	}
	if log := r.log.String(); !strings.Contains(log, "key="+keyID(key)+" client=127.0.0.2") || strings.Contains(log, key) {
		t.Error("want the key's id and the client's address in the log, and not the key")
	}
	allow("127.0.0.2")
	if !ended(one, 10*time.Second) {
		t.Error("the session goes on from where the key may not be used any more")
	}
	two, said := openFrom(t, r.addr, "127.0.0.2", key)
	if said != "+OK" || !alive(t, two) {
		t.Errorf("from where it may be used now: got %q", said)
	}
	allow("")
	testbed.Eventually(t, "it may be used from anywhere again", func() bool {
		_, said := openFrom(t, r.addr, "127.0.0.1", key)
		return said == "+OK"
	})
	if !alive(t, two) {
		t.Error("a session that may be used on did not live on")
	}
}

// TestExpiry has a key that ends while it is used: its sessions end, and there are no new
// ones.
func TestExpiry(t *testing.T) {
	r := startServe(t, testConfig(t))
	ends := time.Now().Add(3 * time.Second)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, func(k *tenant.Key) { k.ExpiresAt = ends })
	c, said := openFrom(t, r.addr, "127.0.0.1", key)
	blocked, _ := openFrom(t, r.addr, "127.0.0.1", key)
	_, _ = io.WriteString(blocked, "BLPOP nothing 0\r\n")
	if said != "+OK" || !alive(t, c) {
		t.Fatalf("before its end: got %q", said)
	}
	for name, c := range map[string]net.Conn{"idle": c, "blocked": blocked} {
		if !ended(c, time.Until(ends)+10*time.Second) {
			t.Errorf("%s: its session goes on after its end", name)
		}
	}
	if time.Now().Before(ends) {
		t.Error("its sessions ended before its time")
	}
	if _, said := openFrom(t, r.addr, "127.0.0.1", key); said != wrongPass {
		t.Errorf("after its end: got %q, want %q", said, wrongPass)
	}
	if got := r.metric(t, `api_key_auth_failures_total{reason="expired"}`); got != 1 {
		t.Errorf("%v failures of expired keys were counted, want 1", got)
	}
}

// TestGuessesAreSeen: what slows guesses down is a metric from the start, and in the log.
func TestGuessesAreSeen(t *testing.T) {
	r := startServe(t, testConfig(t))
	for _, series := range []string{`api_key_guesses_throttled_total{by="key"} 0`, `api_key_guesses_throttled_total{by="address"} 0`,
		`respgate_clients_refused_total{reason="key"} 0`, `respgate_clients_refused_total{reason="organization"} 0`} {
		if _, body := httpGet(t, "http://"+r.http+"/metrics"); !strings.Contains(body, series+"\n") {
			t.Errorf("%s is not there from the start", series)
		}
	}
	guess := "AUTH nonsense\r\n"
	if got := talk(t, r.addr, strings.Repeat(guess, 5)+"QUIT\r\n"); got != strings.Repeat(wrongPass+"|", 5)+"+OK|" {
		t.Errorf("got %s", got)
	}
	if got := r.metric(t, `api_key_guesses_throttled_total{by="key"}`); got != 2 {
		t.Errorf("%v guesses were counted as throttled, want 2", got)
	}
	if !strings.Contains(r.log.String(), "guesses of keys are slowed down") {
		t.Error("the log does not tell of slowed guesses")
	}
}
