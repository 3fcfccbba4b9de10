package dashboards

import (
	"fmt"
	"html"
	"math"
	"strings"
	"time"
	"unicode"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
)

// box is a part of a picture in pixels.
type box struct{ x, y, w, h float64 }

// plot is where a graph's points are.
type plot struct {
	box
	start, end time.Time
	top        float64 // the value at the upper edge; 0 is at the lower
}

func (g plot) at(t time.Time, v float64) (x, y float64) {
	x = g.x + g.w*float64(t.Sub(g.start))/float64(g.end.Sub(g.start))
	return x, g.y + g.h*(1-v/g.top)
}

// graph draws lines, or areas on top of each other, with a legend below.
func (pic *picture) graph(p dashboard.Panel, series []Line, in box) {
	custom, _ := p.FieldConfig.Defaults.Custom.(*common.GraphFieldConfig)
	stack := custom != nil && custom.Stacking != nil
	if stack {
		pile(series)
	}
	legend := legendRows(series, in.w)
	in.h -= float64(legend)*legendHeight + 22
	g := plot{box: box{in.x + 58, in.y + 6, in.w - 66, in.h - 6}, start: pic.start, end: pic.end}
	values := g.axis(pic, p, series)
	for _, s := range series {
		pic.area(g, s, stack)
	}
	for _, s := range series {
		pic.line(g, s)
	}
	if custom != nil && custom.ThresholdsStyle != nil {
		pic.bounds(g, p.FieldConfig.Defaults.Thresholds.Steps)
	}
	for _, m := range pic.marks {
		if m.At.Before(g.start) || m.At.After(g.end) {
			continue
		}
		x, _ := g.at(m.At, 0)
		pic.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-dasharray="3 3"/>`, x, g.y, x, g.y+g.h, paint(m.Colour))
	}
	unit := lookOf(p, "", "").unit
	for _, v := range values {
		_, y := g.at(g.start, v)
		pic.text(g.x-6, y+4, "end", 11, "#6b6f76", format(unit, v))
	}
	pic.legend(series, box{in.x, in.y + in.h + 22, in.w, 0})
}

// axis chooses how high the graph is and draws the grid; it returns the values that are
// written beside it.
func (g *plot) axis(pic *picture, p dashboard.Panel, series []Line) []float64 {
	var most float64
	for _, s := range series {
		for i, pt := range s.Points {
			if v := pt.Value + s.base(i); !math.IsInf(v, 0) {
				most = max(most, v)
			}
		}
	}
	factor := 1.0
	if unit := lookOf(p, "", "").unit; unit == "bytes" {
		factor = math.Pow(1024, math.Floor(math.Log(max(most, 1))/math.Log(1024)))
	}
	values, top := ticks(most/factor, 4)
	for i := range values {
		values[i] *= factor
	}
	g.top = top * factor
	for _, v := range values {
		_, y := g.at(g.start, v)
		pic.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#e4e7ea"/>`, g.x, y, g.x+g.w, y)
	}
	pic.times(*g, g.y+g.h+15)
	return values
}

// times writes the time below a graph, as often as there is room for it.
func (pic *picture) times(g plot, y float64) {
	anchors := []string{"start", "middle", "middle", "middle", "end"}
	if g.w < 350 {
		anchors = []string{"start", "middle", "end"}
	}
	for i, anchor := range anchors {
		t := g.start.Add(g.end.Sub(g.start) * time.Duration(i) / time.Duration(len(anchors)-1))
		x, _ := g.at(t, 0)
		pic.text(x, y, anchor, 11, "#6b6f76", t.UTC().Format("15:04:05"))
	}
}

// pile sets what each series stands on: the sum of those before it.
func pile(series []Line) {
	sum := map[int64]float64{}
	for i := range series {
		for _, pt := range series[i].Points {
			key := pt.At.UnixMilli()
			series[i].bases = append(series[i].bases, sum[key])
			if !math.IsNaN(pt.Value) {
				sum[key] += pt.Value
			}
		}
	}
}

// runs are the parts of a series without a gap: where it was asked and had no value, or not
// a number.
func (pic *picture) runs(s Line) (runs [][]int) {
	var run []int
	for i, pt := range s.Points {
		if len(run) > 0 && (math.IsNaN(pt.Value) || pt.At.Sub(s.Points[run[len(run)-1]].At) > pic.step*3/2) {
			runs, run = append(runs, run), nil
		}
		if !math.IsNaN(pt.Value) {
			run = append(run, i)
		}
	}
	if len(run) > 0 {
		runs = append(runs, run)
	}
	return runs
}

func (pic *picture) line(g plot, s Line) {
	for _, run := range pic.runs(s) {
		pic.add(`<path d="%s" fill="none" stroke="%s" stroke-width="1.4" stroke-linejoin="round"/>`, g.path(s, run, "M"), s.colour)
	}
}

func (pic *picture) area(g plot, s Line, stack bool) {
	opacity := 0.08
	if stack {
		opacity = 0.35
	}
	for _, run := range pic.runs(s) {
		path := g.path(s, run, "M")
		for k := len(run) - 1; k >= 0; k-- {
			x, y := g.at(s.Points[run[k]].At, s.base(run[k]))
			path += fmt.Sprintf("L%.1f %.1f", x, y)
		}
		pic.add(`<path d="%sZ" fill="%s" fill-opacity="%.2f"/>`, path, s.colour, opacity)
	}
}

func (g plot) path(s Line, run []int, first string) string {
	var b strings.Builder
	for k, i := range run {
		x, y := g.at(s.Points[i].At, min(s.Points[i].Value+s.base(i), g.top))
		if k > 0 {
			first = "L"
		}
		fmt.Fprintf(&b, "%s%.1f %.1f", first, x, y)
	}
	return b.String()
}

// bounds draws thresholds that are within the graph.
func (pic *picture) bounds(g plot, steps []dashboard.Threshold) {
	for _, s := range steps {
		if s.Value == nil || *s.Value > g.top {
			continue
		}
		_, y := g.at(g.start, *s.Value)
		pic.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="%s" stroke-width="1.4" stroke-dasharray="7 5"/>`, g.x, y, g.x+g.w, y, paint(s.Color))
	}
}

const legendHeight = 17

// legendRows is how many lines a legend has.
func legendRows(series []Line, width float64) int {
	rows, x := 1, 0.0
	for _, s := range series {
		w := textWidth(s.Name) + 32
		if x > 0 && x+w > width {
			rows, x = rows+1, 0
		}
		x += w
	}
	return rows
}

func (pic *picture) legend(series []Line, in box) {
	x, y := in.x, in.y+9
	for _, s := range series {
		w := textWidth(s.Name) + 32
		if x > in.x && x+w > in.x+in.w {
			x, y = in.x, y+legendHeight
		}
		pic.add(`<rect x="%.1f" y="%.1f" width="14" height="4" rx="2" fill="%s"/>`, x+2, y-2, s.colour)
		pic.text(x+21, y+4, "start", 11.5, "#3d4148", s.Name)
		x += w
	}
}

// textWidth is about how wide a legend's text is.
func textWidth(s string) (width float64) {
	for _, r := range s {
		if width += 6.7; unicode.IsUpper(r) {
			width += 1.8
		}
	}
	return width
}

func (pic *picture) text(x, y float64, anchor string, size float64, colour, words string) {
	pic.add(`<text x="%.1f" y="%.1f" text-anchor="%s" font-size="%.1f" fill="%s">%s</text>`, x, y, anchor, size, colour, html.EscapeString(words))
}
