package main

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestScrapesDoNotPileUp asks for metrics over and over while none is answered, as a Prometheus
// does that gives up on a slow proxy: no more than maxScrapes are begun, the others are refused
// at once, and the next is answered when there is room.
func TestScrapesDoNotPileUp(t *testing.T) {
	begun, goOn := make(chan struct{}, maxScrapes), make(chan struct{})
	handler := scrapes(prometheus.GathererFunc(func() ([]*dto.MetricFamily, error) {
		begun <- struct{}{}
		<-goOn
		return nil, nil
	}), slog.New(slog.DiscardHandler))
	scrape := func() int {
		w := httptest.NewRecorder()
		handler.ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", nil))
		return w.Code
	}
	var slow sync.WaitGroup
	for range maxScrapes {
		slow.Go(func() {
			if got := scrape(); got != http.StatusOK {
				t.Errorf("a scrape that was begun is answered %d, want 200", got)
			}
		})
		<-begun
	}
	for range 3 {
		if got := scrape(); got != http.StatusServiceUnavailable {
			t.Errorf("a scrape too many is answered %d, want 503", got)
		}
	}
	close(goOn)
	slow.Wait()
	if got := scrape(); got != http.StatusOK {
		t.Errorf("the next scrape is answered %d, want 200", got)
	}
}
