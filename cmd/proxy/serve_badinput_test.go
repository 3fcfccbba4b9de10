package main

import (
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/resp"
)

// send sends input, says that no more comes, and returns all that comes back. A
// reset by a side that has stopped reading ends it too.
func send(t testing.TB, addr, input string) string {
	t.Helper()
	c := dial(t, addr)
	defer c.Close()
	go func() {
		_, _ = io.WriteString(c, input)
		_ = c.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(c)
	if err != nil && !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("after %q: %v", got, err)
	}
	return strings.ReplaceAll(string(got), "\r\n", "|")
}

// TestBadInput sends what no client should, before AUTH and after. Where the input is
// short, the answer is what a Redis with a password gives.
func TestBadInput(t *testing.T) {
	const password = "a-password"
	redis := testbed.Redis(t, "--requirepass", password)
	p := startProcess(t, "", "limits: {auth_timeout: 2s}\nrate_limit: {default_rps: 0}\n")
	backend := testbed.Redis(t)
	key := p.tenant("acme", backend.Addr)
	good := dial(t, p.addr)
	defer good.Close()

	long := strings.Repeat
	for _, c := range []struct {
		name, in      string
		before, after string // "": as Redis answers
	}{
		{name: "largest bulk length", in: "*1\r\n$9223372036854775807\r\nPING\r\n"},
		{name: "bulk length beyond 64 bits", in: "*1\r\n$18446744073709551620\r\nPING\r\n"},
		{name: "count beyond 64 bits", in: "*9000000000000000000\r\n"},
		{name: "count beyond INT_MAX", in: "*2147483648\r\n"},
		{name: "count with a plus", in: "*+1\r\n$4\r\nPING\r\n"},
		{name: "negative bulk length", in: "*1\r\n$-1\r\n"},
		{name: "no dollar", in: "*1\r\n+4\r\nPING\r\n"},
		{name: "unbalanced quotes", in: "SET a \"b'c\"d'\r\n"},
		{name: "nested quotes", in: "SET a \"b 'c\r\n"},
		{name: "POST", in: "POST / HTTP/1.1\r\nHost: x\r\n\r\n"},
		{name: "Host", in: "Host: example.com\r\n\r\n"},
		{name: "TLS hello", in: "\x16\x03\x01\x00\xa5\x01\x00\x00\xa1\x03\x03" + long("\xfe", 150)},
		{name: "count without end", in: "*" + long("1", 70_000), before: "-ERR Protocol error: too big mbulk count string|", after: "-ERR Protocol error: too big mbulk count string|"},
		{name: "10 MiB without a newline", in: long("x", 10<<20), before: "-ERR Protocol error: too big inline request|", after: "-ERR Protocol error: too big inline request|"},
		{name: "200 KB of one-letter words", in: long("a ", 100_000) + "\r\n", before: "-ERR Protocol error: too big inline request|", after: "-ERR Protocol error: too big inline request|"},
	} {
		for _, when := range []struct{ name, redis, proxy, want string }{
			{"before AUTH", "", "", c.before},
			{"after AUTH", "AUTH " + password + "\r\n", "AUTH " + key + "\r\n", c.after},
		} {
			t.Run(c.name+" "+when.name, func(t *testing.T) {
				want := when.want
				if want == "" {
					want = send(t, redis.Addr, when.redis+c.in)
				} else if when.proxy != "" {
					want = "+OK|" + want
				}
				if got := send(t, p.addr, when.proxy+c.in); got != want {
					t.Errorf("got  %q\nwant %q", got, want)
				}
			})
		}
	}
	if _, err := fmt.Fprintf(good, "AUTH %s\r\nPING\r\nQUIT\r\n", key); err != nil {
		t.Fatal(err)
	}
	if got, _ := io.ReadAll(good); string(got) != "+OK\r\n+PONG\r\n+OK\r\n" {
		t.Errorf("a good client got %q", got)
	}
	p.checkCalm(t)
}

// checkCalm fails the test when the proxy is large or busy without any work.
func (p *process) checkCalm(t testing.TB) {
	t.Helper()
	if got := p.memory("VmHWM"); got > 100<<10 {
		t.Errorf("it took %d KiB at most, want less than 100 MiB", got)
	}
	const window = 500 * time.Millisecond
	testbed.Eventually(t, "the proxy is idle", func() bool {
		before := p.cpu()
		<-time.After(window)
		return p.cpu()-before < window/5
	})
}

// TestBulkByteByByte sends 2 MB one byte at a time: what has come is not looked
// through again for each.
func TestBulkByteByByte(t *testing.T) {
	p := startProcess(t, "", "rate_limit: {default_rps: 0}\n")
	key := p.tenant("acme", testbed.Redis(t).Addr)
	c := dial(t, p.addr)
	defer c.Close()
	_, _ = io.WriteString(c, "AUTH "+key+"\r\n")
	value := strings.Repeat("v", 2_000_000)
	command := resp.AppendCommand(nil, "SET", "k", value)
	for i := range command {
		if _, err := c.Write(command[i : i+1]); err != nil {
			t.Fatal(err)
		}
	}
	_, _ = io.WriteString(c, "STRLEN k\r\nQUIT\r\n")
	if got, _ := io.ReadAll(c); string(got) != "+OK\r\n+OK\r\n:2000000\r\n+OK\r\n" {
		t.Errorf("got %q", got)
	}
	p.checkCalm(t)
}

// TestSlowStranger sends less than a command and waits: it is closed in time, and
// who has authenticated may be slow.
func TestSlowStranger(t *testing.T) {
	cfg := testConfig(t)
	cfg.Limits.AuthTimeout = 300 * time.Millisecond
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	slow, stranger := dial(t, r.addr), dial(t, r.addr)
	defer slow.Close()
	defer stranger.Close()
	_, _ = io.WriteString(slow, "AUTH "+key+"\r\n*1\r\n$4\r\nPI")
	_, _ = io.WriteString(stranger, "*1\r\n$4\r\nPI")
	if got, err := io.ReadAll(stranger); len(got) > 0 || err != nil {
		t.Errorf("the stranger got %q, %v, want to be closed", got, err)
	}
	_, _ = io.WriteString(slow, "NG\r\nQUIT\r\n")
	if got, err := io.ReadAll(slow); string(got) != "+OK\r\n+PONG\r\n+OK\r\n" {
		t.Errorf("the slow client got %q, %v", got, err)
	}
}

// TestFloodBeforeAuth has 1,000 connections send 1 MiB each before AUTH.
func TestFloodBeforeAuth(t *testing.T) {
	p := startProcess(t, "", "rate_limit: {default_rps: 0}\n")
	key := p.tenant("acme", testbed.Redis(t).Addr)
	bulk := "*2\r\n$4\r\nAUTH\r\n$1048576\r\n" + strings.Repeat("x", 1<<20)
	line := strings.Repeat("x", 1<<20)
	var wg sync.WaitGroup
	for i := range 1000 {
		wg.Go(func() {
			c, err := net.Dial("tcp", p.addr)
			if err != nil {
				t.Errorf("connection %d: %v", i, err)
				return
			}
			defer c.Close()
			_ = c.SetDeadline(time.Now().Add(testbed.Patience))
			_, _ = io.WriteString(c, []string{bulk, line}[i%2])
			if got, _ := io.ReadAll(c); len(got) > 100 {
				t.Errorf("connection %d got %.200q", i, got)
			}
		})
	}
	wg.Wait()
	if got := talk(t, p.addr, "AUTH "+key+"\r\nPING\r\nQUIT\r\n"); got != "+OK|+PONG|+OK|" {
		t.Errorf("a good client got %q", got)
	}
	p.checkCalm(t)
}

// TestNoDescriptorsLeft opens more connections than the process may have: those that
// are served go on, the core does not spin, backends are still dialled, and new clients
// are served once others have gone.
func TestNoDescriptorsLeft(t *testing.T) {
	p := startProcess(t, "ulimit -n 80; ", "rate_limit: {default_rps: 0}\n")
	acme, globex := p.tenant("acme", testbed.Redis(t).Addr), p.tenant("globex", testbed.Redis(t).Addr)
	type talker struct {
		net.Conn
		key string
	}
	ask := func(c talker, text, want string) {
		t.Helper()
		_, _ = io.WriteString(c, text)
		if got := read(t, c, len(want)); got != want {
			t.Fatalf("after %q got %q, want %q", text, got, want)
		}
	}
	first, second := talker{dial(t, p.addr), acme}, talker{dial(t, p.addr), globex}
	defer first.Close()
	defer second.Close()
	ask(first, "AUTH "+acme+"\r\nPING\r\n", "+OK\r\n+PONG\r\n")
	ask(second, "PING\r\n", "-NOAUTH Authentication required.\r\n")
	var others []net.Conn
	for range 100 {
		others = append(others, dial(t, p.addr))
	}
	testbed.Eventually(t, "clients are refused", func() bool {
		return strings.Contains(p.log.String(), `msg="connections are refused" reason=descriptors`)
	})
	ask(first, "PING\r\n", "+PONG\r\n")
	ask(second, "AUTH "+globex+"\r\nPING\r\n", "+OK\r\n+PONG\r\n") // its backend has not been dialled before
	p.checkCalm(t)
	ask(first, "PING\r\n", "+PONG\r\n")
	if n := strings.Count(p.log.String(), "connections are refused"); n != 1 {
		t.Errorf("the log tells of it %d times, want once", n)
	}
	status, body := httpGet(t, "http://"+p.http+"/metrics")
	if n := sumMetric(t, body, `respgate_clients_refused_total{reason="descriptors"}`); status != http.StatusOK || n == 0 {
		t.Errorf("/metrics: %d, and %v refusals are counted", status, n)
	}
	for _, c := range others {
		c.Close()
	}
	testbed.Eventually(t, "new clients are served", func() bool {
		c := dial(t, p.addr)
		defer c.Close()
		_, _ = io.WriteString(c, "AUTH "+acme+"\r\nPING\r\nQUIT\r\n")
		got, _ := io.ReadAll(c)
		return string(got) == "+OK\r\n+PONG\r\n+OK\r\n"
	})
	if !strings.Contains(p.log.String(), "limits.max_clients is 10000, but with 80 descriptors") {
		t.Error("the log does not warn of the limit on descriptors")
	}
	if status, _ := httpGet(t, "http://"+p.http+"/health/live"); status != http.StatusOK {
		t.Errorf("/health/live: %d", status)
	}
}

func TestMaxClients(t *testing.T) {
	cfg := testConfig(t)
	cfg.Limits.MaxClients = 2
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	first, second := dial(t, r.addr), dial(t, r.addr)
	defer first.Close()
	if got, err := io.ReadAll(dial(t, r.addr)); string(got) != "-ERR max number of clients reached\r\n" {
		t.Errorf("the third client got %q, %v", got, err)
	}
	second.Close()
	testbed.Eventually(t, "a client may come when one has left", func() bool {
		c := dial(t, r.addr)
		defer c.Close()
		_, _ = io.WriteString(c, "AUTH "+key+"\r\nQUIT\r\n")
		got, _ := io.ReadAll(c)
		return string(got) == "+OK\r\n+OK\r\n"
	})
}
