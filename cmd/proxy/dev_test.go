package main

import (
	"context"
	"io"
	"net/http"
	"regexp"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// TestDevShowsTheConsole: what it prints is where the console is and a token that lets in.
func TestDevShowsTheConsole(t *testing.T) {
	cfg := testConfig(t)
	ctx, cancel := context.WithCancel(t.Context())
	var out testbed.Buffer
	ended := make(chan error, 1)
	go func() { ended <- (&app{stdout: &out, stderr: io.Discard}).dev(ctx, cfg) }()
	var said []string
	testbed.Eventually(t, 20*time.Second, "it says where the console is", func() bool {
		said = regexp.MustCompile(`console   http://(\S+)/console\n  token     (\S+)\n`).FindStringSubmatch(out.String())
		return said != nil
	})
	defer http.DefaultClient.CloseIdleConnections()
	if status := (apiClient{said[1], said[2]}).call(t, "GET", "/api/v1/organizations/demo", "", nil); status != http.StatusOK {
		t.Errorf("the token: got %d, want 200", status)
	}
	if status, page := httpGet(t, "http://"+said[1]+"/console"); status != http.StatusOK {
		t.Errorf("the console: got %d %s, want 200", status, page)
	}
	cancel()
	if err := <-ended; err != nil {
		t.Error(err)
	}
}
