package dashboards

import (
	"cmp"
	"encoding/json"
	"slices"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// look is how values are written and coloured: what the panel says of all of them, and what
// it says of those of a query or of a name.
type look struct {
	unit   string
	steps  []dashboard.Threshold
	mapped []dashboard.ValueMapping
	colour string // "": the palette's next
}

func lookOf(p dashboard.Panel, refID, name string) look {
	f := p.FieldConfig.Defaults
	l := look{mapped: f.Mappings, steps: f.Thresholds.Steps}
	if f.Unit != nil {
		l.unit = *f.Unit
	}
	for _, o := range p.FieldConfig.Overrides {
		if o.Matcher.Id == "byName" && o.Matcher.Options == name || o.Matcher.Id == "byFrameRefID" && o.Matcher.Options == refID {
			for _, property := range o.Properties {
				l.set(property)
			}
		}
	}
	return l
}

func (l *look) set(property dashboard.DynamicConfigValue) {
	var thresholds dashboard.ThresholdsConfig
	var colour dashboard.FieldColor
	switch property.Id {
	case "unit":
		into(property.Value, &l.unit)
	case "mappings":
		into(property.Value, &l.mapped)
	case "thresholds":
		into(property.Value, &thresholds)
		l.steps = thresholds.Steps
	case "color":
		if into(property.Value, &colour); colour.FixedColor != nil {
			l.colour = paint(*colour.FixedColor)
		}
	}
}

// into decodes what was decoded without a type. The dashboard has been read strictly, so
// that it can be.
func into(value, typed any) {
	if raw, err := json.Marshal(value); err == nil {
		_ = json.Unmarshal(raw, typed)
	}
}

// step is the colour of a value's threshold.
func (l look) step(v float64) string {
	colour := ""
	for _, s := range l.steps {
		if s.Value == nil || v >= *s.Value {
			colour = s.Color
		}
	}
	return paint(colour)
}

// Green reports whether a panel shows a query's value on green.
func Green(p dashboard.Panel, refID string, v float64) bool {
	return lookOf(p, refID, "").step(v) == paint("green")
}

// say is a value in words, with its colour.
func (l look) say(v float64) (words, colour string) {
	words, colour = format(l.unit, v), l.step(v)
	for _, m := range l.mapped {
		if m.ValueMap == nil {
			continue
		}
		if as, ok := m.ValueMap.Options[number(v, 3)]; ok {
			words, colour = *as.Text, paint(*as.Color)
		}
	}
	return words, colour
}

// paint is a colour of Grafana's light theme by its name.
func paint(name string) string {
	if colour, ok := map[string]string{
		"green": "#56A64B", "yellow": "#E0A400", "red": "#E02F44", "dark-red": "#A3121F", "orange": "#F2750A", "blue": "#3274D9", "purple": "#A352CC",
	}[name]; ok {
		return colour
	}
	return "#8E8E8E"
}

// palette has the colours of series without one of their own.
var palette = []string{"#3274D9", "#56A64B", "#F2750A", "#A352CC", "#0FA3B1", "#E0A400", "#C15C17", "#6D1F62", "#447EBC", "#508642", "#E02F44", "#962D82"}

// coloured gives every series a colour.
func coloured(p dashboard.Panel, series []Line) []Line {
	next := 0
	for i := range series {
		l := lookOf(p, series[i].RefID, series[i].Name)
		series[i].look = l
		if series[i].colour = l.colour; l.colour == "" {
			series[i].colour = palette[next%len(palette)]
			next++
		}
	}
	return series
}

// byName sorts series as legends have them.
func byName(series []Line) {
	slices.SortStableFunc(series, func(a, b Line) int {
		if a.RefID != b.RefID {
			return cmp.Compare(a.RefID, b.RefID)
		}
		return cmp.Compare(a.Name, b.Name)
	})
}

// columns are the labels that a table of series has, without those that say nothing there.
func columns(series []Line) (names []string) {
	for name := range series[0].Labels {
		if name != "__name__" && name != "job" {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
