package main

import (
	stdflag "flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/chromedp"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/respgate/respgate/internal/testbed/dashboards"
)

// dashboardPictures is a directory for pictures of the dashboards; "" makes none.
var dashboardPictures = stdflag.String("dashboards.pictures", "", "write pictures of the dashboards to this `directory`")

const (
	pictureTime = 3 * time.Minute // that a picture shows
	pictureSize = 600_000         // bytes of a picture at most: they are part of the repository
)

// takePictures draws the dashboards as they are now, and has a browser make pictures of them.
func takePictures(t *testing.T, dir string, pages map[string]*watched) {
	t.Helper()
	drawn := map[string]dashboards.Shown{} // all of it before a browser takes the processor's time
	for file, w := range pages {
		w.step = 2 * time.Second
		drawn[file] = w.shown()
	}
	var page string
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/html; charset=utf-8")
		_, _ = io.WriteString(w, page)
	}))
	defer server.Close()
	tab := startChromium(t)(server.URL)
	for file, w := range pages {
		var height int
		page, height = dashboards.Draw(w.dashboard, drawn[file])
		run1(tab, "size", chromedp.EmulateViewport(dashboards.PageWidth, int64(height)))
		tab.open("/")
		tab.write(dir, "dashboard-"+strings.TrimSuffix(file, ".json")+".png", run1(tab, "screenshot", chromedp.CaptureScreenshot()), pictureSize)
	}
}

// shown is what the dashboard shows now.
func (w *watched) shown() dashboards.Shown {
	end := time.Now().Truncate(w.step)
	s := dashboards.Shown{
		Start: end.Add(-pictureTime), End: end, Step: w.step, Answers: map[uint32][]dashboards.Line{}, Chosen: w.chosenWords(),
		Marks: w.marks(),
	}
	w.since = s.Start
	for _, p := range dashboards.Panels(w.dashboard) {
		for _, q := range dashboards.Queries(p) {
			for _, series := range w.ask(q, end) {
				s.Answers[*p.Id] = append(s.Answers[*p.Id], dashboards.Line{Series: series, RefID: *q.RefId, Name: dashboards.Legend(*q.LegendFormat, series.Labels)})
			}
		}
	}
	return s
}

func (w *watched) marks() (marks []dashboards.Mark) {
	for _, a := range w.dashboard.Annotations.List {
		for _, s := range w.asked.Query(w.expand(*a.Expr, time.Now())) {
			marks = append(marks, dashboards.Mark{At: time.UnixMilli(int64(s.Value())), Colour: a.IconColor})
		}
	}
	return marks
}

// chosenWords are what is chosen at the top of the page.
func (w *watched) chosenWords() string {
	var words []string
	for _, v := range w.dashboard.Templating.List {
		if v.Type == dashboard.VariableTypeQuery {
			chosen := strings.ReplaceAll(strings.Join(w.chosen[v.Name], " + "), dashboards.All, "All")
			words = append(words, fmt.Sprintf("%s: %s", *v.Label, chosen))
		}
	}
	return strings.Join(words, "   ")
}
