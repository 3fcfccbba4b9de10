package main

import (
	"fmt"
	"maps"
	"math"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/internal/testbed/dashboards"
)

// scrapeInterval is short, so that a rate is there in seconds.
const scrapeInterval = time.Second

// TestDashboards has two proxies under a load of all kinds, which a real Prometheus scrapes,
// and asks it every query of every panel, as Grafana would: all have data, with the labels
// that their names are made of, and there is no metric in them that no proxy has.
func TestDashboards(t *testing.T) {
	c := startCrowd(t)
	pages := map[string]*watched{}
	for file, chosen := range map[string]dashboards.Values{
		"overview.json": {"job": {"respgate"}, "instance": {dashboards.All}},
		"tenant.json":   {"job": {"respgate"}, "instance": {c.a.http, c.b.http}, "tenant": {"acme/cache"}},
	} {
		page := &watched{t: t, dashboard: readDashboard(t, file), chosen: chosen, asked: c.prometheus, since: c.since, step: time.Second}
		pages[file] = page
		t.Run(file, func(t *testing.T) {
			page.t = t
			page.offers()
			page.hasData()
			page.hasMetricsOf(c.a)
		})
		page.t = t
	}
	t.Run("whose limit delays", func(t *testing.T) {
		page := *pages["tenant.json"]
		page.t, page.chosen = t, dashboards.Values{"job": {"respgate"}, "instance": {dashboards.All}, "tenant": {"hooli/cache"}}
		page.blames("Limit", "rate_limit_delayed_commands_total")
		page.isNeverBlank()
	})
	if *dashboardPictures != "" {
		testbed.Within(t, 10*time.Minute, "there is something to see", func() bool { return time.Since(c.since) > pictureTime })
	}
	c.drain()
	for _, page := range pages {
		testbed.Eventually(t, "there are annotations of all kinds", page.isAnnotated)
	}
	if *dashboardPictures != "" {
		drained := time.Now()
		testbed.Eventually(t, "the drain is to be seen", func() bool { return time.Since(drained) > 12*time.Second })
		takePictures(t, *dashboardPictures, pages)
	}
}

func readDashboard(t *testing.T, file string) dashboard.Dashboard {
	t.Helper()
	d, err := dashboards.Read(filepath.Join("../../configs/grafana/dashboards", file))
	if err != nil {
		t.Fatalf("%s: %v", file, err)
	}
	return d
}

// watched is a dashboard that somebody looks at.
type watched struct {
	t         *testing.T
	dashboard dashboard.Dashboard
	chosen    dashboards.Values
	asked     *testbed.PrometheusServer
	since     time.Time
	step      time.Duration
}

// expand puts in what Grafana does: a rate is taken over four scrapes at least, or over a
// step and one more.
func (w *watched) expand(expr string, end time.Time) string {
	rate := max(4*scrapeInterval, w.step+scrapeInterval)
	values := dashboards.Values{"__rate_interval": {promDuration(rate)}, "__range": {promDuration(end.Sub(w.since))}}
	maps.Copy(values, w.chosen)
	return values.Expand(w.dashboard, expr)
}

// promDuration writes a duration as Prometheus reads it.
func promDuration(d time.Duration) string { return fmt.Sprintf("%dms", d.Milliseconds()) }

// ask asks a panel's query.
func (w *watched) ask(q prometheus.Dataquery, end time.Time) []testbed.Series {
	expr := w.expand(q.Expr, end)
	if q.Instant != nil && *q.Instant {
		return w.asked.Query(expr)
	}
	return w.asked.Range(expr, w.since, end, w.step)
}

// hasData waits until every query has an answer.
func (w *watched) hasData() {
	w.t.Helper()
	var wrong []string
	waiting := dashboards.Panels(w.dashboard)
	deadline := time.Now().Add(time.Minute)
	for w.asked.Scraped(); len(waiting) > 0 && time.Now().Before(deadline); w.asked.Scraped() {
		wrong = nil
		now := time.Now()
		waiting = slices.DeleteFunc(waiting, func(p dashboard.Panel) bool {
			var ofPanel []string
			for _, q := range dashboards.Queries(p) {
				if why := faults(q, w.ask(q, now)); why != "" {
					ofPanel = append(ofPanel, fmt.Sprintf("panel %q: %s: %s", *p.Title, why, w.expand(q.Expr, now)))
				}
			}
			wrong = append(wrong, ofPanel...)
			return ofPanel == nil
		})
	}
	for _, why := range wrong {
		w.t.Error(why)
	}
}

// blames waits until a box at the top of a tenant's page is not green because of a metric.
func (w *watched) blames(box, metric string) {
	w.t.Helper()
	panels := dashboards.Panels(w.dashboard)
	p := panels[slices.IndexFunc(panels, func(p dashboard.Panel) bool { return *p.Title == box })]
	testbed.Eventually(w.t, box+" is not green because of "+metric, func() bool {
		return slices.ContainsFunc(dashboards.Queries(p), func(q prometheus.Dataquery) bool {
			answer := w.ask(q, time.Now())
			return strings.Contains(q.Expr, metric) && len(answer) > 0 && !dashboards.Green(p, *q.RefId, answer[0].Points[len(answer[0].Points)-1].Value)
		})
	})
}

// isNeverBlank checks that panels which have nothing to show, such as those of what a tenant has
// not switched on, say why.
func (w *watched) isNeverBlank() {
	w.t.Helper()
	now := time.Now()
	for _, p := range dashboards.Panels(w.dashboard) {
		if queries := dashboards.Queries(p); len(queries) > 0 && p.FieldConfig.Defaults.NoValue == nil &&
			!slices.ContainsFunc(queries, func(q prometheus.Dataquery) bool { return len(w.ask(q, now)) > 0 }) {
			w.t.Errorf("panel %q has no data, and does not say why", *p.Title)
		}
	}
}

var legendLabel = regexp.MustCompile(`\{\{(\w+)\}\}`)

// faults says what is wrong with an answer; "" is nothing.
func faults(q prometheus.Dataquery, answer []testbed.Series) string {
	if len(answer) == 0 {
		return "no data"
	}
	number := false
	for _, s := range answer {
		for _, label := range legendLabel.FindAllStringSubmatch(*q.LegendFormat, -1) {
			if s.Labels[label[1]] == "" {
				return fmt.Sprintf("the legend has %s, and a series only %v", label[0], s.Labels)
			}
		}
		number = number || slices.ContainsFunc(s.Points, func(p testbed.Point) bool { return !math.IsNaN(p.Value) && !math.IsInf(p.Value, 0) })
	}
	if !number {
		return "nothing but NaN"
	}
	return ""
}

var (
	metricName  = regexp.MustCompile(`([a-z][a-z0-9_]+)\{`)
	labelValues = regexp.MustCompile(`^label_values\((.*), (\w+)\)$`)
)

// hasMetricsOf checks that a proxy has the metrics of all queries; up is Prometheus's own.
func (w *watched) hasMetricsOf(r *process) {
	w.t.Helper()
	_, exposition := httpGet(w.t, "http://"+r.http+"/metrics")
	for _, p := range dashboards.Panels(w.dashboard) {
		if queries := dashboards.Queries(p); len(queries) == 0 && p.Type != "text" {
			w.t.Errorf("panel %q asks for nothing", *p.Title)
		}
		for _, q := range dashboards.Queries(p) {
			names := metricName.FindAllStringSubmatch(q.Expr, -1)
			if names == nil {
				w.t.Errorf("panel %q asks for no metric: %s", *p.Title, q.Expr)
			}
			for _, name := range names {
				if name[1] != "up" && !strings.Contains(exposition, "\n"+name[1]+"{") && !strings.Contains(exposition, "\n"+name[1]+" ") {
					w.t.Errorf("panel %q asks for %s, which a proxy does not have", *p.Title, name[1])
				}
			}
		}
	}
}

// offers checks that there is something to choose for each of the dashboard's variables, what
// is chosen among it.
func (w *watched) offers() {
	w.t.Helper()
	w.asked.Scraped()
	for _, v := range w.dashboard.Templating.List {
		if v.Type != dashboard.VariableTypeQuery {
			continue
		}
		query, _ := v.Query.Map["query"].(string)
		parts := labelValues.FindStringSubmatch(query)
		if parts == nil {
			w.t.Errorf("variable %s asks %q", v.Name, query)
			continue
		}
		var values []string
		for _, s := range w.asked.Query(w.expand(parts[1], time.Now())) {
			values = append(values, s.Labels[parts[2]])
		}
		for _, chosen := range w.chosen[v.Name] {
			if len(values) == 0 || chosen != dashboards.All && !slices.Contains(values, chosen) {
				w.t.Errorf("variable %s offers %q, want %q among it", v.Name, values, chosen)
			}
		}
	}
}

// isAnnotated says whether there are annotations of every kind.
func (w *watched) isAnnotated() bool {
	all := w.dashboard.Annotations.List
	return len(all) > 0 && !slices.ContainsFunc(all, func(a dashboard.AnnotationQuery) bool {
		return len(w.asked.Query(w.expand(*a.Expr, time.Now()))) == 0
	})
}
