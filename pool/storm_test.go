package pool

import (
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// front stands before a server and counts who comes. It accepts when the server is away,
// and then closes.
type front struct {
	addr     string
	accepted atomic.Int64
	present  atomic.Int64
}

// newFront starts one; with no server behind it, it never says a word.
func newFront(t *testing.T, server string) *front {
	t.Helper()
	ln, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	f := &front{addr: ln.Addr().String()}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := ln.Accept()
			if err != nil {
				return
			}
			f.accepted.Add(1)
			f.present.Add(1)
			served.Go(func() {
				defer f.present.Add(-1)
				relay(c, server)
			})
		}
	})
	t.Cleanup(func() { _ = ln.Close(); served.Wait() })
	return f
}

// relay copies both ways until either side ends.
func relay(c net.Conn, server string) {
	defer func() { _ = c.Close() }()
	if server == "" {
		_, _ = io.Copy(io.Discard, c)
		return
	}
	s, err := net.Dial("tcp", server)
	if err != nil {
		return
	}
	back := make(chan struct{})
	go func() {
		defer close(back)
		_, _ = io.Copy(c, s)
		_ = c.Close()
	}()
	_, _ = io.Copy(s, c)
	_ = s.Close()
	<-back
}

const testTenant = "acme/cache"

// borrowers have n clients on each pool borrow a link, and return how many got one.
func borrowers(t *testing.T, benches []*bench, key Key, n int) (got int) {
	t.Helper()
	answers := make(chan *Error, n*len(benches))
	for _, b := range benches {
		b.loop.Do(func() {
			for range n {
				b.pool.Borrow(key, Pinned, func(l *Link, err *Error) {
					if err == nil {
						l.GiveBack(Clean)
					}
					answers <- err
				})
			}
		})
	}
	for range n * len(benches) {
		switch err := <-answers; {
		case err == nil:
			got++
		case err.Error() != "backend unavailable: connection closed" && err.Error() != "backend unavailable: connection refused":
			t.Errorf("a borrower is told %q", err)
		}
	}
	return got
}

// TestNoStorm kills a backend under four loops with links and borrowers, and counts
// connections until it is back.
func TestNoStorm(t *testing.T) {
	server := testbed.Redis(t)
	f := newFront(t, server.Addr)
	benches := newBenches(t, 4, NewSlots(256, 100))
	obs := benches[0].obs
	var shared []*Link
	var homes []*bench
	for _, b := range benches {
		for db := range 4 {
			shared = append(shared, b.link("redis://"+f.addr, db, 2+db%2))
			homes = append(homes, b)
		}
	}
	up := func() (n int) {
		for i, l := range shared {
			if homes[i].do(l, "PING") == "+PONG\r\n" {
				n++
			}
		}
		return n
	}
	key := Key{Instance: "i", Label: testTenant, Backend: mustParse(t, "redis://"+f.addr), Proto: 2}
	if n := up(); n != len(shared) {
		t.Fatalf("%d of %d links are up", n, len(shared))
	}
	if n := borrowers(t, benches, key, 50); n != 200 {
		t.Fatalf("%d of 200 borrowers got a link", n)
	}

	before, began := f.accepted.Load(), time.Now()
	server.Kill()
	testbed.Eventually(t, "the breaker is open, and probed for a while", func() bool {
		borrowers(t, benches, key, 50)
		return obs.result("breaker_open") > 0 && f.accepted.Load()-before > 20
	})
	if n := up(); n != 0 {
		t.Errorf("%d links answer though their backend is away", n)
	}
	// The first tries go together, those of a round and the probes one at a time.
	accepted, most := f.accepted.Load()-before, 2*dialsAtOnce+1+int64(time.Since(began)/(40*time.Millisecond))
	if accepted > most {
		t.Errorf("%d connections in %v, want %d at most", accepted, time.Since(began), most)
	}

	server.Start()
	testbed.Eventually(t, "all links and borrowers are served again", func() bool {
		return up() == len(shared) && borrowers(t, benches, key, 50) == 200
	})
	obs.mu.Lock()
	defer obs.mu.Unlock()
	states := obs.breakers[testTenant]
	if len(states) < 3 || states[0] != 2 || states[len(states)-1] != 0 {
		t.Errorf("the breaker's states were %v, want 2 at first and 0 in the end", states)
	}
}

// TestNoStormOfGuesses has many borrowers use a password that the backend refuses: one try
// says it for all, and others with the right one are let in meanwhile.
func TestNoStormOfGuesses(t *testing.T) {
	server := testbed.Redis(t, "--requirepass", "s3cret")
	f := newFront(t, server.Addr)
	benches := newBenches(t, 2, NewSlots(256, 100))
	wrong := Key{Instance: "i", Label: testTenant, Backend: mustParse(t, "redis://:guess@"+f.addr), Proto: 2}
	began := time.Now()
	for range 5 {
		told := make(chan *Error, 200)
		for _, b := range benches {
			b.loop.Do(func() {
				for range 100 {
					b.pool.Borrow(wrong, Pinned, func(_ *Link, err *Error) { told <- err })
				}
			})
		}
		for range 200 {
			if err, want := <-told, "backend unavailable: it answered WRONGPASS"; err == nil || err.Error() != want {
				t.Fatalf("a borrower is told %v, want %q", err, want)
			}
		}
		right := wrong
		right.Label, right.Backend = "other/cache", mustParse(t, "redis://:s3cret@"+f.addr)
		if n := borrowers(t, benches, right, 1); n != 2 {
			t.Fatalf("%d of 2 with the right password got a link", n)
		}
	}
	guesses := int64(benches[0].obs.result("auth"))
	if most := dialsAtOnce + 1 + int64(time.Since(began)/(40*time.Millisecond)); guesses > most {
		t.Errorf("%d guesses in %v, want %d at most", guesses, time.Since(began), most)
	}
	benches[0].obs.mu.Lock()
	defer benches[0].obs.mu.Unlock()
	if states := benches[0].obs.breakers["other/cache"]; len(states) > 0 {
		t.Errorf("another login's breaker was %v", states)
	}
}

func mustParse(t *testing.T, url string) Backend {
	t.Helper()
	b, err := ParseURL(tenant.Secret(url))
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// TestRecoveryIsTold has links whose own timers take a minute: a dial of somebody else's
// that succeeds has them connect at once.
func TestRecoveryIsTold(t *testing.T) {
	server := testbed.Redis(t)
	benches := newBenches(t, 2, NewSlots(8, 100))
	dialer, at := benches[0].pool.dialer, &clock{now: time.Now()}
	dialer.gates.now = at.Now
	dialer.gates.cfg.Store(&DialConfig{Attempts: 1, RetryDelay: time.Minute})
	server.Kill()
	var shared []*Link
	for _, b := range benches {
		b.pool.cfg.Dial = DialConfig{Attempts: 1, RetryDelay: time.Minute}
		for db := range 3 {
			shared = append(shared, b.link("redis://"+server.Addr, db, 2))
			if err := b.up(shared[len(shared)-1]); err == nil {
				t.Fatal("a link to a dead backend is up")
			}
		}
	}
	if tries := benches[0].obs.result("refused"); tries != 1 {
		t.Errorf("%d tries, want one for all links", tries)
	}
	server.Start()
	at.forward(time.Minute)
	nc, _, err := dialer.Dial(t.Context(), testTenant, mustParse(t, "redis://"+server.Addr), 0, 2, 1)
	if err != nil {
		t.Fatal(err)
	}
	_ = nc.Close()
	testbed.Eventually(t, "all links are up", func() bool {
		n := 0
		for i, l := range shared {
			benches[i/3].loop.Do(func() {
				if l.Connected() {
					n++
				}
			})
		}
		return n == len(shared)
	})
}

// TestBorrowerLeavesWhileDialling: nobody dials on for it.
func TestBorrowerLeavesWhileDialling(t *testing.T) {
	f := newFront(t, "")
	b := newBench(t)
	cfg := *b.pool.dialer.cfg.Load()
	cfg.Timeout = time.Hour
	b.pool.dialer.SetConfig(cfg)
	key := Key{Instance: "i", Label: testTenant, Backend: mustParse(t, "redis://"+f.addr), Proto: 2}
	var leave func()
	b.loop.Do(func() {
		leave = b.pool.Borrow(key, Pinned, func(_ *Link, err *Error) { t.Errorf("it is answered after it has left: %v", err) })
	})
	testbed.Eventually(t, "it dials", func() bool { return f.present.Load() == 1 })
	b.loop.Do(leave)
	testbed.Within(t, 10*time.Second, "the connection is closed, long before the dial's own time is out", func() bool { return f.present.Load() == 0 })
	testbed.Within(t, 10*time.Second, "its slot is free", func() bool {
		b.pool.slots.mu.Lock()
		defer b.pool.slots.mu.Unlock()
		return len(b.pool.slots.used) == 0
	})
	if n := b.obs.result("error") + b.obs.result("timeout"); n != 0 {
		t.Errorf("%d failures are counted, want none", n)
	}
}
