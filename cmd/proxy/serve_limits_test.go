package main

import (
	"fmt"
	"io"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// delayed are limits of a key whose commands wait.
func delayed(rate, burst int) func(*tenant.Key) {
	return func(k *tenant.Key) {
		limits(rate, burst)(k)
		k.Limits.Mode = tenant.LimitDelay
	}
}

// TestDelayHoldsToTheRate has clients of one key, on several loops, send pipelines as fast as
// they are served: none is refused, each gets on, and all together get what the rate gives.
func TestDelayHoldsToTheRate(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops, cfg.RateLimit.MaxDelay = 3, time.Minute
	r := startServe(t, cfg)
	const rate, burst, clients = 2000, 20, 8
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, delayed(rate, burst))
	var all, least atomic.Int64
	least.Store(1 << 30)
	began := time.Now()
	var wg sync.WaitGroup
	for i := range clients {
		wg.Go(func() {
			n := 0
			for time.Since(began) < time.Second {
				size := 1 + (n+i)%50
				var in, want strings.Builder
				for j := range size {
					fmt.Fprintf(&in, "ECHO %d-%d\r\n", n, j)
					text := fmt.Sprintf("%d-%d", n, j)
					fmt.Fprintf(&want, "$%d|%s|", len(text), text)
				}
				if got := talk(t, r.addr, "AUTH "+key+"\r\n"+in.String()+"QUIT\r\n"); got != "+OK|"+want.String()+"+OK|" {
					t.Errorf("got %s", got)
					return
				}
				n += size
			}
			all.Add(int64(n))
			for {
				if was := least.Load(); was <= int64(n) || least.CompareAndSwap(was, int64(n)) {
					return
				}
			}
		})
	}
	wg.Wait()
	if most := int64(rate*time.Since(began).Seconds()) + burst + 1; all.Load() > most {
		t.Errorf("%d commands were served, want %d at most", all.Load(), most)
	}
	if least.Load() == 0 {
		t.Error("a client was not served at all")
	}
	for name, want := range map[string]bool{"rate_limit_delayed_commands_total": true, "rate_limited_commands_total": false, "rate_limit_dry_run_commands_total": false} {
		if got := r.metric(t, name); got > 0 != want {
			t.Errorf("%s is %v", name, got)
		}
	}
	if waited := r.metric(t, `redis_tenant_duration_seconds_sum{phase="limit"`); waited <= 0 {
		t.Errorf("they have waited %v s", waited)
	}
}

// TestDelayedFollowTheStore has clients wait for tokens that come once an hour, and then their
// limit be lifted, their key revoked, their proxy be told to refuse what is over limits, and
// be stopped.
func TestDelayedFollowTheStore(t *testing.T) {
	cfg := testConfig(t)
	cfg.RateLimit.MaxDelay, cfg.Shutdown.DrainTimeout = time.Hour, 10*time.Second
	r := startServe(t, cfg)
	redis := testbed.Redis(t).Addr
	wait := func(key string) func() string {
		c := dial(t, r.addr)
		_, _ = io.WriteString(c, "AUTH "+key+"\r\n"+strings.Repeat("PING\r\n", 300))
		if got := read(t, c, 12); got != "+OK\r\n+PONG\r\n" {
			t.Fatalf("got %q", got)
		}
		return func() string {
			_, _ = io.WriteString(c, "QUIT\r\n")
			rest, err := io.ReadAll(c)
			if err != nil {
				t.Error(err)
			}
			return strings.ReplaceAll(string(rest), "\r\n", "|")
		}
	}
	lifted, revoked, stopped := r.tenant(t, "acme", redis, delayed(1, 1)), r.tenant(t, "globex", redis, delayed(1, 1)), r.tenant(t, "initech", redis, delayed(1, 1))
	ofLifted, ofRevoked, ofStopped := wait(lifted), wait(revoked), wait(stopped)
	if _, err := r.store.UpdateKey(t.Context(), keyID(lifted), func(k *tenant.Key) error { limits(0, 0)(k); return nil }); err != nil {
		t.Fatal(err)
	}
	if got := ofLifted(); got != strings.Repeat("+PONG|", 299)+"+OK|" {
		t.Errorf("the limit is lifted: got %.200s", got)
	}
	if _, err := r.store.RevokeKey(t.Context(), keyID(revoked), 0); err != nil {
		t.Fatal(err)
	}
	if got := ofRevoked(); strings.Contains(got, "+OK|") || strings.Count(got, "+PONG|") > 100 {
		t.Errorf("the key is revoked: got %.200s", got)
	}
	if _, err := r.store.UpdateKey(t.Context(), keyID(stopped), func(k *tenant.Key) error { delayed(10_000, 1)(k); return nil }); err != nil {
		t.Fatal(err)
	}
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	if got := ofStopped(); got != strings.Repeat("+PONG|", 299) {
		t.Errorf("the proxy is stopped: got %d replies, want 299: %.200s", strings.Count(got, "|"), got)
	}
}

// TestBytesPerSecond has a key, and then its organization, be limited to fewer bytes than its
// clients read.
func TestBytesPerSecond(t *testing.T) {
	cfg := testConfig(t)
	cfg.RateLimit.DefaultByteRate = 10_000
	r := startServe(t, cfg)
	redis := testbed.Redis(t)
	if err := redis.Client().Set(t.Context(), "k", strings.Repeat("v", 100_000), 0).Err(); err != nil {
		t.Fatal(err)
	}
	unlimited := int64(0)
	key := r.tenant(t, "acme", redis.Addr, nil)
	free := r.key(t, "acme", func(k *tenant.Key) { k.Name, k.Limits.ByteRate = "free", &unlimited })
	over := func(key string) string {
		c := dial(t, r.addr)
		_, _ = io.WriteString(c, "AUTH "+key+"\r\nGET k\r\n")
		read(t, c, len("+OK\r\n$100000\r\n\r\n")+100_000)
		_, _ = io.WriteString(c, "GET k\r\nUNWATCH\r\nQUIT\r\n")
		rest, _ := io.ReadAll(c)
		return strings.ReplaceAll(string(rest), "\r\n", "|")
	}
	if got := over(key); !strings.HasPrefix(got, "-RATELIMIT 10000 bytes/s exceeded for this key, retry after ") || !strings.HasSuffix(got, " ms|+OK|+OK|") {
		t.Errorf("beyond the key's: got %.200s", got)
	}
	if got := over(free); len(got) < 100_000 {
		t.Errorf("a key without limit: got %.200s", got)
	}
	if _, err := r.store.UpdateOrganization(t.Context(), "acme", func(o *tenant.Organization) error { o.ByteRate = 20_000; return nil }); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the organization's limit holds", func() bool {
		return strings.HasPrefix(talk(t, r.addr, "AUTH "+free+"\r\nGET k\r\nQUIT\r\n"), "+OK|-RATELIMIT 20000 bytes/s exceeded for this organization, ")
	})
	if got := r.metric(t, "rate_limited_commands_total"); got < 2 {
		t.Errorf("%v commands are counted as refused", got)
	}
}

// TestModeFollowsTheFile has a proxy's limits be enforced, in dry run, and delay, one after the other.
func TestModeFollowsTheFile(t *testing.T) {
	cfg := testConfig(t)
	cfg.RateLimit.DefaultRPS = 5
	base := fmt.Sprintf("listen: %s\nhttp: {listen: %s}\nstore: {dsn: %q}\n", cfg.Listen, cfg.HTTP.Listen, cfg.Store.DSN.Reveal())
	file, rewrite := configFile(t, base)
	hup := make(chan os.Signal, 1)
	r := startServeFrom(t, cfg, &origin{file: file, version: fileVersion(file), hup: hup})
	become := func(limits string) {
		rewrite(base + "rate_limit: {" + limits + "}\n")
		hup <- syscall.SIGHUP
	}
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	if answered, refused := admitted(t, r.addr, key, 50); answered > 10 || answered+refused != 50 {
		t.Errorf("reject: %d answered, %d refused", answered, refused)
	}
	become("default_rps: 5, mode: dry_run")
	testbed.Eventually(t, "all is served", func() bool {
		answered, _ := admitted(t, r.addr, key, 50)
		return answered == 50
	})
	if got := r.metric(t, "rate_limit_dry_run_commands_total"); got < 40 {
		t.Errorf("dry run: %v commands are counted", got)
	}
	if !strings.Contains(r.log.String(), "a limit would refuse commands: it is in dry run") {
		t.Error("the log does not say so")
	}
	become("default_rps: 500, mode: delay, max_delay: 1m")
	testbed.Eventually(t, "commands wait", func() bool {
		answered, _ := admitted(t, r.addr, key, 600)
		return answered == 600 && r.metric(t, "rate_limit_delayed_commands_total") > 0
	})
}
