package main

import (
	"regexp"
	"strings"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/statetimeline"
	"github.com/grafana/grafana-foundation-sdk/go/table"
	"github.com/grafana/grafana-foundation-sdk/go/text"
	"github.com/grafana/grafana-foundation-sdk/go/timeseries"
)

// kind is how a panel is drawn.
type kind string

const (
	lines    kind = "lines"
	stacked  kind = "stacked"  // areas on top of each other: for what adds up
	number   kind = "number"   // the last value, large, over how it was
	total    kind = "total"    // the last value alone
	verdicts kind = "verdicts" // several last values, each with its name on its threshold's colour
	states   kind = "states"   // a bar for each series, coloured by its value
	labels   kind = "labels"   // a table of the series' labels
	words    kind = "words"    // about, as Markdown, and no query
)

// Units, as Grafana calls them.
const (
	perSecond = "ops"
	seconds   = "s"
	share     = "percentunit"
	inBytes   = "bytes"
	byteRate  = "Bps"
	count     = "short"
)

// panel is one part of a row.
type panel struct {
	kind         kind
	title, about string
	unit         string
	queries      []query
	steps        []step // for a kind that has none a single colour
	max          float64
	w, h         uint32 // columns and rows; 0: as its kind has them
	colours      map[string]string
	byTenant     bool   // its series lead to their tenant's page
	none         string // what it says when no series is left; "": that there are no data
}

// query is an expression in which $here is the page's selector, $proxies that of the chosen
// proxies and [$r] as long as a rate needs.
type query struct {
	expr, legend string
	unit         string // other than the panel's
	steps        []step // other than the panel's
	mapped       map[string]state
	exemplars    bool
}

// step is from which value on something has a colour; the first is below all others.
type step struct {
	from   float64
	colour string
}

// state is what a value means.
type state struct{ text, colour string }

// from makes steps: green, and from each value on the next of yellow and red.
func from(values ...float64) []step {
	steps := []step{{colour: "green"}}
	colours := []string{"yellow", "red"}[2-len(values):]
	for i, v := range values {
		steps = append(steps, step{v, colours[i]})
	}
	return steps
}

// of is a query.
func of(expr, legend string) query { return query{expr: expr, legend: legend} }

var gauge = regexp.MustCompile(`\((\w+\{\$here\})\)`)

// top is the n greatest of an expression over the whole time that is looked at, so that a
// page has the same lines at all of its points.
func top(n, expr string) string {
	overall := strings.ReplaceAll(expr, "[$r]", "[$__range] @ end()")
	if overall == expr {
		overall = gauge.ReplaceAllString(expr, "(avg_over_time($1[$$__range] @ end()))")
	}
	return expr + " and topk(" + n + ", " + overall + ")"
}

// busiest is top without what was 0 all the time.
func busiest(n, expr string) string { return top(n, expr) + " > 0" }

// size is the panel's in columns and rows.
func (p panel) size() (w, h uint32) {
	w, h = 8, 8
	switch p.kind {
	case number, total:
		w, h = 3, 4
	case verdicts:
		w, h = 6, 7
	}
	if p.w > 0 {
		w = p.w
	}
	if p.h > 0 {
		h = p.h
	}
	return w, h
}

func (p panel) build(id uint32, expand *strings.Replacer) dashboard.Panel {
	built := *dashboard.NewPanel()
	built.Id, built.Title = &id, &p.title
	if p.kind == words {
		built.Type, built.Options = "text", text.Options{Mode: text.TextModeMarkdown, Content: p.about}
		return built
	}
	built.Description, built.Datasource = &p.about, source()
	for i, q := range p.queries {
		built.Targets = append(built.Targets, p.target(q, string(rune('A'+i)), expand))
	}
	built.FieldConfig = dashboard.NewFieldConfigSource()
	p.field(&built.FieldConfig.Defaults)
	built.FieldConfig.Overrides = p.overrides()
	p.options(&built)
	return built
}

func (p panel) target(q query, id string, expand *strings.Replacer) prometheus.Dataquery {
	t := *prometheus.NewDataquery()
	t.Datasource, t.RefId, t.Expr, t.LegendFormat = source(), &id, expand.Replace(q.expr), &q.legend
	t.EditorMode = new(prometheus.QueryEditorModeCode)
	if p.kind == total || p.kind == labels {
		t.Instant, t.Range = new(true), new(false)
	} else {
		t.Range, t.Instant = new(true), new(false)
	}
	if p.kind == labels {
		t.Format = new(prometheus.PromQueryFormatTable)
	}
	if q.exemplars {
		t.Exemplar = new(true)
	}
	return t
}

// field says how values are written and coloured.
func (p panel) field(f *dashboard.FieldConfig) {
	f.Unit, f.Min = &p.unit, new(0.0)
	if p.max > 0 {
		f.Max = &p.max
	}
	if p.none != "" {
		f.NoValue = &p.none
	}
	steps := p.steps
	if steps == nil {
		steps = []step{{colour: "blue"}}
	}
	f.Thresholds = thresholds(steps)
	f.Color = &dashboard.FieldColor{Mode: dashboard.FieldColorModeIdPaletteClassicByName}
	if p.kind == number || p.kind == total || p.kind == verdicts || p.kind == states {
		f.Color.Mode = dashboard.FieldColorModeIdThresholds
	}
	if len(p.queries) == 1 {
		f.Mappings = mappings(p.queries[0].mapped)
	}
	if p.byTenant {
		f.Links = []dashboard.DashboardLink{{
			Title: "${__field.labels.tenant}", Type: dashboard.DashboardLinkTypeLink, Tags: []string{},
			Url: new("/d/" + tenantUID + "?${datasource:queryparam}&${job:queryparam}&${instance:queryparam}&var-tenant=${__field.labels.tenant}&${__url_time_range}"),
		}}
	}
}

func thresholds(steps []step) *dashboard.ThresholdsConfig {
	t := &dashboard.ThresholdsConfig{Mode: dashboard.ThresholdsModeAbsolute}
	for i, s := range steps {
		made := dashboard.Threshold{Color: s.colour}
		if i > 0 {
			made.Value = &s.from
		}
		t.Steps = append(t.Steps, made)
	}
	return t
}

func mappings(states map[string]state) []dashboard.ValueMapping {
	if states == nil {
		return nil
	}
	m := dashboard.NewValueMap()
	m.Options = map[string]dashboard.ValueMappingResult{}
	for value, s := range states {
		m.Options[value] = dashboard.ValueMappingResult{Text: new(s.text), Color: new(s.colour)}
	}
	return []dashboard.ValueMapping{{ValueMap: m}}
}

// overrides are the colours of series by their name, and what some queries have of their own.
func (p panel) overrides() []dashboard.DashboardFieldConfigSourceOverrides {
	made := []dashboard.DashboardFieldConfigSourceOverrides{}
	add := func(by, which string, properties ...dashboard.DynamicConfigValue) {
		made = append(made, dashboard.DashboardFieldConfigSourceOverrides{Matcher: dashboard.MatcherConfig{Id: by, Options: which}, Properties: properties})
	}
	for _, name := range sorted(p.colours) {
		add("byName", name, dashboard.DynamicConfigValue{Id: "color", Value: map[string]any{"mode": "fixed", "fixedColor": p.colours[name]}})
	}
	for i, q := range p.queries {
		var own []dashboard.DynamicConfigValue
		if q.unit != "" {
			own = append(own, dashboard.DynamicConfigValue{Id: "unit", Value: q.unit})
		}
		if q.steps != nil {
			own = append(own, dashboard.DynamicConfigValue{Id: "thresholds", Value: thresholds(q.steps)})
		}
		if q.mapped != nil && len(p.queries) > 1 {
			own = append(own, dashboard.DynamicConfigValue{Id: "mappings", Value: mappings(q.mapped)})
		}
		if own != nil {
			add("byFrameRefID", string(rune('A'+i)), own...)
		}
	}
	return made
}

// options are what each of Grafana's visualizations has of its own.
func (p panel) options(built *dashboard.Panel) {
	switch p.kind {
	case lines, stacked:
		built.Type, built.Options = "timeseries", p.graphOptions()
		built.FieldConfig.Defaults.Custom = p.graphField()
	case number, total, verdicts:
		built.Type, built.Options = "stat", p.statOptions()
	case states:
		built.Type, built.Options = "state-timeline", statetimeline.NewOptions()
		built.FieldConfig.Defaults.Custom = statetimeline.NewFieldConfig()
	case labels:
		options := table.NewOptions()
		options.Footer = nil
		built.Type, built.Options = "table", options
		built.Transformations = []dashboard.DataTransformerConfig{{Id: "organize", Options: map[string]any{
			"excludeByName": map[string]bool{"Time": true, "Value": true, "__name__": true, "job": true},
		}}}
	}
}

func (p panel) graphOptions() *timeseries.Options {
	o := timeseries.NewOptions()
	o.Legend.ShowLegend = true
	o.Tooltip.Mode, o.Tooltip.Sort = common.TooltipDisplayModeMulti, common.SortOrderDescending
	return o
}

func (p panel) graphField() *timeseries.FieldConfig {
	f := timeseries.NewFieldConfig()
	f.LineWidth, f.FillOpacity, f.ShowPoints = new(1.0), new(8.0), new(common.VisibilityModeNever)
	if p.kind == stacked {
		f.FillOpacity = new(35.0)
		f.Stacking = &common.StackingConfig{Mode: new(common.StackingModeNormal), Group: new("A")}
	}
	if p.steps != nil {
		f.ThresholdsStyle = &common.GraphThresholdsStyleConfig{Mode: common.GraphThresholdsStyleModeDashed}
	}
	return f
}

func (p panel) statOptions() *stat.Options {
	o := stat.NewOptions()
	o.ReduceOptions.Calcs = []string{"lastNotNull"}
	switch p.kind {
	case total:
		o.GraphMode = common.BigValueGraphModeNone
	case verdicts:
		o.GraphMode, o.ColorMode, o.TextMode = common.BigValueGraphModeNone, common.BigValueColorModeBackgroundSolid, common.BigValueTextModeValueAndName
		o.Orientation = common.VizOrientationHorizontal
	}
	return o
}
