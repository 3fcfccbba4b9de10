package proxy

import (
	"bufio"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/resp"
)

// puppet is a server that tracks, and answers GET and MGET only when the test says what.
type puppet struct {
	addr    string
	answers chan string // to the next GET, perhaps with an announcement before it
	asked   chan string // the (first) keys of these, each before its answer
}

func newPuppet(t *testing.T) *puppet {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p := &puppet{addr: ln.Addr().String(), answers: make(chan string), asked: make(chan string, 100)}
	var serving sync.WaitGroup
	serving.Go(func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			serving.Go(func() { p.serve(nc) })
		}
	})
	t.Cleanup(func() { ln.Close(); close(p.answers); serving.Wait() })
	return p
}

func (p *puppet) serve(nc net.Conn) {
	defer nc.Close()
	in := bufio.NewReader(nc)
	framer := resp.NewFramer(resp.Authenticated(1 << 20))
	var got []byte
	for {
		b, err := in.ReadByte()
		if err != nil {
			return
		}
		got = append(got, b)
		var f resp.Frame
		n, err := framer.Next(got, &f)
		if err != nil {
			return
		}
		if f.Raw == nil {
			continue
		}
		name, args := strings.ToUpper(string(f.Name)), f.AppendArgs(nil)
		answer := map[string]string{
			"HELLO": "%1\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n", "PING": "+PONG\r\n", "CLIENT": "+OK\r\n", "COMMAND": "*1\r\n_\r\n", "PTTL": ":-1\r\n",
		}[name]
		if name == "HELLO" && string(args[1]) == "2" {
			answer = "*2\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n"
		}
		if name == "GET" || name == "MGET" {
			p.asked <- string(args[1])
			answer = <-p.answers
		}
		got = got[n:]
		if _, err := io.WriteString(nc, answer); err != nil {
			return
		}
	}
}

// waiting waits until clients are owed so many replies.
func (p *nearProxy) waiting(n int) {
	p.t.Helper()
	testbed.Eventually(p.t, "clients wait for replies", func() bool {
		owed := 0
		p.on(func(*nearCache) {
			for s := range p.core.sessions {
				owed += int(s.owed()) + len(s.later.items)
			}
		})
		return owed == n
	})
}

const announced = ">2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n"

// want has the next question be GET of k.
func (p *puppet) want(t *testing.T) {
	t.Helper()
	select {
	case key := <-p.asked:
		if key != "k" {
			t.Fatalf("asked for %q", key)
		}
	case <-time.After(testbed.Patience):
		t.Fatal("the server is not asked")
	}
}

// TestCacheAndChangesOnTheWay: what is announced while a reply is under way is about that reply
// too, and a client that waits for one is not given an older one behind it.
func TestCacheAndChangesOnTheWay(t *testing.T) {
	server := newPuppet(t)
	p := startNear(t, server.addr, 1<<20)
	a, b := p.call("2"), p.call("3")
	expect := func(c *caller, want string) {
		t.Helper()
		if got := c.next(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
	ask := func(c *caller) { c.send("GET", "k") }

	ask(a) // there is no link that tracks yet
	server.want(t)
	server.answers <- "$1\r\n0\r\n"
	expect(a, "$1|0|")
	p.settle()

	ask(a)
	server.want(t)
	server.answers <- announced + "$1\r\n1\r\n"
	expect(a, "$1|1|")
	ask(a) // not from the cache: what came was announced to have changed
	server.want(t)
	server.answers <- "$1\r\n2\r\n"
	expect(a, "$1|2|")
	ask(a)
	expect(a, "$1|2|")
	ask(b)
	expect(b, "$1|2|")

	p.on(func(near *nearCache) { near.kept.Clear() })
	ask(b)
	server.want(t)
	ask(a) // the same is under way: it is asked once more
	ask(b) // waits for its own first
	p.waiting(3)
	server.answers <- "$1\r\n3\r\n"
	expect(b, "$1|3|")
	server.want(t)
	ask(a) // it is there now, and a may yet be told of a later one first
	p.waiting(3)
	server.answers <- announced + "$1\r\n4\r\n"
	for range 2 {
		server.want(t)
		server.answers <- "$1\r\n4\r\n"
	}
	expect(a, "$1|4|")
	expect(a, "$1|4|")
	expect(b, "$1|4|")
}
