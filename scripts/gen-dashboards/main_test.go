package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"go.yaml.in/yaml/v3"

	"github.com/respgate/respgate/internal/testbed/dashboards"
)

const configs = "../../configs/grafana"

// TestGenerated: the files are those that the tables make, twice the same.
func TestGenerated(t *testing.T) {
	for name, b := range boards() {
		want, err := render(b)
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		if again, _ := render(boards()[name]); !bytes.Equal(again, want) {
			t.Errorf("%s comes out in two ways", name)
		}
		got, err := os.ReadFile(filepath.Join(configs, "dashboards", name))
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.Equal(got, want) {
			t.Errorf("%s is not what the tables make: run 'make dashboards'", name)
		}
	}
	files, err := filepath.Glob(filepath.Join(configs, "dashboards", "*"))
	if err != nil || len(files) != len(boards()) {
		t.Errorf("there are %v, %v, want %d dashboards", files, err, len(boards()))
	}
}

// read reads the dashboards as they are in their files.
func read(t *testing.T) map[string]dashboard.Dashboard {
	t.Helper()
	all := map[string]dashboard.Dashboard{}
	for name := range boards() {
		d, err := dashboards.Read(filepath.Join(configs, "dashboards", name))
		if err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		all[name] = d
	}
	return all
}

// TestSchemaIsStrict: what Grafana's schema does not have is found.
func TestSchemaIsStrict(t *testing.T) {
	good, err := os.ReadFile(filepath.Join(configs, "dashboards", "tenant.json"))
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ name, find, put string }{
		{"a field of the dashboard", `"schemaVersion"`, `"bogus": 1, "schemaVersion"`},
		{"a field of a panel", `"gridPos"`, `"bogus": 1, "gridPos"`},
		{"a field of a query", `"legendFormat"`, `"bogus": 1, "legendFormat"`},
		{"an option of a panel", `"showLegend"`, `"bogus": 1, "showLegend"`},
		{"a value of the wrong type", `"expr": "`, `"expr": 1, "x": "`},
	} {
		path := filepath.Join(t.TempDir(), "bad.json")
		if err := os.WriteFile(path, bytes.Replace(good, []byte(c.find), []byte(c.put), 1), 0o600); err != nil {
			t.Fatal(err)
		}
		if _, err := dashboards.Read(path); err == nil {
			t.Errorf("%s that there is not was not found", c.name)
		}
	}
}

// TestPanelsAreExplained: every panel says what it shows, in which unit and from where on that
// is bad, and lies beside the others.
func TestPanelsAreExplained(t *testing.T) {
	uids := map[string]string{}
	for name, d := range read(t) {
		if other := uids[*d.Uid]; other != "" {
			t.Errorf("%s and %s have one uid", name, other)
		}
		uids[*d.Uid] = name
		if d.SchemaVersion != 42 {
			t.Errorf("%s: schemaVersion is %d, want Grafana 12's, 42", name, d.SchemaVersion)
		}
		taken, ids := map[[2]uint32]string{}, map[uint32]bool{}
		for _, p := range dashboards.Panels(d) {
			title := *p.Title
			if ids[*p.Id] {
				t.Errorf("%s: two panels have the id %d", name, *p.Id)
			}
			ids[*p.Id] = true
			occupy(t, name, taken, p)
			if p.Type == "text" {
				continue
			}
			explained(t, name+": "+title, p)
		}
	}
}

func explained(t *testing.T, name string, p dashboard.Panel) {
	t.Helper()
	f := p.FieldConfig.Defaults
	if p.Description == nil || len(*p.Description) < 30 || !strings.HasSuffix(*p.Description, ".") {
		t.Errorf("%s is not explained", name)
	}
	if f.Unit == nil || *f.Unit == "" {
		t.Errorf("%s has no unit", name)
	}
	if f.Min == nil || *f.Min != 0 {
		t.Errorf("%s does not begin at 0", name)
	}
	bad := regexp.MustCompile(`(?i)error|fail|refused|down|lost|away|open|latency|p99`).MatchString(*p.Title)
	if steps := f.Thresholds.Steps; len(steps) == 0 || bad && len(steps) < 2 {
		t.Errorf("%s has %d thresholds", name, len(steps))
	}
	for _, q := range dashboards.Queries(p) {
		if p.Type != "table" && (q.LegendFormat == nil || *q.LegendFormat == "") {
			t.Errorf("%s: %s has no name", name, *q.RefId)
		}
	}
	for _, l := range f.Links {
		if !strings.HasPrefix(*l.Url, "/d/"+tenantUID+"?") || !strings.Contains(*l.Url, "var-tenant=${__field.labels.tenant}") {
			t.Errorf("%s leads to %s", name, *l.Url)
		}
	}
}

func occupy(t *testing.T, name string, taken map[[2]uint32]string, p dashboard.Panel) {
	t.Helper()
	g := p.GridPos
	if g.X+g.W > width {
		t.Errorf("%s: %q is beyond the right edge", name, *p.Title)
	}
	for x := g.X; x < g.X+g.W; x++ {
		for y := g.Y; y < g.Y+g.H; y++ {
			if other := taken[[2]uint32{x, y}]; other != "" {
				t.Fatalf("%s: %q lies on %q", name, *p.Title, other)
			}
			taken[[2]uint32{x, y}] = *p.Title
		}
	}
}

// TestOverviewHasWhatIsAskedFor: the panels that operators look for are there, by their names.
func TestOverviewHasWhatIsAskedFor(t *testing.T) {
	var titles []string
	for _, p := range dashboards.Panels(read(t)["overview.json"]) {
		titles = append(titles, *p.Title)
	}
	for _, want := range []string{
		"Request rate", "Error rate", "Latency p50, p95, p99", "Redis connections", "Command rate by command", "Latency by command, p95",
		"Instances", "Organizations", "Users", "Auth failures", "Database query rate", "Database latency", "Time by phase", "Rate limited commands",
	} {
		if !slices.Contains(titles, want) {
			t.Errorf("there is no panel %q", want)
		}
	}
}

// TestQueriesAskMetrics: queries ask the metrics themselves and no recording rule, whose names
// have colons, with the job, proxy and tenant that are chosen.
func TestQueriesAskMetrics(t *testing.T) {
	metric := regexp.MustCompile(`[a-z_:]+\{[^}]*\}`)
	for name, d := range read(t) {
		for _, p := range dashboards.Panels(d) {
			for _, q := range dashboards.Queries(p) {
				for _, asked := range metric.FindAllString(q.Expr, -1) {
					if strings.Contains(asked, ":") || !strings.Contains(asked, every) {
						t.Errorf("%s: %q asks for %s", name, *p.Title, asked)
					}
				}
			}
		}
	}
}

// TestNothingIsSaidInWords: what a panel says when it has no series is to be seen. A quantile of a
// histogram that has counted nothing is NaN, which is a series: the panel would be blank.
func TestNothingIsSaidInWords(t *testing.T) {
	for name, d := range read(t) {
		for _, p := range dashboards.Panels(d) {
			for _, q := range dashboards.Queries(p) {
				if p.FieldConfig.Defaults.NoValue != nil && strings.Contains(q.Expr, "histogram_quantile") && !strings.HasSuffix(q.Expr, ">= 0") {
					t.Errorf("%s: %q is blank where it is to say %q: %s", name, *p.Title, *p.FieldConfig.Defaults.NoValue, q.Expr)
				}
			}
		}
	}
}

// TestWordsAreTrueOfTheIdle: what has no value while nothing happens does not say then that the
// feature is not there.
func TestWordsAreTrueOfTheIdle(t *testing.T) {
	absent := []string{"no near cache", "limits are not shared", "no TLS"}
	for name, d := range read(t) {
		for _, p := range dashboards.Panels(d) {
			for _, q := range dashboards.Queries(p) {
				none := p.FieldConfig.Defaults.NoValue
				if none == nil || !slices.Contains(absent, *none) {
					continue
				}
				if strings.Contains(q.Expr, "> 0") || strings.Contains(q.Expr, ">= 0") {
					t.Errorf("%s: %q says %q where nothing happens: %s", name, *p.Title, *none, q.Expr)
				}
			}
		}
	}
}

// TestOthersStayOut: of all jobs those are meant that have a proxy. A Prometheus has its own too,
// with processes, and others' metrics of the same names.
func TestOthersStayOut(t *testing.T) {
	for name, d := range read(t) {
		for _, v := range d.Templating.List {
			if v.Name == "job" && (v.IncludeAll == nil || !*v.IncludeAll || v.AllValue != nil) {
				t.Errorf("%s: all jobs are not those that are offered", name)
			}
		}
	}
}

// TestBoundsAreOfOneTenant: several that share series have a bound each.
func TestBoundsAreOfOneTenant(t *testing.T) {
	asked := 0
	for name, d := range read(t) {
		for _, p := range dashboards.Panels(d) {
			for _, q := range dashboards.Queries(p) {
				if strings.Contains(q.Expr, "redis_connections_limit") {
					asked++
					if !strings.Contains(q.Expr, `tenant!="other"`) {
						t.Errorf("%s: %q compares the connections of several tenants with the bound of one: %s", name, *p.Title, q.Expr)
					}
				}
			}
		}
	}
	if asked == 0 {
		t.Error("no panel asks for the bounds")
	}
}

// TestFailuresAreThoseOfAlerts: what a tenant's page takes for a trouble of its Redis is what
// the rules count as failed.
func TestFailuresAreThoseOfAlerts(t *testing.T) {
	rules, err := os.ReadFile("../../configs/prometheus/recording.yml")
	if err != nil {
		t.Fatal(err)
	}
	var failed []string
	for _, found := range regexp.MustCompile(`code=~"([^"]*)"`).FindAllStringSubmatch(string(rules), -1) {
		failed = append(failed, strings.Split(found[1], "|")...)
	}
	shown := append(strings.Split(backendCodes, "|"), "auth_unavailable") // which is the proxy's
	slices.Sort(failed)
	slices.Sort(shown)
	if !slices.Equal(shown, failed) {
		t.Errorf("the page has %v, the rules have %v", shown, failed)
	}
}

// TestProvisioned: Grafana finds the data source and the dashboards by itself, and nothing in
// the files is misspelt.
func TestProvisioned(t *testing.T) {
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, UID, Type, Access, URL string
			IsDefault                    bool `yaml:"isDefault"`
			Editable                     bool
			JSONData                     struct {
				HTTPMethod   string `yaml:"httpMethod"`
				TimeInterval string `yaml:"timeInterval"`
			} `yaml:"jsonData"`
		}
	}
	decode(t, "provisioning/datasources/prometheus.yml", &sources)
	if s := sources.Datasources; sources.APIVersion != 1 || len(s) != 1 || s[0].Type != "prometheus" || !s[0].IsDefault || s[0].URL == "" || s[0].JSONData.TimeInterval == "" {
		t.Errorf("the data sources are %+v", sources)
	}
	var providers struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type    string
			DisableDeletion       bool `yaml:"disableDeletion"`
			AllowUIUpdates        bool `yaml:"allowUiUpdates"`
			UpdateIntervalSeconds int  `yaml:"updateIntervalSeconds"`
			Options               struct{ Path string }
		}
	}
	decode(t, "provisioning/dashboards/respgate.yml", &providers)
	if p := providers.Providers; providers.APIVersion != 1 || len(p) != 1 || p[0].Type != "file" || !filepath.IsAbs(p[0].Options.Path) {
		t.Errorf("the providers are %+v", providers)
	}
}

func decode(t *testing.T, file string, into any) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(configs, file))
	if err != nil {
		t.Fatal(err)
	}
	decoder := yaml.NewDecoder(bytes.NewReader(text))
	decoder.KnownFields(true)
	if err := decoder.Decode(into); err != nil {
		t.Errorf("%s: %v", file, err)
	}
}
