package main

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// pair is two proxies over one PostgreSQL, and the API of each.
type pair struct {
	pg      *testbed.PostgresServer
	a, b    *running
	apiA    apiClient
	apiB    apiClient
	backend string
}

// startPair runs two; change, which may be nil, may change their configuration.
func startPair(t *testing.T, change func(*Config)) *pair {
	t.Helper()
	p := &pair{pg: testbed.Postgres(t), backend: testbed.Redis(t).Addr}
	cfg := testConfig(t)
	cfg.Store.Driver, cfg.Store.DSN = "postgres", tenant.Secret(p.pg.Database())
	cfg.SecretKey = tenant.Secret(strings.Repeat("s", 32))
	cfg.HTTP.AdminToken = "the operator's own token, long enough"
	cfg.HTTP.Rate = 0
	if change != nil {
		change(&cfg)
	}
	p.a, p.b = startServe(t, cfg), startServe(t, cfg)
	p.apiA, p.apiB = apiClient{p.a.http, cfg.HTTP.AdminToken.Reveal()}, apiClient{p.b.http, cfg.HTTP.AdminToken.Reveal()}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	return p
}

// tenant makes the organization acme with the instance cache, at the first proxy.
func (p *pair) tenant(t *testing.T) {
	t.Helper()
	p.apiA.want(t, 201, "POST", "/api/v1/organizations", `{"name":"acme"}`, nil)
	p.apiA.want(t, 201, "POST", "/api/v1/organizations/acme/instances", `{"name":"cache","url":"redis://`+p.backend+`/0"}`, nil)
}

// madeKey is a key as the API tells it.
type madeKey struct{ ID, Key string }

// key makes one at the first proxy.
func (p *pair) key(t *testing.T, name string) (k madeKey) {
	t.Helper()
	p.apiA.want(t, 201, "POST", "/api/v1/organizations/acme/keys", `{"name":"`+name+`","instances":["cache"]}`, &k)
	return k
}

// awaitEnd waits until the session has, and returns for how long that took.
func awaitEnd(t *testing.T, c *talker, since time.Time, what string) time.Duration {
	t.Helper()
	if line := c.line(); line != "end" {
		t.Errorf("%s: the client reads %q, want the end", what, line)
	}
	return time.Since(since)
}

// TestTwoProxies: what is done with the API of the one is felt by the clients of the other.
func TestTwoProxies(t *testing.T) {
	p := startPair(t, nil)
	p.tenant(t)
	k := p.key(t, "web")
	client := talkTo(t, p.b.addr, k.Key) // at once
	client.send("SET k v", "GET k")
	client.expect("+OK", "$1", "v")

	var sessions struct{ Items []struct{ ID, Key string } }
	p.apiB.want(t, 200, "GET", "/api/v1/organizations/acme/sessions", "", &sessions)
	if len(sessions.Items) != 1 || sessions.Items[0].Key != "web" {
		t.Fatalf("sessions at the second proxy: %+v", sessions)
	}
	began := time.Now()
	p.apiA.want(t, 204, "DELETE", "/api/v1/organizations/acme/sessions/"+sessions.Items[0].ID, "", nil)
	t.Logf("a session of the other proxy is killed after %v", awaitEnd(t, client, began, "killed"))

	p.limitsAreFelt(t, k)
	p.rotationIsFelt(t, k)

	var took []time.Duration
	for i := range 5 {
		k := p.key(t, fmt.Sprintf("k%d", i))
		here, there, idle := talkTo(t, p.a.addr, k.Key), talkTo(t, p.b.addr, k.Key), talkTo(t, p.b.addr, k.Key)
		there.send("SUBSCRIBE news")
		there.expect("*3", "$9", "subscribe", "$4", "news", ":1")
		began := time.Now()
		p.apiA.want(t, 200, "POST", "/api/v1/keys/"+k.ID+"/revoke", "", nil)
		for _, c := range []*talker{here, there, idle} {
			took = append(took, awaitEnd(t, c, began, "revoked"))
		}
		if got := talk(t, p.b.addr, "AUTH "+k.Key+"\r\nQUIT\r\n"); !strings.HasPrefix(got, "-WRONGPASS ") {
			t.Errorf("a revoked key at the other proxy is answered %q", got)
		}
	}
	slices.Sort(took)
	t.Logf("sessions of revoked keys end after %v to %v, half of them within %v", took[0], took[len(took)-1], took[len(took)/2])

	client = talkTo(t, p.b.addr, p.key(t, "last").Key)
	p.apiA.want(t, 204, "DELETE", "/api/v1/organizations/acme?force=true", "", nil)
	awaitEnd(t, client, time.Now(), "of a deleted organization")
}

// limitsAreFelt lowers and lifts a key's limit, which clients of the other proxy have.
func (p *pair) limitsAreFelt(t *testing.T, k madeKey) {
	t.Helper()
	p.apiA.want(t, 200, "PATCH", "/api/v1/keys/"+k.ID, `{"rate":1,"burst":5}`, nil)
	testbed.Eventually(t, "a lower limit is felt at the other proxy", func() bool {
		_, refused := admitted(t, p.b.addr, k.Key, 50)
		return refused >= 40
	})
	p.apiA.want(t, 200, "PATCH", "/api/v1/keys/"+k.ID, `{"rate":0,"commands":"+@read +ping"}`, nil)
	testbed.Eventually(t, "no limit and other rules are felt at the other proxy", func() bool {
		answered, _ := admitted(t, p.b.addr, k.Key, 50)
		return answered == 50 && strings.Contains(talk(t, p.b.addr, "AUTH "+k.Key+"\r\nSET k v\r\nQUIT\r\n"), "-NOPERM ")
	})
}

// rotationIsFelt rotates a key with an overlap, in which both secrets are good at the other
// proxy, and again without.
func (p *pair) rotationIsFelt(t *testing.T, k madeKey) {
	t.Helper()
	old := talkTo(t, p.b.addr, k.Key)
	var second, third madeKey
	p.apiA.want(t, 200, "POST", "/api/v1/keys/"+k.ID+"/rotate", `{"overlap_seconds":3600}`, &second)
	testbed.Eventually(t, "the new secret is known to the other proxy", func() bool {
		return talk(t, p.b.addr, "AUTH "+second.Key+"\r\nQUIT\r\n") == "+OK|+OK|"
	})
	fresh := talkTo(t, p.b.addr, second.Key)
	talkTo(t, p.b.addr, k.Key) // still
	old.send("PING")
	old.expect("+PONG")
	p.apiA.want(t, 200, "POST", "/api/v1/keys/"+k.ID+"/rotate", `{"overlap_seconds":0}`, &third)
	began := time.Now()
	awaitEnd(t, old, began, "with the secret before the last")
	awaitEnd(t, fresh, began, "with the last secret")
	talkTo(t, p.b.addr, third.Key)
}

// faithful are clients that have been let in once, and come back over and over.
type faithful struct {
	stop   chan struct{}
	tasks  sync.WaitGroup
	served atomic.Int64
}

// visitors starts one for each key and proxy. None of them may notice anything until they are
// stopped.
func visitors(t *testing.T, addrs []string, keys ...madeKey) *faithful {
	f := &faithful{stop: make(chan struct{})}
	visit := func(addr string, k madeKey) (good bool) {
		const want = "+OK|+OK|$4|over|+OK|"
		got := talk(t, addr, "AUTH "+k.Key+"\r\nSET "+k.ID+" over\r\nGET "+k.ID+"\r\nQUIT\r\n")
		if got != want {
			t.Errorf("a client of %s is answered %q, want %q", addr, got, want)
		}
		f.served.Add(1)
		return got == want
	}
	stay := func(addr string, k madeKey) {
		c := talkTo(t, addr, k.Key)
		for n := 1; ; n++ {
			select {
			case <-f.stop:
				return
			default:
			}
			c.send(fmt.Sprintf("SET %s:%s %d", k.ID, addr, n), fmt.Sprintf("GET %s:%s", k.ID, addr))
			value := fmt.Sprint(n)
			for _, want := range []string{"+OK", fmt.Sprintf("$%d", len(value)), value} {
				if got := c.line(); got != want {
					t.Errorf("a client that stays with %s reads %q, want %q", addr, got, want)
					return
				}
			}
			f.served.Add(1)
		}
	}
	for _, addr := range addrs {
		for _, k := range keys {
			if !visit(addr, k) {
				t.FailNow()
			}
			f.tasks.Go(func() { stay(addr, k) })
			f.tasks.Go(func() {
				for visit(addr, k) {
					select {
					case <-f.stop:
						return
					default:
					}
				}
			})
		}
	}
	t.Cleanup(f.leave)
	return f
}

func (f *faithful) leave() {
	select {
	case <-f.stop:
	default:
		close(f.stop)
	}
	f.tasks.Wait()
}

// more waits until so many more have been served.
func (f *faithful) more(t *testing.T, n int64) {
	t.Helper()
	until := f.served.Load() + n
	testbed.Eventually(t, "clients are served on", func() bool { return f.served.Load() >= until || t.Failed() })
}

// TestPostgresKilled under load: no client of a known key notices, the proxies stay ready and
// say what they lack, and what is changed right after it is back is felt at once.
func TestPostgresKilled(t *testing.T) {
	p := startPair(t, nil)
	p.tenant(t)
	known, leaves, unseen := p.key(t, "known"), p.key(t, "leaves"), p.key(t, "unseen")
	proxies := []*running{p.a, p.b}
	var clients []*talker
	for _, r := range proxies {
		clients = append(clients, talkTo(t, r.addr, leaves.Key))
	}
	load := visitors(t, []string{p.a.addr, p.b.addr}, known)
	load.more(t, 100)

	p.pg.Kill()
	for _, r := range proxies {
		testbed.Eventually(t, "the proxy knows, and says for how long", func() bool {
			return r.metric(t, "respgate_store_away_seconds") > 0
		})
		away := r.metric(t, "respgate_store_away_seconds")
		testbed.Eventually(t, "that grows", func() bool { return r.metric(t, "respgate_store_away_seconds") > away+0.5 })
		if status, body := httpGet(t, "http://"+r.http+"/health"); status != 200 || !strings.Contains(body, `"status":"degraded"`) || !strings.Contains(body, "cached keys are served") {
			t.Errorf("/health: %d %s, want it degraded", status, body)
		}
		if status, body := httpGet(t, "http://"+r.http+"/health/ready"); status != 200 {
			t.Errorf("/health/ready: %d %s, want it ready", status, body)
		}
		if got := talk(t, r.addr, "AUTH "+unseen.Key+"\r\nQUIT\r\n"); got != "-ERR authentication is temporarily unavailable|+OK|" {
			t.Errorf("a key that is not cached is answered %q", got)
		}
	}
	var problem struct{ Detail string }
	p.apiB.want(t, 503, "POST", "/api/v1/keys/"+leaves.ID+"/revoke", "", &problem)
	if problem.Detail != "the store cannot be asked at the moment" {
		t.Errorf("a change is answered %q", problem.Detail)
	}
	load.more(t, 500)

	p.pg.Start()
	var began time.Time
	testbed.Eventually(t, "a change is taken again", func() bool {
		began = time.Now()
		return p.apiA.call(t, "POST", "/api/v1/keys/"+leaves.ID+"/revoke", "", nil) == 200
	})
	for _, c := range clients {
		t.Logf("after the restart a revoked key's session ends after %v", awaitEnd(t, c, began, "revoked"))
	}
	for _, r := range proxies {
		testbed.Eventually(t, "the proxy has caught up", func() bool {
			_, body := httpGet(t, "http://"+r.http+"/health")
			return strings.Contains(body, `"status":"healthy"`) && r.metric(t, "respgate_store_away_seconds") == 0
		})
		if got := talk(t, r.addr, "AUTH "+unseen.Key+"\r\nPING\r\nQUIT\r\n"); got != "+OK|+PONG|+OK|" {
			t.Errorf("the key that was not cached is answered %q", got)
		}
	}
	load.more(t, 100)
	load.leave()
	t.Logf("%d conversations and exchanges, none of which noticed", load.served.Load())
}

// TestNothingIsMissed ends the connections that listen for changes over and over while keys
// are revoked at the one proxy: their sessions at the other end, all of them.
func TestNothingIsMissed(t *testing.T) {
	p := startPair(t, nil)
	p.tenant(t)
	goesOn := talkTo(t, p.b.addr, p.key(t, "stays").Key)
	var keys []madeKey
	var clients []*talker
	for i := range 20 {
		k := p.key(t, fmt.Sprintf("k%d", i))
		keys, clients = append(keys, k), append(clients, talkTo(t, p.b.addr, k.Key))
	}
	for i, k := range keys {
		p.pg.Exec("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'")
		p.apiA.want(t, 200, "POST", "/api/v1/keys/"+k.ID+"/revoke", "", nil)
		if i%5 == 4 { // let them listen again, now and then
			awaitEnd(t, clients[i], time.Now(), k.ID)
		}
	}
	for i, c := range clients {
		if i%5 != 4 {
			awaitEnd(t, c, time.Now(), keys[i].ID)
		}
	}
	goesOn.send("PING")
	goesOn.expect("+PONG")
}

// TestStoreAwayForTooLong: when PostgreSQL has been away for store.max_stale, cached keys are
// let in no more, and their sessions end, since nobody knows which have been revoked.
func TestStoreAwayForTooLong(t *testing.T) {
	p := startPair(t, func(c *Config) { c.Store.MaxStale = 2 * time.Second })
	p.tenant(t)
	k := p.key(t, "web")
	client := talkTo(t, p.b.addr, k.Key)
	p.pg.Kill()
	testbed.Eventually(t, "the proxy knows", func() bool { return p.b.metric(t, "respgate_store_away_seconds") > 0 })
	awaitEnd(t, client, time.Now(), "with a stale key")
	if got := talk(t, p.b.addr, "AUTH "+k.Key+"\r\nQUIT\r\n"); got != "-ERR authentication is temporarily unavailable|+OK|" {
		t.Errorf("a key that was cached is answered %q", got)
	}
	testbed.Eventually(t, "the proxy is not ready", func() bool {
		status, _ := httpGet(t, "http://"+p.b.http+"/health/ready")
		return status == 503
	})
	if log := p.b.log.String(); !strings.Contains(log, "away for too long") {
		t.Error("the log does not tell why")
	}
	p.pg.Start()
	testbed.Eventually(t, "the key is let in again", func() bool {
		return talk(t, p.b.addr, "AUTH "+k.Key+"\r\nPING\r\nQUIT\r\n") == "+OK|+PONG|+OK|"
	})
	if status, body := httpGet(t, "http://"+p.b.http+"/health/ready"); status != 200 {
		t.Errorf("/health/ready: %d %s, want it ready", status, body)
	}
}
