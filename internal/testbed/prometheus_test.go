package testbed

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

func TestPrometheusScrapes(t *testing.T) {
	var scrapes atomic.Int64
	target := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		_, _ = fmt.Fprintf(w, "# TYPE scrapes counter\nscrapes %d\nkept{kind=\"a\"} 1\nkept{kind=\"b\"} 2\n", scrapes.Add(1))
	}))
	defer target.Close()
	begun := time.Now()
	p := Prometheus(t, ScrapeConfig(100*time.Millisecond, strings.TrimPrefix(target.URL, "http://")))
	p.Scraped()
	before := scrapes.Load()
	p.Scraped()
	if got := p.Query("scrapes"); len(got) != 1 || got[0].Value() < float64(before) {
		t.Errorf("scrapes: got %v, want one series of at least %d", got, before)
	}
	if got := p.Query(`kept{kind="b"}`); len(got) != 1 || got[0].Value() != 2 || got[0].Labels["job"] != "respgate" {
		t.Errorf("kept: got %v, want 2, of the job respgate", got)
	}
	if got := p.Query("nosuch"); len(got) != 0 {
		t.Errorf("nosuch: got %v, want nothing", got)
	}
	if got := p.Query("6*7"); len(got) != 1 || got[0].Value() != 42 {
		t.Errorf("6*7: got %v, want 42", got)
	}
	ranges := p.Range("kept", begun, time.Now(), 50*time.Millisecond)
	if len(ranges) != 2 || len(ranges[0].Points) < 2 {
		t.Errorf("kept over time: got %v, want two series of several points", ranges)
	}
}
