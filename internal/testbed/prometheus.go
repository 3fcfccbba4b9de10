package testbed

import (
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

// PrometheusServer is a prometheus that scrapes what its configuration names.
type PrometheusServer struct {
	URL string // such as "http://127.0.0.1:10123", without a slash at its end

	tb testing.TB
}

// alignment is more than by what Prometheus moves the time of a scrape, so that their
// distances are alike.
const alignment = 5 * time.Millisecond

// Series is one line of an answer: its labels, and its points, the oldest first.
type Series struct {
	Labels map[string]string
	Points []Point
}

// Point is what a series was at a time.
type Point struct {
	At    time.Time
	Value float64
}

// Value returns the series' last value.
func (s Series) Value() float64 { return s.Points[len(s.Points)-1].Value }

// ScrapeConfig is a configuration that scrapes the HTTP listeners at targets
// ("127.0.0.1:3000") as the job "respgate", once in so long.
func ScrapeConfig(interval time.Duration, targets ...string) string {
	quoted := make([]string, len(targets))
	for i, target := range targets {
		quoted[i] = strconv.Quote(target)
	}
	return fmt.Sprintf("global: {scrape_interval: %[1]s, scrape_timeout: %[1]s, evaluation_interval: %[1]s}\n"+
		"scrape_configs: [{job_name: respgate, static_configs: [{targets: [%[2]s]}]}]\n",
		interval, strings.Join(quoted, ", "))
}

// Prometheus starts a prometheus with a configuration (the text of a prometheus.yml, whose
// rule_files are absolute) and further flags, such as
// "--enable-feature=native-histograms", and waits until it is ready. It keeps its data in
// a directory of its own, and is killed when the test ends.
func Prometheus(tb testing.TB, config string, flags ...string) *PrometheusServer {
	tb.Helper()
	dir, addr := tb.TempDir(), FreeAddr(tb)
	file := filepath.Join(dir, "prometheus.yml")
	if err := os.WriteFile(file, []byte(config), 0o600); err != nil {
		tb.Fatal(err)
	}
	args := append([]string{"--config.file=" + file, "--storage.tsdb.path=" + filepath.Join(dir, "data"),
		"--web.listen-address=" + addr, "--log.level=warn"}, flags...)
	cmd := exec.CommandContext(context.Background(), Binary(tb, "prometheus", "prometheus"), args...)
	out := new(Buffer)
	cmd.Stdout, cmd.Stderr = out, out
	if err := cmd.Start(); err != nil {
		tb.Fatal(err)
	}
	done := make(chan struct{})
	go func() { _ = cmd.Wait(); close(done) }()
	tb.Cleanup(func() { _ = cmd.Process.Kill(); <-done })
	p := &PrometheusServer{URL: "http://" + addr, tb: tb}
	Eventually(tb, "prometheus is ready", func() bool {
		select {
		case <-done:
			tb.Fatalf("prometheus ended at once:\n%s", out)
		default:
		}
		resp, err := get(p.URL + "/-/ready")
		if err != nil {
			return false
		}
		_ = resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
	return p
}

// Query returns what expr is now: one point for each series, none for those that are not.
// A scalar is a series without labels.
func (p *PrometheusServer) Query(expr string) []Series {
	p.tb.Helper()
	return p.ask("query", url.Values{"query": {expr}})
}

// Range returns what expr was from start to end, at every step.
func (p *PrometheusServer) Range(expr string, start, end time.Time, step time.Duration) []Series {
	p.tb.Helper()
	return p.ask("query_range", url.Values{"query": {expr}, "start": {unix(start)}, "end": {unix(end)},
		"step": {strconv.FormatFloat(step.Seconds(), 'f', -1, 64)}})
}

// Scraped waits until every target has been scraped once more from now on, and has answered in
// time: a query sees what had been counted before. A rate needs it twice.
func (p *PrometheusServer) Scraped() {
	p.tb.Helper()
	since := unix(time.Now().Add(alignment))
	Eventually(p.tb, "prometheus has scraped every target", func() bool {
		var targets struct{ ActiveTargets []struct{} }
		p.Get("/api/v1/targets?state=active", &targets)
		return len(targets.ActiveTargets) > 0 && len(p.Query("timestamp(up) > "+since+" and up == 1")) == len(targets.ActiveTargets)
	})
}

// Get asks for a page of the API, such as "/api/v1/rules", and decodes its "data" into it.
func (p *PrometheusServer) Get(path string, data any) {
	p.tb.Helper()
	resp, err := get(p.URL + path)
	if err != nil {
		p.tb.Fatal(err)
	}
	defer func() { _ = resp.Body.Close() }()
	answer := struct {
		Error string
		Data  any
	}{Data: data}
	if err := json.NewDecoder(resp.Body).Decode(&answer); err != nil || answer.Error != "" {
		p.tb.Fatalf("prometheus: %s: %d %s %v", path, resp.StatusCode, answer.Error, err)
	}
}

// line is a line of an answer as it comes.
type line struct {
	Metric map[string]string
	Value  pair
	Values []pair
}

// pair is a point as it comes: seconds, and the value as text.
type pair Point

// UnmarshalJSON implements json.Unmarshaler.
func (p *pair) UnmarshalJSON(b []byte) error {
	var seconds float64
	var text string
	if err := json.Unmarshal(b, &[2]any{&seconds, &text}); err != nil {
		return err
	}
	p.At = time.UnixMilli(int64(seconds * 1000))
	var err error
	p.Value, err = strconv.ParseFloat(text, 64)
	return err
}

func (p *PrometheusServer) ask(what string, values url.Values) []Series {
	p.tb.Helper()
	var data struct {
		ResultType string
		Result     json.RawMessage
	}
	p.Get("/api/v1/"+what+"?"+values.Encode(), &data)
	var lines []line
	var err error
	if data.ResultType == "scalar" {
		lines = make([]line, 1)
		err = json.Unmarshal(data.Result, &lines[0].Value)
	} else {
		err = json.Unmarshal(data.Result, &lines)
	}
	if err != nil {
		p.tb.Fatalf("prometheus: %s: %v in %s", values.Get("query"), err, data.Result)
	}
	all := make([]Series, 0, len(lines))
	for _, l := range lines {
		s := Series{Labels: l.Metric}
		if l.Values == nil {
			l.Values = []pair{l.Value}
		}
		for _, v := range l.Values {
			s.Points = append(s.Points, Point(v))
		}
		all = append(all, s)
	}
	return all
}

func get(address string) (*http.Response, error) {
	req, err := http.NewRequestWithContext(context.Background(), http.MethodGet, address, http.NoBody)
	if err != nil {
		return nil, err
	}
	return http.DefaultClient.Do(req)
}

func unix(t time.Time) string { return strconv.FormatFloat(float64(t.UnixMilli())/1000, 'f', 3, 64) }
