package main

import (
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
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

func TestNotBuiltYet(t *testing.T) {
	for name, c := range map[string]struct{ key, value, want string }{
		"delay": {"RESPGATE_RATE_LIMIT_MODE", "delay", "rate_limit.mode (from RESPGATE_RATE_LIMIT_MODE): delay is not supported"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Setenv("RESPGATE_CONFIG", "")
			t.Setenv(c.key, c.value)
			if _, err := loadConfig(""); err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q", err, c.want)
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
