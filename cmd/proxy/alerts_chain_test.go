package main

import (
	"bytes"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// TestAlertsReachSomebody stops two proxies that a real Prometheus scrapes: a real Alertmanager
// tells it in one message, to who is to be woken, and nothing else of these proxies any more.
func TestAlertsReachSomebody(t *testing.T) {
	hook := newWebhook(t)
	alertmanager := testbed.Alertmanager(t, shortened(t, "../../configs/alertmanager/alertmanager.yml", func(document map[string]any) {
		route := document["route"].(map[string]any)
		for _, r := range append(route["routes"].([]any), route) {
			r.(map[string]any)["group_wait"], r.(map[string]any)["group_interval"] = "1s", "1s"
		}
		for _, r := range document["receivers"].([]any) {
			r := r.(map[string]any)
			for _, c := range r["webhook_configs"].([]any) {
				c.(map[string]any)["url"] = hook.url + "/" + r["name"].(string)
			}
		}
	}))
	cfg := testConfig(t)
	cfg.Pool.DialAttempts = 1
	a, b := startServe(t, cfg), startServe(t, testConfig(t))
	key := a.tenant(t, "acme", testbed.FreeAddr(t), nil)
	testbed.Eventually(t, "a breaker is open", func() bool {
		talk(t, a.addr, "AUTH "+key+"\r\nPING\r\nQUIT\r\n")
		return a.metric(t, `redis_breaker_state{tenant="acme/cache"}`) > 0
	})
	p := monitored(t, strings.TrimPrefix(alertmanager, "http://"), a.http, b.http)
	hook.waitFor(t, "that a breaker is open", func(m message) bool {
		return m.Receiver == "warning" && slices.Equal(m.instances("BreakerOpen"), []string{a.http})
	})

	for _, r := range []*running{a, b} {
		if err := r.stop(); err != nil {
			t.Fatal(err)
		}
	}
	both := []string{a.http, b.http}
	slices.Sort(both)
	hook.waitFor(t, "that both proxies are down, in one message", func(m message) bool {
		return m.Receiver == "critical" && m.Status == "firing" && slices.Equal(m.instances("ServiceDown"), both)
	})

	// Of two proxies that have the same trouble one is down; and a third's is critical already.
	const elsewhere = "127.0.0.1:1"
	post(t, alertmanager,
		labels{"alertname": "HighLatency", "severity": "warning", "job": "respgate", "cluster": "respgate", "instance": a.http},
		labels{"alertname": "HighLatency", "severity": "warning", "job": "respgate", "cluster": "respgate", "instance": elsewhere},
		labels{"alertname": "CriticalErrorRate", "severity": "critical", "job": "respgate", "cluster": "respgate", "instance": elsewhere, "side": "resp", "tenant": "acme/cache"})
	hook.waitFor(t, "that many commands fail", func(m message) bool {
		return m.Receiver == "critical" && len(m.instances("CriticalErrorRate")) == 1
	})
	post(t, alertmanager,
		labels{"alertname": "HighErrorRate", "severity": "warning", "job": "respgate", "cluster": "respgate", "instance": elsewhere, "side": "resp", "tenant": "acme/cache"},
		labels{"alertname": "HighErrorRate", "severity": "warning", "job": "respgate", "cluster": "respgate", "instance": elsewhere, "side": "resp", "tenant": "globex/cache"})
	errors := hook.waitFor(t, "that another tenant's fail", func(m message) bool { return len(m.instances("HighErrorRate")) > 0 })
	if len(errors.Alerts) != 1 || errors.Alerts[0].Labels["tenant"] != "globex/cache" {
		t.Errorf("besides CriticalErrorRate it is told %v", errors.Alerts)
	}
	latency := hook.waitFor(t, "that a proxy is slow", func(m message) bool { return len(m.instances("HighLatency")) > 0 })
	if got := latency.instances("HighLatency"); !slices.Equal(got, []string{elsewhere}) {
		t.Errorf("%q are said to be slow, want the one that is not down", got)
	}
	var firing struct {
		Alerts []struct {
			Labels map[string]string
			State  string
		}
	}
	p.Get("/api/v1/alerts", &firing)
	for _, alert := range firing.Alerts {
		if alert.Labels["alertname"] == "ScrapeMissing" {
			t.Errorf("proxies that are down are not missing: %v", alert)
		}
	}
}

// labels are an alert's.
type labels = map[string]string

// post sends alerts to an Alertmanager.
func post(t *testing.T, alertmanager string, alerts ...labels) {
	t.Helper()
	var body []map[string]any
	for _, l := range alerts {
		body = append(body, map[string]any{"labels": l})
	}
	text, err := json.Marshal(body)
	if err != nil {
		t.Fatal(err)
	}
	res, err := http.Post(alertmanager+"/api/v2/alerts", "application/json", bytes.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	if res.StatusCode != http.StatusOK {
		t.Fatalf("alertmanager takes no alerts: %s", res.Status)
	}
}

// message is what an Alertmanager sends to a webhook.
type message struct {
	Receiver, Status string
	Alerts           []struct {
		Labels map[string]string
		Status string
	}
}

// instances are those of the firing alerts called name, in order.
func (m message) instances(name string) (all []string) {
	for _, a := range m.Alerts {
		if a.Labels["alertname"] == name && a.Status == "firing" {
			all = append(all, a.Labels["instance"])
		}
	}
	slices.Sort(all)
	return all
}

// webhook keeps what is sent to it.
type webhook struct {
	url  string
	mu   sync.Mutex
	took []message
}

// newWebhook serves one until the test ends.
func newWebhook(t *testing.T) *webhook {
	t.Helper()
	h := &webhook{}
	srv := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		var m message
		if err := json.NewDecoder(r.Body).Decode(&m); err != nil || r.URL.Path != "/"+m.Receiver {
			t.Errorf("sent to %s for %q: %v", r.URL.Path, m.Receiver, err)
		}
		h.mu.Lock()
		defer h.mu.Unlock()
		h.took = append(h.took, m)
	}))
	t.Cleanup(srv.Close)
	h.url = srv.URL
	return h
}

// waitFor returns the first message of which ok holds.
func (h *webhook) waitFor(t *testing.T, what string, ok func(message) bool) (found message) {
	t.Helper()
	testbed.Eventually(t, "it is told "+what, func() bool {
		h.mu.Lock()
		defer h.mu.Unlock()
		i := slices.IndexFunc(h.took, ok)
		if i >= 0 {
			found = h.took[i]
		}
		return i >= 0
	})
	return found
}
