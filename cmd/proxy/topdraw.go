package main

import (
	"cmp"
	"fmt"
	"strings"

	tea "charm.land/bubbletea/v2"
	"charm.land/lipgloss/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/respgate/respgate/admin/control"
)

// The looks of the screen, which says all that it says without them too.
var (
	topTitle    = lipgloss.NewStyle().Bold(true)
	topHead     = lipgloss.NewStyle().Reverse(true)
	topSelected = lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Cyan)
	topWrong    = lipgloss.NewStyle().Bold(true).Foreground(lipgloss.Red)
	topDim      = lipgloss.NewStyle().Faint(true)
)

// View implements tea.Model.
func (s topScreen) View() tea.View {
	v := tea.NewView(strings.Join(s.lines(), "\n"))
	v.AltScreen = true
	v.WindowTitle = "respgate top"
	return v
}

// room is how many lines there are besides the first and the last two.
func (s *topScreen) room() int { return max(s.height-3, 1) }

// lines are the screen's, none wider and not more than there is room for.
func (s topScreen) lines() []string {
	title, hint := fmt.Sprintf("respgate top: %d tenants by %s at proxy %s", s.tenants.Total, s.order, s.tenants.Proxy), "q quit  enter look  j/k select  s sort  1 rate 2 latency 3 errors 4 limited"
	body := s.tableLines()
	if s.page != nil {
		title, hint = fmt.Sprintf("respgate top: %s/%s at proxy %s", s.page.org, s.page.name, cmp.Or(s.page.top.Proxy, "…")), "q quit  esc back  j/k scroll"
		body = s.pageLines()
		body = body[min(s.scrolled, len(body)):]
	}
	if !s.tenants.At.IsZero() {
		title += ", " + s.tenants.At.Format("15:04:05") + " UTC"
	}
	title = printable([]string{title})[0]
	last := topDim.Render(hint)
	if s.err != nil {
		last = topWrong.Render("error: " + printable([]string{oneLine(s.err.Error())})[0])
	}
	lines := append([]string{topTitle.Render(title)}, body[:min(len(body), s.room())]...)
	for len(lines) < s.height-1 {
		lines = append(lines, "")
	}
	lines = append(lines[:max(s.height-1, 0)], last)
	for i := range lines {
		lines[i] = ansi.Truncate(lines[i], s.width, "…")
	}
	return lines
}

// tableLines are a head and as many tenants as there is room for, with the one that is
// selected among them.
func (s *topScreen) tableLines() []string {
	all, at := s.tenants.Tenants, s.at()
	if len(all) == 0 {
		return []string{"There are no tenants yet."}
	}
	n := max(s.room()-1, 1)
	from := min(max(at-n+1, 0), max(len(all)-n, 0))
	rows := make([][]string, 0, n)
	for _, r := range all[from:min(from+n, len(all))] {
		rows = append(rows, topRow(r).cells())
	}
	lines := aligned(topRow{}.columns(), rows)
	if at >= from && at-from+1 < len(lines) {
		lines[at-from+1] = topSelected.Render("> " + lines[at-from+1][2:])
	}
	return lines
}

// aligned is a table with a head. The first column is text, the others numbers, but for those
// whose head ends with a space.
func aligned(head []string, rows [][]string) []string {
	for _, r := range rows {
		printable(r)
	}
	widths := make([]int, len(head))
	for i := range head {
		widths[i] = lipgloss.Width(head[i])
		for _, r := range rows {
			widths[i] = max(widths[i], lipgloss.Width(r[i]))
		}
	}
	line := func(cells []string) string {
		var b strings.Builder
		for i, c := range cells {
			pad := strings.Repeat(" ", widths[i]-lipgloss.Width(c))
			if i == 0 || strings.HasSuffix(head[i], " ") {
				b.WriteString("  " + c + pad)
			} else {
				b.WriteString("  " + pad + c)
			}
		}
		return b.String()
	}
	heads := make([]string, len(head))
	for i, h := range head {
		heads[i] = strings.ToUpper(h)
	}
	lines := []string{topHead.Render(line(heads))}
	for _, r := range rows {
		lines = append(lines, line(r))
	}
	return lines
}

// pageLines are all lines of an instance's page.
func (s *topScreen) pageLines() []string {
	t := s.page.top
	if t.Proxy == "" {
		return []string{"Looking …"}
	}
	var lines []string
	for _, r := range s.tenants.Tenants {
		if r.Org == s.page.org && r.Instance == s.page.name {
			lines = append(lines, aligned(topRow{}.columns(), [][]string{topRow(r).cells()})...)
		}
	}
	section := func(title string, head []string, rows [][]string) {
		lines = append(lines, "", topTitle.Render(title))
		if len(rows) == 0 {
			lines = append(lines, topDim.Render("  none"))
			return
		}
		lines = append(lines, aligned(head, rows)...)
	}
	about := fmt.Sprintf(", estimated over %.0f s", t.Window)
	if t.Every == 0 {
		about = ": not looked for (insight.sample is 0)"
	}
	section("Commands of the last second", []string{"command", "cmd/s"}, cellsOf(t.Commands, func(c control.HotCommand) []string {
		return []string{c.Command, shownPerSecond(c.PerSecond)}
	}))
	section("Hot keys"+about, []string{"db", "cmd/s", "±", "key "}, cellsOf(t.HotKeys, func(k control.HotKeyView) []string {
		return []string{fmt.Sprint(k.DB), shownPerSecond(k.Rate), shownPerSecond(k.Error), shownKey(k.Key, k.Cut)}
	}))
	section("Busy clients"+about, []string{"client", "cmd/s", "±", "name ", "key ", "session "}, cellsOf(t.Clients, func(c control.BusyClientView) []string {
		return []string{c.Address, shownPerSecond(c.Rate), shownPerSecond(c.Error), cmp.Or(c.Name, "-"), c.KeyID, c.Session}
	}))
	section("Slow log, the newest", []string{"at", "took", "total", "client ", "command "}, cellsOf(s.page.slow, func(e control.SlowEntryView) []string {
		return []string{e.At.UTC().Format("15:04:05.000"), shownMicroseconds(float64(e.Took)), shownMicroseconds(float64(e.Total)), e.Address, shownCommand(e.Args)}
	}))
	big := func(c control.BigCommandView) []string {
		return []string{c.At.UTC().Format("15:04:05"), shownBytes(float64(c.Bytes)), cmp.Or(c.Address, "-"), c.Command, shownKey(c.Key, c.Cut)}
	}
	head := []string{"at", "size", "client ", "command ", "key "}
	section("Big commands", head, cellsOf(t.BigKeys, big))
	section("Big replies", head, cellsOf(t.BigReplies, big))
	return lines
}

func cellsOf[T any](all []T, cells func(T) []string) [][]string {
	rows := make([][]string, len(all))
	for i, v := range all {
		rows[i] = cells(v)
	}
	return rows
}

// shownKey is a key as it is told.
func shownKey(key string, cut bool) string {
	switch {
	case key == "":
		return "-"
	case cut:
		return key + "…"
	}
	return key
}
