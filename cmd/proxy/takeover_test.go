package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// traffic is what clients do while proxies take over from each other.
type traffic struct {
	t       *testing.T
	p       *process
	key     string
	stop    chan struct{}
	clients sync.WaitGroup
	served  atomic.Int64 // short conversations
	moved   atomic.Int64 // long ones that were ended, and went on elsewhere
}

func (f *traffic) stopped() bool {
	select {
	case <-f.stop:
		return true
	default:
		return false
	}
}

// visits connects, says what it has come for and leaves, over and over: no visit may fail.
func (f *traffic) visits() {
	for !f.stopped() {
		c, err := net.Dial("tcp", f.p.addr)
		if err != nil {
			f.t.Errorf("a visitor cannot connect: %v", err)
			return
		}
		_ = c.SetDeadline(time.Now().Add(testbed.Patience))
		for _, step := range [][2]string{{"AUTH " + f.key + "\r\n", "+OK\r\n"}, {"PING\r\n", "+PONG\r\n"}} {
			got := make([]byte, len(step[1]))
			_, err = io.WriteString(c, step[0])
			if err == nil {
				_, err = io.ReadFull(c, got)
			}
			if err != nil || string(got) != step[1] {
				f.t.Errorf("a visitor got %q, %v; want %q", got, err, step[1])
			}
		}
		c.Close()
		f.served.Add(1)
	}
}

// counts has long conversations on a counter of its own: when one ends, everything that
// was executed has been answered, and another begins.
func (f *traffic) counts(name string, batch int, ahead bool, executed func(key string) int64) {
	for round := 0; !f.stopped(); round++ {
		c := countOver(f.t, dial(f.t, f.p.addr), f.key, fmt.Sprintf("%s:%d", name, round))
		ended := make(chan struct{})
		go func() {
			select {
			case <-f.stop:
				_ = c.Conn.(*net.TCPConn).CloseWrite()
			case <-ended:
			}
		}()
		c.run(batch, ahead)
		close(ended)
		if !f.stopped() {
			f.moved.Add(1)
			if !errors.Is(c.err, io.EOF) {
				f.t.Errorf("%s ended with %v, want EOF", c.key, c.err)
			}
		}
		if done := executed(c.key); done != c.replies {
			f.t.Errorf("%s: %d commands were executed and %d answered", c.key, done, c.replies)
		}
	}
}

// asks wants to hear over HTTP, each time on a new connection, that the proxy is ready.
func (f *traffic) asks() {
	client := http.Client{Timeout: testbed.Patience, Transport: &http.Transport{DisableKeepAlives: true}}
	for !f.stopped() {
		res, err := client.Get("http://" + f.p.http + "/health/ready")
		if err != nil {
			f.t.Errorf("a load balancer: %v", err)
			return
		}
		body, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != http.StatusOK {
			f.t.Errorf("a load balancer: %s", body)
		}
	}
}

// TestTakeover has five proxies, each in a process of its own, take over from each other
// under load: no connection is refused or reset, no reply lost, no visitor turned away, and
// each predecessor exits 0.
func TestTakeover(t *testing.T) {
	server := testbed.Redis(t)
	p := startProcess(t, "", "reuse_port: true\nrate_limit: {default_rps: 0}\n")
	f := &traffic{t: t, p: p, key: p.tenant("acme", server.Addr), stop: make(chan struct{})}
	admin := server.Client()
	executed := func(key string) int64 {
		n, _ := admin.Get(t.Context(), key).Int64()
		return n
	}
	for i := range 8 {
		f.clients.Go(f.visits)
		f.clients.Go(func() {
			f.counts(fmt.Sprintf("n:%d", i), []int{1, 20, 100}[i%3], i%3 == 2, executed)
		})
	}
	f.clients.Go(f.asks)
	end := sync.OnceFunc(func() { close(f.stop); f.clients.Wait() })
	defer end()
	for i := range 5 {
		before := f.served.Load()
		testbed.Eventually(t, "visitors are served", func() bool { return f.served.Load() > before+100 })
		next := p.successor("")
		select {
		case <-p.ended:
		case <-next.ended:
			t.Fatalf("successor %d has ended", i)
		case <-time.After(testbed.Patience):
			t.Fatalf("predecessor %d has not ended", i)
		}
		if code := p.cmd.ProcessState.ExitCode(); code != 0 {
			t.Errorf("predecessor %d exits %d, want 0", i, code)
		}
		if strings.Contains(p.log.String(), "drain timed out") {
			t.Errorf("the drain of predecessor %d timed out", i)
		}
		p = next
	}
	end()
	if f.moved.Load() < 5 {
		t.Errorf("%d long conversations went on elsewhere, want some after each takeover", f.moved.Load())
	}
	t.Logf("%d visits, %d long conversations moved", f.served.Load(), f.moved.Load())
}

// TestTakeoverThatFails: a successor that cannot start, or may not take over, leaves the
// proxy as it was, and says why.
func TestTakeoverThatFails(t *testing.T) {
	p := startProcess(t, "", "reuse_port: true\n")
	text, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, old, new, want string }{
		{"no permission to", "reuse_port: true", "reuse_port: false", "is in use already: stop what listens there or change listen"},
		{"another HTTP address in use", p.http, testbed.Redis(t).Addr, "http.listen: "},
		{"no store", "store: {dsn: \"file:", "store: {dsn: \"file:/dev/null/", "store"},
	} {
		t.Run(c.name, func(t *testing.T) {
			config := filepath.Join(t.TempDir(), "respgate.yaml")
			if err := os.WriteFile(config, []byte(strings.Replace(string(text), c.old, c.new, 1)), 0o600); err != nil {
				t.Fatal(err)
			}
			next := p.successor(config)
			testbed.Eventually(t, "it says why", func() bool { return strings.Contains(next.log.String(), c.want) })
			_ = next.cmd.Process.Kill()
			<-next.ended
			if status, body := httpGet(t, "http://"+p.http+"/health/ready"); status != http.StatusOK {
				t.Errorf("/health/ready: %d %s", status, body)
			}
		})
	}
	next := p.successor("")
	<-p.ended
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("it exits %d, want 0", code)
	}
	if !strings.Contains(p.log.String(), "a successor has not taken over: this process goes on") {
		t.Error("the log does not say that a successor has failed")
	}
	if status, body := httpGet(t, "http://"+next.http+"/health/ready"); status != http.StatusOK {
		t.Errorf("/health/ready of the successor: %d %s", status, body)
	}
}

// TestTakeoverFromSomethingElse: what has the place of a predecessor and does not answer,
// whoever it is, keeps no proxy from starting.
func TestTakeoverFromSomethingElse(t *testing.T) {
	cfg := testConfig(t)
	cfg.ReusePort, cfg.Listen = true, testbed.FreeAddr(t)
	fd, err := syscall.Socket(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
	if err != nil {
		t.Fatal(err)
	}
	defer syscall.Close(fd)
	name := takeoverName(cfg.Listen)
	if err := errors.Join(syscall.Bind(fd, &syscall.SockaddrUnix{Name: name.Name}), syscall.Listen(fd, 0)); err != nil {
		t.Fatal(err)
	}
	for { // until no more can wait to be accepted
		c, err := net.DialUnix("unix", nil, name)
		if err != nil {
			break
		}
		defer c.Close()
	}
	r := startServe(t, cfg)
	if !strings.Contains(r.log.String(), "nothing is taken over") {
		t.Error("the log does not say that nothing is taken over")
	}
}

// TestTakeoverByAnother: what asks for the listeners and then is no successor ends nothing,
// whatever it says.
func TestTakeoverByAnother(t *testing.T) {
	cfg := testConfig(t)
	cfg.ReusePort, cfg.Listen = true, testbed.FreeAddr(t)
	r := startServe(t, cfg)
	for _, answer := range []string{"", "ready", "READY\n", "no thanks\n"} {
		var p *predecessor
		testbed.Eventually(t, "the proxy can be asked", func() (ok bool) {
			var err error
			p, err = inherit(t.Context(), cfg, slog.New(slog.DiscardHandler))
			return err == nil && p != nil
		})
		if len(p.listeners) != 2 {
			t.Errorf("it hands over %d listeners, want 2", len(p.listeners))
		}
		if _, err := io.WriteString(p.conn, answer); err != nil {
			t.Error(err)
		}
		p.close()
	}
	testbed.Eventually(t, "the proxy is ready as before", func() bool {
		status, _ := httpGet(t, "http://"+r.http+"/health/ready")
		return status == http.StatusOK
	})
}
