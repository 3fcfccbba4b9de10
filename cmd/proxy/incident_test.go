package main

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/pages"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/internal/testbed/dashboards"
)

// TestIncident has what docs/OBSERVABILITY.md tells of happen: a report runs slow scripts on a
// shop's Redis, an alert fires, and the queries and commands of that page find who it is and
// end it. With -dashboards.pictures it makes the page's picture too.
func TestIncident(t *testing.T) {
	i := startIncident(t)
	i.goOn("all is well", 250)
	i.reports()
	i.alerted("the shop's alert fires", true)
	i.goOn("the others go on", 30)
	for _, block := range pages.Blocks(t, "docs/OBSERVABILITY.md", "promql") {
		query := block.Text
		if worst := i.worst(query).Labels; worst["phase"] != "backend" && worst["tenant"] != "shop/cache" {
			t.Errorf("the most is of %v, not of what the page says, in the answer to\n%s", worst, query)
		}
	}
	for _, block := range pages.Blocks(t, "docs/OBSERVABILITY.md", "console") {
		for _, command := range commandLine.FindAllStringSubmatch(block.Text, -1) {
			out := i.respgate(command[1])
			for _, word := range words(command[1]) {
				if !strings.Contains(out, word) {
					t.Errorf("respgate %s does not say %q:\n%s", command[1], word, out)
				}
			}
		}
	}
	testbed.Eventually(t, "the report is refused", func() bool { return i.refused.Load() > 0 })
	i.alerted("the alert ends", false)
	i.goOn("all is well again", 60)
	if n := i.failed.Load(); n > 0 {
		t.Errorf("%d commands of others failed", n)
	}
	if *dashboardPictures != "" {
		tenant := &watched{t: t, dashboard: readDashboard(t, "tenant.json"), asked: i.prometheus, since: i.since,
			chosen: dashboards.Values{"job": {"respgate"}, "instance": {dashboards.All}, "tenant": {"shop/cache"}}}
		takePictures(t, *dashboardPictures, map[string]*watched{"incident.json": tenant})
	}
}

// commandLine is a command in a console block of the page.
var commandLine = regexp.MustCompile(`(?m)^\$ respgate (.*)$`)

// words are what the answer to a command of the page has in it.
func words(command string) []string {
	switch name, _, _ := strings.Cut(command, " --"); name {
	case "top":
		return []string{"shop/cache", "news/cache"}
	case "slowlog get":
		return []string{"eval", "report"}
	case "instance test":
		return []string{"shop/cache", "true"}
	case "key show KEY":
		return []string{"nightly"}
	}
	return nil
}

// incident is a shop and a news site, each with clients and a Redis of its own.
type incident struct {
	t          *testing.T
	ctx        context.Context
	proxy      *process
	shop, news *testbed.Server
	nightly    string // the report's key
	prometheus *testbed.PrometheusServer
	since      time.Time
	working    sync.WaitGroup
	answered   atomic.Int64 // visits
	failed     atomic.Int64
	refused    atomic.Int64 // reports
}

func startIncident(t *testing.T) *incident {
	t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	i := &incident{t: t, ctx: ctx, shop: testbed.Redis(t), news: testbed.Redis(t)}
	i.proxy = startProcess(t, fmt.Sprintf("export RESPGATE_HTTP_ADMIN_TOKEN=%q; ", operatorsToken), "pool: {dial_timeout: 20s}\n")
	t.Cleanup(func() { stop(); i.working.Wait() })
	web := i.proxy.tenant("shop", i.shop.Addr, "--rate", "0")
	i.nightly = i.proxy.key("shop", "--rate", "0", "--name", "nightly")
	readers := i.proxy.tenant("news", i.news.Addr, "--rate", "0")
	i.prometheus = testbed.Prometheus(t, testbed.ScrapeConfig(scrapeInterval, i.proxy.http)+"rule_files: ["+i.rules()+"]\n")
	i.since = time.Now()
	for n := range 8 {
		i.visits(web, fmt.Sprint("cart:", n))
		i.visits(readers, fmt.Sprint("article:", n))
	}
	return i
}

// rules are ours, in a hurry: rates are over some seconds, and alerts fire at once.
func (i *incident) rules() string {
	var files []string
	write := filesIn(i.t, i.t.TempDir())
	for _, name := range []string{"recording.yml", "alerts.yml"} {
		text, err := os.ReadFile(filepath.Join("../../configs/prometheus", name))
		if err != nil {
			i.t.Fatal(err)
		}
		text = bytes.ReplaceAll(patience.ReplaceAll(text, nil), []byte("[5m]"), []byte("[15s]"))
		files = append(files, write(name, text))
	}
	return strings.Join(files, ", ")
}

// patience is what a rule has of it.
var patience = regexp.MustCompile(`(?m)^ +(for|interval): .*$`)

// visits are a client's, four a second when the Redis is quick.
func (i *incident) visits(key, name string) {
	client := i.client(key, "web")
	i.working.Go(func() {
		tick := time.NewTicker(250 * time.Millisecond)
		defer tick.Stop()
		for n := 0; ; n++ {
			err := client.Set(i.ctx, name, n, time.Hour).Err()
			if n%4 > 0 {
				err = client.Get(i.ctx, name).Err()
			}
			switch {
			case err == nil:
				i.answered.Add(1)
			case i.ctx.Err() == nil:
				i.failed.Add(1)
			}
			select {
			case <-i.ctx.Done():
				return
			case <-tick.C:
			}
		}
	})
}

func (i *incident) client(key, name string) *redis.Client {
	return testbed.Client(i.t, &redis.Options{Addr: i.proxy.addr, Username: "cache", Password: key, ClientName: name, DisableIdentity: true, MaxRetries: -1, PoolSize: 1})
}

// reports run one slow script after the other, until they are refused.
func (i *incident) reports() {
	script, client := i.slowScript(), i.client(i.nightly, "report")
	i.working.Go(func() {
		for i.ctx.Err() == nil {
			if err := client.Eval(i.ctx, script, []string{"orders"}).Err(); err != nil && i.ctx.Err() == nil {
				i.refused.Add(1)
				return
			}
		}
	})
}

// slowScript takes the shop's Redis some 1.5 seconds, whatever the machine.
func (i *incident) slowScript() string {
	const loops = 10_000_000
	began := time.Now()
	if err := i.shop.Client().Eval(i.ctx, fmt.Sprintf("for i=1,%d do end return 1", loops), nil).Err(); err != nil {
		i.t.Fatal(err)
	}
	return fmt.Sprintf("for i=1,%.0f do end return 1", loops*1.5*float64(time.Second)/float64(time.Since(began)))
}

// goOn waits until so many more visits are answered, and for as long as a picture wants.
func (i *incident) goOn(what string, visits int64) {
	i.t.Helper()
	began, goal := time.Now(), i.answered.Load()+visits
	testbed.Within(i.t, pictureTime, what, func() bool {
		return i.answered.Load() >= goal && (*dashboardPictures == "" || time.Since(began) >= pictureTime/4)
	})
}

// alerted waits until the alert for the shop fires, or does not.
func (i *incident) alerted(what string, wanted bool) {
	i.t.Helper()
	testbed.Within(i.t, 2*time.Minute, what, func() bool {
		return len(i.prometheus.Query(`ALERTS{alertname="HighLatency",tenant="shop/cache",phase="backend",alertstate="firing"}`)) > 0 == wanted
	})
	if others := i.prometheus.Query(`ALERTS{alertname="HighLatency",tenant="news/cache"}`); len(others) > 0 {
		i.t.Errorf("another tenant's alert: %v", others[0].Labels)
	}
}

// worst is the series that is highest in the answer to a query of the page.
func (i *incident) worst(query string) testbed.Series {
	i.t.Helper()
	answer := i.prometheus.Query(query)
	if len(answer) == 0 {
		i.t.Fatalf("nothing is the answer to\n%s", query)
	}
	return slices.MaxFunc(answer, func(a, b testbed.Series) int { return cmp.Compare(a.Value(), b.Value()) })
}

// respgate runs a command of the page, for an operator elsewhere.
func (i *incident) respgate(line string) string {
	i.t.Helper()
	line = strings.ReplaceAll(line, "KEY", keyID(i.nightly))
	cmd := exec.Command("sh", "-c", `exec "$0" `+line, i.proxy.binary)
	cmd.Env = append(os.Environ(), "RESPGATE_SERVER=http://"+i.proxy.http, "RESPGATE_TOKEN="+operatorsToken)
	out, err := cmd.CombinedOutput()
	if err != nil {
		i.t.Errorf("respgate %s: %v: %s", line, err, out)
	}
	i.t.Logf("$ respgate %s\n%s", line, out)
	return string(out)
}
