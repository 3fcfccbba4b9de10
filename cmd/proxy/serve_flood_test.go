package main

import (
	"crypto/tls"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// TestHandshakeFlood: while hundreds of handshakes hang in every state and others are made
// as fast as they can be, clients that are connected get all their answers, new ones get
// in, and what hangs is closed when its time is over.
func TestHandshakeFlood(t *testing.T) {
	ca := newAuthority(t)
	file := filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair()
	cfg := testConfig(t)
	cfg.TLS = TLSConfig{Listen: testbed.FreeAddr(t), CertFile: file("cert.pem", certPEM), KeyFile: file("key.pem", keyPEM), ClientCAFile: file("ca.pem", ca.pem)}
	cfg.Limits.AuthTimeout = 3 * time.Second
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	config := ca.client()
	before := []session{login(t, r.addr, nil, key), login(t, cfg.TLS.Listen, config, key)}

	hello := testbed.ClientHello(t)
	states := [][]byte{nil, hello[:1], hello[:len(hello)/2], hello, append(hello[:len(hello):len(hello)], 22, 3, 3), {22, 3, 1, 255}, {128, 200, 1}}
	var halfOpen []net.Conn
	for i := range 500 {
		conn := dial(t, cfg.TLS.Listen)
		defer conn.Close()
		if _, err := conn.Write(states[i%len(states)]); err != nil {
			t.Fatal(err)
		}
		halfOpen = append(halfOpen, conn)
	}
	stop := make(chan struct{})
	var flood sync.WaitGroup
	defer flood.Wait()
	for i := range 8 {
		flood.Go(func() {
			for {
				select {
				case <-stop:
					return
				default:
				}
				raw, err := net.Dial("tcp", cfg.TLS.Listen)
				if err != nil {
					continue
				}
				_ = raw.SetDeadline(time.Now().Add(testbed.Patience))
				if i%2 == 0 {
					_ = tls.Client(raw, config).Handshake()
				} else {
					_, _ = raw.Write([]byte(strings.Repeat("GET / HTTP/1.1\r\n", 20)))
				}
				_ = raw.Close()
			}
		})
	}
	for range 500 {
		for i, s := range before {
			if got := ask(t, s, "PING"); got != "+PONG" {
				t.Fatalf("client %d: got %q, want +PONG", i, got)
			}
		}
	}
	if got := ask(t, login(t, cfg.TLS.Listen, config, key), "PING"); got != "+PONG" {
		t.Errorf("a client that comes during the flood: got %q, want +PONG", got)
	}
	close(stop)
	flood.Wait()
	for i, conn := range halfOpen {
		if _, err := io.Copy(io.Discard, conn); err != nil && strings.Contains(err.Error(), "timeout") {
			t.Fatalf("half-open connection %d (%d bytes sent) is still open", i, len(states[i%len(states)]))
		}
	}
	testbed.Within(t, 10*time.Second, "the failed handshakes are counted", func() bool {
		return r.metric(t, `respgate_tls_handshakes_total{result="error"}`) >= 500
	})
	if got := r.metric(t, `respgate_tls_handshakes_total{result="ok"}`); got < 2 {
		t.Errorf("%v good handshakes counted, want 2 or more", got)
	}
}
