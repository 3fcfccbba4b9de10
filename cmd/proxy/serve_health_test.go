package main

import (
	"net/http"
	"strings"
	"sync"
	"testing"
)

// TestProbesAtOnce has several ask how the proxy is at the same moment: all are told the
// same, though the store is asked once at a time.
func TestProbesAtOnce(t *testing.T) {
	r := startServe(t, testConfig(t))
	var asking sync.WaitGroup
	for i := range 8 {
		asking.Go(func() {
			for range 25 {
				path := []string{"/health/ready", "/health"}[i%2]
				if status, body := httpGet(t, "http://"+r.http+path); status != http.StatusOK || strings.Contains(body, "away") {
					t.Errorf("%s: %d %s, want 200", path, status, body)
					return
				}
			}
		})
	}
	asking.Wait()
}
