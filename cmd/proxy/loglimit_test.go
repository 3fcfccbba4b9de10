package main

import (
	"bytes"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/proxy"
	"github.com/respgate/respgate/tenant"
)

// limitedLog is a log with a clock of its own.
type limitedLog struct {
	*slog.Logger
	lines *lineLimiter
	level *slog.LevelVar
	out   bytes.Buffer
	now   time.Time
}

func newLimitedLog() *limitedLog {
	l := &limitedLog{level: new(slog.LevelVar), now: time.Unix(1, 0)}
	bare := slog.NewTextHandler(&l.out, &slog.HandlerOptions{Level: slog.LevelDebug, ReplaceAttr: func(_ []string, a slog.Attr) slog.Attr {
		if a.Key == slog.TimeKey || a.Key == slog.LevelKey {
			return slog.Attr{}
		}
		return a
	}})
	l.Logger, l.lines = limitLines(slog.New(bare), l.level, func() time.Time { return l.now })
	return l
}

// take returns the lines since the last time, with how often each came.
func (l *limitedLog) take() string {
	counts := map[string]int{}
	for line := range strings.Lines(l.out.String()) {
		counts[strings.TrimSpace(line)]++
	}
	l.out.Reset()
	var all []string
	for line, n := range counts {
		all = append(all, fmt.Sprint(n, "x ", line))
	}
	slices.Sort(all)
	return strings.Join(all, "; ")
}

func (l *limitedLog) want(t *testing.T, when, want string) {
	t.Helper()
	if got := l.take(); got != want {
		t.Errorf("%s: %q, want %q", when, got, want)
	}
}

func TestLinesThatAreAlike(t *testing.T) {
	l := newLimitedLog()
	for range 100 {
		l.Warn("away", "tenant", "acme/cache")
		l.Warn("away", "tenant", "globex/cache")
	}
	l.Error("away", "tenant", "acme/cache")
	l.Warn("gone")
	l.want(t, "at first", `10x msg=away tenant=globex/cache; 11x msg=away tenant=acme/cache; 1x msg=gone`)
	l.now = l.now.Add(logInterval)
	l.Warn("away", "tenant", "acme/cache")
	l.want(t, "in the next interval", `1x msg=away tenant=acme/cache repeated=90`)
	if err := l.lines.settle(false); err != nil {
		t.Fatal(err)
	}
	l.want(t, "what does not come again is told of too", `1x msg=away tenant=globex/cache repeated=89`)
	if got := l.lines.left.Load(); got != 90+89 {
		t.Errorf("%d lines are counted as left out, want %d", got, 90+89)
	}
	l.now = l.now.Add(logInterval)
	for range 2 {
		if err := l.lines.settle(false); err != nil {
			t.Fatal(err)
		}
		l.now = l.now.Add(logInterval)
	}
	if n := len(l.lines.kinds); n != 0 {
		t.Errorf("%d kinds are remembered that do not come any more", n)
	}
}

// TestLinesAboutManyTenants: what concerns all instances at once has its bound too, and every
// line that is left out is accounted for in the end.
func TestLinesAboutManyTenants(t *testing.T) {
	l := newLimitedLog()
	const tenants, each = 2 * maxLineKinds, 3
	for range each {
		for i := range tenants {
			l.With("tenant", fmt.Sprint(i)).Warn("away")
		}
	}
	if n := strings.Count(l.out.String(), "\n"); n != linesOfOneKind {
		t.Errorf("%d lines, want %d", n, linesOfOneKind)
	}
	if n := len(l.lines.kinds); n > maxLineKinds+1 {
		t.Errorf("%d kinds are remembered, want at most %d", n, maxLineKinds+1)
	}
	if err := l.lines.settle(true); err != nil {
		t.Fatal(err)
	}
	told := 0
	for line := range strings.Lines(l.out.String()) {
		n := 0
		if _, rest, ok := strings.Cut(line, "repeated="); ok {
			if _, err := fmt.Sscan(rest, &n); err != nil {
				t.Fatal(err)
			}
		}
		told += 1 + n
	}
	if told != tenants*each {
		t.Errorf("the log tells of %d lines, want %d", told, tenants*each)
	}
}

func TestLevelOfLines(t *testing.T) {
	l := newLimitedLog()
	l.Debug("no")
	l.level.Set(slog.LevelDebug)
	l.Debug("yes")
	l.level.Set(slog.LevelError)
	l.Warn("no")
	for range 3 * linesAlike {
		l.Error(proxy.SampledLine)
	}
	for range 3 * linesAlike {
		l.Error("event", "actor", "user")
	}
	l.WithGroup("g").Error("grouped", "a", 1)
	l.want(t, "levels", `1x msg=grouped g.a=1; 1x msg=yes; 30x msg=command; 30x msg=event actor=user`)
}

// TestLogIsBoundedAtLevelDebug has clients come as fast as they can, to a backend that is
// away: the log stays short, and tells no secret.
func TestLogIsBoundedAtLevelDebug(t *testing.T) {
	cfg := testConfig(t)
	cfg.Log.Level, cfg.Log.SampleRatio = "debug", 0
	cfg.Pool.DialRetryDelay = 10 * time.Millisecond
	cfg.Limits.MaxClients = 20
	cfg.HTTP.AdminToken = "canary-token-0123456789abcdef01234567"
	cfg.SecretKey = "canary-secret-key-0123456789abcdef"
	r := startServe(t, cfg)
	key := r.tenantAt(t, "acme", tenant.Secret("redis://user:canary-password@"+testbed.FreeAddr(t)+"/0"), nil)
	var clients sync.WaitGroup
	for range 40 {
		clients.Go(func() {
			for range 50 {
				c := dial(t, r.addr)
				_, _ = fmt.Fprintf(c, "AUTH %s\r\nSET canary-name canary-value\r\nMULTI\r\nQUIT\r\n", key)
				for buf := make([]byte, 1<<10); ; {
					if _, err := c.Read(buf); err != nil {
						break
					}
				}
				_ = c.Close()
			}
		})
	}
	clients.Wait()
	if err := r.stop(); err != nil {
		t.Fatal(err)
	}
	log := r.log.String()
	if n := strings.Count(log, "\n"); n > 1000 {
		t.Errorf("the log has %d lines for 2000 clients", n)
	}
	if !strings.Contains(log, "backend connection failed") {
		t.Error("it does not tell that the backend is away")
	}
	for _, secret := range []string{"canary", key[16:]} {
		if strings.Contains(log, secret) {
			t.Errorf("it tells a secret: %q", secret)
		}
	}
}
