package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/metrics"
)

// TestEverySettingTakesItsOwnValue: what a setting says its value is can be set, and is the
// same then. Reloading rests on it.
func TestEverySettingTakesItsOwnValue(t *testing.T) {
	cfg := testConfig(t)
	cfg.HTTP.AdminToken, cfg.Limits.MaxCommandBytes, cfg.Pool.IdleTimeout = "secret", 1<<30+1, 90*time.Second
	other := cfg
	for _, s := range other.settings() {
		if err := s.set(s.value()); err != nil {
			t.Errorf("%s: %v", s.key, err)
		}
	}
	if !reflect.DeepEqual(other, cfg) {
		t.Errorf("got %+v, want %+v", other, cfg)
	}
}

func TestFollow(t *testing.T) {
	old := testConfig(t)
	loaded := old
	loaded.Listen, loaded.Loops, loaded.Log.Level = "127.0.0.1:1", 7, "debug"
	loaded.RateLimit.DefaultRPS, loaded.HTTP.AdminToken = 5, "another secret"
	next, changed, waiting, err := old.follow(loaded)
	if err != nil {
		t.Fatal(err)
	}
	want := old
	want.Log.Level, want.RateLimit.DefaultRPS, want.HTTP.AdminToken = "debug", 5, "another secret"
	if !reflect.DeepEqual(next, want) {
		t.Errorf("got %+v, want %+v", next, want)
	}
	if !slices.Equal(changed, []string{"http.admin_token", "rate_limit.default_rps", "log.level"}) {
		t.Errorf("changed %q", changed)
	}
	if !slices.Equal(waiting, []string{"listen", "loops"}) {
		t.Errorf("waiting %q", waiting)
	}
}

// TestFollowEmptiedFile: a file that has become empty changes nothing, one that always was
// may be read again.
func TestFollowEmptiedFile(t *testing.T) {
	for _, tt := range []struct {
		name          string
		before, after string
		want          error
	}{
		{"emptied", "log: {level: error}\n", "", errEmptied},
		{"all but its comments gone", "# ours\nlog: {level: error}\n", "# ours\n", errEmptied},
		{"always empty", "", "# nothing yet\n", nil},
		{"filled", "", "log: {level: error}\n", nil},
	} {
		t.Run(tt.name, func(t *testing.T) {
			t.Setenv("RESPGATE_CONFIG", "")
			file, rewrite := configFile(t, tt.before)
			old, err := loadConfig(file)
			if err != nil {
				t.Fatal(err)
			}
			rewrite(tt.after)
			loaded, err := loadConfig(file)
			if err != nil {
				t.Fatal(err)
			}
			if _, _, _, err := old.follow(loaded); !errors.Is(err, tt.want) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// configFile writes a configuration file and returns how to write it anew.
func configFile(t *testing.T, text string) (file string, rewrite func(text string)) {
	t.Helper()
	file = filepath.Join(t.TempDir(), "respgate.yaml")
	rewrite = func(text string) {
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	rewrite(text)
	return file, rewrite
}

// TestReloadIsAllOrNothing: where one part refuses, none changes.
func TestReloadIsAllOrNothing(t *testing.T) {
	cfg := testConfig(t)
	file, rewrite := configFile(t, "rate_limit: {default_rps: 7}\n")
	m, err := metrics.New(prometheus.NewRegistry(), 1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	s := &server{cfg: cfg, log: slog.New(slog.DiscardHandler), metrics: m}
	s.config.Store(&cfg)
	var seen, committed []int
	refusal := errors.New("not with me")
	stages := []stage{
		func(next Config) (func(), error) {
			seen = append(seen, next.RateLimit.DefaultRPS)
			return func() { committed = append(committed, next.RateLimit.DefaultRPS) }, nil
		},
		func(next Config) (func(), error) {
			if next.RateLimit.DefaultRPS == 7 {
				return nil, refusal
			}
			return func() {}, nil
		},
	}
	if _, _, err := s.tryReload(file, stages); !errors.Is(err, refusal) {
		t.Errorf("got %v, want %v", err, refusal)
	}
	if !slices.Equal(seen, []int{7}) || committed != nil || !reflect.DeepEqual(*s.config.Load(), cfg) {
		t.Errorf("asked with %v, committed %v, in effect %+v", seen, committed, s.config.Load())
	}
	rewrite("rate_limit: {default_rps: 8}\n")
	if _, _, err := s.tryReload(file, stages); err != nil {
		t.Error(err)
	}
	if !slices.Equal(committed, []int{8}) || s.config.Load().RateLimit.DefaultRPS != 8 {
		t.Errorf("committed %v, in effect %+v", committed, s.config.Load())
	}
}

// TestReloadTakesEffect changes what can change while the proxy runs: for clients that are
// there, and those who come.
func TestReloadTakesEffect(t *testing.T) {
	cfg := testConfig(t)
	base := fmt.Sprintf("listen: %s\nhttp: {listen: %s, metrics_token: %%q}\nstore: {dsn: %q}\n", cfg.Listen, cfg.HTTP.Listen, cfg.Store.DSN.Reveal())
	file, rewrite := configFile(t, fmt.Sprintf(base, ""))
	hup := make(chan os.Signal, 1)
	from := &origin{file: file, version: fileVersion(file), hup: hup}
	cfg.Limits.MaxClients = 1
	r := startServeFrom(t, cfg, from)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	x := talkTo(t, r.addr, key)
	x.send("SET a "+strings.Repeat("x", 100_000), "STRLEN a")
	x.expect("+OK", ":100000")
	if got, _ := io.ReadAll(dial(t, r.addr)); !strings.HasPrefix(string(got), "-ERR max number of clients") {
		t.Errorf("a second client got %q", got)
	}

	rewrite(fmt.Sprintf(base, "sesame") + "limits: {max_command_bytes: 64KiB, max_clients: 2}\nrate_limit: {default_rps: 2}\nlog: {level: error}\npool: {pinned_max: 1, pinned_wait: 0s}\n")
	hup <- syscall.SIGHUP
	testbed.Eventually(t, "the metrics want a token", func() bool {
		status, _ := httpGet(t, "http://"+r.http+"/metrics")
		return status == http.StatusUnauthorized
	})
	second := talkTo(t, r.addr, key)
	second.send("WATCH a")
	second.expect("+OK")
	x.send("MULTI")
	x.expect("-ERR backend unavailable: all connections for transactions and blocking commands are in use")
	x.send("DISCARD")
	x.line()
	second.send("UNWATCH")
	second.expect("+OK")
	x.send("GET b", "GET b", "GET b", "GET b")
	testbed.Eventually(t, "the limit is felt", func() bool { return strings.HasPrefix(x.line(), "-RATELIMIT 2 commands/s") })
	second.send("SET a " + strings.Repeat("x", 100_000))
	second.expect("-ERR Protocol error: invalid bulk length", "end")
}

// TestReloadOfFiles has a running process take up a file that is written, replaced by
// another and led to by a link, keep the last good one, and say what needs a restart.
func TestReloadOfFiles(t *testing.T) {
	p := startProcess(t, "", "rate_limit: {default_rps: 1000}\n")
	key := p.tenant("acme", testbed.Redis(t).Addr)
	x := talkTo(t, p.addr, key)
	original, err := os.ReadFile(p.config)
	if err != nil {
		t.Fatal(err)
	}
	reloads := func(result string) float64 {
		_, body := httpGet(t, "http://"+p.http+"/metrics")
		return sumMetric(t, body, `respgate_config_reloads_total{result="`+result+`"`)
	}
	await := func(what, result string, n float64) {
		t.Helper()
		testbed.Eventually(t, what, func() bool { return reloads(result) == n })
	}
	limited := func(rate int) {
		t.Helper()
		testbed.Eventually(t, fmt.Sprintf("the limit is %d", rate), func() bool {
			x.send("GET a", "GET a", "GET a", "GET a")
			found := false
			for range 4 {
				found = strings.HasPrefix(x.line(), fmt.Sprintf("-RATELIMIT %d commands/s", rate)) || found
			}
			return found
		})
	}
	write := func(file, settings string) {
		t.Helper()
		text := strings.Replace(string(original), "rate_limit: {default_rps: 1000}\n", settings, 1)
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	dir := filepath.Dir(p.config)

	write(p.config, "rate_limit: {default_rps: 1}\n")
	await("a written file is taken up", "success", 1)
	limited(1)

	write(p.config, "rate_limit: {default_rps: nonsense}\n")
	await("a bad one is refused", "failure", 1)
	limited(1)
	_, body := httpGet(t, "http://"+p.http+"/metrics")
	if sumMetric(t, body, "respgate_config_last_reload_successful") != 0 || !strings.Contains(p.log.String(), "rate_limit.default_rps: want a whole number") {
		t.Errorf("nothing says that it is bad")
	}

	write(filepath.Join(dir, "new"), "rate_limit: {default_rps: 2}\nloops: 3\nlog: {format: json}\n")
	if err := os.Rename(filepath.Join(dir, "new"), p.config); err != nil {
		t.Fatal(err)
	}
	await("a renamed one is taken up", "success", 2)
	limited(2)
	if !strings.Contains(p.log.String(), `needs a restart" keys="loops, log.format"`) {
		t.Error("nothing says that loops needs a restart")
	}

	for i, version := range []string{"v1", "v2"} { // as Kubernetes changes a ConfigMap
		if err := os.Mkdir(filepath.Join(dir, version), 0o700); err != nil {
			t.Fatal(err)
		}
		write(filepath.Join(dir, version, "respgate.yaml"), fmt.Sprintf("rate_limit: {default_rps: %d}\n", 3+i))
		if err := os.Symlink(version, filepath.Join(dir, "next")); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(filepath.Join(dir, "next"), filepath.Join(dir, "data")); err != nil {
			t.Fatal(err)
		}
		if i == 0 {
			if err := os.Symlink("data/respgate.yaml", filepath.Join(dir, "link")); err != nil {
				t.Fatal(err)
			}
			if err := os.Rename(filepath.Join(dir, "link"), p.config); err != nil {
				t.Fatal(err)
			}
		}
		await("what the link leads to is taken up", "success", float64(3+i))
		limited(3 + i)
	}

	if err := p.cmd.Process.Signal(syscall.SIGHUP); err != nil {
		t.Fatal(err)
	}
	await("SIGHUP has it read again", "success", 5)
	if err := os.Remove(p.config); err != nil {
		t.Fatal(err)
	}
	await("a file that is gone is no configuration", "failure", 2)
	x.send("CLIENT GETNAME")
	x.expect("$-1")
}
