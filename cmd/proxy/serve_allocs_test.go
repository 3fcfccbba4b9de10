package main

import (
	"bytes"
	"io"
	"net"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// TestRelayingDoesNotAllocate relays commands over sockets, through everything, to a real
// Redis: nothing is left for the garbage collector.
func TestRelayingDoesNotAllocate(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 1
	r := startServe(t, cfg)
	limit := 1_000_000_000 // finite, and not reached
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, func(k *tenant.Key) { k.Limits.Rate = &limit })
	set := "*3\r\n$3\r\nSET\r\n$3\r\nkey\r\n$64\r\n" + strings.Repeat("v", 64) + "\r\n"
	get := "*2\r\n$3\r\nGET\r\n$3\r\nkey\r\n"
	value := "$64\r\n" + strings.Repeat("v", 64) + "\r\n"
	mset := "*5\r\n$4\r\nMSET\r\n$1\r\na\r\n$1\r\n1\r\n$1\r\nb\r\n$1\r\n2\r\n"
	large := "*3\r\n$3\r\nSET\r\n$5\r\nlarge\r\n$10240\r\n" + strings.Repeat("v", 10240) + "\r\n"
	for _, c := range []struct{ name, send, want string }{
		{"one GET", get, value},
		{"one SET", set, "+OK\r\n"},
		{"a pipeline of 16", strings.Repeat(get, 16), strings.Repeat(value, 16)},
		{"different commands", set + get + mset + "*1\r\n$4\r\nPING\r\n", "+OK\r\n" + value + "+OK\r\n+PONG\r\n"},
		{"10 KiB", large, "+OK\r\n"},
		{"an error", "*2\r\n$4\r\nINCR\r\n$3\r\nkey\r\n", "-ERR value is not an integer or out of range\r\n"},
	} {
		t.Run(c.name, func(t *testing.T) {
			conn := dial(t, r.addr)
			defer conn.Close()
			send, want := []byte(c.send), []byte(c.want)
			got := make([]byte, len(want))
			ask := func() {
				if _, err := conn.Write(send); err != nil {
					t.Fatal(err)
				}
				if _, err := io.ReadFull(conn, got); err != nil {
					t.Fatal(err)
				}
				if !bytes.Equal(got, want) {
					t.Fatalf("got %q, want %q", got, want)
				}
			}
			authenticate(t, conn, key)
			for range 100 {
				ask()
			}
			if n := testing.AllocsPerRun(1000, ask); n != 0 {
				t.Errorf("%v allocations, want none", n)
			}
		})
	}
}

// authenticate sends AUTH and sets the key that the commands work on.
func authenticate(t *testing.T, conn net.Conn, key string) {
	t.Helper()
	hello := "AUTH " + key + "\r\nSET key " + strings.Repeat("v", 64) + "\r\n"
	if _, err := io.WriteString(conn, hello); err != nil {
		t.Fatal(err)
	}
	reply := make([]byte, len("+OK\r\n+OK\r\n"))
	if _, err := io.ReadFull(conn, reply); err != nil || string(reply) != "+OK\r\n+OK\r\n" {
		t.Fatalf("AUTH and SET: %q, %v", reply, err)
	}
}
