package main

import (
	"context"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// fleet is four proxies over one PostgreSQL, which share their limits by a Redis that speaks TLS.
type fleet struct {
	proxies []*running
	lease   time.Duration
	shared  *testbed.Server
	clock   *redis.Client // of the shared Redis
	backend string
}

func startFleet(t *testing.T) *fleet {
	t.Helper()
	ca, file := newAuthority(t), filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair()
	caFile := file("ca.pem", ca.pem)
	f := &fleet{backend: testbed.Redis(t).Addr}
	f.shared = testbed.Redis(t, "--requirepass", "hunter2", "--tls-cert-file", file("cert.pem", certPEM), "--tls-key-file", file("key.pem", keyPEM),
		"--tls-ca-cert-file", caFile, "--tls-auth-clients", "no")
	f.clock = f.shared.Client()
	cfg := testConfig(t)
	cfg.Store.Driver, cfg.Store.DSN = "postgres", tenant.Secret(testbed.Postgres(t).Database())
	cfg.SecretKey = tenant.Secret(strings.Repeat("s", 32))
	cfg.RateLimit.SharedURL = tenant.Secret("rediss://:hunter2@" + f.shared.Addr + "?ca_file=" + caFile)
	f.lease = cfg.RateLimit.SharedLease
	for range 4 {
		f.proxies = append(f.proxies, startServe(t, cfg))
	}
	t.Cleanup(http.DefaultClient.CloseIdleConnections)
	for _, r := range f.proxies {
		testbed.Eventually(t, "the proxy reaches the shared Redis", func() bool { return r.metric(t, "rate_limit_shared_up") == 1 })
	}
	testbed.Eventually(t, "all proxies are counted", func() bool {
		return f.clock.ZCard(t.Context(), "respgate:{proxies}").Val() == 4
	})
	return f
}

// tenant makes an organization with such limits for its key, and for all of its keys.
func (f *fleet) tenant(t *testing.T, org string, limits tenant.Limits, all tenant.Quota) (key string) {
	t.Helper()
	r := f.proxies[0]
	key = r.tenant(t, org, f.backend, func(k *tenant.Key) { k.Limits = limits })
	if _, err := r.store.UpdateOrganization(t.Context(), org, func(o *tenant.Organization) error { o.Quota = all; return nil }); err != nil {
		t.Fatal(err)
	}
	return key
}

// outcome is what came of some load.
type outcome struct {
	admitted, refused int
	took              time.Duration // by the shared Redis's clock
	strange           []string      // replies that are neither
}

// pipeline is how many commands a client of load sends at once.
const pipeline = 20

// load has a client of the key at each of these proxies send up to 2,000 commands/s while during runs.
func (f *fleet) load(t *testing.T, key, command string, proxies []int, during func()) (o outcome) {
	t.Helper()
	var mu sync.Mutex
	var clients sync.WaitGroup
	ctx, cancel := context.WithCancel(t.Context())
	began := f.clock.Time(t.Context()).Val()
	for _, i := range proxies {
		x := talkTo(t, f.proxies[i].addr, key)
		clients.Go(func() {
			every(ctx, 10*time.Millisecond, func() {
				x.send(slices.Repeat([]string{command}, pipeline)...)
				mu.Lock()
				defer mu.Unlock()
				for range pipeline {
					switch line := x.line(); {
					case line == "+OK":
						o.admitted++
					case strings.HasPrefix(line, "-RATELIMIT "):
						o.refused++
					default:
						o.strange = append(o.strange, line)
					}
				}
			})
		})
	}
	during()
	cancel()
	clients.Wait()
	o.took = f.clock.Time(t.Context()).Val().Sub(began)
	if len(o.strange) > 0 {
		t.Errorf("clients were told %q", o.strange[:min(len(o.strange), 5)])
	}
	return o
}

// wantAbout fails the test unless as much was admitted as docs/LIMITS.md says, and nearly as much as the rate allows: each
// command takes size of what the rate is of, and so much more may have been under way.
func (f *fleet) wantAbout(t *testing.T, o outcome, rate, burst, size, underWay int) {
	t.Helper()
	came := float64(rate) * o.took.Seconds()
	most := came + 2*float64(burst) + float64(len(f.proxies))*(float64(rate)*f.lease.Seconds()+1) + float64(underWay)
	if got := float64(o.admitted * size); got > most || got < 0.9*came || o.refused == 0 {
		t.Errorf("%d commands of %d were admitted and %d refused in %v at a rate of %d/s, want %.0f to %.0f, and some", o.admitted, size, o.refused, o.took, rate, 0.9*came, most)
	}
	t.Logf("%d commands of %d admitted, %d refused in %v at %d/s: %.0f come in it", o.admitted, size, o.refused, o.took, rate, came)
}

// TestLimitsAcrossProxies: a limit is one for four proxies, wherever the clients are, and without the Redis that they share each goes on by
// itself.
func TestLimitsAcrossProxies(t *testing.T) {
	f := startFleet(t)
	all, second := []int{0, 1, 2, 3}, func() { <-time.After(time.Second) }
	rate, burst, none, byteRate := 500, 250, 0, int64(300_000)
	of := tenant.Limits{Rate: &rate, Burst: &burst}
	set := "SET k " + strings.Repeat("x", 1000)
	size := len(commands(set)) + len("+OK\r\n")
	for _, tt := range []struct {
		name     string
		limits   tenant.Limits
		quota    tenant.Quota
		command  string
		proxies  []int
		want     int // of what, per second
		burst    int
		size     int // of a command
		underWay int
	}{
		{"a key at all proxies", of, tenant.Quota{}, "SET k v", all, rate, burst, 1, 0},
		{"a key at one proxy", of, tenant.Quota{}, "SET k v", all[:1], rate, burst, 1, 0},
		{"an organization at all proxies", tenant.Limits{Rate: &none}, tenant.Quota{Rate: rate, Burst: burst}, "SET k v", all, rate, burst, 1, 0},
		{"bytes of a key at all proxies", tenant.Limits{Rate: &none, ByteRate: &byteRate}, tenant.Quota{}, set, all, int(byteRate), int(byteRate), size, 4 * pipeline * size},
	} {
		t.Run(tt.name, func(t *testing.T) {
			org := strings.ReplaceAll(tt.name, " ", "-")
			f.wantAbout(t, f.load(t, f.tenant(t, org, tt.limits, tt.quota), tt.command, tt.proxies, second), tt.want, tt.burst, tt.size, tt.underWay)
		})
	}
	t.Run("commands that wait, of a key at one proxy", func(t *testing.T) {
		waits := of
		waits.Mode = tenant.LimitDelay
		o := f.load(t, f.tenant(t, "waits", waits, tenant.Quota{}), "SET k v", []int{0, 0, 0}, second)
		if o.refused > 0 {
			t.Errorf("%d commands were refused, want none", o.refused)
		}
		o.refused = 1
		f.wantAbout(t, o, rate, burst, 1, 0)
	})
	t.Run("without the shared Redis", func(t *testing.T) {
		r := f.proxies[0]
		o := f.load(t, f.tenant(t, "alone", of, tenant.Quota{}), "SET k v", all, func() {
			second()
			f.shared.Freeze()
			testbed.Eventually(t, "the proxy knows, and limits by itself", func() bool {
				return r.metric(t, "rate_limit_shared_up") == 0 && r.metric(t, "rate_limit_shared_fallback_buckets") > 0
			})
			if status, body := httpGet(t, "http://"+r.http+"/health"); status != 200 || !strings.Contains(body, `"rate_limit":{"status":"degraded"`) {
				t.Errorf("/health: %d %s, want the limits degraded", status, body)
			}
			second()
			f.shared.Thaw()
			testbed.Eventually(t, "no limit is held without it any more", func() bool { return r.metric(t, "rate_limit_shared_fallback_buckets") == 0 })
		})
		f.wantAbout(t, o, rate, burst, 1, 0)
		testbed.Eventually(t, "the proxy is healthy again", func() bool {
			_, body := httpGet(t, "http://"+r.http+"/health")
			return strings.Contains(body, `"rate_limit":{"status":"healthy"`)
		})
	})
	for _, r := range f.proxies {
		if strings.Contains(r.log.String(), "hunter2") {
			t.Error("a password is in the log")
		}
	}
}
