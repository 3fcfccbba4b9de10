package main

import (
	"bufio"
	"bytes"
	"fmt"
	"io"
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/resp"
)

// TestLargeThings sends what is as large as Redis allows, in a process of its own, whose
// memory follows what is in flight.
func TestLargeThings(t *testing.T) {
	p := startProcess(t, "", "rate_limit: {default_rps: 0}\n")
	key := p.tenant("acme", testbed.Redis(t).Addr)
	connect := func() (net.Conn, *bufio.Reader) {
		c := dial(t, p.addr)
		t.Cleanup(func() { c.Close() })
		_ = c.SetDeadline(time.Now().Add(3 * time.Minute))
		_, _ = c.Write(commands("AUTH " + key))
		read(t, c, 5)
		return c, bufio.NewReaderSize(c, 1<<20)
	}
	line := func(in *bufio.Reader) string {
		t.Helper()
		s, err := in.ReadString('\n')
		if err != nil {
			t.Fatalf("after %q: %v", s, err)
		}
		return s[:len(s)-2]
	}

	t.Run("a value of 512 MiB", func(t *testing.T) {
		const size = 512 << 20
		c, in := connect()
		value := bytes.Repeat([]byte("0123456789abcdef"), size/16)
		go func() {
			_, _ = fmt.Fprintf(c, "*3\r\n$3\r\nSET\r\n$3\r\nbig\r\n$%d\r\n", size)
			_, _ = c.Write(value)
			_, _ = io.WriteString(c, "\r\nGET big\r\nPING\r\n")
		}()
		if got := line(in); got != "+OK" {
			t.Fatalf("SET: %s", got)
		}
		if got := line(in); got != "$"+strconv.Itoa(size) {
			t.Fatalf("GET: %s", got)
		}
		chunk := make([]byte, 1<<20)
		for at := 0; at < size; at += len(chunk) {
			if _, err := io.ReadFull(in, chunk); err != nil || !bytes.Equal(chunk, value[:len(chunk)]) {
				t.Fatalf("at %d: %v, or another value", at, err)
			}
		}
		if got := line(in) + line(in); got != "+PONG" {
			t.Errorf("after it: %s", got)
		}
		if peak := p.memory("VmHWM"); peak > 2500<<10 {
			t.Errorf("the proxy took %d MiB", peak>>10)
		}
	})

	t.Run("MSET of 1,000,000 pairs and MGET of 100,000 keys", func(t *testing.T) {
		const pairs, keys = 1_000_000, 100_000
		c, in := connect()
		mset, mget := []string{"MSET"}, []string{"MGET"}
		for i := range pairs {
			mset = append(mset, "k"+strconv.Itoa(i), strconv.Itoa(i))
		}
		for i := range keys {
			mget = append(mget, "k"+strconv.Itoa(i))
		}
		go func() { _, _ = c.Write(resp.AppendCommand(resp.AppendCommand(nil, mset...), mget...)) }()
		if got := line(in); got != "+OK" {
			t.Fatalf("MSET: %s", got)
		}
		if got := line(in); got != "*"+strconv.Itoa(keys) {
			t.Fatalf("MGET: %s", got)
		}
		for i := range keys {
			if _, got := line(in), line(in); got != strconv.Itoa(i) {
				t.Fatalf("value %d is %s", i, got)
			}
		}
	})

	t.Run("1,000,000 commands before anything is read", func(t *testing.T) {
		const n = 1_000_000
		c, in := connect()
		if _, err := c.Write(bytes.Repeat(commands("INCR n"), n)); err != nil {
			t.Fatal(err)
		}
		for i := range n {
			if got := line(in); got != ":"+strconv.Itoa(i+1) {
				t.Fatalf("reply %d is %s", i+1, got)
			}
		}
	})
}
