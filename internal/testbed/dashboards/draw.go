package dashboards

import (
	"fmt"
	"html"
	"regexp"
	"strings"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/common"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/stat"
	"github.com/grafana/grafana-foundation-sdk/go/text"

	"github.com/respgate/respgate/internal/testbed"
)

// Line is a series of a panel's.
type Line struct {
	testbed.Series
	RefID, Name string // of its query, and as legends have it

	look   look
	colour string
	bases  []float64 // what its points stand on, where series stand on each other
}

func (s Line) base(i int) float64 {
	if s.bases == nil {
		return 0
	}
	return s.bases[i]
}

// Shown is what a picture of a dashboard shows.
type Shown struct {
	Chosen     string // what is chosen at the top of the page, in words
	Start, End time.Time
	Step       time.Duration     // between the points of an answer
	Answers    map[uint32][]Line // by the panel's id
	Marks      []Mark
}

// Mark is an annotation at a time.
type Mark struct {
	At     time.Time
	Colour string
}

// Sizes of a page in pixels, which is 24 columns wide.
const (
	PageWidth = 1680
	margin    = 16
	gap       = 8
	unitRow   = 38
	header    = 64
)

// picture is an SVG that is being drawn.
type picture struct {
	strings.Builder
	start, end time.Time
	step       time.Duration
	marks      []Mark
}

func (pic *picture) add(shape string, values ...any) { fmt.Fprintf(pic, shape, values...) }

// Draw draws a dashboard as an HTML page that has nothing but one SVG in it, of the height
// that it returns. It is not how Grafana draws, but the same panels at the same places, with
// the same queries, units, thresholds and names.
func Draw(d dashboard.Dashboard, s Shown) (page string, height int) {
	pic := &picture{start: s.Start, end: s.End, step: s.Step, marks: s.Marks}
	column := float64(PageWidth-2*margin) / 24
	place := func(g dashboard.GridPos) box {
		b := box{margin + float64(g.X)*column, header + float64(g.Y)*unitRow, float64(g.W)*column - gap, float64(g.H)*unitRow - gap}
		height = max(height, int(b.y+b.h)+margin)
		return b
	}
	pic.text(margin, 28, "start", 20, "#24292e", *d.Title)
	pic.text(margin, 50, "start", 12.5, "#6b6f76", s.Chosen)
	pic.text(PageWidth-margin-gap, 28, "end", 12.5, "#6b6f76", s.Start.UTC().Format("2006-01-02 15:04:05")+" to "+s.End.UTC().Format("15:04:05")+" UTC")
	for _, p := range d.Panels {
		if p.RowPanel != nil {
			b := place(*p.RowPanel.GridPos)
			pic.text(b.x, b.y+21, "start", 15, "#24292e", "⌄ "+*p.RowPanel.Title)
			continue
		}
		pic.panel(*p.Panel, s.Answers[*p.Panel.Id], place(*p.Panel.GridPos))
	}
	return fmt.Sprintf(`<!doctype html><meta charset="utf-8"><style>body{margin:0;background:#f4f5f5}svg{display:block;font-family:"Liberation Sans","Helvetica Neue",Arial,"DejaVu Sans",sans-serif}</style>`+
		`<svg xmlns="http://www.w3.org/2000/svg" width="%d" height="%d">%s</svg>`, PageWidth, height, pic.String()), height
}

// panel draws a panel with its frame and title.
func (pic *picture) panel(p dashboard.Panel, series []Line, b box) {
	pic.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3" fill="#fff" stroke="#dcdfe2"/>`, b.x, b.y, b.w, b.h)
	pic.text(b.x+9, b.y+20, "start", 13, "#24292e", *p.Title)
	in := box{b.x + 9, b.y + 30, b.w - 18, b.h - 38}
	byName(series)
	series = coloured(p, series)
	switch {
	case p.Type == "text":
		pic.markdown(p, in)
	case len(series) == 0:
		words := "No data"
		if none := p.FieldConfig.Defaults.NoValue; none != nil {
			words = *none
		}
		pic.text(in.x+in.w/2, in.y+in.h/2, "middle", 16, "#8e8e8e", words)
	case p.Type == "stat":
		pic.stat(p, series, in)
	case p.Type == "state-timeline":
		pic.states(series, in)
	case p.Type == "table":
		pic.table(series, in)
	default:
		pic.graph(p, series, in)
	}
}

// stat draws last values: one large one over how it was, or several, each on its colour.
func (pic *picture) stat(p dashboard.Panel, series []Line, in box) {
	options := p.Options.(*stat.Options)
	if options.ColorMode == common.BigValueColorModeBackgroundSolid {
		high := in.h / float64(len(series))
		for i, s := range series {
			words, colour := s.look.say(s.Value())
			y := in.y + float64(i)*high
			pic.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" rx="3" fill="%s"/>`, in.x, y, in.w, high-5, colour)
			pic.text(in.x+12, y+high/2+2, "start", 14, "#fff", s.Name)
			pic.text(in.x+in.w-12, y+high/2+5, "end", 24, "#fff", words)
		}
		return
	}
	s := series[0]
	words, colour := s.look.say(s.Value())
	if options.GraphMode == common.BigValueGraphModeArea {
		g := plot{box: box{in.x - 8, in.y + in.h*0.55, in.w + 16, in.h*0.45 + 7}, start: pic.start, end: pic.end, top: 1e-9}
		for _, pt := range s.Points {
			g.top = max(g.top, pt.Value)
		}
		s.colour = colour
		pic.area(g, s, true)
		pic.line(g, s)
	}
	pic.text(in.x+in.w/2, in.y+in.h*0.42+8, "middle", min(34, in.h*0.42, 1.5*in.w/float64(len([]rune(words)))), colour, words)
}

// states draws a bar for each series, coloured by what it was.
func (pic *picture) states(series []Line, in box) {
	var left float64
	for _, s := range series {
		left = max(left, textWidth(s.Name)+10)
	}
	g := plot{box: box{in.x + left, in.y, in.w - left, in.h - 20}, start: pic.start, end: pic.end, top: 1}
	high := min(g.h/float64(len(series)), 44)
	for i, s := range series {
		y := g.y + float64(i)*high
		pic.text(g.x-8, y+high/2+4, "end", 11.5, "#3d4148", s.Name)
		for j := 0; j < len(s.Points); {
			k := j
			for k < len(s.Points) && s.Points[k].Value == s.Points[j].Value {
				k++
			}
			words, colour := s.look.say(s.Points[j].Value)
			x1, _ := g.at(s.Points[j].At, 0)
			x2, _ := g.at(s.Points[k-1].At.Add(pic.step), 0)
			x2 = min(x2, g.x+g.w)
			pic.add(`<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s" fill-opacity="0.75"/>`, x1, y+3, x2-x1, high-6, colour)
			if x2-x1 > textWidth(words)+8 {
				pic.text(x1+6, y+high/2+4, "start", 11.5, "#fff", words)
			}
			j = k
		}
	}
	pic.times(g, in.y+in.h)
}

// table draws the labels of series.
func (pic *picture) table(series []Line, in box) {
	names := columns(series)
	wide := in.w / float64(len(names))
	for c, name := range names {
		x := in.x + float64(c)*wide
		pic.text(x, in.y+14, "start", 12, paint("blue"), name)
		for r, s := range series {
			pic.text(x, in.y+38+float64(r)*24, "start", 12, "#3d4148", s.Labels[name])
		}
	}
	pic.add(`<line x1="%.1f" y1="%.1f" x2="%.1f" y2="%.1f" stroke="#e4e7ea"/>`, in.x, in.y+21, in.x+in.w, in.y+21)
}

var bold = regexp.MustCompile(`\*\*(.*?)\*\*`)

// markdown writes paragraphs.
func (pic *picture) markdown(p dashboard.Panel, in box) {
	pic.add(`<foreignObject x="%.1f" y="%.1f" width="%.1f" height="%.1f"><div xmlns="http://www.w3.org/1999/xhtml" style="font-size:14px;line-height:1.45;color:#3d4148">`, in.x, in.y-4, in.w, in.h)
	for paragraph := range strings.SplitSeq(p.Options.(*text.Options).Content, "\n\n") {
		pic.add(`<p style="margin:0 0 8px">%s</p>`, bold.ReplaceAllString(html.EscapeString(paragraph), "<b>$1</b>"))
	}
	pic.add(`</div></foreignObject>`)
}
