package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/VictoriaMetrics/metricsql"
	"github.com/prometheus/client_golang/prometheus"
	"go.yaml.in/yaml/v3"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/metrics"
)

// rule is one of Prometheus's rules: it records, or alerts.
type rule struct {
	Record, Alert, Expr string
	Labels, Annotations map[string]string
}

// gives reports whether an alert with these labels can be the rule's.
func (r rule) gives(labels map[string]string) bool {
	for name, value := range r.Labels {
		if labels[name] != value {
			return false
		}
	}
	return true
}

// ruleTests is a file for promtool test rules.
type ruleTests struct {
	Tests []struct {
		Name   string
		Series []struct{ Series string } `yaml:"input_series"`
		Alerts []struct {
			Name string `yaml:"alertname"`
			Want []struct {
				Labels map[string]string `yaml:"exp_labels"`
			} `yaml:"exp_alerts"`
		} `yaml:"alert_rule_test"`
	}
}

const ruleFiles = "../../configs/prometheus/"

// readYAML decodes a file into v.
func readYAML(t *testing.T, path string, v any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, v); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}

// readRules returns what a file of rules has.
func readRules(t *testing.T, path string) (all []rule) {
	t.Helper()
	var file struct{ Groups []struct{ Rules []rule } }
	readYAML(t, path, &file)
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	if len(all) == 0 {
		t.Fatalf("%s has no rules", path)
	}
	return all
}

// readRuleTests returns the files of rule tests, by their path.
func readRuleTests(t *testing.T) map[string]ruleTests {
	t.Helper()
	paths, err := filepath.Glob(ruleFiles + "tests/*.yml")
	if err != nil || len(paths) == 0 {
		t.Fatalf("no rule tests: %v", err)
	}
	all := map[string]ruleTests{}
	for _, path := range paths {
		var tests ruleTests
		readYAML(t, path, &tests)
		all[path] = tests
	}
	return all
}

// TestAlertsByTheirTools has promtool and amtool read the configurations and try every rule
// test.
func TestAlertsByTheirTools(t *testing.T) {
	promtool, amtool := testbed.Binary(t, "promtool", "prometheus"), testbed.Binary(t, "amtool", "prometheus-alertmanager")
	const alertmanager = "../../configs/alertmanager/alertmanager.yml"
	commands := [][]string{
		{promtool, "check", "config", "--syntax-only", ruleFiles + "prometheus.yml"}, // the token's file is not here,
		{promtool, "check", "rules", "--lint-fatal", ruleFiles + "alerts.yml", ruleFiles + "recording.yml"},
		{amtool, "check-config", alertmanager},
	}
	for path := range readRuleTests(t) {
		commands = append(commands, []string{promtool, "test", "rules", path})
	}
	for _, severity := range []string{"critical", "warning", "info"} {
		commands = append(commands, []string{amtool, "config", "routes", "test", "--config.file", alertmanager, "--verify.receivers", severity,
			"alertname=HighErrorRate", "severity=" + severity, "job=respgate"})
	}
	for _, c := range commands {
		t.Run(strings.Join(append([]string{filepath.Base(c[0])}, c[1:]...), " "), func(t *testing.T) {
			t.Parallel()
			if out, err := exec.CommandContext(t.Context(), c[0], c[1:]...).CombinedOutput(); err != nil {
				t.Errorf("%v\n%s", err, out)
			}
		})
	}
}

// TestAlertsAreWhole: every alert says what it is, has a page that says what to do, a case in
// which it fires and one in which it does not; and no page is left over.
func TestAlertsAreWhole(t *testing.T) {
	fired, keepsSilent := map[string][]map[string]string{}, map[string]bool{}
	for _, file := range readRuleTests(t) {
		for _, test := range file.Tests {
			for _, a := range test.Alerts {
				for _, want := range a.Want {
					fired[a.Name] = append(fired[a.Name], want.Labels)
				}
				keepsSilent[a.Name] = keepsSilent[a.Name] || len(a.Want) == 0
			}
		}
	}
	const pages = "docs/runbooks/"
	index, err := os.ReadFile("../../" + pages + "README.md")
	if err != nil {
		t.Fatal(err)
	}
	names := []string{"README"}
	for _, r := range readRules(t, ruleFiles+"alerts.yml") {
		fires := slices.ContainsFunc(fired[r.Alert], r.gives)
		if !fires || !keepsSilent[r.Alert] {
			t.Errorf("%s %v: a case in which it fires: %t, in which it does not: %t; want both", r.Alert, r.Labels, fires, keepsSilent[r.Alert])
		}
		if got, want := r.Annotations["runbook_url"], "https://github.com/respgate/respgate/blob/main/"+pages+r.Alert+".md"; got != want {
			t.Errorf("%s: runbook_url is %q, want %q", r.Alert, got, want)
		}
		if r.Annotations["summary"] == "" || r.Annotations["description"] == "" {
			t.Errorf("%s: no summary or no description", r.Alert)
		}
		if !slices.Contains([]string{"critical", "warning", "info"}, r.Labels["severity"]) {
			t.Errorf("%s: severity is %q", r.Alert, r.Labels["severity"])
		}
		if !strings.Contains(string(index), "["+r.Alert+"]("+r.Alert+".md)") {
			t.Errorf("%sREADME.md does not name %s", pages, r.Alert)
		}
		names = append(names, r.Alert)
	}
	files, err := filepath.Glob("../../" + pages + "*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, file := range files {
		if !slices.Contains(names, strings.TrimSuffix(filepath.Base(file), ".md")) {
			t.Errorf("%s is no alert's", file)
		}
	}
	for _, name := range names {
		if !slices.Contains(files, "../../"+pages+name+".md") {
			t.Errorf("%s has no page in %s", name, pages)
		}
	}
}

// TestAlertsKnowTheirWords: the codes that rules name are codes.
func TestAlertsKnowTheirWords(t *testing.T) {
	reg := prometheus.NewRegistry()
	m, err := metrics.New(reg, 1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	named := map[string][]string{} // what is named of a label, all rules together
	for _, r := range slices.Concat(readRules(t, ruleFiles+"alerts.yml"), readRules(t, ruleFiles+"recording.yml")) {
		for _, s := range selectors(t, r.Expr) {
			for _, f := range s.LabelFilterss[0] {
				named[f.Label] = append(named[f.Label], strings.Split(f.Value, "|")...)
			}
		}
	}
	counted := m.Loop(0).Tenant("acme/cache")
	for _, code := range named["code"] {
		counted.Error(command.Other, code)
	}
	known := map[string]bool{}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	for _, family := range families {
		for _, series := range family.GetMetric() {
			for _, label := range series.GetLabel() {
				known[label.GetName()+"="+label.GetValue()] = true
			}
		}
	}
	for _, code := range named["code"] {
		if !known["code="+code] {
			t.Errorf("code=%q is none", code)
		}
	}
	if len(named["code"]) == 0 {
		t.Error("no rule names a code")
	}
}

// selectors returns the selectors of series in an expression.
func selectors(t *testing.T, expr string) (all []*metricsql.MetricExpr) {
	t.Helper()
	parsed, err := metricsql.Parse(expr)
	if err != nil {
		t.Fatalf("%s: %v", expr, err)
	}
	metricsql.VisitAll(parsed, func(e metricsql.Expr) {
		if s, ok := e.(*metricsql.MetricExpr); ok && len(s.LabelFilterss) > 0 {
			all = append(all, s)
		}
	})
	return all
}
