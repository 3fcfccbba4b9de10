// Package dashboards reads Grafana's dashboards as Grafana does: strictly, with the variables
// in their queries put in; and draws them from a Prometheus's answers, for pictures where no
// Grafana can run.
package dashboards

import (
	"encoding/json"
	"os"
	"regexp"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/variants"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/text"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// Read reads a dashboard's file. What Grafana's schema does not have is an error, as is a
// panel or a data source of which respgate's dashboards have none.
func Read(path string) (dashboard.Dashboard, error) {
	known := cog.NewRuntime()
	for _, panel := range []variants.PanelcfgConfig{
		timeseries.VariantConfig(), stat.VariantConfig(), statetimeline.VariantConfig(), table.VariantConfig(), text.VariantConfig(),
	} {
		known.RegisterPanelcfgVariant(panel)
	}
	known.RegisterDataqueryVariant(prometheus.VariantConfig())
	var d, strict dashboard.Dashboard
	raw, err := os.ReadFile(path)
	if err != nil {
		return d, err
	}
	// Where all is well it returns an empty list of errors, and leaves parts out: it is good
	// for finding faults only.
	err = strict.UnmarshalJSONStrict(raw)
	if faults, ok := err.(cog.BuildErrors); err != nil && (!ok || len(faults) > 0) { //nolint:errorlint // it is never wrapped
		return d, err
	}
	if err := json.Unmarshal(raw, &d); err != nil {
		return d, err
	}
	return d, d.Validate()
}

// Panels are a dashboard's panels without its rows.
func Panels(d dashboard.Dashboard) (panels []dashboard.Panel) {
	for _, p := range d.Panels {
		if p.Panel != nil {
			panels = append(panels, *p.Panel)
		}
	}
	return panels
}

// Queries are a panel's.
func Queries(p dashboard.Panel) (queries []prometheus.Dataquery) {
	for _, t := range p.Targets {
		if q, ok := t.(*prometheus.Dataquery); ok {
			queries = append(queries, *q)
		} else if q, ok := t.(prometheus.Dataquery); ok {
			queries = append(queries, q)
		}
	}
	return queries
}

// Values are what stands for variables, by their name: what is chosen for those of a
// dashboard, and what Grafana makes of the time that is looked at, such as __rate_interval.
type Values map[string][]string

// All is chosen where all values are.
const All = "$__all"

var variablePattern = regexp.MustCompile(`\$(\w+)|\$\{(\w+)\}`)

// Expand puts values in place of the variables in an expression, as Grafana does for
// Prometheus: of one that may have several they are a regular expression. A variable without
// a value stays.
func (v Values) Expand(d dashboard.Dashboard, expr string) string {
	return variablePattern.ReplaceAllStringFunc(expr, func(found string) string {
		name := strings.Trim(found, "${}")
		chosen, variable := v[name], find(d, name)
		switch {
		case chosen == nil:
			return found
		case variable == nil:
			return chosen[0]
		case variable.AllValue != nil && chosen[0] == All:
			return *variable.AllValue
		case variable.Multi != nil && *variable.Multi:
			return alternatives(chosen)
		}
		return strings.NewReplacer(`\`, `\\`, `"`, `\"`, "\n", `\n`).Replace(chosen[0])
	})
}

func find(d dashboard.Dashboard, name string) *dashboard.VariableModel {
	for i := range d.Templating.List {
		if d.Templating.List[i].Name == name {
			return &d.Templating.List[i]
		}
	}
	return nil
}

var special = regexp.MustCompile(`[$^*{}\[\]'+?.()|]`)

// alternatives is a regular expression for one of the values, within a string of PromQL's.
func alternatives(values []string) string {
	var quoted []string
	for _, value := range values {
		quoted = append(quoted, special.ReplaceAllString(strings.ReplaceAll(value, `\`, `\\\\`), `\\$0`))
	}
	if len(quoted) == 1 {
		return quoted[0]
	}
	return "(" + strings.Join(quoted, "|") + ")"
}

// Legend is a series' name, for a legend like "{{method}} {{path}}".
func Legend(format string, labels map[string]string) string {
	for name, value := range labels {
		format = strings.ReplaceAll(format, "{{"+name+"}}", value)
	}
	return format
}
