package api

import (
	"fmt"
	"net/http/httptest"
	"strconv"
	"testing"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/tenant"
)

// testLimits: each token has its own, and who has none has one by address.
func testLimits(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{Rate: 10, Burst: 3})
	for i, want := range []struct {
		status                   int
		left, policy, retryAfter string
	}{
		{200, `"token";r=2;t=1`, `"token";q=3;w=1`, ""},
		{200, `"token";r=1;t=1`, `"token";q=3;w=1`, ""},
		{200, `"token";r=0;t=1`, `"token";q=3;w=1`, ""},
		{429, `"token";r=0;t=1`, `"token";q=3;w=1`, "1"},
	} {
		rec := w.do(t, request{who: "viewer", call: "GET /me"})
		h := rec.Header()
		if rec.Code != want.status || h.Get("RateLimit") != want.left || h.Get("RateLimit-Policy") != want.policy || h.Get("Retry-After") != want.retryAfter {
			t.Errorf("request %d: got %d, RateLimit %s, RateLimit-Policy %s, Retry-After %q, want %v", i, rec.Code, h.Get("RateLimit"), h.Get("RateLimit-Policy"), h.Get("Retry-After"), want)
		}
		checkForm(t, rec)
	}
	if rec := w.do(t, request{who: "admin", call: "GET /me"}); rec.Code != 200 {
		t.Errorf("another token: got %d, want 200", rec.Code)
	}
	w.now = w.now.Add(100 * time.Millisecond)
	for _, want := range []int{200, 429} {
		if rec := w.do(t, request{who: "viewer", call: "GET /me"}); rec.Code != want {
			t.Errorf("a tenth of a second later: got %d, want %d", rec.Code, want)
		}
	}

	for i, want := range []int{401, 401, 404, 429, 429} {
		q := request{call: "GET /me"}
		if i == 2 {
			q.call = "GET /nosuch"
		}
		rec := w.do(t, q)
		if rec.Code != want || rec.Header().Get("RateLimit-Policy") != `"address";q=3;w=1` {
			t.Errorf("request %d without a token: got %d, RateLimit-Policy %s, want %d", i, rec.Code, rec.Header().Get("RateLimit-Policy"), want)
		}
		checkForm(t, rec)
	}
	for _, call := range []string{"GET /openapi.json", "GET /docs", "POST /invitations/accept", "PATCH /me"} {
		if rec := w.do(t, request{call: call}); rec.Code != 429 {
			t.Errorf("%s, too often: got %d, want 429", call, rec.Code)
		}
	}
	if rec := w.do(t, request{who: "owner", call: "GET /me"}); rec.Code != 429 {
		t.Errorf("a token from an address that sends bad ones: got %d, want 429", rec.Code)
	}
}

// testOwnLimits: a token's own come before the default, which may be changed.
func testOwnLimits(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{Rate: 10, Burst: 1})
	made := must[control.NewToken](t)(w.control.CreateToken(t.Context(), operator(), tenant.Token{UserID: w.users["viewer"], Rate: 2, Burst: 5}))
	w.tokens["special"] = made.Text
	quota := func(who string) string {
		return w.do(t, request{who: who, call: "GET /me"}).Header().Get("RateLimit-Policy")
	}
	if got := quota("special"); got != `"token";q=5;w=3` {
		t.Errorf("a token with limits of its own has %s", got)
	}
	w.api.SetLimits(100, 0)
	if got := quota("admin"); got != `"token";q=100;w=1` {
		t.Errorf("after a change the default is %s", got)
	}
	w.api.SetLimits(0, 0)
	if got := quota("admin"); got != "" {
		t.Errorf("without a limit there is one of %s", got)
	}
}

// TestLimitsAreBounded: however many there are, a bounded number is counted, and those that
// are idle make room for others.
func TestLimitsAreBounded(t *testing.T) {
	l := newLimits("token", 1, 2)
	now := time.Now()
	for i := range 3 * maxBuckets {
		l.take(strconv.Itoa(i), 1, 0, 0, now)
	}
	if len(l.buckets) != maxBuckets {
		t.Errorf("%d are counted, want %d", len(l.buckets), maxBuckets)
	}
	now = now.Add(time.Hour) // all are idle
	l.take("busy", 1, 0, 0, now)
	for i := range 100 {
		l.take("new"+strconv.Itoa(i), 1, 0, 0, now)
	}
	if q := l.take("busy", 1, 0, 0, now); q.left != 0 {
		t.Errorf("a busy one was forgotten for idle ones: it has %d left", q.left)
	}
}

func TestAddressOf(t *testing.T) {
	for remote, want := range map[string][2]string{
		"192.0.2.1:80":              {"192.0.2.1", "192.0.2.1"},
		"[::ffff:192.0.2.1]:80":     {"192.0.2.1", "192.0.2.1"},
		"[2001:db8:1:2:3:4:5:6]:80": {"2001:db8:1:2:3:4:5:6", "2001:db8:1:2::/64"},
		"[fe80::1%eth0]:80":         {"fe80::1", "fe80::/64"},
		"@":                         {"@", "@"},
	} {
		r := httptest.NewRequest("GET", "/", nil)
		r.RemoteAddr = remote
		if address, counted := addressOf(r); address != want[0] || counted != want[1] {
			t.Errorf("%s: got %s, counted as %s, want %s", remote, address, counted, fmt.Sprint(want))
		}
	}
}

// testGuessedURLs: who sends wrong URLs of an instance, one after the other, is told to wait.
func testGuessedURLs(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	guess := request{who: "admin", call: "POST /organizations/acme/instances/cache/compare-url", body: `{"url":"redis://app:guess@10.0.0.5:6379/0"}`}
	for i := range 10 {
		if rec := w.do(t, guess); rec.Code != 200 {
			t.Fatalf("guess %d: got %d, %s", i, rec.Code, rec.Body)
		}
	}
	if rec := w.do(t, guess); rec.Code != 429 || rec.Header().Get("Retry-After") != "10" {
		t.Errorf("one more: got %d, Retry-After %q, want 429 and 10", rec.Code, rec.Header().Get("Retry-After"))
	}
}
