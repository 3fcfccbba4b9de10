package main

import (
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// The dashboards' fixed identifiers, which links from elsewhere use.
const (
	overviewUID = "respgate-overview"
	tenantUID   = "respgate-tenant"
)

// board is a dashboard, as overview.go and tenant.go describe it.
type board struct {
	uid, title, about string
	here              string // the selector for which $here stands in queries
	variables         []dashboard.VariableModel
	rows              []row
}

// row is a heading and the panels below it, from left to right, as many in a line as fit.
type row struct {
	title  string
	panels []panel
}

// every is the selector of the proxies that are chosen at the top of a page.
const every = `job=~"$job", instance=~"$instance"`

// width is that of a page in columns, as Grafana counts.
const width = 24

func (b board) build() dashboard.Dashboard {
	d := *dashboard.NewDashboard()
	d.Uid, d.Title, d.Description = &b.uid, &b.title, &b.about
	d.Tags = []string{"respgate"}
	d.Editable = new(false)
	d.GraphTooltip = new(dashboard.DashboardCursorSyncCrosshair)
	d.Time = &dashboard.DashboardDashboardTime{From: "now-1h", To: "now"}
	d.Refresh = new("30s")
	d.Templating.List = b.variables
	d.Annotations.List = annotations()
	d.Links = []dashboard.DashboardLink{{
		Title: "respgate", Type: dashboard.DashboardLinkTypeDashboards, Icon: "external link", Tags: []string{"respgate"},
		IncludeVars: true, KeepTime: true,
	}}
	b.lay(&d)
	return d
}

// lay places the panels.
func (b board) lay(d *dashboard.Dashboard) {
	expand := strings.NewReplacer("$here", b.here, "$proxies", every, "[$r]", "[$__rate_interval]")
	var id, x, y uint32
	for _, r := range b.rows {
		id++
		heading := dashboard.RowPanel{Type: "row", Title: &r.title, Id: id, GridPos: &dashboard.GridPos{Y: y, W: width, H: 1}, Panels: []dashboard.Panel{}}
		d.Panels = append(d.Panels, dashboard.PanelOrRowPanel{RowPanel: &heading})
		y++
		var tallest uint32
		for _, p := range r.panels {
			id++
			built := p.build(id, expand)
			w, h := p.size()
			if x+w > width {
				x, y, tallest = 0, y+tallest, 0
			}
			built.GridPos = &dashboard.GridPos{X: x, Y: y, W: w, H: h}
			x, tallest = x+w, max(tallest, h)
			d.Panels = append(d.Panels, dashboard.PanelOrRowPanel{Panel: &built})
		}
		x, y = 0, y+tallest
	}
}

// source is the data source that is chosen at the top of a page.
func source() *common.DataSourceRef {
	return &common.DataSourceRef{Type: new("prometheus"), Uid: new("${datasource}")}
}

// variables are what can be chosen at the top of every page.
func variables() []dashboard.VariableModel {
	return []dashboard.VariableModel{
		{
			Type: dashboard.VariableTypeDatasource, Name: "datasource", Label: new("Data source"),
			Query: &dashboard.StringOrMap{String: new("prometheus")}, Refresh: new(dashboard.VariableRefreshOnDashboardLoad),
		},
		labelValues("job", "Job", "label_values(respgate_build_info, job)", offered),
		labelValues("instance", "Proxy", `label_values(respgate_build_info{job=~"$job"}, instance)`, anything),
	}
}

// choice is how many of a variable's values may be chosen.
type choice int

const (
	single   choice = iota
	offered         // several, or all that are offered: what else there is, is none of ours
	anything        // several, or whatever there is: what is offered lacks a proxy that was down all the time
)

// labelValues is a variable with a label's values.
func labelValues(name, label, query string, may choice) dashboard.VariableModel {
	v := dashboard.VariableModel{
		Type: dashboard.VariableTypeQuery, Name: name, Label: &label, Datasource: source(), Definition: &query,
		Query:   &dashboard.StringOrMap{Map: map[string]any{"query": query, "refId": "Variable-" + name}},
		Refresh: new(dashboard.VariableRefreshOnTimeRangeChanged), Sort: new(dashboard.VariableSortAlphabeticalAsc),
	}
	if may != single {
		all := func(s string) dashboard.StringOrArrayOfString {
			return dashboard.StringOrArrayOfString{ArrayOfString: []string{s}}
		}
		v.Multi, v.IncludeAll = new(true), new(true)
		v.Current = &dashboard.VariableOption{Selected: new(true), Text: all("All"), Value: all("$__all")}
	}
	if may == anything {
		v.AllValue = new(".+")
	}
	return v
}

// annotations are vertical lines at the times that such a metric's value is.
func annotations() []dashboard.AnnotationQuery {
	at := func(name, colour, expr, text string) dashboard.AnnotationQuery {
		return dashboard.AnnotationQuery{
			Name: name, Datasource: source(), Enable: true, IconColor: colour, Expr: &expr, Step: new("15s"),
			TitleFormat: new(text), TextFormat: new("{{instance}}"), UseValueForTime: new(true),
		}
	}
	return []dashboard.AnnotationQuery{
		at("Starts", "blue", "process_start_time_seconds{"+every+"} * 1000", "Started"),
		at("Reloads", "purple", "respgate_config_last_reload_success_timestamp_seconds{"+every+"} * 1000", "Configuration read"),
		at("Drains", "orange", "respgate_drain_started_timestamp_seconds{"+every+"} * 1000 > 0", "Drain begun"),
	}
}
