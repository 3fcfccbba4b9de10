package testbed

import (
	"context"
	"crypto/tls"
	"net"
	"testing"
)

// ClientHello returns what a client sends first over TLS.
func ClientHello(tb testing.TB) []byte {
	tb.Helper()
	ours, theirs := net.Pipe()
	defer func() { _ = ours.Close() }() // which ends the handshake
	go func() {
		_ = tls.Client(theirs, &tls.Config{InsecureSkipVerify: true}).HandshakeContext(context.Background())
	}()
	b := make([]byte, 16<<10)
	n, err := ours.Read(b)
	if err != nil {
		tb.Fatal(err)
	}
	return b[:n]
}
