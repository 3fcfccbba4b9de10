package main

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// TestDrainEndsWaits stops a proxy with clients that block, listen and are in the middle of
// a transaction: the first two end at once, the third when it has its EXEC.
func TestDrainEndsWaits(t *testing.T) {
	r := startServe(t, testConfig(t))
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	blocked, listening, transaction := talkTo(t, r.addr, key), talkTo(t, r.addr, key), talkTo(t, r.addr, key)
	blocked.send("BLPOP nothing 0")
	listening.send("SUBSCRIBE c")
	listening.expect("*3", "$9", "subscribe", "$1", "c", ":1")
	transaction.send("MULTI", "SET a 1")
	transaction.expect("+OK", "+QUEUED")
	testbed.Eventually(t, "one is blocked", func() bool {
		return strings.Contains(server.Client().Info(t.Context(), "clients").Val(), "blocked_clients:1\r")
	})
	began := time.Now()
	ended := make(chan error, 1)
	go func() { ended <- r.stop() }()
	blocked.expect("*-1", "end")
	listening.expect("end")
	for _, x := range []*talker{blocked, listening} {
		x.Close()
	}
	if status, body := httpGet(t, "http://"+r.http+"/health/ready"); status != http.StatusServiceUnavailable {
		t.Errorf("/health/ready while it drains: %d %s", status, body)
	}
	if got := r.metric(t, "respgate_draining"); got != 1 {
		t.Errorf("respgate_draining is %v, want 1", got)
	}
	if since := r.metric(t, "respgate_drain_started_timestamp_seconds"); since < float64(began.Unix()) || since > float64(time.Now().Unix()+1) {
		t.Errorf("the drain began at %v, want after %v", since, began)
	}
	timeout := testConfig(t).Shutdown.DrainTimeout
	if got := r.metric(t, "respgate_drain_timeout_seconds"); got != timeout.Seconds() {
		t.Errorf("the drain's timeout is %v, want %v", got, timeout)
	}
	transaction.send("GET a", "EXEC", "SET a 2")
	transaction.expect("+QUEUED", "*2", "+OK", "$1", "1")
	for transaction.line() != "end" { // the last command may have come with the others
	}
	transaction.Close()
	if err := <-ended; err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 10*time.Second {
		t.Errorf("it took %v", took)
	}
}

// TestDrainDelay: a load balancer sees that the proxy is not ready while clients still can
// connect.
func TestDrainDelay(t *testing.T) {
	cfg := testConfig(t)
	cfg.Shutdown.Delay = 2 * time.Second
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
	go func() { _ = r.stop() }()
	testbed.Eventually(t, "it is not ready", func() bool {
		status, _ := httpGet(t, "http://"+r.http+"/health/ready")
		return status == http.StatusServiceUnavailable
	})
	if got := talk(t, r.addr, "AUTH "+key+"\r\nPING\r\nQUIT\r\n"); got != "+OK|+PONG|+OK|" {
		t.Errorf("a client that comes then gets %s", got)
	}
	began, may := r.metric(t, "respgate_drain_started_timestamp_seconds"), r.metric(t, "respgate_drain_timeout_seconds")
	if since := float64(time.Now().Unix()) - began; since < -1 || since > 60 || may != 32 {
		t.Errorf("it says that it drains for %v s and may for %v s, want a few and 32", since, may)
	}
}

// counting is a client that increments a counter of its own and counts the replies.
type counting struct {
	net.Conn
	key     string // of the counter
	replies int64
	err     error // how it ended
}

func countOver(t *testing.T, conn net.Conn, apiKey, key string) *counting {
	c := &counting{Conn: conn, key: key}
	t.Cleanup(func() { c.Close() })
	if _, err := io.WriteString(c, "AUTH "+apiKey+"\r\n"); err != nil {
		t.Fatal(err)
	}
	read(t, c, len("+OK\r\n"))
	return c
}

// maxAhead is how many batches a client sends that does not wait for replies: so that it can
// read them as fast as they come, whatever else the machine does.
const maxAhead = 20

// run sends batches of n INCRs until the connection ends. With ahead it always has some
// more on their way.
func (c *counting) run(n int, ahead bool) {
	batch := []byte(strings.Repeat("*2\r\n$4\r\nINCR\r\n$"+fmt.Sprint(len(c.key))+"\r\n"+c.key+"\r\n", n))
	var writing sync.WaitGroup
	defer writing.Wait()
	defer c.Close()
	room := make(chan struct{}, maxAhead)
	defer close(room)
	if ahead {
		writing.Go(func() {
			for range room {
				if _, err := c.Write(batch); err != nil {
					return
				}
			}
		})
		for range maxAhead {
			room <- struct{}{}
		}
	}
	in := bufio.NewReader(c)
	for {
		if !ahead {
			if _, err := c.Write(batch); err != nil && !errors.Is(err, syscall.EPIPE) {
				c.err = err
				return
			}
		}
		for range n {
			line, err := in.ReadString('\n')
			if err != nil {
				c.err = err
				return
			}
			if want := fmt.Sprintf(":%d\r\n", c.replies+1); line != want {
				c.err = fmt.Errorf("got %q, want %q", line, want)
				return
			}
			c.replies++
		}
		if ahead {
			select {
			case room <- struct{}{}:
			default: // the writer has ended: the replies have not
			}
		}
	}
}

// TestDrainUnderLoad stops a proxy in the middle of its clients' conversations. Each
// command has been answered or was never executed, and each client, one in three over TLS,
// sees its connection end, not broken off.
func TestDrainUnderLoad(t *testing.T) {
	ca, file := newAuthority(t), filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair()
	certFile, keyFile := file("cert.pem", certPEM), file("key.pem", keyPEM)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.pem)
	for round := range 2 {
		cfg := testConfig(t)
		cfg.Loops = 2
		cfg.TLS = TLSConfig{Listen: testbed.FreeAddr(t), CertFile: certFile, KeyFile: keyFile}
		r := startServe(t, cfg)
		server := testbed.Redis(t)
		key := r.tenant(t, "acme", server.Addr, limits(0, 0))
		var clients []*counting
		var running sync.WaitGroup
		for i := range 36 {
			var conn net.Conn
			if i/3%3 == 0 {
				conn = tls.Client(dial(t, cfg.TLS.Listen), &tls.Config{RootCAs: roots, ServerName: "127.0.0.1"})
			} else {
				conn = dial(t, r.addr)
			}
			c := countOver(t, conn, key, fmt.Sprintf("n:%d", i))
			clients = append(clients, c)
			running.Go(func() { c.run([]int{1, 50, 200}[i%3], i%3 == 2) })
		}
		testbed.Eventually(t, "all talk", func() bool {
			return r.metric(t, `redis_commands_total{command="incr"`) > 5_000
		})
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
		running.Wait()
		for i, c := range clients {
			if !errors.Is(c.err, io.EOF) {
				t.Errorf("round %d, client %d ended with %v, want EOF", round, i, c.err)
			}
			if done, err := server.Client().Get(t.Context(), c.key).Int64(); err != nil || done != c.replies {
				t.Errorf("round %d, client %d: %d commands were executed (%v) and %d answered", round, i, done, err, c.replies)
			}
		}
		if strings.Contains(r.log.String(), "drain timed out") {
			t.Errorf("round %d: the drain timed out", round)
		}
	}
}

// TestRefusalArrives: a client beyond the bound that has sent something before it is turned
// away is told why, not reset.
func TestRefusalArrives(t *testing.T) {
	cfg := testConfig(t)
	cfg.Limits.MaxClients = 1
	r := startServe(t, cfg)
	holder := dial(t, r.addr)
	defer holder.Close()
	testbed.Eventually(t, "the one place is taken", func() bool {
		c := dial(t, r.addr)
		defer c.Close()
		got, _ := io.ReadAll(io.LimitReader(c, 1))
		return string(got) == "-"
	})
	var told, asked atomic.Int64
	var clients sync.WaitGroup
	for range 20 {
		clients.Go(func() {
			for range 20 {
				asked.Add(1)
				c, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", r.addr)
				if err != nil {
					t.Error(err)
					return
				}
				_, _ = io.WriteString(c, "AUTH x\r\nPING\r\n")
				got, err := io.ReadAll(c)
				c.Close()
				if err != nil || string(got) != "-ERR max number of clients reached\r\n" {
					t.Errorf("got %q, %v", got, err)
					return
				}
				told.Add(1)
			}
		})
	}
	clients.Wait()
	if told.Load() != asked.Load() {
		t.Errorf("%d of %d were told", told.Load(), asked.Load())
	}
}

// TestSecondSignal: the first lets clients finish, the second does not.
func TestSecondSignal(t *testing.T) {
	p := startProcess(t, "", "")
	key := p.tenant("acme", testbed.Redis(t).Addr)
	x := talkTo(t, p.addr, key)
	x.send("MULTI")
	x.expect("+OK")
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "it drains", func() bool { return strings.Contains(p.log.String(), "draining") })
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	x.expect("end")
	<-p.ended
	if status := p.cmd.ProcessState.Sys().(syscall.WaitStatus); status.Signal() != syscall.SIGTERM {
		t.Errorf("it ended with %v, want SIGTERM", p.cmd.ProcessState)
	}
}
