package loop

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"math/big"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

func serverConfig(t testing.TB) *tls.Config {
	return &tls.Config{Certificates: []tls.Certificate{certificate(t)}}
}

// Handshakes that wait for their peers leave the gate's only place to others.
func TestSilentHandshakesLeaveTheGate(t *testing.T) {
	l := startLoop(t)
	ended := make(chan error, 64)
	gate := NewGate(1, func(err error) { ended <- err })
	hello := testbed.ClientHello(t)
	for i := range 40 {
		client, server := tcpPair(t)
		attachEcho(l, tls.Server(gate.Transport(server), serverConfig(t)))
		_, _ = client.Write(hello[:i*len(hello)/39]) // nothing, a part of it, and all of it
	}
	client, server := tcpPair(t)
	attachEcho(l, tls.Server(gate.Transport(server), serverConfig(t)))
	secured := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
	_, _ = secured.Write([]byte("hello\n"))
	got := make([]byte, 6)
	if _, err := io.ReadFull(secured, got); err != nil || string(got) != "hello\n" {
		t.Fatalf("got %q, %v, want the echo", got, err)
	}
	if err := <-ended; err != nil {
		t.Errorf("the gate was told of %v, want nil", err)
	}
}

func TestHandshakeIsNotTooLong(t *testing.T) {
	client, server := tcpPair(t)
	failed := make(chan error, 1)
	attachEcho(startLoop(t), tls.Server(NewGate(1, func(err error) { failed <- err }).Transport(server), serverConfig(t)))
	// Records of a ClientHello that says that it has 60,000 bytes.
	body := append([]byte{1, 0, 0xea, 0x60}, make([]byte, 16000-4)...)
	for range 4 {
		_, _ = client.Write(append([]byte{22, 3, 1, 16000 >> 8, 16000 & 0xff}, body...))
		body = make([]byte, 16000)
	}
	if err := <-failed; !errors.Is(err, errLongHandshake) {
		t.Errorf("the handshake ended with %v, want %v", err, errLongHandshake)
	}
}

// What comes in handshakes is held, until they end.
func TestHandshakesAreHeld(t *testing.T) {
	account, loops := startAccounted(t, 1, 100_000)
	gate := NewGate(1, func(error) {})
	piece := append([]byte{22, 3, 1, 16000 >> 8, 16000 & 0xff, 1, 0, 0xea, 0x60}, make([]byte, 16000-4)...)
	var clients []net.Conn
	for range 4 {
		client, server := tcpPair(t)
		attachEcho(loops[0], tls.Server(gate.Transport(server), serverConfig(t)))
		_, _ = client.Write(piece)
		clients = append(clients, client)
	}
	<-account.Over()
	testbed.Eventually(t, "all is held, twice", func() bool { return account.Held() == int64(4*2*len(piece)) })
	for _, c := range clients {
		c.Close()
	}
	testbed.Within(t, 10*time.Second, "nothing is held", func() bool { return account.Held() == 0 })
}

// A peer is told by an alert what was wrong, also when it has sent more meanwhile.
func TestAlertArrives(t *testing.T) {
	l := startLoop(t)
	t.Run("during the handshake", func(t *testing.T) {
		client, server := tcpPair(t)
		config := serverConfig(t)
		config.ClientAuth = tls.RequireAnyClientCert
		attachEcho(l, tls.Server(NewTransport(server), config))
		secured := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		if _, err := secured.Write([]byte(strings.Repeat("more\n", 1000))); err != nil {
			t.Fatal(err) // TLS 1.3: the client's side is done already
		}
		_, err := secured.Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), "certificate required") {
			t.Errorf("got %v, want the alert 'certificate required'", err)
		}
	})
	t.Run("afterwards", func(t *testing.T) {
		client, server := tcpPair(t)
		closed := attachEcho(l, tls.Server(NewTransport(server), serverConfig(t)))
		secured := tls.Client(client, &tls.Config{InsecureSkipVerify: true})
		if err := secured.Handshake(); err != nil {
			t.Fatal(err)
		}
		forged := append([]byte{23, 3, 3, 0, 64}, make([]byte, 64)...)
		_, _ = client.Write(append(forged, make([]byte, 64<<10)...))
		_, err := secured.Read(make([]byte, 1))
		if err == nil || !strings.Contains(err.Error(), "bad record MAC") {
			t.Errorf("got %v, want the alert 'bad record MAC'", err)
		}
		if err := <-closed; err == nil {
			t.Error("closed without an error")
		}
	})
}

// sleeper is paused and told when its peer sends no more.
type sleeper struct {
	*echo
	hungUp chan struct{}
}

func (s *sleeper) HungUp() { close(s.hungUp) }

// The end of what a peer sends, which TLS has in the stream, is noticed during a pause, and
// what came before it is kept.
func TestCloseNotifyDuringAPause(t *testing.T) {
	for name, before := range map[string]int{"alone": 0, "after a line": 6, "after more than is kept on a read": 5 << 10} {
		t.Run(name, func(t *testing.T) {
			l := startLoop(t)
			client, server := tlsPair(t)
			s := &sleeper{echo: &echo{closed: make(chan error, 1)}, hungUp: make(chan struct{})}
			l.Attach(server, func(c *Conn) Handler {
				s.conn = c
				c.Pause()
				return s
			})
			want := strings.Repeat("line.\n", before/6)
			_, _ = client.Write([]byte(want))
			_ = client.(*tls.Conn).CloseWrite()
			select {
			case <-s.hungUp:
			case <-time.After(testbed.Patience):
				t.Fatal("not told that the peer sends no more")
			}
			l.Do(func() { s.conn.Resume() })
			got, err := io.ReadAll(client)
			if err != nil || string(got) != want {
				t.Errorf("got %d bytes, %v, want the %d that were sent, and the end", len(got), err, len(want))
			}
		})
	}
}

// A paused connection does not take without end what its peer sends.
func TestPauseHoldsUpAPeerWithTLS(t *testing.T) {
	l := startLoop(t)
	client, server := tlsPair(t)
	var conn *Conn
	l.Attach(server, func(c *Conn) Handler {
		conn = c
		c.Pause()
		return &echo{conn: c, closed: make(chan error, 1)}
	})
	text := []byte(strings.Repeat("line.\n", 1<<20))
	go func() { _, _ = client.Write(text) }()
	var kept int
	testbed.Eventually(t, "as much is kept as is read ahead", func() bool {
		l.Do(func() { kept = len(conn.in) })
		return kept >= maxAhead
	})
	// What was there, what is read at once, and the record that this completes.
	if most := 3 * maxAhead; kept > most {
		t.Errorf("%d bytes are kept during a pause, want at most %d", kept, most)
	}
	l.Do(func() { conn.Resume() })
	got := make([]byte, len(text))
	if _, err := io.ReadFull(client, got); err != nil || string(got) != string(text) {
		t.Errorf("after the pause: %v, want all that was sent", err)
	}
}

// certified notes what it is told of its peer's certificate.
type certified struct {
	*echo
	names chan string
}

func (c *certified) Certified(cert *x509.Certificate) { c.names <- cert.Subject.CommonName }

func (c *certified) Data(b []byte) int {
	if len(c.names) == 0 {
		c.names <- "data came first"
	}
	return c.echo.Data(b)
}

func TestHandlerIsToldOfTheCertificate(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour), IsCA: true, BasicConstraintsValid: true}
	template.Subject.CommonName = "web"
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	parsed, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	config := serverConfig(t)
	config.ClientAuth, config.ClientCAs = tls.RequireAndVerifyClientCert, x509.NewCertPool()
	config.ClientCAs.AddCert(parsed)
	client, server := tcpPair(t)
	c := &certified{&echo{closed: make(chan error, 1)}, make(chan string, 2)}
	startLoop(t).Attach(tls.Server(NewTransport(server), config), func(conn *Conn) Handler {
		c.conn = conn
		return c
	})
	secured := tls.Client(client, &tls.Config{InsecureSkipVerify: true, Certificates: []tls.Certificate{{Certificate: [][]byte{der}, PrivateKey: key}}})
	_, _ = secured.Write([]byte("hello\n"))
	if _, err := io.ReadFull(secured, make([]byte, 6)); err != nil {
		t.Fatal(err)
	}
	if got := <-c.names; got != "web" {
		t.Errorf("told of %q, want the certificate of 'web'", got)
	}
}
