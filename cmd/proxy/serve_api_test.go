package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
)

// apiClient asks a proxy's management API with a token.
type apiClient struct {
	base, token string
}

// call returns the status and the answer; into may be nil.
func (c apiClient) call(t testing.TB, method, path, body string, into any) int {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), method, "http://"+c.base+path, strings.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+c.token)
	if body != "" {
		r.Header.Set("Content-Type", "application/json")
	}
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if into != nil {
		if err := json.NewDecoder(bytes.NewReader(text)).Decode(into); err != nil {
			t.Fatalf("%s %s: %d %s: %v", method, path, res.StatusCode, text, err)
		}
	}
	return res.StatusCode
}

// want is call with the status that is to be answered.
func (c apiClient) want(t testing.TB, status int, method, path, body string, into any) {
	t.Helper()
	if got := c.call(t, method, path, body, into); got != status {
		t.Fatalf("%s %s: got %d, want %d", method, path, got, status)
	}
}

// TestAPIServesATenant: an organization, an instance and a key that were made over HTTP let a
// Redis client in; it is seen, killed, and cut off when the key is revoked.
func TestAPIServesATenant(t *testing.T) {
	backend := testbed.Redis(t)
	cfg := testConfig(t)
	cfg.HTTP.AdminToken = "the operator's own token, long enough"
	cfg.Audit.File = filepath.Join(t.TempDir(), "audit.jsonl")
	r := startServe(t, cfg)
	defer http.DefaultClient.CloseIdleConnections()
	c := apiClient{r.http, cfg.HTTP.AdminToken.Reveal()}
	c.want(t, 201, "POST", "/api/v1/organizations", `{"name":"acme"}`, nil)
	c.want(t, 201, "POST", "/api/v1/organizations/acme/instances", `{"name":"cache","url":"redis://`+backend.Addr+`/0"}`, nil)
	var probe struct{ Reachable bool }
	c.want(t, 200, "POST", "/api/v1/organizations/acme/instances/cache/test", "", &probe)
	if !probe.Reachable {
		t.Error("the instance is said not to be reachable")
	}
	var key struct{ ID, Key string }
	c.want(t, 201, "POST", "/api/v1/organizations/acme/keys", `{"name":"web","instances":["cache"]}`, &key)

	client := testbed.Client(t, &redis.Options{Addr: r.addr, Password: key.Key, Protocol: 2, MaxRetries: -1, PoolSize: 1})
	if err := client.Set(t.Context(), "k", "v", 0).Err(); err != nil {
		t.Fatal(err)
	}
	var sessions struct{ Items []struct{ ID, Org string } }
	c.want(t, 200, "GET", "/api/v1/organizations/acme/sessions", "", &sessions)
	if len(sessions.Items) != 1 || sessions.Items[0].Org != "acme" {
		t.Fatalf("sessions: %+v", sessions)
	}
	before := client.Do(t.Context(), "CLIENT", "ID").Val()
	c.want(t, 204, "DELETE", "/api/v1/organizations/acme/sessions/"+sessions.Items[0].ID, "", nil)
	testbed.Eventually(t, "the session ends and the client comes back with another", func() bool {
		now, err := client.Do(t.Context(), "CLIENT", "ID").Result()
		return err == nil && now != before
	})
	c.want(t, 200, "POST", "/api/v1/keys/"+key.ID+"/revoke", "", nil)
	testbed.Eventually(t, "the revoked key's client is cut off", func() bool {
		return strings.Contains(fmt.Sprint(client.Ping(t.Context()).Err()), "WRONGPASS")
	})
	var audit struct {
		Items []struct{ Action, Address string }
	}
	c.want(t, 200, "GET", "/api/v1/organizations/acme/audit?action=key.revoke", "", &audit)
	if len(audit.Items) != 1 || audit.Items[0].Address != "127.0.0.1" {
		t.Errorf("audit: %+v", audit)
	}
	if lines, err := os.ReadFile(cfg.Audit.File); err != nil || strings.Count(string(lines), `"action":"key.revoke"`) != 1 {
		t.Errorf("%v, the file has %s, want the event once", err, lines)
	}
	if _, page := httpGet(t, "http://"+r.http+"/metrics"); !strings.Contains(page, `http_requests_total{method="POST",path="/api/v1/keys/{key}/revoke",status="200"} 1`) {
		t.Error("the request is not counted by its pattern")
	}
}

// TestAPIFollowsConfiguration: another admin token and other limits are in effect at once.
func TestAPIFollowsConfiguration(t *testing.T) {
	cfg := testConfig(t)
	const one, other = "the-first-token-of-the-operator-0123", "the-second-token-of-the-operator-012"
	cfg.HTTP.AdminToken, cfg.HTTP.Rate, cfg.HTTP.Burst = one, 1, 1000
	text := fmt.Sprintf("listen: %s\nstore: {dsn: %q}\nrate_limit: {default_rps: 0}\nhttp: {listen: %s, rate: 1, admin_token: %%s, burst: %%d}\n",
		cfg.Listen, cfg.Store.DSN.Reveal(), cfg.HTTP.Listen)
	file, rewrite := configFile(t, fmt.Sprintf(text, one, 1000))
	hup := make(chan os.Signal, 1)
	r := startServeFrom(t, cfg, &origin{file: file, version: fileVersion(file), hup: hup})
	defer http.DefaultClient.CloseIdleConnections()
	first, second := apiClient{r.http, one}, apiClient{r.http, other}
	if a, b := first.call(t, "GET", "/api/v1/me", "", nil), second.call(t, "GET", "/api/v1/me", "", nil); a != 200 || b != 401 {
		t.Fatalf("at first: got %d and %d, want 200 and 401", a, b)
	}
	rewrite(fmt.Sprintf(text, other, 3))
	hup <- syscall.SIGHUP
	testbed.Eventually(t, "the other limit is in effect", func() bool { return second.call(t, "GET", "/api/v1/me", "", nil) == 429 })
	if got := first.call(t, "GET", "/api/v1/me", "", nil); got != 401 && got != 429 {
		t.Errorf("the first token: got %d, want it refused", got)
	}
}
