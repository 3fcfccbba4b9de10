package metrics

import (
	"bytes"
	"errors"
	"flag"
	"io"
	"net/http/httptest"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

var update = flag.Bool("update", false, "write the golden file anew")

func newMetrics(t testing.TB, loops int) (*Metrics, *prometheus.Registry) {
	t.Helper()
	reg := prometheus.NewPedanticRegistry()
	m, err := New(reg, loops, "v1", "abc")
	if err != nil {
		t.Fatal(err)
	}
	return m, reg
}

func scrape(t testing.TB, reg *prometheus.Registry) string {
	t.Helper()
	w := httptest.NewRecorder()
	promhttp.HandlerFor(reg, promhttp.HandlerOpts{ErrorHandling: promhttp.HTTPErrorOnError}).ServeHTTP(w, httptest.NewRequest("GET", "/metrics", nil))
	body, _ := io.ReadAll(w.Body)
	if w.Code != 200 {
		t.Fatalf("scrape: %d %s", w.Code, body)
	}
	return string(body)
}

// used returns metrics of which all have been used, on two loops.
func used(t testing.TB) *prometheus.Registry {
	m, reg := newMetrics(t, 2)
	get, config := command.Lookup([]byte("get")), command.Lookup([]byte("config")).Sub([]byte("get"))
	for i := range 2 {
		l := m.Loop(i)
		acme := l.Tenant("acme/cache")
		acme.Commands(get, 3)
		acme.Commands(config, 1)
		acme.Commands(command.Other, 1)
		acme.Error(get, "WRONGTYPE")
		acme.Error(get, "INVENTED")
		acme.Phase(PhaseBackend, 200*time.Microsecond, 3)
		acme.Phase(PhaseLimit, 0, 3)
		acme.Bytes(100, 200)
		acme.Clients(2)
		acme.Clients(-1)
		acme.RateLimited(7)
		acme.RateDelayed(3)
		acme.RateDryRun(2)
		acme.SlowLogged()
		acme.CacheHit(l, 40*time.Millisecond)
		acme.CacheMissed(3)
		acme.CacheInvalidated(2)
		acme.CacheDropped()
		acme.CacheHolds(1000, 3)
		acme.CacheHolds(-400, -1)
		acme.CacheEvicted(EvictedProxyFull)
		l.Duration(get, 200*time.Microsecond, 3)
		l.Duration(get, time.Minute, 1)
		l.Tenant("gone/cache").Commands(get, 1)
	}
	m.LinkOpened("acme/cache", "shared")
	m.LinkOpened("acme/cache", "cache")
	m.LinkOpened("gone/cache", "shared")
	m.LinkOpened("acme/cache", "shared")
	m.LinkClosed("acme/cache", "shared")
	m.DialResult("acme/cache", "ok")
	m.DialResult("gone/cache", "ok")
	m.DialDelayed("acme/cache")
	m.BreakerState("acme/cache", 2)
	m.BreakerState("gone/cache", 2)
	m.SetCertificates("tls", map[string]time.Time{"old.example": time.Unix(1, 0), "redis.example": time.Unix(2, 0)})
	m.SetCertificates("tls", map[string]time.Time{"redis.example": time.Unix(3, 0)})
	m.SetCertificates("http", map[string]time.Time{"old.example": time.Unix(4, 0)})
	m.TLSReload("tls", "ok")
	m.TLSHandshake(nil)
	m.TLSHandshake(io.EOF)
	m.ExpectClientCertificates([]string{"key", "unknown"})
	m.ClientCertificate("key")
	m.Expect([]string{"unknown", "unavailable"}, []string{"grant", "changes"}, []string{"GET /metrics"})
	m.KeyRequest()
	m.KeyFailure("unknown")
	m.GuessThrottled("address")
	m.Refused(RefusedOrg)
	m.Query("grant", 2*time.Millisecond, errors.New("away"))
	m.HTTP("GET", "/health", 503, time.Millisecond, "")
	m.Loop(0).Dropped(DroppedMemory)
	m.Loop(1).Dropped(DroppedMemory)
	m.Refused(RefusedClients)
	m.AcceptFailed()
	m.WatchMemory(1<<30, func() int64 { return 12345 })
	m.ExpectEvents("command.denied", "key.bad")
	m.AuditEvent("key.bad")
	m.AuditEventsLost(3)
	m.UsageLost(2)
	m.ExpectSpans([]string{"ratio", "slow"}, []string{"rate", "queue"})
	m.Traced("slow")
	m.TraceDropped("queue", 5)
	m.WatchStore(func() time.Duration { return 90 * time.Second }, func() tenant.Connections {
		return tenant.Connections{InUse: 3, Idle: 5, Waits: 7, Waited: 250 * time.Millisecond}
	})
	m.WatchLeases(func() bool { return true }, func() int { return 6 })
	m.LeaseRequest(3*time.Millisecond, nil)
	m.LeaseRequest(250*time.Millisecond, io.EOF)
	m.Draining(time.Unix(4_000, 0))
	m.SetDrainTimeout(30 * time.Second)
	m.SetResources(1<<32, 1.5)
	m.SetRegion("eu")
	m.SetLinkLimit("pinned", 256)
	m.SetLinkLimit("subscriber", 10_000)
	m.LinkWaits("acme/cache", "pinned", 1)
	m.LinksExhausted("acme/cache", "pinned")
	m.TopologyResult("acme/cache", "changed")
	m.Paused("acme/cache", true)
	m.Paused("new/cache", true)
	m.Paused("new/cache", false)
	m.Paused("gone/cache", true)
	m.WatchLog(func() int64 { return 42 })
	m.ConfigRead(time.Unix(1_000, 0))
	m.ConfigReloaded(time.Unix(2_000, 0), nil)
	m.ConfigReloaded(time.Unix(3_000, 0), errors.New("a wrong key"))
	m.SetTotals(tenant.Counts{Organizations: 1, Users: 2, Instances: 3, Keys: 4})
	m.AddTenant("new/cache")
	m.AddTenant("acme/cache")
	m.AddTenant("gone/cache")
	m.RemoveTenant("gone/cache")
	m.LinkClosed("gone/cache", "shared") // what comes late does not bring it back
	m.DialResult("gone/cache", "ok")
	m.DialDelayed("gone/cache")
	m.BreakerState("gone/cache", 1)
	m.Paused("gone/cache", false)
	return reg
}

func TestGolden(t *testing.T) {
	got := strings.ReplaceAll(scrape(t, used(t)), runtime.Version(), "go1")
	const file = "testdata/metrics.golden"
	if *update {
		if err := os.MkdirAll("testdata", 0o750); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(file, []byte(got), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	if got != string(want) {
		t.Errorf("the metrics differ from %s (go test -update writes it anew):\n%s", file, got)
	}
}

func TestPromtool(t *testing.T) {
	check := exec.Command(testbed.Binary(t, "promtool", "prometheus"), "check", "metrics")
	check.Stdin = strings.NewReader(scrape(t, used(t)))
	var out bytes.Buffer
	check.Stdout, check.Stderr = &out, &out
	if err := check.Run(); err != nil {
		t.Errorf("promtool: %v\n%s", err, out.String())
	}
}

func TestScrapesBesideCounting(t *testing.T) {
	m, reg := newMetrics(t, 4)
	get := command.Lookup([]byte("get"))
	const n = 2000
	var wg sync.WaitGroup
	for i := range 4 {
		wg.Go(func() {
			l := m.Loop(i)
			for range n {
				l.Tenant("a/b").Commands(get, 1)
				l.Tenant("a/b").Error(get, "ERR")
				l.Duration(get, time.Millisecond, 1)
			}
		})
	}
	for range 20 {
		scrape(t, reg)
	}
	wg.Wait()
	got := scrape(t, reg)
	for _, want := range []string{
		`redis_commands_total{command="get",tenant="a/b"} 8000`,
		`redis_command_errors_total{code="ERR",command="get",tenant="a/b"} 8000`,
		`redis_command_duration_seconds_count{command="get"} 8000`,
		`redis_command_duration_seconds_bucket{command="get",le="0.001"} 8000`,
		`redis_command_duration_seconds_bucket{command="get",le="0.0005"} 0`,
	} {
		if !strings.Contains(got, want+"\n") {
			t.Errorf("missing %s in\n%s", want, got)
		}
	}
}

func TestCountingDoesNotAllocate(t *testing.T) {
	m, _ := newMetrics(t, 1)
	l := m.Loop(0)
	a, get := l.Tenant("a/b"), command.Lookup([]byte("get"))
	count := func() {
		a.Commands(get, 1)
		a.Phase(PhaseBackend, time.Millisecond, 1)
		a.Bytes(1, 1)
		l.Duration(get, time.Millisecond, 1)
	}
	count()
	if n := testing.AllocsPerRun(100, count); n != 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkCommands(b *testing.B) {
	m, _ := newMetrics(b, 1)
	a, get := m.Loop(0).Tenant("a/b"), command.Lookup([]byte("get"))
	for b.Loop() {
		a.Commands(get, 1)
	}
}

func BenchmarkPhase(b *testing.B) {
	m, _ := newMetrics(b, 1)
	a := m.Loop(0).Tenant("a/b")
	for b.Loop() {
		a.Phase(PhaseBackend, 200*time.Microsecond, 1)
	}
}
