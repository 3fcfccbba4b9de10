package lease

import (
	"context"
	"errors"
	"io"
	"log/slog"
	"os"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// newClient is one whose exchanges a test makes itself.
func newClient(r redis.UniversalClient, proxy string) *Client {
	return New(Config{Proxy: proxy}, r, nil, slog.New(slog.NewTextHandler(io.Discard, nil)))
}

// one is an exchange of one request.
func one(t *testing.T, c *Client, q tenant.LeaseRequest) tenant.Lease {
	t.Helper()
	leases, _, err := c.exchange(t.Context(), []tenant.LeaseRequest{q}, false)
	if err != nil || leases[0].Failed {
		t.Fatalf("%+v: %+v, %v", q, leases, err)
	}
	return leases[0]
}

// The rates are so small that nothing comes while the test runs, other than where it has the bucket's time be another.
func TestBucketScript(t *testing.T) {
	server := testbed.Redis(t).Client()
	c := newClient(server, "one")
	for _, tt := range []struct {
		name      string
		before    tenant.LeaseRequest
		ago       time.Duration // that the request before was
		request   tenant.LeaseRequest
		granted   int64
		left      float64
		afterward string // what Redis has for the tokens, unless ""
	}{
		{"a new bucket is full", tenant.LeaseRequest{}, 0, tenant.LeaseRequest{Burst: 100, Want: 30}, 30, 70, "70"},
		{"no more than there is", tenant.LeaseRequest{Burst: 100, Want: 80}, 0, tenant.LeaseRequest{Burst: 100, Want: 50}, 20, 0, ""},
		{"used comes before wanted", tenant.LeaseRequest{}, 0, tenant.LeaseRequest{Burst: 100, Used: 90, Want: 50}, 10, 0, ""},
		{"what is used is owed", tenant.LeaseRequest{}, 0, tenant.LeaseRequest{Burst: 100, Used: 250, Want: 50}, 0, -150, "-150"},
		{"back", tenant.LeaseRequest{Burst: 100, Want: 80}, 0, tenant.LeaseRequest{Burst: 100, Want: -30}, -30, 50, ""},
		{"no more than fits goes back", tenant.LeaseRequest{Burst: 100, Want: 10}, 0, tenant.LeaseRequest{Burst: 100, Want: -30}, -30, 100, ""},
		{"tokens come", tenant.LeaseRequest{Burst: 100, Want: 80}, time.Minute, tenant.LeaseRequest{Burst: 100, Want: 0}, 0, 80, ""},
		{"used while they came", tenant.LeaseRequest{Burst: 100, Want: 0}, time.Minute, tenant.LeaseRequest{Burst: 100, Used: 50}, 0, 100, ""},
		{"no more than it holds", tenant.LeaseRequest{Burst: 100, Want: 80}, time.Hour, tenant.LeaseRequest{Burst: 100, Want: 0}, 0, 100, ""},
		{"a server whose clock is behind", tenant.LeaseRequest{Burst: 100, Want: 80}, -time.Hour, tenant.LeaseRequest{Burst: 100, Want: 5}, 5, 15, ""},
		{"a smaller burst", tenant.LeaseRequest{Burst: 100, Want: 10}, 0, tenant.LeaseRequest{Burst: 50, Want: 5}, 5, 45, ""},
		{"a larger burst", tenant.LeaseRequest{Burst: 100, Want: 10}, 0, tenant.LeaseRequest{Burst: 500, Want: 5}, 5, 85, ""},
		{"refilled", tenant.LeaseRequest{Burst: 100, Want: 90}, 0, tenant.LeaseRequest{Burst: 100, Want: 5, Refills: 1}, 5, 95, ""},
		{"refilled once", tenant.LeaseRequest{Burst: 100, Want: 90, Refills: 1}, 0, tenant.LeaseRequest{Burst: 100, Want: 5, Refills: 1}, 5, 5, ""},
		{"who has not heard of a refill", tenant.LeaseRequest{Burst: 100, Want: 90, Refills: 2}, 0, tenant.LeaseRequest{Burst: 100, Want: 5, Refills: 1}, 5, 5, ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			name := strings.ReplaceAll(tt.name, " ", "-")
			key := bucketKey(name)
			tt.request.Name, tt.before.Name = name, name
			tt.request.Rate, tt.before.Rate = 1, 1
			if tt.before.Burst > 0 {
				one(t, c, tt.before)
				if err := server.HIncrBy(t.Context(), key, "at", -tt.ago.Microseconds()).Err(); err != nil {
					t.Fatal(err)
				}
			}
			got := one(t, c, tt.request)
			if got.Granted != tt.granted || got.Left < tt.left || got.Left > tt.left+1 {
				t.Errorf("granted %d, left %.3f, want %d and %.0f", got.Granted, got.Left, tt.granted, tt.left)
			}
			if kept := server.HGet(t.Context(), key, "tokens").Val(); tt.afterward != "" && kept != tt.afterward {
				t.Errorf("Redis has %q for the tokens, want %q", kept, tt.afterward)
			}
			missing := time.Duration(100-got.Left) * time.Second
			if tt.request.Burst == 100 {
				if ttl := server.PTTL(t.Context(), key).Val(); ttl <= missing-time.Second || ttl > missing+2*time.Second {
					t.Errorf("the key expires in %v, want about %v: it is full then", ttl, missing)
				}
			}
		})
	}
}

func TestScriptKeepsLargeNumbers(t *testing.T) {
	c := newClient(testbed.Redis(t).Client(), "one")
	const burst = int64(1) << 40 // bytes
	q := tenant.LeaseRequest{Name: "kb:k", Rate: burst, Burst: burst, Want: burst / 2}
	if got := one(t, c, q); got.Granted != burst/2 || got.Left != float64(burst/2) {
		t.Errorf("got %+v of 1 TiB, want half of it", got)
	}
}

func TestServerLearnsScripts(t *testing.T) {
	server := testbed.Redis(t).Client()
	c := newClient(server, "one")
	q := tenant.LeaseRequest{Name: "k:k", Rate: 1, Burst: 100, Want: 10}
	for round := range 3 {
		if got := one(t, c, q); got.Granted != 10 {
			t.Errorf("round %d: granted %d, want 10", round, got.Granted)
		}
		if err := server.ScriptFlush(t.Context()).Err(); err != nil {
			t.Fatal(err)
		}
	}
}

func TestProxiesAreCounted(t *testing.T) {
	server := testbed.Redis(t).Client()
	count := func(c *Client) int {
		_, n, err := c.exchange(t.Context(), nil, true)
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	a, b := newClient(server, "a"), newClient(server, "b")
	for i, want := range []int{1, 1, 2, 2} {
		if got := count([]*Client{a, a, b, a}[i]); got != want {
			t.Errorf("look %d: %d proxies, want %d", i, got, want)
		}
	}
	old := float64(time.Now().Add(-beatKept - time.Minute).UnixMicro())
	if err := server.ZAdd(t.Context(), proxiesKey, redis.Z{Member: "b", Score: old}).Err(); err != nil {
		t.Fatal(err)
	}
	if got := count(a); got != 1 {
		t.Errorf("%d proxies count, one of which has not been there lately, want 1", got)
	}
	count(b)
	b.leave(t.Context())
	if got := count(a); got != 1 {
		t.Errorf("%d proxies after one has left, want 1", got)
	}
}

func TestServersThatCannot(t *testing.T) {
	primary := testbed.Redis(t)
	full := testbed.Redis(t, "--maxmemory", "1", "--maxmemory-policy", "noeviction")
	secret := testbed.Redis(t, "--requirepass", "hunter2")
	gone := testbed.Redis(t)
	gone.Kill()
	frozen := testbed.Redis(t)
	frozen.Freeze()
	t.Cleanup(frozen.Thaw)
	for _, tt := range []struct {
		name, addr, want string
	}{
		{"a replica", testbed.Replica(t, primary).Addr, "READONLY"},
		{"no memory", full.Addr, "OOM"},
		{"a password", secret.Addr, "NOAUTH"},
		{"gone", gone.Addr, "refused"},
		{"frozen", frozen.Addr, "timeout"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := redis.NewClient(&redis.Options{Addr: tt.addr, MaxRetries: -1, DialerRetries: 1, ReadTimeout: Timeout, DialTimeout: Timeout, ContextTimeoutEnabled: true})
			defer r.Close()
			leases, proxies, err := newClient(r, "one").exchange(t.Context(), []tenant.LeaseRequest{{Name: "k:k", Rate: 1, Burst: 1}}, true)
			if !leases[0].Failed || proxies != 0 || err == nil {
				t.Fatalf("got %+v, %d proxies, %v, want an error", leases, proxies, err)
			}
			if !strings.Contains(err.Error(), tt.want) && !errors.Is(err, context.DeadlineExceeded) {
				t.Errorf("the error is %q, want one with %q", err, tt.want)
			}
			if strings.Contains(err.Error(), "hunter2") {
				t.Errorf("the error %q has a password", err)
			}
		})
	}
}

func TestClusterHasEveryKeySomewhere(t *testing.T) {
	cluster := testbed.NewCluster(t, 3, 0)
	r := redis.NewClusterClient(&redis.ClusterOptions{Addrs: []string{cluster.Primaries[0].Addr}, MaxRetries: -1})
	defer r.Close()
	c := newClient(r, "one")
	var requests []tenant.LeaseRequest
	for i := range 50 {
		requests = append(requests, tenant.LeaseRequest{Name: "k:" + strconv.Itoa(i), Rate: 1, Burst: 10, Want: int64(i % 10)})
	}
	leases, proxies, err := c.exchange(t.Context(), requests, true)
	if err != nil || proxies != 1 {
		t.Fatalf("%d proxies, %v, want 1", proxies, err)
	}
	for i, l := range leases {
		if l.Granted != int64(i%10) {
			t.Errorf("request %d: granted %d, want %d", i, l.Granted, i%10)
		}
	}
}

// docs/LIMITS.md says what a user of ours needs.
func TestUserOfItsOwn(t *testing.T) {
	text, err := os.ReadFile("../docs/LIMITS.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "\n    ACL SETUSER ")
	rule, _, found := strings.Cut(rest, "\n")
	if !found {
		t.Fatal("the page has no ACL SETUSER")
	}
	args := []any{"ACL", "SETUSER"}
	for word := range strings.FieldsSeq(rule) {
		args = append(args, word)
	}
	server := testbed.Redis(t)
	if err := server.Client().Do(t.Context(), args...).Err(); err != nil {
		t.Fatal(err)
	}
	r := redis.NewClient(&redis.Options{Addr: server.Addr, Username: "respgate", Password: "password", MaxRetries: -1, Protocol: 2, DisableIdentity: true})
	defer r.Close()
	c := newClient(r, "one")
	for range 2 {
		leases, proxies, err := c.exchange(t.Context(), []tenant.LeaseRequest{{Name: "k:k", Rate: 1, Burst: 10, Want: 3}}, true)
		if err != nil || leases[0].Granted != 3 || proxies != 1 {
			t.Errorf("got %+v, %d proxies, %v, want 3 tokens and 1 proxy", leases, proxies, err)
		}
	}
	c.leave(t.Context())
	if n := server.Client().ZCard(t.Context(), proxiesKey).Val(); n != 0 {
		t.Errorf("%d proxies after the only one has left", n)
	}
}
