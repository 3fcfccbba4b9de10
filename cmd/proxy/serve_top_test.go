package main

import (
	"context"
	"io"
	"net"
	"net/http"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/internal/testbed"
)

// member makes a user with a role in an organization, and returns a client with its token.
func (r *running) member(t *testing.T, operator apiClient, email, org string) apiClient {
	t.Helper()
	var user struct{ ID string }
	var token struct{ Token string }
	operator.want(t, http.StatusCreated, "POST", "/api/v1/users", `{"email":"`+email+`"}`, &user)
	operator.want(t, http.StatusCreated, "PUT", "/api/v1/organizations/"+org+"/members/"+user.ID, `{"role":"viewer"}`, nil)
	operator.want(t, http.StatusCreated, "POST", "/api/v1/users/"+user.ID+"/tokens", `{"name":"top"}`, &token)
	return apiClient{r.http, token.Token}
}

// topTest is a proxy with two tenants, and who looks at them.
type topTest struct {
	*running
	acme, globex       string    // keys
	operator, ann, bob apiClient // ann is acme's viewer, bob globex's
}

const (
	acmeSlowlog = "/api/v1/organizations/acme/instances/cache/slowlog"
	acmeCache   = "/api/v1/organizations/acme/instances/cache"
)

func newTopTest(t *testing.T, cfg Config) *topTest {
	t.Helper()
	backend := testbed.Redis(t)
	cfg.HTTP.AdminToken = "the operator's own token, long enough"
	cfg.HTTP.Rate = 0
	cfg.Insight.Sample = 4
	x := &topTest{running: startServe(t, cfg)}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	x.acme, x.globex = x.tenant(t, "acme", backend.Addr, limits(0, 0)), x.tenant(t, "globex", backend.Addr, limits(0, 0))
	x.operator = apiClient{x.http, cfg.HTTP.AdminToken.Reveal()}
	x.ann, x.bob = x.member(t, x.operator, "ann@example.com", "acme"), x.member(t, x.operator, "bob@example.com", "globex")
	return x
}

// slowlog is acme's, as its viewer sees it.
func (x *topTest) slowlog(t *testing.T) (log control.SlowLogView) {
	t.Helper()
	x.ann.want(t, http.StatusOK, "GET", acmeSlowlog, "", &log)
	return log
}

// TestSlowlogOverTheAPI: a tenant's slow commands, as redis-cli sends them, are in its own slow
// log only. A threshold is followed by a client that holds a connection.
func TestSlowlogOverTheAPI(t *testing.T) {
	cfg := testConfig(t)
	cfg.SlowLog.Threshold = -1
	x := newTopTest(t, cfg)
	watcher := talkTo(t, x.addr, x.acme)
	watcher.send("WATCH hot", "GET quick")
	watcher.expect("+OK", "$-1")
	if log := x.slowlog(t); len(log.Entries) > 0 {
		t.Errorf("with no slow log there are %+v", log.Entries)
	}
	x.operator.want(t, http.StatusOK, "PATCH", acmeCache, `{"slowlog_threshold_us":0}`, nil)
	testbed.Eventually(t, "every command is in the slow log", func() bool {
		watcher.send("GET quick")
		watcher.expect("$-1")
		return len(x.slowlog(t).Entries) > 0
	})
	watcher.send("MULTI", "SET hot 1", "EXEC")
	watcher.expect("+OK", "+QUEUED", "*1", "+OK") // it was not cut off
	x.operator.want(t, http.StatusOK, "PATCH", "/api/v1/keys/"+keyID(x.acme), `{"rate":50,"burst":1,"limit_mode":"delay"}`, nil)
	testbed.Eventually(t, "the slow log tells of the wait for a limit", func() bool {
		watcher.send("GET quick", "GET quick")
		watcher.expect("$-1", "$-1")
		e := x.slowlog(t).Entries[0]
		return e.Limited > 0 && e.Total >= e.Limited+e.Took
	})
	x.operator.want(t, http.StatusOK, "PATCH", "/api/v1/keys/"+keyID(x.acme), `{"rate":0}`, nil)

	x.operator.want(t, http.StatusOK, "PATCH", acmeCache, `{"slowlog_threshold_us":5000}`, nil)
	host, port, err := net.SplitHostPort(x.addr)
	if err != nil {
		t.Fatal(err)
	}
	cli := exec.CommandContext(t.Context(), testbed.Binary(t, "redis-cli", "redis-tools"), "-h", host, "-p", port, "EVAL", "for i=1,20000000 do end return 1", "1", "slow")
	cli.Env = append(cli.Environ(), "REDISCLI_AUTH="+x.acme)
	if out, err := cli.CombinedOutput(); err != nil || strings.TrimSpace(string(out)) != "1" {
		t.Fatalf("redis-cli: %s, %v", out, err)
	}
	log := x.slowlog(t)
	at := slices.IndexFunc(log.Entries, func(e control.SlowEntryView) bool { return e.Command == "eval" })
	if at < 0 || log.Entries[at].Took < 5000 || log.Entries[at].Total < log.Entries[at].Took || log.Entries[at].KeyID != keyID(x.acme) || log.Entries[at].Args[0] != "EVAL" {
		t.Errorf("the slow log is %+v, want the script of redis-cli in it", log.Entries)
	}
	x.bob.want(t, http.StatusOK, "GET", "/api/v1/organizations/globex/instances/cache/slowlog", "", &log)
	if len(log.Entries) > 0 {
		t.Errorf("the other tenant's slow log has %+v", log.Entries)
	}
	x.bob.want(t, http.StatusNotFound, "GET", acmeSlowlog, "", nil)
	x.bob.want(t, http.StatusNotFound, "DELETE", acmeSlowlog, "", nil)
	x.ann.want(t, http.StatusForbidden, "DELETE", acmeSlowlog, "", nil)
	x.operator.want(t, http.StatusNoContent, "DELETE", acmeSlowlog, "", nil)
	if log := x.slowlog(t); slices.ContainsFunc(log.Entries, func(e control.SlowEntryView) bool { return e.Command == "eval" }) {
		t.Errorf("after the reset there are %+v", log.Entries)
	}
}

// TestTopOverTheAPI: what is hot, busy and big is seen in its own tenant's lists, and who does
// most in the operator's; nobody sees another organization's.
func TestTopOverTheAPI(t *testing.T) {
	x := newTopTest(t, testConfig(t))
	x.load(t)
	testbed.Eventually(t, "the hot key, the busy client and the big reply are seen", func() bool {
		var top control.InstanceTopView
		x.ann.want(t, http.StatusOK, "GET", acmeCache+"/top", "", &top)
		return len(top.HotKeys) > 0 && top.HotKeys[0].Key == "hot" && len(top.Clients) > 0 && top.Clients[0].Name == "noisy" && top.Clients[0].Rate > 0 &&
			len(top.BigReplies) > 0 && top.BigReplies[0].Key == "big" && top.BigReplies[0].Bytes > 1<<20 && len(top.Commands) > 0 && top.Commands[0].Command == "incr"
	})
	var other control.InstanceTopView
	x.bob.want(t, http.StatusOK, "GET", "/api/v1/organizations/globex/instances/cache/top", "", &other)
	if slices.ContainsFunc(other.HotKeys, func(k control.HotKeyView) bool { return k.Key != "text" }) || slices.ContainsFunc(other.Clients, func(c control.BusyClientView) bool { return c.Name != "" }) ||
		len(other.BigKeys)+len(other.BigReplies) > 0 {
		t.Errorf("the other tenant is told %+v, want nothing but its own", other)
	}
	var tops control.TopTenants
	testbed.Eventually(t, "acme comes first", func() bool {
		x.operator.want(t, http.StatusOK, "GET", "/api/v1/top", "", &tops)
		return tops.Total == 2 && tops.Tenants[0].Org == "acme" && tops.Tenants[0].Commands > tops.Tenants[1].Commands && tops.Tenants[1].Commands > 0
	})
	testbed.Eventually(t, "globex has the most errors", func() bool {
		x.operator.want(t, http.StatusOK, "GET", "/api/v1/top?sort=errors&limit=1", "", &tops)
		return tops.Total == 2 && len(tops.Tenants) == 1 && tops.Tenants[0].Org == "globex" && tops.Tenants[0].Errors > 0
	})
	x.bob.want(t, http.StatusOK, "GET", "/api/v1/organizations/globex/top", "", &tops)
	if tops.Total != 1 || tops.Tenants[0].Org != "globex" {
		t.Errorf("globex's top is %+v, want its instance only", tops)
	}
	x.bob.want(t, http.StatusForbidden, "GET", "/api/v1/top", "", nil)
	x.bob.want(t, http.StatusNotFound, "GET", "/api/v1/organizations/acme/top", "", nil)
	x.bob.want(t, http.StatusNotFound, "GET", acmeCache+"/top", "", nil)
}

// TestTopAtTheShell: where there is no terminal, top is one table; and a slow log is seen and
// emptied.
func TestTopAtTheShell(t *testing.T) {
	cfg := testConfig(t)
	cfg.SlowLog.Threshold = 0
	x := newTopTest(t, cfg)
	x.load(t)
	t.Setenv(serverVariable, "http://"+x.http)
	t.Setenv(tokenVariable, x.operator.token)
	const head = `(?s)^TENANT +CMD/S +P50 +P99 +ERR/S +LIM/S +CLIENTS +LINKS +IN/S +OUT/S\n`
	for _, c := range []struct{ line, want string }{
		{"top", head + `acme/cache +[1-9]\d* +\S+s +\S+s +0 +0 +2 +[1-9].*\nglobex/cache +`},
		{"top --once --sort errors", head + `globex/cache +[1-9][\d.]* +.*\nacme/cache +`},
		{"top --org globex", head + `globex/cache [^\n]+\n$`},
		{"top --json --sort errors", `^{"proxy":"\w+","at":"[^"]+","total":2,"tenants":\[{"org":"globex",`},
		{"slowlog get --org acme --instance cache -n 1", `^ID +AT +TOOK +LIMITED +TOTAL +COMMAND +CLIENT +KEY +ERROR\n\d+ +20\S+Z +\S+s +- +\S+s +(INCR|GET) \w+ +127\.0\.0\.1:\d+ (noisy|quiet) +` + keyID(x.acme) + ` +-\n$`},
		{"slowlog get --org globex --instance cache --json", `^{"proxy":"\w+","entries":\[{"id":\d+,"at":"[^"]+","command":"lpush","args":\["LPUSH","text","v"\],"duration_us":\d+,.*"error":"WRONGTYPE"}`},
		{"slowlog reset --org acme --instance cache", `^reset acme/cache\n$`},
		{"slowlog reset --org acme --instance nosuch", `instance "nosuch" of organization "acme" not found`},
	} {
		testbed.Eventually(t, c.line+" says "+c.want, func() bool { // the first figures may be of a second in which nothing came
			_, said := shell(t, c.line)
			return regexp.MustCompile(c.want).MatchString(said)
		})
	}
}

// load has acme busy with a hot key and a big reply, and globex with a few commands that
// fail, until the test ends.
func (x *topTest) load(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithCancel(t.Context())
	var load sync.WaitGroup
	for _, c := range []struct {
		key   string
		every time.Duration
		begin []string
		send  string
	}{
		{x.acme, 2 * time.Millisecond, []string{"CLIENT SETNAME noisy", "SET big " + strings.Repeat("x", 1<<20)}, "INCR hot|INCR hot|INCR hot"},
		{x.acme, 100 * time.Millisecond, []string{"CLIENT SETNAME quiet"}, "GET cold|GET big"},
		{x.globex, 20 * time.Millisecond, []string{"SET text v"}, "LPUSH text v"},
	} {
		client := talkTo(t, x.addr, c.key)
		for _, line := range c.begin {
			client.send(line)
			client.expect("+OK")
		}
		load.Go(func() { _, _ = io.Copy(io.Discard, client.in) })
		load.Go(func() {
			defer client.Close()
			every(ctx, c.every, func() { client.send(strings.Split(c.send, "|")...) })
		})
	}
	t.Cleanup(func() { cancel(); load.Wait() })
}
