package main

import (
	"fmt"
	"os"
	"slices"
	"syscall"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/insight"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/tenant"
)

// TestSlowLog has a tenant find its slow commands, whichever of its clients and loops they
// came over, and no other's; the configuration is followed.
func TestSlowLog(t *testing.T) {
	cfg := testConfig(t)
	cfg.Loops = 2
	base := fmt.Sprintf("listen: %s\nhttp: {listen: %s}\nloops: 2\nstore: {dsn: %q}\n", cfg.Listen, cfg.HTTP.Listen, cfg.Store.DSN.Reveal())
	file, rewrite := configFile(t, base)
	hup := make(chan os.Signal, 1)
	r := startServeFrom(t, cfg, &origin{file: file, version: fileVersion(file), hup: hup})
	backend := testbed.Redis(t)
	acme, globex := r.tenant(t, "acme", backend.Addr, nil), r.tenant(t, "globex", backend.Addr, nil)
	ctx := t.Context()
	client := func(key string) *redis.Client {
		return testbed.Client(t, &redis.Options{Addr: r.addr, Password: key, ClientName: "bob", DisableIdentity: true, PoolSize: 1})
	}
	clients := []*redis.Client{client(acme), client(acme), client(acme)}
	const script = "for i=1,10000000 do end return 1"
	for _, c := range clients {
		if err := c.Eval(ctx, script, []string{"k"}).Err(); err != nil {
			t.Fatal(err)
		}
	}
	entries, err := clients[0].SlowLogGet(ctx, -1).Result()
	if err != nil {
		t.Fatal(err)
	}
	scripts := slices.DeleteFunc(entries, func(e redis.SlowLog) bool { return e.Args[0] != "eval" }) // the machine may be slow
	if len(scripts) != len(clients) || !slices.Equal(scripts[0].Args, []string{"eval", script, "1", "k"}) || scripts[0].Duration < cfg.SlowLog.Threshold ||
		scripts[0].ClientName != "bob" || scripts[0].ClientAddr == scripts[1].ClientAddr {
		t.Errorf("got %+v, want %d scripts", scripts, len(clients))
	}
	if got := r.metric(t, `slowlog_entries_total{tenant="acme/cache"`); got < float64(len(clients)) {
		t.Errorf("slowlog_entries_total is %v, want %d", got, len(clients))
	}
	other, err := client(globex).SlowLogGet(ctx, -1).Result()
	if err != nil || slices.ContainsFunc(other, func(e redis.SlowLog) bool { return e.Args[0] == "eval" }) {
		t.Errorf("another tenant is told %+v, %v", other, err)
	}

	length := func() (n int64) {
		if err := clients[0].Ping(ctx).Err(); err != nil {
			t.Fatal(err)
		}
		if n, err = clients[0].Do(ctx, "SLOWLOG", "LEN").Int64(); err != nil {
			t.Fatal(err)
		}
		return n
	}
	rewrite(base + "slowlog: {threshold: 0s, max_len: 5}\n")
	hup <- syscall.SIGHUP
	testbed.Eventually(t, "all commands are slow, and five are kept", func() bool { return length() == 5 })
	rewrite(base + "slowlog: {threshold: -1s}\n")
	hup <- syscall.SIGHUP
	testbed.Eventually(t, "no command is slow", func() bool {
		if err := clients[0].Do(ctx, "SLOWLOG", "RESET").Err(); err != nil {
			t.Fatal(err)
		}
		return length() == 0
	})
}

// TestSlowLogGoesWithItsInstance: a renamed instance keeps it, and one that is deleted does not.
func TestSlowLogGoesWithItsInstance(t *testing.T) {
	book, err := insight.New(insight.Config{MaxLen: 10})
	if err != nil {
		t.Fatal(err)
	}
	m, err := metrics.New(prometheus.NewRegistry(), 1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	home := book.AddLoop(nil, func(string) {})
	w := watcher{server: &server{metrics: m}, book: book}
	instances := []tenant.Instance{{ID: "one", Org: "acme", Name: "cache"}, {ID: "two", Org: "acme", Name: "queue"}}
	w.follow(slices.Clone(instances))
	for _, in := range instances {
		home.Saw(&tenant.Observed{Why: tenant.WhySlow, Principal: &tenant.Principal{Route: tenant.Route{InstanceID: in.ID, Label: in.Label()}}})
	}
	instances[0].Name = "renamed"
	w.follow(instances[:1])
	if got := book.SlowLen("one"); got != 1 {
		t.Errorf("the renamed instance has %d entries, want 1", got)
	}
	if got := book.SlowLen("two"); got != 0 {
		t.Errorf("the deleted instance has %d entries, want none", got)
	}
}
