package main

import (
	"context"
	"log/slog"
	"net"
	"net/netip"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// plane is the data side of a proxy, with what is inside of it.
type plane struct {
	*running
	data    *dataPlane
	service *auth.Service
	metrics *metrics.Metrics
}

// startPlane runs one on two loops until the test ends, or stop is called.
func startPlane(t *testing.T) *plane {
	t.Helper()
	cfg := testConfig(t)
	cfg.Loops = 2
	log := &testbed.Buffer{}
	logger := slog.New(slog.NewTextHandler(log, nil))
	st, err := openStore(t.Context(), cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	m, err := metrics.New(prometheus.NewPedanticRegistry(), 2, "", "")
	if err != nil {
		t.Fatal(err)
	}
	service, err := auth.New(auth.Config{PollInterval: 20 * time.Millisecond}, st, nil, logger)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	data, err := newDataPlane(ctx, auth.RandomText(proxyIDLength), nil, cfg, resources{files: 1000}, service, ratelimit.New(cfg.RateLimit.defaults()), m, logger)
	if err != nil {
		t.Fatal(err)
	}
	ln, err := net.Listen("tcp", cfg.Listen)
	if err != nil {
		t.Fatal(err)
	}
	var tasks sync.WaitGroup
	tasks.Go(func() { _ = service.Run(ctx) })
	tasks.Go(func() { data.accept(ctx, ln, nil) })
	data.start()
	p := &plane{&running{addr: ln.Addr().String(), store: st, log: log}, data, service, m}
	p.stop = sync.OnceValue(func() error { _ = ln.Close(); data.stop(); cancel(); tasks.Wait(); return nil })
	t.Cleanup(func() {
		_ = p.stop()
		_ = st.Close()
		if t.Failed() {
			t.Logf("log:\n%s", log)
		}
	})
	return p
}

// TestSessionsOfAProxy lists the clients of two organizations, and ends one by its id: at
// once, and through the store.
func TestSessionsOfAProxy(t *testing.T) {
	p := startPlane(t)
	redis := testbed.Redis(t).Addr
	acme := p.tenant(t, "acme", redis, nil)
	globex := p.tenant(t, "globex", redis, nil)
	var clients []*talker
	for i, key := range []string{acme, globex, globex, globex} {
		c := talkTo(t, p.addr, key)
		c.send("CLIENT SETNAME n" + string(rune('0'+i)))
		c.expect("+OK")
		clients = append(clients, c)
	}
	clients[1].send("SUBSCRIBE a")
	clients[1].line()
	org, err := p.store.Organization(t.Context(), "globex")
	if err != nil {
		t.Fatal(err)
	}
	list := func(org string) []tenant.Session {
		t.Helper()
		all, err := p.data.Sessions(t.Context(), org)
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if n := len(list("")); n != 4 {
		t.Errorf("%d sessions in all, want 4", n)
	}
	got := list(org.ID)
	if len(got) != 3 {
		t.Fatalf("%d sessions of globex, want 3: %+v", len(got), got)
	}
	s := got[0]
	if s.Name != "n1" || s.KeyID != keyID(globex) || s.KeyName != "web" || s.Org != "globex" || s.Instance != "cache" || s.TLS || s.Command != "subscribe" ||
		!slices.Equal(s.State, []string{"subscribed"}) || !netip.MustParseAddrPort(s.Address).IsValid() || time.Since(s.ConnectedAt).Abs() > time.Minute {
		t.Errorf("the first is %+v", s)
	}
	if got[0].ID[:7] != p.data.id+"-" || len(p.data.id) != proxyIDLength || got[1].Name != "n2" {
		t.Errorf("ids are %s, %s of %s at proxy %s", got[0].ID, got[1].ID, got[1].Name, p.data.id)
	}

	var _ control.Live = p.data

	for _, id := range []string{"", "nosuch", "-", p.data.id, p.data.id + "-", p.data.id + "-0", p.data.id + "-999", "xxxxxx" + got[1].ID[6:], p.data.id + "-x", got[1].ID + "-000000000000"} {
		p.data.EndSession(id)
	}
	if n := len(list("")); n != 4 {
		t.Errorf("%d sessions are left after none was ended, want 4", n)
	}
	p.data.EndSession(got[1].ID)
	if line := clients[2].line(); line != "end" {
		t.Errorf("the client whose session was ended reads %q", line)
	}
	if err := p.store.EndSession(t.Context(), tenant.Ending{ID: got[2].ID, OrgID: org.ID}.String()); err != nil {
		t.Fatal(err)
	}
	if line := clients[3].line(); line != "end" {
		t.Errorf("the client whose session was ended through the store reads %q", line)
	}
	testbed.Eventually(t, "two sessions are left", func() bool { return len(list("")) == 2 })
	_ = p.stop()
	if all, err := p.data.Sessions(t.Context(), ""); err != nil || len(all) > 0 {
		t.Errorf("when it has stopped there are %v, %v", all, err)
	}
}

// TestRotationIsFeltByLiveClients rotates a key twice with an overlap: clients with a secret go
// on after the first rotation, and end with the second.
func TestRotationIsFeltByLiveClients(t *testing.T) {
	p := startPlane(t)
	old := p.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	first := talkTo(t, p.addr, old)
	next := auth.GenerateFor(keyID(old))
	if _, err := p.store.RotateKey(t.Context(), keyID(old), next.Hash, time.Hour, 0); err != nil {
		t.Fatal(err)
	}
	var second *talker
	testbed.Eventually(t, "the new secret is good", func() bool {
		_, err := p.service.Authenticate(t.Context(), netip.Addr{}, "", next.Text.Reveal())
		return err == nil
	})
	second = talkTo(t, p.addr, next.Text.Reveal())
	third := talkTo(t, p.addr, old)
	for _, c := range []*talker{first, second, third} {
		c.send("PING")
		c.expect("+PONG")
	}
	if _, err := p.store.RotateKey(t.Context(), keyID(old), auth.GenerateFor(keyID(old)).Hash, time.Hour, 0); err != nil {
		t.Fatal(err)
	}
	for _, c := range []*talker{first, third} {
		if line := c.line(); line != "end" {
			t.Errorf("a client with the first secret reads %q when the key is rotated again", line)
		}
	}
	second.send("PING")
	second.expect("+PONG")
}

// TestOrganizationsLimitIsFollowed gives an organization a limit, and takes it back, while a
// client is there.
func TestOrganizationsLimitIsFollowed(t *testing.T) {
	p := startPlane(t)
	c := talkTo(t, p.addr, p.tenant(t, "acme", testbed.Redis(t).Addr, nil))
	for _, step := range []struct {
		rate    int
		limited bool
	}{{1, true}, {0, false}} {
		if _, err := p.store.UpdateOrganization(t.Context(), "acme", func(o *tenant.Organization) error { o.Rate = step.rate; return nil }); err != nil {
			t.Fatal(err)
		}
		testbed.Eventually(t, "the limit is followed", func() bool {
			c.send("PING", "PING", "PING")
			limited := false
			for range 3 {
				line := c.line()
				limited = limited || len(line) > 60 && line[:60] == "-RATELIMIT 1 commands/s exceeded for this organization, retr"
			}
			return limited == step.limited
		})
	}
}
