package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// TestExampleConfig: the commented example has every key, at its default.
func TestExampleConfig(t *testing.T) {
	t.Setenv("RESPGATE_CONFIG", "")
	want, err := loadConfig("")
	if err != nil {
		t.Fatal(err)
	}
	got, err := loadConfig("../../configs/respgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	want.given = got.given
	if !reflect.DeepEqual(got, want) {
		t.Errorf("the example is %+v, the defaults are %+v", got, want)
	}
	text, err := os.ReadFile("../../configs/respgate.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var tree map[string]any
	if err := yaml.Unmarshal(text, &tree); err != nil {
		t.Fatal(err)
	}
	for _, s := range new(Config).settings() {
		section, key, nested := strings.Cut(s.key, ".")
		value, ok := tree[section]
		if nested && ok {
			value, ok = value.(map[string]any)[key]
		}
		if !ok || fmt.Sprint(value) != fmt.Sprint(s.fallback) {
			t.Errorf("%s is %v in the example, want %v", s.key, value, s.fallback)
		}
	}
}

// TestReadmeConfigTable: the README's table names every key with its default.
func TestReadmeConfigTable(t *testing.T) {
	text, err := os.ReadFile("../../README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "<!-- config:begin -->")
	table, _, found := strings.Cut(rest, "<!-- config:end -->")
	if !found {
		t.Fatal("README.md has no table between <!-- config:begin --> and <!-- config:end -->")
	}
	settings := new(Config).settings()
	for _, s := range settings {
		fallback := fmt.Sprint(s.fallback)
		if fallback == "" {
			fallback = `""`
		}
		if want := fmt.Sprintf("| `%s` | `%s` | ", s.key, fallback); !strings.Contains(table, want) {
			t.Errorf("no line that begins with %s", want)
		}
	}
	if got := strings.Count(table, "\n| `"); got != len(settings) {
		t.Errorf("%d lines for %d keys", got, len(settings))
	}
}

// TestOperatingNamesWhatCanChange: docs/OPERATING.md names the settings that can change while
// the proxy runs, and no others.
func TestOperatingNamesWhatCanChange(t *testing.T) {
	text, err := os.ReadFile("../../docs/OPERATING.md")
	if err != nil {
		t.Fatal(err)
	}
	_, rest, _ := strings.Cut(string(text), "What can change so: ")
	list, _, found := strings.Cut(rest, ".\n")
	if !found {
		t.Fatal("docs/OPERATING.md does not say what can change")
	}
	named := map[string]bool{}
	for _, part := range strings.Split(list, ",") {
		whole, but, _ := strings.Cut(strings.Trim(strings.TrimSpace(part), "`"), "` but `")
		named[whole] = true
		named["but "+but] = true
	}
	known := 0
	for _, s := range new(Config).settings() {
		section, _, _ := strings.Cut(s.key, ".")
		said := named[s.key] || named[section+".*"] && !named["but "+s.key]
		if said != s.live {
			t.Errorf("%s can change: %t, and is said to: %t", s.key, s.live, said)
		}
		if said {
			known++
		}
	}
	if known == 0 {
		t.Error("no setting is named")
	}
}

func TestRateLimitConfig(t *testing.T) {
	for name, c := range map[string]struct {
		key, value, complaint string
		want                  ratelimit.Defaults
	}{
		"delay":        {"MODE", "delay", "", ratelimit.Defaults{RPS: 100, Mode: tenant.LimitDelay, MaxDelay: time.Second}},
		"dry run":      {"MODE", "dry_run", "", ratelimit.Defaults{RPS: 100, Mode: tenant.LimitDryRun, MaxDelay: time.Second}},
		"no mode":      {"MODE", "slowly", "rate_limit.mode (from RESPGATE_RATE_LIMIT_MODE): want reject, delay, dry_run, got \"slowly\"", ratelimit.Defaults{}},
		"bytes":        {"DEFAULT_BYTE_RATE", "10MiB", "", ratelimit.Defaults{RPS: 100, ByteRate: 10 << 20, Mode: tenant.LimitReject, MaxDelay: time.Second}},
		"no bytes":     {"DEFAULT_BYTE_RATE", "10MB", "rate_limit.default_byte_rate (from RESPGATE_RATE_LIMIT_DEFAULT_BYTE_RATE): want a size such as", ratelimit.Defaults{}},
		"longer delay": {"MAX_DELAY", "1m", "", ratelimit.Defaults{RPS: 100, Mode: tenant.LimitReject, MaxDelay: time.Minute}},
		"no delay":     {"MAX_DELAY", "-1s", "rate_limit.max_delay (from RESPGATE_RATE_LIMIT_MAX_DELAY): want a duration", ratelimit.Defaults{}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("RESPGATE_CONFIG", "")
			t.Setenv("RESPGATE_RATE_LIMIT_"+c.key, c.value)
			cfg, err := loadConfig("")
			switch {
			case c.complaint != "" && (err == nil || !strings.Contains(err.Error(), c.complaint)):
				t.Errorf("got %v, want %q", err, c.complaint)
			case c.complaint == "" && (err != nil || cfg.RateLimit.defaults() != c.want):
				t.Errorf("got %+v (%v), want %+v", cfg.RateLimit.defaults(), err, c.want)
			}
		})
	}
}

func TestNearest(t *testing.T) {
	known := []string{"listen", "loops", "limits.max_clients"}
	for in, want := range map[string]string{"lisen": "listen", "loop": "loops", "limits.max_client": "limits.max_clients", "nothing": ""} {
		if got := nearest(in, known); got != want {
			t.Errorf("nearest(%q) = %q, want %q", in, got, want)
		}
	}
}
