package main

import (
	"bufio"
	"fmt"
	"maps"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/resp"
	"github.com/respgate/respgate/tenant"
)

// step is a command of a conversation, and what becomes of it.
type step struct {
	line    string
	counted string // as which command it counts
	relayed bool
	code    string // of the error that it is answered with, as it is counted
}

// conversation has commands of every kind: on shared links, in the scripts' lane, on a link
// of their own, answered by respgate, refused by it and by Redis.
var conversation = []step{
	{"SELECT 1", "select", false, ""}, // with a link of the session's own it would be relayed
	{"GET k", "get", true, ""},
	{"SELECT 0", "select", false, ""},
	{"GET k", "get", true, ""},
	{"GET k", "get", true, ""},
	{"SET {c} v", "set", true, ""},
	{"LPUSH {c} x", "lpush", true, "WRONGTYPE"},
	{"INCR {c}", "incr", true, "ERR"},
	{"GET", "get", true, "ERR"},
	{"NOSUCH a", "other", true, "ERR"},
	{"EVAL return(1) 0", "eval", true, ""},
	{"MULTI", "multi", true, ""},
	{"SET {c} w", "set", true, ""},
	{"LPUSH {c} x", "lpush", true, ""}, // its error is in the reply to EXEC, and none of its own
	{"EXEC", "exec", true, ""},
	{"WATCH {c}", "watch", true, ""},
	{"GET {c}", "get", true, ""},
	{"UNWATCH", "unwatch", true, ""},
	{"BLPOP {c}-list 0.001", "blpop", true, ""},
	{"CONFIG GET x", "config", false, "NOPERM"},
	{"CLIENT GETNAME", "client", false, ""},
	{"CLIENT NOSUCH", "client", false, "ERR"},
	{"PING", "ping", true, ""},
}

// free reports whether a limit never refuses the command, which therefore is not in its phase.
func (s step) free() bool { return s.counted == "exec" || s.counted == "unwatch" }

// waits reports whether the command takes as long as its client wants: that is not counted.
func (s step) waits() bool { return s.counted == "blpop" }

// expected is what series are to be, by their names and labels in the order of the labels' names.
type expected map[string]float64

func (w expected) add(n float64, format string, args ...any) { w[fmt.Sprintf(format, args...)] += n }

// TestMetricsAreExact holds conversations with a proxy of four loops and compares every
// counter with what the clients did and were told.
func TestMetricsAreExact(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 4
	r := startServe(t, cfg)
	server := testbed.Redis(t)
	key := r.tenant(t, "acme", server.Addr, limits(0, 0))
	const clients, rounds = 24, 5
	want := expected{}
	var mu sync.Mutex
	var open sync.WaitGroup
	conns := make([]net.Conn, clients)
	for i := range clients {
		conns[i] = dial(t, r.addr)
		open.Go(func() {
			in, out := converse(t, conns[i], key, i, rounds)
			mu.Lock()
			defer mu.Unlock()
			want.add(float64(in), `client_bytes_total{direction="in",tenant="acme/cache"}`)
			want.add(float64(out), `client_bytes_total{direction="out",tenant="acme/cache"}`)
		})
	}
	open.Wait()
	const times = clients * rounds
	for _, s := range conversation {
		want.add(times, `redis_commands_total{command="%s",tenant="acme/cache"}`, s.counted)
		if s.code != "" {
			want.add(times, `redis_command_errors_total{code="%s",command="%s",tenant="acme/cache"}`, s.code, s.counted)
		}
		for phase, in := range map[string]bool{"limit": s.relayed && !s.free(), "pool": s.relayed, "backend": s.relayed && !s.waits()} {
			if in {
				want.add(times, `redis_tenant_duration_seconds_count{phase="%s",tenant="acme/cache"}`, phase)
			}
		}
		if s.relayed && !s.waits() {
			want.add(times, `redis_command_duration_seconds_count{command="%s"}`, s.counted)
		}
	}
	want.add(clients+times*float64(len(conversation)), `redis_tenant_duration_seconds_count{phase="write",tenant="acme/cache"}`) // and the answers to AUTH
	want.add(clients, `client_connections{tenant="acme/cache"}`)
	want.add(clients, `api_key_requests_total`)
	r.expect(t, want, "redis_commands_total", "redis_command_errors_total", "redis_command_duration_seconds_count", "redis_tenant_duration_seconds_count",
		"client_bytes_total", "client_connections", "api_key_requests_total", "api_key_auth_failures_total", "rate_limited_commands_total",
		"redis_pool_waiting", "redis_pool_exhausted_total", "redis_command_retries_total")
	for _, c := range conns {
		c.Close()
	}
	r.expect(t, expected{`client_connections{tenant="acme/cache"}`: 0}, "client_connections")
}

// connections is how many Redis has ever had.
func connections(t *testing.T, admin *redis.Client) float64 {
	t.Helper()
	info, err := admin.InfoMap(t.Context(), "stats").Result()
	if err != nil {
		t.Fatal(err)
	}
	n, err := strconv.ParseFloat(info["Stats"]["total_connections_received"], 64)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// converse authenticates and holds the conversation in pieces that are cut anywhere. It returns
// how many bytes went in, after the AUTH, and came out.
func converse(t *testing.T, c net.Conn, key string, client, rounds int) (in, out int) {
	fmt.Fprintf(c, "AUTH %s\r\n", key)
	read(t, c, len("+OK\r\n"))
	out = len("+OK\r\n")
	replies := bufio.NewReader(c)
	for range rounds {
		var all []byte
		for _, s := range conversation {
			all = append(all, resp.AppendCommand(nil, strings.Fields(strings.ReplaceAll(s.line, "{c}", fmt.Sprint("c", client)))...)...)
		}
		in += len(all)
		go func() {
			for piece := range slices.Chunk(all, 7+client*11) {
				_, _ = c.Write(piece)
			}
		}()
		for _, s := range conversation {
			reply := readWhole(t, replies)
			if word, _, _ := strings.Cut(reply, " "); s.code != "" && word != "-"+s.code || s.code == "" && word[0] == '-' {
				t.Errorf("%s: got %q, want the error %q", s.line, reply, s.code)
			}
			out += len(reply)
		}
	}
	return in, out
}

// readWhole reads one reply of RESP2.
func readWhole(t *testing.T, r *bufio.Reader) string {
	t.Helper()
	line, err := r.ReadString('\n')
	if err != nil {
		t.Fatalf("after %q: %v", line, err)
	}
	n, _ := strconv.Atoi(strings.TrimSpace(line[1:]))
	switch line[0] {
	case '$':
		if n >= 0 {
			line += read(t, r, n+2)
		}
	case '*':
		for range n {
			line += readWhole(t, r)
		}
	}
	return line
}

// expect waits until the metrics with these names are as in want, where those that are not
// named there are 0: what is written to a client counts a moment later.
func (r *running) expect(t *testing.T, want expected, names ...string) {
	t.Helper()
	var wrong []string
	for deadline := time.Now().Add(20 * time.Second); ; {
		got := r.series(t, names)
		wrong = nil
		for _, series := range slices.Sorted(maps.Keys(got)) {
			if got[series] != want[series] {
				wrong = append(wrong, fmt.Sprintf("%s is %v, want %v", series, got[series], want[series]))
			}
		}
		for series := range want {
			if _, ok := got[series]; !ok {
				wrong = append(wrong, series+" is not there")
			}
		}
		if len(wrong) == 0 {
			return
		}
		if time.Now().After(deadline) {
			t.Fatalf("the metrics are not what the clients did:\n%s", strings.Join(wrong, "\n"))
		}
	}
}

// series returns the metrics with these names, by their series.
func (r *running) series(t *testing.T, names []string) map[string]float64 {
	t.Helper()
	_, body := httpGet(t, "http://"+r.http+"/metrics")
	all := map[string]float64{}
	for line := range strings.Lines(body) {
		series, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		name, _, _ := strings.Cut(series, "{")
		if v, err := strconv.ParseFloat(value, 64); err == nil && slices.Contains(names, name) {
			all[series] = v
		}
	}
	return all
}

// TestRefusalsAreExact: what the limit and the authentication refuse counts as often as
// clients were told so.
func TestRefusalsAreExact(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 4
	r := startServe(t, cfg)
	server := testbed.Redis(t)
	slow := r.tenant(t, "acme", server.Addr, limits(1, 5))
	revoked := r.key(t, "acme", nil)
	if _, err := r.store.RevokeKey(t.Context(), keyID(revoked), 0); err != nil {
		t.Fatal(err)
	}
	expired := r.key(t, "acme", func(k *tenant.Key) { k.ExpiresAt = time.Now().Add(-time.Minute) })
	elsewhere := r.key(t, "acme", func(k *tenant.Key) { k.AllowFrom = tenant.Networks{netip.MustParsePrefix("192.0.2.0/24")} })
	want := expected{}
	for reason, user := range map[string]string{
		auth.ReasonMalformed: "nonsense", auth.ReasonUnknown: auth.Generate().Text.Reveal(), auth.ReasonRevoked: revoked,
		auth.ReasonExpired: expired, auth.ReasonAddress: elsewhere, auth.ReasonInstance: "nosuch " + slow,
	} {
		for range 2 {
			if got := talk(t, r.addr, "AUTH "+user+"\r\nQUIT\r\n"); !strings.HasPrefix(got, "-WRONGPASS") {
				t.Errorf("%s: got %q, want WRONGPASS", reason, got)
			}
			want.add(1, `api_key_auth_failures_total{reason="%s"}`, reason)
			want.add(1, `api_key_requests_total`)
		}
	}
	for range 4 {
		got := talk(t, r.addr, "AUTH "+slow+"\r\n"+strings.Repeat("PING\r\n", 10)+"QUIT\r\n")
		want.add(1, `api_key_requests_total`)
		want.add(10, `redis_commands_total{command="ping",tenant="acme/cache"}`)
		refused := float64(strings.Count(got, "-RATELIMIT"))
		want.add(refused, `rate_limited_commands_total{tenant="acme/cache"}`)
		want.add(refused, `redis_command_errors_total{code="RATELIMIT",command="ping",tenant="acme/cache"}`)
	}
	if want[`rate_limited_commands_total{tenant="acme/cache"}`] < 30 {
		t.Errorf("only %v commands were refused", want)
	}
	r.expect(t, want, "api_key_auth_failures_total", "api_key_requests_total", "rate_limited_commands_total", "redis_commands_total", "redis_command_errors_total")
}

// TestTheRestIsExact: requests over HTTP by their pattern and status, queries by their name,
// connections that were opened, and what the store holds.
func TestTheRestIsExact(t *testing.T) {
	cfg := testConfig(t)
	cfg.Pool.DialTimeout = time.Minute // Redis would know of one that was given up
	r := startServe(t, cfg)
	server := testbed.Redis(t)
	admin := server.Client()
	before := connections(t, admin)
	key := r.tenant(t, "acme", server.Addr, nil)
	r.key(t, "acme", nil)
	talk(t, r.addr, "AUTH "+key+"\r\nGET a\r\nMULTI\r\nEXEC\r\nQUIT\r\n")
	testbed.Eventually(t, "Redis knows as many connections as respgate has opened", func() bool {
		return r.metric(t, `redis_connection_attempts_total{result="ok",tenant="acme/cache"}`) == connections(t, admin)-before
	})
	const total, errors, took = "http_requests_total", "http_request_errors_total", "http_request_duration_seconds_count"
	zero := r.series(t, []string{errors})
	for path, times := range map[string]int{"/health/live": 3, "/api/v1/organizations/acme": 2, "/no/such/path": 1} {
		for range times {
			httpGet(t, "http://"+r.http+path)
		}
	}
	want := expected{
		errors + `{method="GET",path="/api/v1/organizations/{org}",status="401"}`: 2,
		errors + `{method="GET",path="other",status="404"}`:                       1,
	}
	for series := range zero {
		want[series] += 0
	}
	r.expect(t, want, errors)
	testbed.Eventually(t, "requests by their duration are those by their status", func() bool {
		got := r.series(t, []string{total, took})
		return got[total+`{method="GET",path="/health/live",status="200"}`] == 3 && got[took+`{method="GET",path="/health/live"}`] == 3 &&
			got[total+`{method="GET",path="other",status="404"}`] == 1 && got[took+`{method="GET",path="other"}`] == 1 &&
			got[took+`{method="GET",path="/api/v1/organizations/{org}"}`] == 2
	})
	testbed.Eventually(t, "each query has a duration", func() bool {
		const queries, durations = "database_queries_total", "database_query_duration_seconds_count"
		got, some := r.series(t, []string{queries, durations}), 0.0
		for series, n := range got {
			if label, ok := strings.CutPrefix(series, queries); ok {
				some += n
				if got[durations+label] != n {
					return false
				}
			}
		}
		return some > 0
	})
	r.expect(t, expected{"redis_instances": 1, "organizations": 1, "api_keys": 2, "users": 0}, "redis_instances", "organizations", "api_keys", "users")
}

// TestWaitsForLinksAreExact: links by their kind, who waits for one of them and who gets none,
// and the bounds by which that is judged.
func TestWaitsForLinksAreExact(t *testing.T) {
	const links, waiting, exhausted, limit = "redis_connections_active", "redis_pool_waiting", "redis_pool_exhausted_total", "redis_connections_limit"
	of := func(name string, pinned, subscriber float64) expected {
		return expected{name + `{kind="pinned",tenant="acme/cache"}`: pinned, name + `{kind="subscriber",tenant="acme/cache"}`: subscriber}
	}
	// taken returns a proxy of which all links of a kind are taken, and who has them.
	taken := func(t *testing.T, wait time.Duration) (r *running, client func(command, answer string) net.Conn, holder net.Conn) {
		cfg := testConfig(t)
		cfg.Loops = 2
		cfg.Pool.PinnedMax, cfg.Pool.SubscribersMax, cfg.Pool.PinnedWait = 1, 1, wait
		r = startServe(t, cfg)
		key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
		client = func(command, answer string) net.Conn {
			c := dial(t, r.addr)
			t.Cleanup(func() { c.Close() })
			fmt.Fprintf(c, "AUTH %s\r\n%s\r\n", key, command)
			if got, want := read(t, c, len("+OK\r\n"+answer)), "+OK\r\n"+answer; got != want {
				t.Errorf("%s: got %q, want %q", command, got, want)
			}
			return c
		}
		holder = client("MULTI", "+OK\r\n")
		client("SUBSCRIBE a", "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n")
		r.expect(t, of(waiting, 0, 0), waiting)
		r.expect(t, of(exhausted, 0, 0), exhausted)
		r.expect(t, expected{limit + `{kind="pinned"}`: 1, limit + `{kind="subscriber"}`: 1}, limit)
		return r, client, holder
	}
	t.Run("until there is one", func(t *testing.T) {
		r, client, holder := taken(t, time.Minute)
		client("SUBSCRIBE a", "")
		waits := client("BLPOP nothing 0.001", "")
		r.expect(t, of(waiting, 1, 1), waiting)
		fmt.Fprint(holder, "DISCARD\r\n")
		if got := read(t, holder, len("+OK\r\n")) + read(t, waits, len("*-1\r\n")); got != "+OK\r\n*-1\r\n" {
			t.Errorf("got %q, want what DISCARD and BLPOP say", got)
		}
		r.expect(t, of(waiting, 0, 1), waiting)
		r.expect(t, of(exhausted, 0, 0), exhausted)
		want := of(links, 1, 1)
		want[links+`{kind="shared",tenant="acme/cache"}`] = r.metric(t, links+`{kind="shared"`)
		r.expect(t, want, links)
	})
	t.Run("in vain", func(t *testing.T) {
		r, client, _ := taken(t, 50*time.Millisecond)
		client("SUBSCRIBE a", "-ERR backend unavailable")
		client("SSUBSCRIBE a", "-ERR backend unavailable")
		client("WATCH k", "-ERR backend unavailable")
		r.expect(t, of(waiting, 0, 0), waiting)
		r.expect(t, of(exhausted, 1, 2), exhausted)
	})
}
