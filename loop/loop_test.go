package loop

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"math/big"
	"net"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// echo answers what it is sent, a line at a time.
type echo struct {
	conn    *Conn
	closed  chan error
	scanned int // bytes without the end of a line
}

func (e *echo) Data(b []byte) int {
	if len(b) == 0 {
		e.conn.CloseAfterFlush()
		return 0
	}
	end := bytes.LastIndexByte(b[e.scanned:], '\n') + 1
	if end > 0 {
		end += e.scanned
	}
	e.scanned = len(b) - end
	if bytes.Contains(b[:end], []byte("panic")) {
		panic("asked to")
	}
	e.conn.Write(b[:end])
	return end
}
func (e *echo) Drained()         {}
func (e *echo) Closed(err error) { e.closed <- err }

func startLoop(t testing.TB) *Loop {
	t.Helper()
	l, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { l.Run(); close(done) }()
	t.Cleanup(func() { l.Stop(); <-done })
	return l
}

// tcpPair returns both ends of a loopback connection.
func tcpPair(t testing.TB) (client, server net.Conn) {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	client, err = net.Dial("tcp", ln.Addr().String())
	if err != nil {
		t.Fatal(err)
	}
	if server, err = ln.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.Close() })
	_ = client.SetDeadline(time.Now().Add(testbed.Patience))
	return client, server
}

// tlsPair is tcpPair with TLS; the server's side has yet to shake hands.
func tlsPair(t testing.TB) (client, server net.Conn) {
	client, server = tcpPair(t)
	return tls.Client(client, &tls.Config{InsecureSkipVerify: true}), tls.Server(NewTransport(server), &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
}

// certificate returns a self-signed one.
var certificate = func() func(t testing.TB) tls.Certificate {
	var once sync.Once
	var cert tls.Certificate
	return func(t testing.TB) tls.Certificate {
		once.Do(func() {
			key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
			if err != nil {
				t.Fatal(err)
			}
			template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
			der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
			if err != nil {
				t.Fatal(err)
			}
			cert = tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}
		})
		return cert
	}
}()

// transports are what a loop serves.
var transports = map[string]func(testing.TB) (client, server net.Conn){"socket": tcpPair, "TLS": tlsPair}

func attachEcho(l *Loop, nc net.Conn) chan error {
	closed := make(chan error, 1)
	l.Attach(nc, func(c *Conn) Handler { return &echo{conn: c, closed: closed} })
	return closed
}

func TestEchoKeepsBytesInOrder(t *testing.T) {
	for name, pair := range transports {
		for _, size := range []int{1, 100, chunkSize - 1, chunkSize, 3*chunkSize + 7, 4 << 20} {
			t.Run(name, func(t *testing.T) {
				client, server := pair(t)
				attachEcho(startLoop(t), server)
				want := make([]byte, size)
				for i := range want {
					want[i] = byte('a' + i%23)
				}
				want[size-1] = '\n'
				go func() { _, _ = client.Write(want) }()
				got := make([]byte, size)
				if _, err := io.ReadFull(client, got); err != nil {
					t.Fatalf("reading the echo of %d bytes: %v", size, err)
				}
				if !bytes.Equal(got, want) {
					t.Errorf("the echo of %d bytes differs", size)
				}
			})
		}
	}
}

func TestPeerThatSendsNoMoreGetsItsReplies(t *testing.T) {
	for name, pair := range transports {
		t.Run(name, func(t *testing.T) {
			client, server := pair(t)
			closed := attachEcho(startLoop(t), server)
			if _, err := client.Write([]byte("one\ntwo\n")); err != nil {
				t.Fatal(err)
			}
			_ = client.(interface{ CloseWrite() error }).CloseWrite()
			got, err := io.ReadAll(client) // over TLS without an error: it was told of the end
			if err != nil || string(got) != "one\ntwo\n" {
				t.Errorf("got %q, %v; want both lines and the end", got, err)
			}
			if err := <-closed; err != nil {
				t.Errorf("closed with %v, want nil", err)
			}
		})
	}
}

func TestHandshakeThatFails(t *testing.T) {
	for name, hello := range map[string]string{"no TLS": "PING\r\n", "the peer leaves": ""} {
		t.Run(name, func(t *testing.T) {
			client, server := tcpPair(t)
			closed := attachEcho(startLoop(t), tls.Server(NewTransport(server), &tls.Config{Certificates: []tls.Certificate{certificate(t)}}))
			_, _ = client.Write([]byte(hello))
			_ = client.(*net.TCPConn).CloseWrite()
			if err := <-closed; err == nil {
				t.Error("closed without an error")
			}
		})
	}
}

// A connection whose handshake never ends can be closed, and ends with its loop.
func TestSilentHandshake(t *testing.T) {
	l := startLoop(t)
	var conns []net.Conn
	closed := make(chan error, 2)
	for range 2 {
		client, server := tcpPair(t)
		conns = append(conns, client)
		l.Attach(tls.Server(NewTransport(server), &tls.Config{Certificates: []tls.Certificate{certificate(t)}}), func(c *Conn) Handler {
			if len(conns) == 1 {
				l.After(0, func() { c.Close(io.ErrNoProgress) })
			}
			return &echo{conn: c, closed: closed}
		})
		if len(conns) == 1 {
			if err := <-closed; !errors.Is(err, io.ErrNoProgress) {
				t.Errorf("closed with %v, want %v", err, io.ErrNoProgress)
			}
		}
	}
	l.Do(func() {})
}

func TestPanicClosesOneConnectionOnly(t *testing.T) {
	for name, pair := range transports {
		t.Run(name, func(t *testing.T) {
			l := startLoop(t)
			bad, badServer := pair(t)
			good, goodServer := pair(t)
			closed := attachEcho(l, badServer)
			attachEcho(l, goodServer)
			_, _ = bad.Write([]byte("panic\n"))
			if err := <-closed; !errors.Is(err, ErrPanic) {
				t.Errorf("closed with %v, want %v", err, ErrPanic)
			}
			go func() { _, _ = good.Write([]byte("still here\n")) }()
			got := make([]byte, len("still here\n"))
			if _, err := io.ReadFull(good, got); err != nil || string(got) != "still here\n" {
				t.Errorf("the other connection got %q, %v", got, err)
			}
		})
	}
}

// once closes its connection after the first bytes, leaving more unread.
type once struct{ *echo }

func (o once) Data(b []byte) int {
	o.conn.Write([]byte("bye\n"))
	o.conn.CloseAfterFlush()
	return len(b)
}

func TestTimers(t *testing.T) {
	l := startLoop(t)
	fired := make(chan string, 3)
	l.Do(func() {
		l.After(2*time.Millisecond, func() { fired <- "second" })
		l.After(time.Millisecond, func() { fired <- "first" })
		l.After(time.Millisecond, func() { fired <- "stopped" }).Stop()
	})
	for _, want := range []string{"first", "second"} {
		if got := <-fired; got != want {
			t.Errorf("timer %q fired, want %q", got, want)
		}
	}
}

func TestStoppedLoopClosesItsConnections(t *testing.T) {
	client, server := tcpPair(t)
	l, err := New(slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { l.Run(); close(done) }()
	closed := attachEcho(l, server)
	l.Do(func() {})
	l.Stop()
	<-done
	if err := <-closed; !errors.Is(err, ErrStopped) {
		t.Errorf("closed with %v, want %v", err, ErrStopped)
	}
	if _, err := client.Read(make([]byte, 1)); err == nil {
		t.Error("the client still has its connection")
	}
	if l.Post(func() { t.Error("called after the end") }) {
		t.Error("Post to a stopped loop returned true")
	}
}

func TestQueueTail(t *testing.T) {
	c := &Conn{loop: &Loop{}, fd: -1, state: open}
	var all []byte
	for i := range 3 * chunkSize {
		all = append(all, byte(i))
	}
	c.out.append(all, &c.loop.chunks)
	c.out.discard(100, &c.loop.chunks)
	for _, n := range []int{0, 1, chunkSize, 2*chunkSize + 5, len(all) - 100} {
		if got, want := c.Tail(n), all[len(all)-n:]; !bytes.Equal(got, want) {
			t.Errorf("Tail(%d) differs", n)
		}
	}
	if got := len(c.Tail(len(all))); got != len(all)-100 {
		t.Errorf("Tail beyond the unsent bytes has %d, want %d", got, len(all)-100)
	}
}

// reader notes what it is given, and whether that is while it is being adopted.
type reader struct {
	adopting *bool
	early    *bool
	got      chan string
}

func (r *reader) Data(b []byte) int {
	*r.early = *r.early || *r.adopting
	r.got <- string(b)
	return len(b)
}
func (r *reader) Drained()     {}
func (r *reader) Closed(error) {}

// Whoever adopts a connection whose handshake is over has to hear of it before what has
// come already, and the end, are delivered.
func TestAdoptAfterTheHandshake(t *testing.T) {
	l := startLoop(t)
	theirs, ours := tcpPair(t)
	sent := make(chan error, 1)
	go func() {
		server := tls.Server(theirs, &tls.Config{Certificates: []tls.Certificate{certificate(t)}})
		_, err := server.Write([]byte("hello"))
		sent <- errors.Join(err, server.CloseWrite())
	}()
	client := tls.Client(NewTransport(ours), &tls.Config{InsecureSkipVerify: true})
	if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
		t.Fatal(err)
	}
	if err := <-sent; err != nil {
		t.Fatal(err)
	}
	var adopting, early bool
	r := &reader{&adopting, &early, make(chan string, 3)}
	l.Do(func() {
		adopting = true
		if err := l.Adopt(client, true, func(*Conn) Handler { return r }); err != nil {
			t.Error(err)
		}
		adopting = false
	})
	for _, want := range []string{"ello", ""} {
		if got := <-r.got; got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	l.Do(func() {
		if early {
			t.Error("input was delivered before Adopt returned")
		}
	})
}
