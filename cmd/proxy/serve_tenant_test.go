package main

import (
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

func limits(rate, burst int) func(*tenant.Key) {
	return func(k *tenant.Key) { k.Limits = tenant.Limits{Rate: &rate, Burst: &burst} }
}

// TestTenantsAreApart has two organizations with a backend each: no key leads to the
// other's data.
func TestTenantsAreApart(t *testing.T) {
	r := startServe(t, testConfig(t))
	keys := map[string]string{}
	for _, org := range []string{"acme", "globex"} {
		server := testbed.Redis(t)
		keys[org] = r.tenant(t, org, server.Addr, nil)
		if err := server.Client().Set(t.Context(), "who", org, 0).Err(); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := r.store.CreateInstance(t.Context(), tenant.Instance{Org: "globex", Name: "vault", URL: tenant.Secret("redis://" + testbed.Redis(t).Addr)}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, in, want string }{
		{"acme reads its own", "AUTH " + keys["acme"] + "\r\nGET who\r\nQUIT\r\n", "+OK|$4|acme|+OK|"},
		{"globex reads its own", "AUTH cache " + keys["globex"] + "\r\nGET who\r\nQUIT\r\n", "+OK|$6|globex|+OK|"},
		{"another organization's instance", "AUTH vault " + keys["acme"] + "\r\nGET who\r\nQUIT\r\n", "-WRONGPASS invalid username-password pair or user is disabled.|-NOAUTH Authentication required.|+OK|"},
		{"an instance the key does not open", "AUTH vault " + keys["globex"] + "\r\nQUIT\r\n", "-WRONGPASS invalid username-password pair or user is disabled.|+OK|"},
		{"one client, two keys", "AUTH " + keys["acme"] + "\r\nGET who\r\nAUTH " + keys["globex"] + "\r\nGET who\r\nQUIT\r\n", "+OK|$4|acme|+OK|$6|globex|+OK|"},
		{"a server's secrets", "AUTH " + keys["acme"] + "\r\nCONFIG GET requirepass\r\nCONFIG NOSUCH\r\nQUIT\r\n",
			"+OK|-NOPERM this key has no permissions to run the 'config|get' command|-NOPERM this key has no permissions to run the 'config' command|+OK|"},
	} {
		if got := talk(t, r.addr, c.in); got != c.want {
			t.Errorf("%s: got %s, want %s", c.name, got, c.want)
		}
	}
}

// TestRevokedKeyEndsSessions revokes a key: its live session ends within two seconds,
// another key's goes on.
func TestRevokedKeyEndsSessions(t *testing.T) {
	r := startServe(t, testConfig(t))
	revoked := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	other := r.key(t, "acme", func(k *tenant.Key) { k.Name = "other" })
	session := func(key string) net.Conn {
		c := dial(t, r.addr)
		t.Cleanup(func() { c.Close() })
		_, _ = io.WriteString(c, "AUTH "+key+"\r\nPING\r\n")
		if got := read(t, c, 12); got != "+OK\r\n+PONG\r\n" {
			t.Fatalf("got %q", got)
		}
		return c
	}
	ends, goesOn := session(revoked), session(other)
	if _, err := r.store.RevokeKey(t.Context(), keyID(revoked), 0); err != nil {
		t.Fatal(err)
	}
	_ = ends.SetDeadline(time.Now().Add(2 * time.Second))
	if got, err := io.ReadAll(ends); len(got) > 0 || err != nil {
		t.Errorf("the revoked key's session got %q, %v, want its end", got, err)
	}
	_, _ = io.WriteString(goesOn, "PING\r\n")
	if got := read(t, goesOn, 7); got != "+PONG\r\n" {
		t.Errorf("the other session got %q", got)
	}
	if got := talk(t, r.addr, "AUTH "+revoked+"\r\nQUIT\r\n"); got != "-WRONGPASS invalid username-password pair or user is disabled.|+OK|" {
		t.Errorf("the revoked key got %q", got)
	}
}

func read(t testing.TB, r io.Reader, n int) string {
	t.Helper()
	b := make([]byte, n)
	got, err := io.ReadFull(r, b)
	if err != nil {
		t.Errorf("after %q: %v", b[:got], err)
	}
	return string(b[:got])
}

// admitted sends n PINGs in one pipeline and returns how many were answered and how
// many refused by the limit.
func admitted(t testing.TB, addr, key string, n int) (answered, refused int) {
	t.Helper()
	got := talk(t, addr, "AUTH "+key+"\r\n"+strings.Repeat("PING\r\n", n)+"QUIT\r\n")
	return strings.Count(got, "+PONG|"), strings.Count(got, "-RATELIMIT ")
}

func TestLimitsFollowTheStore(t *testing.T) {
	r := startServe(t, testConfig(t))
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(1, 50))
	if answered, refused := admitted(t, r.addr, key, 100); answered < 50 || answered > 52 || answered+refused != 100 {
		t.Errorf("burst of 50: %d answered and %d refused of 100", answered, refused)
	}
	if answered, _ := admitted(t, r.addr, key, 100); answered > 5 {
		t.Errorf("reconnected: %d answered, want only the refill", answered)
	}
	if _, err := r.store.ResetLimits(t.Context(), keyID(key)); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the bucket is refilled", func() bool {
		answered, _ := admitted(t, r.addr, key, 60)
		return answered >= 45
	})
	if answered, _ := admitted(t, r.addr, key, 60); answered > 10 {
		t.Errorf("after the refill was used: %d answered", answered)
	}
	if _, err := r.store.UpdateKey(t.Context(), keyID(key), func(k *tenant.Key) error { limits(0, 0)(k); return nil }); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "the limit is lifted", func() bool {
		answered, _ := admitted(t, r.addr, key, 200)
		return answered == 200
	})
}

// TestPipelineBeyondTheLimit is the default limit of 100/s against 1,000 commands at
// once.
func TestPipelineBeyondTheLimit(t *testing.T) {
	cfg := testConfig(t)
	cfg.RateLimit.DefaultRPS = 100
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	began := time.Now()
	answered, refused := admitted(t, r.addr, key, 1000)
	refill := int(time.Since(began).Seconds()*100) + 1
	if answered < 100 || answered > 100+refill || answered+refused != 1000 {
		t.Errorf("%d answered and %d refused of 1000, want 100, at most %d by refill", answered, refused, refill)
	}
	if got := r.metric(t, "rate_limited_commands_total{"); int(got) != refused {
		t.Errorf("rate_limited_commands_total = %v, want %d", got, refused)
	}
}

// TestDeletedInstance deletes an instance that is used: its sessions and links end,
// and its series go.
func TestDeletedInstance(t *testing.T) {
	r := startServe(t, testConfig(t))
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	c := dial(t, r.addr)
	defer c.Close()
	_, _ = io.WriteString(c, "AUTH "+key+"\r\nPING\r\n")
	read(t, c, 12)
	if got := r.metric(t, `redis_connections_active{kind="shared",tenant="acme/cache"}`); got != 1 {
		t.Errorf("redis_connections_active = %v, want 1", got)
	}
	if err := r.store.DeleteInstance(t.Context(), "acme", "cache", store.Deletion{Force: true}); err != nil {
		t.Fatal(err)
	}
	_ = c.SetDeadline(time.Now().Add(2 * time.Second))
	if _, err := io.ReadAll(c); err != nil {
		t.Errorf("the session goes on: %v", err)
	}
	testbed.Eventually(t, "its series are gone", func() bool {
		_, body := httpGet(t, "http://"+r.http+"/metrics")
		return !strings.Contains(body, `tenant="acme/cache"`)
	})
}

// TestStoreGone takes the store away from a running proxy: another process locks its
// file so that nobody can read it.
func TestStoreGone(t *testing.T) {
	p := startProcess(t, "", "rate_limit: {default_rps: 0}\n")
	known := p.tenant("acme", testbed.Redis(t).Addr)
	unseen := p.key("acme")
	ping := func(key string) string { return talk(t, p.addr, "AUTH "+key+"\r\nPING\r\nQUIT\r\n") }
	if got := ping(known); got != "+OK|+PONG|+OK|" {
		t.Fatalf("before: %q", got)
	}
	unlock := lockStore(t, strings.TrimSuffix(p.config, "respgate.yaml")+"respgate.db-shm")
	testbed.Eventually(t, "/health says degraded", func() bool {
		status, body := httpGet(t, "http://"+p.http+"/health")
		return status == 200 && strings.Contains(body, `"status":"degraded"`)
	})
	testbed.Eventually(t, "the proxy knows", func() bool {
		return strings.Contains(p.log.String(), "the key store cannot be asked")
	})
	if got := ping(known); got != "+OK|+PONG|+OK|" {
		t.Errorf("a cached key: %q", got)
	}
	began := time.Now()
	if got := ping(unseen); !strings.HasPrefix(got, "-ERR authentication is temporarily unavailable|") {
		t.Errorf("a key that is not cached: %q", got)
	}
	if took := time.Since(began); took > 500*time.Millisecond {
		t.Errorf("it took %v to say so, want at once", took)
	}
	if status, body := httpGet(t, "http://"+p.http+"/health/ready"); status != 200 {
		t.Errorf("/health/ready: %d %s", status, body)
	}
	unlock()
	testbed.Eventually(t, "the proxy catches up", func() bool {
		_, body := httpGet(t, "http://"+p.http+"/health")
		return ping(unseen) == "+OK|+PONG|+OK|" && strings.Contains(body, `"status":"healthy"`)
	})
}

// lockStore keeps everybody from reading a SQLite file in WAL mode: it takes the locks
// that readers share (https://www.sqlite.org/walformat.html#wal_locks), which are bytes
// 120 to 127 of the shared-memory file.
func lockStore(t *testing.T, file string) (unlock func()) {
	t.Helper()
	f, err := os.OpenFile(file, os.O_RDWR, 0)
	if err != nil {
		t.Fatal(err)
	}
	lock := syscall.Flock_t{Type: syscall.F_WRLCK, Whence: io.SeekStart, Start: 120, Len: 8}
	if err := syscall.FcntlFlock(f.Fd(), syscall.F_SETLKW, &lock); err != nil {
		t.Fatal(err)
	}
	return func() { f.Close() }
}

// TestDrain ends a proxy while a command is with a slow backend: it is not ready any
// more, the reply still comes, and it exits with 0.
func TestDrain(t *testing.T) {
	server := testbed.Redis(t)
	p := startProcess(t, "", "rate_limit: {default_rps: 0}\n")
	key := p.tenant("acme", server.Addr)
	busy, idle := dial(t, p.addr), dial(t, p.addr)
	defer busy.Close()
	defer idle.Close()
	for _, c := range []net.Conn{busy, idle} {
		_, _ = fmt.Fprintf(c, "AUTH %s\r\nPING\r\n", key)
		read(t, c, 12)
	}
	if err := server.Client().Do(t.Context(), "CLIENT", "PAUSE", "1000", "ALL").Err(); err != nil {
		t.Fatal(err)
	}
	_, _ = io.WriteString(busy, "INCR n\r\n")
	testbed.Eventually(t, "its command is under way", func() bool {
		_, body := httpGet(t, "http://"+p.http+"/metrics")
		return sumMetric(t, body, `redis_commands_total{command="incr"`) == 1
	})
	if err := p.cmd.Process.Signal(syscall.SIGTERM); err != nil {
		t.Fatal(err)
	}
	testbed.Eventually(t, "it is not ready", func() bool {
		status, body := httpGet(t, "http://"+p.http+"/health/ready")
		return status == 503 && strings.Contains(body, "draining")
	})
	if got, err := io.ReadAll(idle); len(got) > 0 || err != nil {
		t.Errorf("the idle client got %q, %v, want its end", got, err)
	}
	if got, err := io.ReadAll(busy); string(got) != ":1\r\n" || err != nil {
		t.Errorf("the busy client got %q, %v", got, err)
	}
	<-p.ended
	if code := p.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit status %d", code)
	}
}

// TestNoSecretIsShown looks for passwords and keys in all that a proxy says.
func TestNoSecretIsShown(t *testing.T) {
	const password = "s3cret-of-the-backend"
	server := testbed.Redis(t, "--requirepass", password)
	t.Setenv("CACHE_URL", "redis://:"+password+"@"+server.Addr+"/0")
	t.Setenv("RESPGATE_HTTP_ADMIN_TOKEN", "an-admin-token-of-32-characters-x")
	t.Setenv("WRONG_URL", "redis://:not-"+password+"@"+server.Addr+"/0")
	p := startProcess(t, "", "log: {level: debug}\n")
	p.run("org", "create", "--name", "acme")
	shown := p.run("instance", "create", "--org", "acme", "--name", "cache", "--url", "env:CACHE_URL", "--json")
	key := p.key("acme")
	guess := auth.GenerateFor(keyID(key)).Text.Reveal()
	if got := talk(t, p.addr, "AUTH "+guess+"\r\nAUTH "+key+"\r\nSET a b\r\nGET a\r\nQUIT\r\n"); !strings.HasSuffix(got, "+OK|+OK|$1|b|+OK|") {
		t.Fatalf("got %q", got)
	}
	shown += p.run("instance", "set", "--org", "acme", "--name", "cache", "--url", "env:WRONG_URL", "--json")
	testbed.Eventually(t, "the wrong password is noticed", func() bool {
		return strings.Contains(talk(t, p.addr, "AUTH "+key+"\r\nPING\r\nQUIT\r\n"), "-ERR backend unavailable")
	})
	shown += p.run("instance", "list", "--json") + p.run("key", "list", "--json") + p.run("instance", "show", "--org", "acme", "--name", "cache")
	_, metrics := httpGet(t, "http://"+p.http+"/metrics")
	_, health := httpGet(t, "http://"+p.http+"/health")
	cmdline, err := os.ReadFile(fmt.Sprintf("/proc/%d/cmdline", p.cmd.Process.Pid))
	if err != nil {
		t.Fatal(err)
	}
	for where, text := range map[string]string{"log": p.log.String(), "metrics": metrics, "health": health, "ps": string(cmdline), "command line": shown} {
		for what, secret := range map[string]string{"password": password, "key": key[16:], "guess": guess[16:], "admin token": "an-admin-token"} {
			if strings.Contains(text, secret) {
				t.Errorf("the %s is in the %s:\n%s", what, where, text)
			}
		}
	}
}

// TestStoreRemoved takes the store's folder away from a running proxy and puts it back:
// its keys go on, /health says what is wrong, and then it catches up.
func TestStoreRemoved(t *testing.T) {
	dir := t.TempDir()
	cfg := testConfig(t)
	cfg.Store.DSN = tenant.Secret("file:" + dir + "/store/respgate.db")
	r := startServe(t, cfg)
	known := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	ping := func(key string) string { return talk(t, r.addr, "AUTH "+key+"\r\nPING\r\nQUIT\r\n") }
	if got := ping(known); got != "+OK|+PONG|+OK|" {
		t.Fatalf("before: %q", got)
	}
	if err := os.Rename(dir+"/store", dir+"/away"); err != nil {
		t.Fatal(err)
	}
	says := func(status string) func() bool {
		return func() bool {
			_, body := httpGet(t, "http://"+r.http+"/health")
			return strings.Contains(body, `"status":"`+status+`"`) && ping(known) == "+OK|+PONG|+OK|"
		}
	}
	testbed.Eventually(t, "/health says degraded and known keys work", says("degraded"))
	if err := os.Rename(dir+"/away", dir+"/store"); err != nil {
		t.Fatal(err)
	}
	later := r.key(t, "acme", func(k *tenant.Key) { k.Name = "later" })
	testbed.Eventually(t, "it is healthy and knows a new key", func() bool {
		_, body := httpGet(t, "http://"+r.http+"/health")
		return strings.Contains(body, `"status":"healthy"`) && ping(later) == "+OK|+PONG|+OK|"
	})
}
