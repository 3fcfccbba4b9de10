package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/VictoriaMetrics/metricsql"
	"go.yaml.in/yaml/v3"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// shortened is the text of one of our YAML files, changed.
func shortened(t *testing.T, path string, change func(document map[string]any)) string {
	t.Helper()
	var document map[string]any
	readYAML(t, path, &document)
	change(document)
	text, err := yaml.Marshal(document)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// monitored starts a Prometheus with our configuration and rules, in a hurry: it scrapes and
// evaluates every other second, which a loaded machine keeps up with, and alerts fire as soon
// as they may. alertmanager is its address, "" for none.
func monitored(t *testing.T, alertmanager string, proxies ...string) *testbed.PrometheusServer {
	t.Helper()
	const often = "2s"
	dir := t.TempDir()
	rules := []any{}
	for _, name := range []string{"recording.yml", "alerts.yml"} {
		text := shortened(t, ruleFiles+name, func(document map[string]any) {
			for _, g := range document["groups"].([]any) {
				delete(g.(map[string]any), "interval")
				for _, r := range g.(map[string]any)["rules"].([]any) {
					delete(r.(map[string]any), "for")
				}
			}
		})
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		rules = append(rules, path)
	}
	targets := func(addresses ...string) []any { return []any{map[string]any{"targets": addresses}} }
	return testbed.Prometheus(t, shortened(t, ruleFiles+"prometheus.yml", func(document map[string]any) {
		global := document["global"].(map[string]any)
		global["scrape_interval"], global["scrape_timeout"], global["evaluation_interval"] = often, often, often
		document["rule_files"] = rules
		document["scrape_configs"] = slices.DeleteFunc(document["scrape_configs"].([]any), func(job any) bool {
			job.(map[string]any)["static_configs"] = targets(proxies...)
			delete(job.(map[string]any), "authorization") // these proxies have no token
			return job.(map[string]any)["job_name"] != "respgate"
		})
		delete(document, "alerting")
		if alertmanager != "" {
			document["alerting"] = map[string]any{"alertmanagers": []any{map[string]any{"static_configs": targets(alertmanager)}}}
		}
	}))
}

// known is what a Prometheus has: by name, the sets of labels that its series have.
type known map[string][]map[string]string

func knownTo(p *testbed.PrometheusServer) known {
	var series []map[string]string
	p.Get(`/api/v1/series?match[]={job="respgate"}`, &series)
	k := known{}
	for _, labels := range series {
		name := labels["__name__"]
		delete(labels, "__name__")
		k[name] = append(k[name], labels)
	}
	return k
}

// valued are labels whose values are all there from the start.
var valued = []string{"job", "kind", "phase", "reason", "side", "origin", "listener"}

// lacks says what an expression names that is not there, "" for nothing.
func (k known) lacks(t *testing.T, expr string) string {
	t.Helper()
	labels := map[string]bool{}
	for _, s := range selectors(t, expr) {
		filters := s.LabelFilterss[0]
		i := slices.IndexFunc(filters, func(f metricsql.LabelFilter) bool { return f.Label == "__name__" })
		if i < 0 {
			return "a metric's name"
		}
		series := k[filters[i].Value]
		if series == nil {
			return filters[i].Value
		}
		for _, f := range filters {
			if f.Label == "__name__" {
				continue
			}
			if !slices.ContainsFunc(series, func(l map[string]string) bool { _, has := l[f.Label]; return has }) {
				return filters[i].Value + "{" + f.Label + "}"
			}
			for _, value := range strings.Split(f.Value, "|") {
				if slices.Contains(valued, f.Label) && !slices.ContainsFunc(series, func(l map[string]string) bool { return l[f.Label] == value }) {
					return fmt.Sprintf("%s{%s=%q}", filters[i].Value, f.Label, value)
				}
			}
		}
		for _, l := range series {
			for name := range l {
				labels[name] = true
			}
		}
	}
	parsed, err := metricsql.Parse(expr)
	if err != nil {
		return err.Error()
	}
	missing := ""
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		var names []string
		switch e := e.(type) {
		case *metricsql.AggrFuncExpr:
			names = e.Modifier.Args
		case *metricsql.BinaryOpExpr:
			names = slices.Concat(e.GroupModifier.Args, e.JoinModifier.Args)
		}
		for _, name := range names {
			if !labels[name] {
				missing = "the label " + name
			}
		}
	})
	return missing
}

// hasLike says whether there are series with exactly the labels of s, whatever their values.
func (k known) hasLike(t *testing.T, s string) bool {
	t.Helper()
	want, name := []string{}, ""
	for _, f := range selectors(t, s)[0].LabelFilterss[0] {
		if f.Label == "__name__" {
			name = f.Value
			continue
		}
		want = append(want, f.Label)
	}
	slices.Sort(want)
	return slices.ContainsFunc(k[name], func(l map[string]string) bool {
		return slices.Equal(slices.Sorted(maps.Keys(l)), want)
	})
}

var promqlBlock = regexp.MustCompile("(?s)```promql\n(.*?)```")

// TestAlertsAskForWhatIsThere: a real Prometheus scrapes a proxy that has been used. What the
// rules, their tests and the runbooks ask for is what it has, down to the labels, and every
// rule can be evaluated.
func TestAlertsAskForWhatIsThere(t *testing.T) {
	r, use := usedProxy(t)
	p := monitored(t, "", r.http)
	type question struct{ from, expr string }
	var asked []question
	for _, file := range []string{"recording.yml", "alerts.yml"} {
		for _, rule := range readRules(t, ruleFiles+file) {
			asked = append(asked, question{file + ": " + rule.Record + rule.Alert, rule.Expr})
		}
	}
	pages, err := filepath.Glob("../../docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, page := range pages {
		text, err := os.ReadFile(page)
		if err != nil {
			t.Fatal(err)
		}
		for _, block := range promqlBlock.FindAllStringSubmatch(string(text), -1) {
			for query := range strings.SplitSeq(strings.TrimSpace(block[1]), "\n\n") {
				asked = append(asked, question{page, query})
			}
		}
	}
	var has known
	lacking := func() (all []string) {
		has = knownTo(p)
		for _, q := range asked {
			if missing := has.lacks(t, q.expr); missing != "" {
				all = append(all, q.from+": "+missing)
			}
		}
		return all
	}
	stop := time.Now().Add(testbed.Patience / 2)
	testbed.Eventually(t, "all that is asked for has been scraped or recorded", func() bool {
		use()
		p.Scraped()
		return len(lacking()) == 0 || time.Now().After(stop)
	})
	for _, missing := range lacking() {
		t.Errorf("not there: %s", missing)
	}
	for path, file := range readRuleTests(t) {
		for _, test := range file.Tests {
			for _, s := range test.Series {
				if !has.hasLike(t, s.Series) {
					t.Errorf("%s: %s: no scraped series has the labels of %s", path, test.Name, s.Series)
				}
			}
		}
	}
	for _, q := range asked {
		p.Query(q.expr) // a wrong one fails
	}
	var rules struct {
		Groups []struct {
			Rules []struct{ Name, Health, LastError string }
		}
	}
	p.Get("/api/v1/rules", &rules)
	for _, g := range rules.Groups {
		for _, rule := range g.Rules {
			if rule.Health != "ok" {
				t.Errorf("%s is %s: %s", rule.Name, rule.Health, rule.LastError)
			}
		}
	}
}

// usedProxy is one with a certificate and tenants. use has their commands go wrong in all the
// ways that rules tell apart.
func usedProxy(t *testing.T) (r *running, use func()) {
	t.Helper()
	cfg := testConfig(t)
	file := filesIn(t, t.TempDir())
	certPEM, keyPEM := newAuthority(t).pair()
	cfg.TLS = TLSConfig{Listen: testbed.FreeAddr(t), CertFile: file("cert.pem", certPEM), KeyFile: file("key.pem", keyPEM)}
	cfg.Pool.DialAttempts = 1
	cfg.RateLimit.SharedURL = tenant.Secret("redis://" + testbed.Redis(t).Addr)
	r = startServe(t, cfg)
	full := testbed.Redis(t, "--maxmemory", "1")
	acme, globex := r.tenant(t, "acme", full.Addr, limits(10, 4)), r.tenant(t, "globex", testbed.FreeAddr(t), nil)
	said := talk(t, r.addr, "AUTH "+acme+"\r\nGET\r\nSET a b\r\nGET a\r\nGET a\r\nGET a\r\nQUIT\r\n") + talk(t, r.addr, "AUTH "+globex+"\r\nGET a\r\nQUIT\r\n")
	for _, want := range []string{"|-ERR wrong number", "|-OOM ", "|-RATELIMIT ", "|-ERR backend unavailable"} {
		if !strings.Contains(said, want) {
			t.Errorf("clients are told %q, want %q", said, want)
		}
	}
	return r, func() {
		talk(t, r.addr, "AUTH "+acme+"\r\nSET a b\r\nQUIT\r\n")
		httpGet(t, "http://"+r.http+"/api/v1/openapi.json")
	}
}
