package metrics

import (
	"fmt"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
)

// described registers nothing: it notes what there would be.
type described struct{ rows map[string]row }

type row struct{ labels, help string }

var descText = regexp.MustCompile(`^Desc{fqName: "([^"]+)", help: "(.*)", unit: "[^"]*", constLabels: {([^}]*)}, variableLabels: {([^}]*)}}$`)

func (d described) Register(c prometheus.Collector) error {
	all := make(chan *prometheus.Desc)
	go func() { c.Describe(all); close(all) }()
	for desc := range all {
		parts := descText.FindStringSubmatch(desc.String())
		if parts == nil {
			return fmt.Errorf("%v is not understood", desc)
		}
		var labels []string
		for _, l := range strings.Split(parts[3]+","+parts[4], ",") {
			if name, _, _ := strings.Cut(l, "="); name != "" {
				labels = append(labels, "`"+name+"`")
			}
		}
		d.rows[parts[1]] = row{strings.Join(labels, ", "), parts[2]}
	}
	return nil
}

func (described) MustRegister(...prometheus.Collector) {}
func (described) Unregister(prometheus.Collector) bool { return false }

// TestTableOfMetrics: docs/METRICS.md has every metric, and no other.
func TestTableOfMetrics(t *testing.T) {
	d := described{map[string]row{}}
	if _, err := New(d, 1, "v1", "abc"); err != nil {
		t.Fatal(err)
	}
	families, err := used(t).Gather()
	if err != nil {
		t.Fatal(err)
	}
	lines := []string{"| metric | type | labels | what it is |", "| --- | --- | --- | --- |"}
	exported := map[string]bool{}
	for _, f := range families {
		name := f.GetName()
		exported[name] = true
		lines = append(lines, fmt.Sprintf("| `%s` | %s | %s | %s |", name, strings.ToLower(f.GetType().String()), d.rows[name].labels, d.rows[name].help))
	}
	for name := range d.rows {
		if !exported[name] {
			t.Errorf("%s is not used: the golden file is to have it", name)
		}
	}
	slices.Sort(lines[2:])
	const file, begin, end = "../docs/METRICS.md", "<!-- metrics:begin -->\n", "\n<!-- metrics:end -->"
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, found := strings.Cut(string(text), begin)
	table, after, ended := strings.Cut(rest, end[1:])
	if !found || !ended {
		t.Fatalf("%s has no table between %s and %s", file, begin, end)
	}
	want := strings.Join(lines, "\n") + "\n"
	if *update {
		if err := os.WriteFile(file, []byte(before+begin+want+end[1:]+after), 0o600); err != nil {
			t.Fatal(err)
		}
		return
	}
	if table != want {
		t.Errorf("the table in %s is not that of the code (go test ./metrics -update writes it anew):\n%s", file, want)
	}
}
