package health

import (
	"context"
	"encoding/json"
	"testing"
	"time"
)

func always(s Status, message string) Check {
	return func(context.Context) (Status, string) { return s, message }
}

func TestReady(t *testing.T) {
	for _, c := range []struct {
		name  string
		state State
		db    Status
		want  string // why not; "" is ready
	}{
		{"starting", Starting, Healthy, "starting"},
		{"ready", Ready, Healthy, ""},
		{"served from the cache", Ready, Degraded, ""},
		{"nobody can authenticate", Ready, Unhealthy, "database is unhealthy"},
		{"draining", Draining, Healthy, "draining"},
	} {
		t.Run(c.name, func(t *testing.T) {
			h := New(time.Now, time.Second, map[string]Check{"database": always(c.db, ""), "redis_pool": always(Degraded, "")})
			h.SetState(c.state)
			if ready, why := h.Ready(t.Context()); ready != (c.want == "") || why != c.want {
				t.Errorf("Ready() = %v, %q; want %q", ready, why, c.want)
			}
		})
	}
}

func TestReport(t *testing.T) {
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	h := New(func() time.Time { return now }, time.Second, map[string]Check{
		"database": always(Healthy, "ok"), "redis_pool": always(Degraded, "1 of 2 instances cannot be reached"),
	})
	now = now.Add(90 * time.Second)
	got, err := json.Marshal(h.Report(t.Context()))
	if err != nil {
		t.Fatal(err)
	}
	const want = `{"status":"degraded","timestamp":"2026-01-02T03:05:35Z","uptime_seconds":90,"components":{` +
		`"database":{"status":"healthy","message":"ok","response_time_ms":0},` +
		`"redis_pool":{"status":"degraded","message":"1 of 2 instances cannot be reached","response_time_ms":0}}}`
	if string(got) != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestSlowCheckIsUnhealthy(t *testing.T) {
	h := New(time.Now, time.Millisecond, map[string]Check{"database": func(ctx context.Context) (Status, string) {
		<-ctx.Done()
		return Healthy, "too late"
	}})
	c := h.Report(t.Context()).Components["database"]
	if c.Status != Unhealthy || c.Message != "does not answer in time" {
		t.Errorf("got %+v, want unhealthy", c)
	}
}
