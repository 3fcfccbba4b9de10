package main

import (
	"fmt"
	"io"
	"net"
	"net/http"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// TestSilentPeersLeaveDescriptors has connections that say nothing take all descriptors
// that they are given: clients and their backends still get theirs, and so does who asks
// over HTTP once the silent ones have had their time.
func TestSilentPeersLeaveDescriptors(t *testing.T) {
	ca := newAuthority(t)
	file := filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair()
	secure := testbed.FreeAddr(t)
	p := startProcess(t, "ulimit -n 250; ", fmt.Sprintf("tls: {listen: %q, cert_file: %q, key_file: %q}\nlimits: {auth_timeout: 1h}\n", secure, file("cert.pem", certPEM), file("key.pem", keyPEM)))
	key := p.tenant("acme", testbed.Redis(t).Addr)
	for _, tt := range []struct {
		name, addr string
		say        string
		n          int
	}{
		{"TLS", secure, "", 150},
		{"HTTP", p.http, "", 300},
		{"HTTP kept alive", p.http, "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n", 300},
	} {
		t.Run(tt.name, func(t *testing.T) {
			silent := make([]net.Conn, 0, tt.n)
			defer func() {
				for _, c := range silent {
					c.Close()
				}
			}()
			for range tt.n {
				c := dial(t, tt.addr)
				_, _ = io.WriteString(c, tt.say)
				silent = append(silent, c)
			}
			if got, want := talk(t, p.addr, fmt.Sprintf("AUTH %s\r\nPING\r\nQUIT\r\n", key)), "+OK|+PONG|+OK|"; got != want {
				t.Errorf("a client beside %d of them: got %q, want %q", tt.n, got, want)
			}
			testbed.Eventually(t, "the proxy is seen to be ready", func() bool {
				status, _ := httpGet(t, "http://"+p.http+"/health/ready")
				return status == http.StatusOK
			})
		})
	}
}
