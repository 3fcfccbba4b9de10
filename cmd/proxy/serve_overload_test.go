package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

const inFlight = "respgate_memory_in_flight_bytes"

// boundedServe runs a proxy that may have so many bytes in flight.
func boundedServe(t *testing.T, loops int, bound int64) *running {
	t.Helper()
	cfg := testConfig(t)
	cfg.Loops = loops
	cfg.Limits.MemoryBytes = bound
	return startServe(t, cfg)
}

// steady is a client that counts, and checks each answer, until it is stopped.
type steady struct {
	stop   chan struct{}
	served chan int
}

func startSteady(t *testing.T, addr, key string) *steady {
	t.Helper()
	c := dial(t, addr)
	in := bufio.NewReader(c)
	ask := func(text, want string) bool {
		_, _ = io.WriteString(c, text)
		got, err := in.ReadString('\n')
		if got != want {
			t.Errorf("the steady client got %q, %v, want %q", got, err, want)
		}
		return got == want
	}
	ask("AUTH "+key+"\r\n", "+OK\r\n")
	s := &steady{make(chan struct{}), make(chan int, 1)}
	go func() {
		defer c.Close()
		n := 0
		for ask("INCR steady\r\n", fmt.Sprintf(":%d\r\n", n+1)) {
			n++
			select {
			case <-s.stop:
				s.served <- n
				return
			default:
			}
		}
		s.served <- n
	}()
	return s
}

func (s *steady) end() int {
	close(s.stop)
	return <-s.served
}

// half sends all of a SET of so many bytes but its end.
func half(t *testing.T, r *running, key string, size int) net.Conn {
	t.Helper()
	c := dial(t, r.addr)
	t.Cleanup(func() { c.Close() })
	_, _ = c.Write(commands("AUTH " + key))
	read(t, c, len("+OK\r\n"))
	before := r.metric(t, inFlight)
	_, _ = fmt.Fprintf(c, "*3\r\n$3\r\nSET\r\n$1\r\nk\r\n$%d\r\n", size)
	go func() { _, _ = c.Write(make([]byte, size)) }()
	testbed.Eventually(t, "the proxy has it, or somebody has gone", func() bool {
		return r.metric(t, inFlight) >= before+float64(size) || r.metric(t, `respgate_clients_dropped_total{reason="memory"}`) > 0
	})
	return c
}

// wasDropped reports whether the other side has closed, when it has nothing to say.
func wasDropped(c net.Conn) bool {
	_ = c.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	_, err := c.Read(make([]byte, 1))
	return err != nil && !errors.Is(err, os.ErrDeadlineExceeded)
}

// TestGreediestIsDropped has clients send commands that together are more than may be in
// flight: the one that holds the most goes, and the others finish.
func TestGreediestIsDropped(t *testing.T) {
	const mib = 1 << 20
	for _, c := range []struct {
		name  string
		sizes []int
		gone  []bool
	}{
		{"all fit", []int{5 * mib, 5 * mib, 3 * mib}, []bool{false, false, false}},
		{"the first holds the most", []int{8 * mib, 4 * mib, 6 * mib}, []bool{true, false, false}},
		{"the last holds the most", []int{3 * mib, 5 * mib, 10 * mib}, []bool{false, false, true}},
		{"one alone", []int{18 * mib}, []bool{true}},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := boundedServe(t, 2, 16*mib)
			key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
			quiet := startSteady(t, r.addr, key)
			var all []net.Conn
			gone := 0
			for i, size := range c.sizes {
				all = append(all, half(t, r, key, size))
				if c.gone[i] {
					gone++
				}
			}
			testbed.Within(t, 30*time.Second, "those too many are dropped", func() bool {
				return r.metric(t, `respgate_clients_dropped_total{reason="memory"}`) == float64(gone)
			})
			for i, conn := range all {
				if got := wasDropped(conn); got != c.gone[i] {
					t.Errorf("client %d of %d bytes: dropped %v, want %v", i, c.sizes[i], got, c.gone[i])
				}
				if c.gone[i] {
					continue
				}
				_ = conn.SetDeadline(time.Now().Add(testbed.Patience))
				_, _ = io.WriteString(conn, "\r\n")
				if got := read(t, conn, 5); got != "+OK\r\n" {
					t.Errorf("client %d of %d bytes got %q", i, c.sizes[i], got)
				}
				conn.Close()
			}
			if n := quiet.end(); n == 0 {
				t.Error("the steady client was not served")
			}
			if got := strings.Count(r.log.String(), "too much is in flight, and this client holds the most"); got != gone {
				t.Errorf("%d drops are in the log, want %d", got, gone)
			}
			testbed.Within(t, 5*time.Second, "nothing is left on the account", func() bool { return r.metric(t, inFlight) == 0 })
		})
	}
}

// TestUnreadRepliesAreBounded has clients ask for far more than may be in flight, and read
// nothing.
func TestUnreadRepliesAreBounded(t *testing.T) {
	r := boundedServe(t, 1, 64<<20)
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, nil)
	if err := server.Client().Set(t.Context(), "big", strings.Repeat("v", 1<<20), 0).Err(); err != nil {
		t.Fatal(err)
	}
	quiet := startSteady(t, r.addr, key)
	const greedy = 4
	for range greedy {
		c := dial(t, r.addr)
		defer c.Close()
		_, _ = io.WriteString(c, "AUTH "+key+"\r\n"+strings.Repeat("GET big\r\n", 100))
	}
	// The last has the rest to itself, which is too much too.
	testbed.Within(t, 20*time.Second, "all are dropped", func() bool {
		return r.metric(t, `respgate_clients_dropped_total{reason="memory"}`) == greedy
	})
	if n := quiet.end(); n == 0 {
		t.Error("the steady client was not served")
	}
	testbed.Within(t, 5*time.Second, "nothing is left on the account", func() bool { return r.metric(t, inFlight) == 0 })
}

// TestSlowReaderIsPaused has a client that has not read its replies ask for more than may
// be in flight: it is not relayed for until it reads, and then gets them all.
func TestSlowReaderIsPaused(t *testing.T) {
	r := boundedServe(t, 1, 64<<20)
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, nil)
	const size, first, more = 1 << 20, 30, 60
	if err := server.Client().Set(t.Context(), "big", strings.Repeat("v", size), 0).Err(); err != nil {
		t.Fatal(err)
	}
	c := dial(t, r.addr)
	defer c.Close()
	_, _ = io.WriteString(c, "AUTH "+key+"\r\n"+strings.Repeat("GET big\r\n", first))
	testbed.Eventually(t, "its replies wait", func() bool { return r.metric(t, inFlight) > (first-10)*size })
	_, _ = io.WriteString(c, strings.Repeat("GET big\r\n", more))
	other := dial(t, r.addr)
	defer other.Close()
	_, _ = io.WriteString(other, "AUTH "+key+"\r\n")
	read(t, other, 5)
	for range 500 { // the loop goes round
		_, _ = io.WriteString(other, "PING\r\n")
		read(t, other, len("+PONG\r\n"))
	}
	if n := r.commandsServed(t); n != first {
		t.Errorf("%d commands were relayed for a client that reads nothing, want %d", n, first)
	}
	in := bufio.NewReader(c)
	read(t, in, 5)
	reply := len("$1048576\r\n") + size + 2
	if n, err := io.CopyN(io.Discard, in, int64((first+more)*reply)); err != nil {
		t.Errorf("it got %d bytes of %d replies, then %v", n, first+more, err)
	}
	if n := r.metric(t, "respgate_clients_dropped_total"); n != 0 {
		t.Errorf("%v clients were dropped", n)
	}
}

// TestFrozenBackendHoldsLittle has clients send one tenant's frozen backend more than may be
// in flight: nobody is dropped, another tenant is served, and all is executed in the end.
func TestFrozenBackendHoldsLittle(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 1
	cfg.Limits.MemoryBytes = 64 << 20
	cfg.Pool.StallTimeout = time.Minute // a busy machine takes its time to look
	r := startServe(t, cfg)
	frozen, fine := testbed.Redis(t), testbed.Redis(t)
	key := r.tenant(t, "acme", frozen.Addr, nil)
	quiet := r.tenant(t, "globex", fine.Addr, nil)
	const clients, each, size = 8, 300, 64 << 10 // 150 MiB
	value := strings.Repeat("v", size)
	var all sync.WaitGroup
	var conns []net.Conn
	for range clients {
		c := dial(t, r.addr)
		defer c.Close()
		_, _ = io.WriteString(c, "AUTH "+key+"\r\nPING\r\n")
		read(t, c, len("+OK\r\n+PONG\r\n"))
		conns = append(conns, c)
	}
	frozen.Freeze()
	thawed := sync.OnceFunc(frozen.Thaw)
	defer thawed()
	for _, c := range conns {
		all.Go(func() {
			for range each {
				if _, err := c.Write(commands("SET k " + value)); err != nil {
					t.Errorf("sending: %v", err)
					return
				}
			}
		})
	}
	testbed.Eventually(t, "its commands wait", func() bool { return r.metric(t, inFlight) > 4<<20 })
	other := startSteady(t, r.addr, quiet)
	for range 20 {
		if n := r.metric(t, inFlight); n > 64<<20 {
			t.Errorf("%v bytes are in flight", n)
		}
	}
	if n := other.end(); n == 0 {
		t.Error("the other tenant was not served")
	}
	thawed()
	for _, c := range conns {
		if got, want := read(t, c, each*5), strings.Repeat("+OK\r\n", each); got != want {
			t.Errorf("a client got %q …", got[:20])
		}
	}
	all.Wait()
	if n := r.metric(t, "respgate_clients_dropped_total"); n != 0 {
		t.Errorf("%v clients were dropped", n)
	}
}

// TestMaxClientsIsExact has many clients come at once, on several loops, who have all said
// something already: so many as may are served, and all others read why they are not.
func TestMaxClientsIsExact(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 4
	cfg.Limits.MaxClients = 20
	r := startServe(t, cfg)
	const come = 100
	said := make(chan string, come)
	leave := make(chan struct{})
	var all sync.WaitGroup
	for range come {
		all.Go(func() {
			c := dial(t, r.addr)
			defer c.Close()
			_, _ = io.WriteString(c, strings.Repeat("PING\r\n", 2000))
			got, err := bufio.NewReader(c).ReadString('\n')
			if err != nil {
				got = err.Error()
			}
			said <- got
			<-leave
		})
	}
	count := map[string]int{}
	for range come {
		count[<-said]++
	}
	close(leave)
	all.Wait()
	if served, refused := count["-NOAUTH Authentication required.\r\n"], count["-ERR max number of clients reached\r\n"]; served != 20 || refused != 80 {
		t.Errorf("%v, want 20 served and 80 told that there are too many", count)
	}
	if n := r.metric(t, `respgate_clients_refused_total{reason="max_clients"}`); n != 80 {
		t.Errorf("%v refusals are counted, want 80", n)
	}
	if n := strings.Count(r.log.String(), "connections are refused"); n != 1 {
		t.Errorf("the log tells of refusals %d times, want once", n)
	}
}

// TestRefusedOverTLS has one client too many on the listener for TLS: it gets no plain text.
func TestRefusedOverTLS(t *testing.T) {
	file := filesIn(t, t.TempDir())
	certPEM, keyPEM := newAuthority(t).pair()
	cfg := testConfig(t)
	cfg.Limits.MaxClients = 1
	cfg.TLS = TLSConfig{Listen: testbed.FreeAddr(t), CertFile: file("cert.pem", certPEM), KeyFile: file("key.pem", keyPEM)}
	r := startServe(t, cfg)
	first := dial(t, r.addr)
	defer first.Close()
	_, _ = io.WriteString(first, "PING\r\n")
	read(t, first, len("-NOAUTH"))
	second := dial(t, cfg.TLS.Listen)
	defer second.Close()
	if got, err := io.ReadAll(second); len(got) > 0 {
		t.Errorf("it got %q, %v, want the end", got, err)
	}
}

// TestHandshakesAreDroppedForMemory has strangers begin handshakes and leave much of them in
// the air: the greediest are dropped, and others get in.
func TestHandshakesAreDroppedForMemory(t *testing.T) {
	ca := newAuthority(t)
	file := filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair()
	cfg := testConfig(t)
	cfg.TLS = TLSConfig{Listen: testbed.FreeAddr(t), CertFile: file("cert.pem", certPEM), KeyFile: file("key.pem", keyPEM)}
	cfg.Limits.MemoryBytes, cfg.Limits.AuthTimeout = 1<<20, time.Hour
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	// The first record of a ClientHello that says that it has 60,000 bytes.
	piece := append([]byte{22, 3, 1, 16000 >> 8, 16000 & 0xff, 1, 0, 0xea, 0x60}, make([]byte, 16000-4)...)
	for range 100 {
		c := dial(t, cfg.TLS.Listen)
		defer c.Close()
		_, _ = c.Write(piece)
	}
	testbed.Within(t, 10*time.Second, "the bound holds", func() bool {
		return r.metric(t, `respgate_clients_dropped_total{reason="memory"}`) > 0 && r.metric(t, "respgate_memory_in_flight_bytes") <= 1<<20
	})
	if got := ask(t, login(t, cfg.TLS.Listen, ca.trusts("127.0.0.1"), key), "PING"); got != "+PONG" {
		t.Errorf("another client: got %q, want +PONG", got)
	}
}

// TestNoisyNeighbours has one tenant's clients send without end what is refused, what is
// answered here and what is relayed: another tenant's client on the same loop has its turns.
func TestNoisyNeighbours(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 1
	r := startServe(t, cfg)
	noisy := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	quiet := r.tenant(t, "globex", testbed.Redis(t).Addr, nil)
	stop := make(chan struct{})
	var all sync.WaitGroup
	for i := range 9 {
		c := dial(t, r.addr)
		all.Go(func() {
			defer c.Close()
			_, _ = io.WriteString(c, "AUTH "+noisy+"\r\n")
			all.Go(func() { _, _ = io.Copy(io.Discard, c) })
			flood := []byte(strings.Repeat([]string{"CONFIG GET x\r\n", "CLIENT ID\r\n", "GET k\r\n"}[i%3], 10_000))
			for {
				select {
				case <-stop:
					return
				default:
					if _, err := c.Write(flood); err != nil {
						return
					}
				}
			}
		})
	}
	testbed.Eventually(t, "the flood runs", func() bool {
		return r.metric(t, `redis_commands_total{command="get",tenant="acme`) > 10_000
	})
	before := r.metric(t, `redis_commands_total{command="get",tenant="acme`)
	s := startSteady(t, r.addr, quiet)
	testbed.Eventually(t, "the quiet tenant is served 25 times", func() bool {
		return r.metric(t, `redis_commands_total{command="incr",tenant="globex`) >= 25
	})
	if n := s.end(); n < 25 {
		t.Errorf("the quiet client was served %d times", n)
	}
	if after := r.metric(t, `redis_commands_total{command="get",tenant="acme`); after == before {
		t.Error("the noisy tenant was not served meanwhile")
	}
	close(stop)
	all.Wait()
}
