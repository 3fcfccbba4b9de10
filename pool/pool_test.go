package pool

import (
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// links counts open links, how dialling ended and how the breakers are.
type links struct {
	mu       sync.Mutex
	open     int
	results  map[string]int
	delayed  int
	breakers map[string][]int // by tenant: the states, in order
}

func (o *links) LinkOpened(string, string) { o.add(1) }
func (o *links) LinkClosed(string, string) { o.add(-1) }
func (o *links) add(n int)                 { o.mu.Lock(); o.open += n; o.mu.Unlock() }
func (o *links) DialResult(_, result string) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.results == nil {
		o.results = map[string]int{}
	}
	o.results[result]++
}
func (o *links) DialDelayed(string) { o.mu.Lock(); o.delayed++; o.mu.Unlock() }
func (o *links) BreakerState(label string, state int) {
	o.mu.Lock()
	defer o.mu.Unlock()
	if o.breakers == nil {
		o.breakers = map[string][]int{}
	}
	o.breakers[label] = append(o.breakers[label], state)
}

// result returns how many dials have ended so.
func (o *links) result(name string) int {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.results[name]
}

// bench is a pool on a running loop.
type bench struct {
	t    *testing.T
	loop *loop.Loop
	pool *Pool
	obs  *links
}

func newBench(t *testing.T) *bench {
	t.Helper()
	return newBenches(t, 1, NewSlots(8, 100))[0]
}

// newBenches returns n pools of one process.
func newBenches(t *testing.T, n int, slots *Slots) (all []*bench) {
	t.Helper()
	log, obs := slog.New(slog.DiscardHandler), &links{}
	cfg := Config{
		Dial:        DialConfig{Attempts: 3, RetryDelay: 50 * time.Millisecond, Timeout: 2 * time.Second},
		IdleTimeout: time.Hour, StallTimeout: time.Hour, PinnedWait: time.Second,
	}
	dialer := NewDialer(cfg.Dial, log, obs)
	for range n {
		l, err := loop.New(log)
		if err != nil {
			t.Fatal(err)
		}
		b := &bench{t: t, loop: l, obs: obs}
		b.pool = New(t.Context(), cfg, l, slots, dialer, obs, func(string) Meter { return &tally{} }, log)
		done := make(chan struct{})
		go func() { l.Run(); close(done) }()
		t.Cleanup(func() { l.Stop(); <-done })
		all = append(all, b)
	}
	return all
}

func (b *bench) link(url string, db, proto int) (link *Link) {
	backend, err := ParseURL(tenant.Secret(url))
	if err != nil {
		b.t.Fatal(err)
	}
	b.loop.Do(func() {
		link = b.pool.Shared(Key{Instance: "i", Label: "acme/cache", Backend: backend, DB: db, Proto: proto})
		link.Acquire()
	})
	return link
}

// up waits until the link is up or cannot be.
func (b *bench) up(link *Link) *Error {
	told := make(chan *Error, 1)
	b.loop.Do(func() { link.WhenUp(func(err *Error) { told <- err }) })
	return <-told
}

// do sends one command and returns its reply or failure.
func (b *bench) do(link *Link, args ...string) string {
	w := &waiter{got: make(chan string, 1)}
	b.loop.Do(func() {
		if _, err := link.Send(w, resp.AppendCommand(nil, args...), command.Other, b.loop.Nanos()); err != nil {
			w.Failed(command.Other, err)
		}
	})
	return <-w.got
}

type waiter struct {
	part string
	got  chan string
}

func (w *waiter) Replies(b []byte, done int, _ bool) {
	if w.part += string(b); done > 0 {
		w.got <- w.part
	}
}
func (w *waiter) Failed(_ command.ID, err *Error) { w.got <- err.Error() }

func TestPoolAgainstRedis(t *testing.T) {
	server := testbed.Redis(t, "--requirepass", "s3cret")
	b := newBench(t)
	url := "redis://:s3cret@" + server.Addr
	for _, c := range []struct {
		name      string
		db, proto int
	}{{"RESP2", 0, 2}, {"RESP3", 0, 3}, {"database 5", 5, 2}} {
		t.Run(c.name, func(t *testing.T) {
			link := b.link(url, c.db, c.proto)
			if err := b.up(link); err != nil {
				t.Fatal(err)
			}
			if got := b.do(link, "SET", "k", c.name); got != "+OK\r\n" {
				t.Errorf("SET: %q", got)
			}
			null := map[int]string{2: "$-1\r\n", 3: "_\r\n"}[c.proto]
			if got := b.do(link, "GET", "nosuch"); got != null {
				t.Errorf("GET nosuch: %q, want %q", got, null)
			}
			if got := b.do(link, "CLIENT", "LIST"); !strings.Contains(got, fmt.Sprintf(" db=%d ", c.db)) {
				t.Errorf("CLIENT LIST: %q, want a client in database %d", got, c.db)
			}
			if v := link.Hello().Version; v == "" {
				t.Error("the backend's version is not known")
			}
		})
	}
}

func TestBackendsRefusalIsTold(t *testing.T) {
	server := testbed.Redis(t, "--requirepass", "s3cret")
	b := newBench(t)
	for name, c := range map[string]struct {
		url, want string
		db        int
	}{
		"no such database": {"redis://:s3cret@" + server.Addr, "ERR DB index is out of range", 4000},
		"wrong password":   {"redis://:guess@" + server.Addr, "backend unavailable: it answered WRONGPASS", 0},
		"no password":      {"redis://" + server.Addr, "backend unavailable: it answered NOAUTH", 0},
	} {
		t.Run(name, func(t *testing.T) {
			err := b.up(b.link(c.url, c.db, 2))
			if err == nil || err.Error() != c.want {
				t.Errorf("got %v, want %q", err, c.want)
			}
		})
	}
}

// TestBackendThatCannotSave: such a Redis refuses writes, and PING with them. It serves the
// rest all the same, and so clients are let in.
func TestBackendThatCannotSave(t *testing.T) {
	server := testbed.Redis(t, "--enable-protected-configs", "yes")
	gone := t.TempDir() + "/gone"
	if err := os.Mkdir(gone, 0o700); err != nil {
		t.Fatal(err)
	}
	admin := server.Client()
	for _, args := range [][]any{{"CONFIG", "SET", "dir", gone}, {"CONFIG", "SET", "save", "3600 1"}, {"SET", "k", "v"}} {
		if err := admin.Do(t.Context(), args...).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.Remove(gone); err != nil {
		t.Fatal(err)
	}
	_ = admin.Do(t.Context(), "BGSAVE").Err()
	testbed.Eventually(t, "the backend refuses PING", func() bool {
		err := admin.Ping(t.Context()).Err()
		return err != nil && strings.HasPrefix(err.Error(), "MISCONF")
	})
	b := newBench(t)
	link := b.link("redis://"+server.Addr, 0, 2)
	if got := b.do(link, "GET", "k"); got != "$1\r\nv\r\n" {
		t.Errorf("GET: %q", got)
	}
	if got := b.do(link, "SET", "k", "w"); !strings.HasPrefix(got, "-MISCONF ") {
		t.Errorf("SET: %q, want Redis's own refusal", got)
	}
}

func TestLinkComesBackByItself(t *testing.T) {
	server := testbed.Redis(t)
	b := newBench(t)
	link := b.link("redis://"+server.Addr, 0, 2)
	if got := b.do(link, "PING"); got != "+PONG\r\n" {
		t.Fatalf("PING: %q", got)
	}
	server.Kill()
	testbed.Eventually(t, "commands fail fast", func() bool {
		return b.do(link, "PING") == "backend unavailable: connection refused"
	})
	server.Start()
	testbed.Eventually(t, "commands work again", func() bool {
		return b.do(link, "PING") == "+PONG\r\n"
	})
	b.obs.mu.Lock()
	defer b.obs.mu.Unlock()
	// The dying server may still accept: that try ends in an error, not refused.
	if failed := b.obs.results["refused"] + b.obs.results["error"]; b.obs.open != 1 || b.obs.results["ok"] != 2 || failed < 3 {
		t.Errorf("%d links open, dials %v; want 1, 2 of them ok and at least 3 failed", b.obs.open, b.obs.results)
	}
}

func TestForgottenLinkNeverDialsAgain(t *testing.T) {
	server := testbed.Redis(t)
	b := newBench(t)
	connected, unused := b.link("redis://"+server.Addr, 0, 2), b.link("redis://"+server.Addr, 1, 2)
	if got := b.do(connected, "PING"); got != "+PONG\r\n" {
		t.Fatalf("PING: %q", got)
	}
	b.loop.Do(func() { b.pool.Forget("acme/cache") })
	for _, link := range []*Link{connected, unused} {
		if got, want := b.do(link, "PING"), "backend unavailable: the instance was deleted"; got != want {
			t.Errorf("PING: %q, want %q", got, want)
		}
	}
	b.obs.mu.Lock()
	defer b.obs.mu.Unlock()
	if b.obs.open != 0 || b.obs.results["ok"] != 1 {
		t.Errorf("%d links open, dials %v; want 0 and only the first", b.obs.open, b.obs.results)
	}
}
