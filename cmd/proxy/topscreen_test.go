package main

import (
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/x/ansi"

	"github.com/respgate/respgate/admin/control"
)

// tenantsOf are tenants with a name each, the first the busiest.
func tenantsOf(labels ...string) control.TopTenants {
	top := control.TopTenants{Proxy: "proxy1", At: time.Unix(1e9, 0).UTC(), Total: len(labels)}
	for i, label := range labels {
		org, name, _ := strings.Cut(label, "/")
		top.Tenants = append(top.Tenants, control.TenantRow{Org: org, Instance: name, Point: control.Point{Commands: float64(100 * (len(labels) - i)), P50: new(0.00018), P99: new(0.0021)}})
	}
	return top
}

// screenTest is a screen whose user presses keys, and whose source answers at once.
type screenTest struct {
	t      *testing.T
	screen topScreen
	asked  []string
	next   control.TopTenants
	err    error
}

func newScreenTest(t *testing.T, labels ...string) *screenTest {
	t.Helper()
	x := &screenTest{t: t, next: tenantsOf(labels...)}
	x.screen = newTopScreen(topSource{
		tenants: func(o control.Order) (control.TopTenants, error) {
			x.asked = append(x.asked, string(o))
			return x.next, x.err
		},
		instance: func(org, name string) (topPage, error) {
			x.asked = append(x.asked, org+"/"+name)
			top := control.InstanceTopView{Proxy: "proxy1", Window: 60, Every: 32, Commands: []control.HotCommand{{Command: "zrange", PerSecond: 512}},
				HotKeys: []control.HotKeyView{{Key: "user:1\x1b[2J", Rate: 5, Error: 1, Cut: true}}, Clients: []control.BusyClientView{{Address: "10.1.2.3:50123", Rate: 99_999_000}},
				BigReplies: []control.BigCommandView{{Command: "get", Key: "blob", Bytes: 5 << 20}}}
			return topPage{org, name, top, []control.SlowEntryView{{Args: []string{"SORT", "a b"}, Took: 15_230, Total: 1_500_000}}}, x.err
		},
	}, x.next, control.ByRate, time.Second)
	x.do(tea.WindowSizeMsg{Width: 100, Height: 40})
	return x
}

// do tells the screen something, and what it asks for then.
func (x *screenTest) do(msg tea.Msg) {
	x.t.Helper()
	next, cmd := x.screen.Update(msg)
	x.screen = next.(topScreen)
	if cmd == nil {
		return
	}
	if _, ticks := msg.(topFound); ticks {
		return // it waits for the next time
	}
	if found, ok := cmd().(topFound); ok {
		x.do(found)
	}
}

// press presses keys, each named as bubbletea names it.
func (x *screenTest) press(keys ...string) {
	x.t.Helper()
	special := map[string]rune{"up": tea.KeyUp, "down": tea.KeyDown, "enter": tea.KeyEnter, "esc": tea.KeyEscape, "end": tea.KeyEnd, "home": tea.KeyHome}
	for _, key := range keys {
		k := tea.Key{Code: special[key]}
		if k.Code == 0 {
			k = tea.Key{Code: rune(key[0]), Text: key}
		}
		x.do(tea.KeyPressMsg(k))
	}
}

// lines are the screen's, without colours.
func (x *screenTest) lines() []string {
	x.t.Helper()
	lines := x.screen.lines()
	if len(lines) != x.screen.height {
		x.t.Errorf("%d lines on a screen of %d", len(lines), x.screen.height)
	}
	for i, line := range lines {
		if lines[i] = ansi.Strip(line); ansi.StringWidth(line) > x.screen.width {
			x.t.Errorf("line %q is wider than %d", lines[i], x.screen.width)
		}
	}
	return lines
}

// tenants are those that are shown, with ">" before the one that is selected.
func (x *screenTest) tenants() string {
	x.t.Helper()
	var labels []string
	for _, line := range x.lines()[2:] {
		marked := strings.HasPrefix(line, ">")
		if fields := strings.Fields(strings.TrimPrefix(line, ">")); len(fields) > 5 && strings.Contains(fields[0], "/") {
			labels = append(labels, map[bool]string{true: ">"}[marked]+fields[0])
		}
	}
	return strings.Join(labels, " ")
}

func (x *screenTest) want(what, tenants string) {
	x.t.Helper()
	if got := x.tenants(); got != tenants {
		x.t.Errorf("%s: got %s, want %s", what, got, tenants)
	}
}

func TestTopScreenSelects(t *testing.T) {
	x := newScreenTest(t, "a/1", "b/2", "c/3", "d/4")
	x.want("at first", ">a/1 b/2 c/3 d/4")
	x.press("down", "j")
	x.want("two down", "a/1 b/2 >c/3 d/4")
	x.press("k")
	x.want("one up", "a/1 >b/2 c/3 d/4")
	x.press("up", "up", "up")
	x.want("beyond the first", ">a/1 b/2 c/3 d/4")
	x.press("end", "down")
	x.want("beyond the last", "a/1 b/2 c/3 >d/4")
	x.next = tenantsOf("d/4", "a/1", "c/3")
	x.do(topLook{x.screen.turn})
	x.want("what is selected moves", ">d/4 a/1 c/3")
	x.next = tenantsOf("a/1", "c/3")
	x.do(topLook{x.screen.turn})
	x.want("what was selected is gone", ">a/1 c/3")
	x.next = tenantsOf()
	x.do(topLook{x.screen.turn})
	if lines := x.lines(); !strings.Contains(lines[1], "no tenants") {
		t.Errorf("of none: got %q", lines)
	}
	x.press("enter", "down")
	x.next = tenantsOf("a/1")
	x.do(topLook{x.screen.turn})
	x.want("one comes", ">a/1")
}

func TestTopScreenSorts(t *testing.T) {
	x := newScreenTest(t, "a/1")
	for _, step := range []struct{ key, want string }{{"3", "errors"}, {"2", "latency"}, {"4", "limited"}, {"s", "connections"}, {"s", "bytes"}, {"s", "rate"}, {"1", "rate"}, {"x", ""}} {
		x.asked = nil
		x.press(step.key)
		if got := strings.Join(x.asked, " "); got != step.want {
			t.Errorf("%s asks for %q, want %q", step.key, got, step.want)
		}
	}
	if title := x.lines()[0]; !strings.Contains(title, "1 tenants by rate at proxy proxy1") {
		t.Errorf("the title is %q", title)
	}
	// What was asked for before comes too late.
	late := topFound{turn: x.screen.turn, tenants: tenantsOf("late/1")}
	x.press("2")
	x.do(late)
	x.want("after an answer for another order", ">a/1")
	x.asked = nil
	x.do(topLook{x.screen.turn - 1})
	if len(x.asked) > 0 {
		t.Errorf("who waited before asks for %q: want no second one to wait", x.asked)
	}
}

func TestTopScreenShowsAnInstance(t *testing.T) {
	x := newScreenTest(t, "a/1", "b/2")
	x.press("down", "enter")
	text := strings.Join(x.lines(), "\n")
	for _, want := range []string{"b/2 at proxy proxy1", "zrange     512", "Hot keys, estimated over 60 s", "user:1?[2J…", "10.1.2.3:50123   100M", "15ms  1.50s", `SORT "a b"`, "blob", "5.0MiB", "Big commands\n  none", "esc back"} {
		if !strings.Contains(text, want) {
			t.Errorf("%q is not there:\n%s", want, text)
		}
	}
	x.asked = nil
	x.do(topLook{x.screen.turn})
	if got := strings.Join(x.asked, " "); got != "rate b/2" {
		t.Errorf("it looks again for %q, want the instance", got)
	}
	x.press("3", "enter")
	if x.screen.page == nil || x.screen.order != control.ByRate {
		t.Error("keys of the table do something on the page")
	}
	x.press("esc")
	x.want("back", "a/1 >b/2")
	if _, cmd := x.screen.Update(tea.KeyPressMsg{Code: 'q', Text: "q"}); cmd == nil || cmd() != tea.Quit() {
		t.Error("q does not leave")
	}
}

// TestTopScreenShowsFiguresOfLongKeys also where there is no room for the keys.
func TestTopScreenShowsFiguresOfLongKeys(t *testing.T) {
	x := newScreenTest(t, "a/1")
	long := strings.Repeat("k", 128)
	x.screen.source.instance = func(org, name string) (topPage, error) {
		big := []control.BigCommandView{{Command: "set", Key: long, Address: "10.1.2.3:50123", Bytes: 5 << 20}}
		return topPage{org, name, control.InstanceTopView{Proxy: "proxy1", Every: 32, HotKeys: []control.HotKeyView{{Key: long, Rate: 512, Error: 7}}, BigKeys: big, BigReplies: big}, nil}, nil
	}
	x.do(tea.WindowSizeMsg{Width: 80, Height: 40})
	x.press("enter")
	var rows [][]string
	for _, line := range x.lines() {
		if strings.Contains(line, "kkkk") {
			rows = append(rows, strings.Fields(line))
		}
	}
	for i, want := range []string{"512", "5.0MiB", "5.0MiB"} {
		if len(rows) != 3 || !slices.Contains(rows[i], want) {
			t.Errorf("%s is not there: %q", want, rows)
		}
	}
}

// TestTopScreenShowsErrors and what was there before.
func TestTopScreenShowsErrors(t *testing.T) {
	x := newScreenTest(t, "a/1")
	x.err = errors.New("no\nanswer \x1b[2J")
	x.do(topLook{x.screen.turn})
	x.want("after an error", ">a/1")
	if lines := x.lines(); lines[len(lines)-1] != "error: no answer ?[2J" {
		t.Errorf("the last line is %q", lines[len(lines)-1])
	}
	x.press("enter")
	if lines := x.lines(); !strings.HasPrefix(lines[len(lines)-1], "error: ") || lines[1] != "Looking …" {
		t.Errorf("a page that cannot be had: %q", lines)
	}
	x.press("down", "up", "esc")
	x.err = nil
	x.do(topLook{x.screen.turn})
	if lines := x.lines(); strings.HasPrefix(lines[len(lines)-1], "error") {
		t.Errorf("when it answers again: %q", lines[len(lines)-1])
	}
}

// TestTopScreenFits every terminal, with what is selected on it.
func TestTopScreenFits(t *testing.T) {
	var labels []string
	for i := range 50 {
		labels = append(labels, fmt.Sprintf("org%02d/cache", i))
	}
	for _, size := range []struct{ width, height int }{{200, 60}, {80, 24}, {40, 10}, {20, 5}, {10, 4}, {1, 2}, {1, 1}} {
		x := newScreenTest(t, labels...)
		x.do(tea.WindowSizeMsg{Width: size.width, Height: size.height})
		for _, key := range []string{"home", "down", "down", "end", "up", "enter", "end", "down", "up", "home", "esc"} {
			x.press(key)
			lines := x.lines()
			if size.width >= 20 && size.height >= 4 && x.screen.page == nil && !strings.Contains(strings.Join(lines, "\n"), "> "+x.screen.selected) {
				t.Errorf("%v after %s: %s is not there: %q", size, key, x.screen.selected, lines)
			}
		}
	}
}

func TestShownFigures(t *testing.T) {
	for _, tt := range []struct{ got, want string }{
		{shownPerSecond(0), "0"}, {shownPerSecond(0.04), "0.0"}, {shownPerSecond(9.94), "9.9"}, {shownPerSecond(9.96), "10"}, {shownPerSecond(99_999), "99999"},
		{shownPerSecond(100_000), "100k"}, {shownPerSecond(12_345_678), "12M"},
		{shownLatency(nil), "-"}, {shownLatency(new(0.00018)), "180µs"}, {shownLatency(new(0.0021)), "2.10ms"}, {shownLatency(new(0.0304)), "30ms"}, {shownLatency(new(1.5)), "1.50s"},
		{shownBytes(0), "0B"}, {shownBytes(1000), "1000B"}, {shownBytes(1024), "1.0KiB"}, {shownBytes(51_234), "50KiB"}, {shownBytes(3 << 30), "3.0GiB"},
		{shownCommand([]string{"SET", "a b", "", `"`}), `SET "a b" "" "\""`},
	} {
		if tt.got != tt.want {
			t.Errorf("got %s, want %s", tt.got, tt.want)
		}
	}
}
