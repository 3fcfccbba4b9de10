package main

import (
	"fmt"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/backup"
	"github.com/respgate/respgate/internal/testbed"
)

// TestProgressLine: how far it is, with the rate since it began and the time left, as far as that is known.
func TestProgressLine(t *testing.T) {
	for _, c := range []struct {
		name  string
		first int64
		at    backup.Progress
		took  time.Duration
		want  string
	}{
		{"the total is known", 100, backup.Progress{Keys: 1100, Total: 3100, Bytes: 5000}, 2 * time.Second, "1100 of 3100 keys copied, 5000 bytes, 500 keys/s, 4s left"},
		{"it is not", 0, backup.Progress{Keys: 1100, Bytes: 5000}, 2 * time.Second, "1100 keys copied, 5000 bytes, 550 keys/s"},
		{"more than there were to be", 0, backup.Progress{Keys: 1100, Total: 1000}, 2 * time.Second, "1100 of 1000 keys copied, 0 bytes, 550 keys/s, 0s left"},
		{"nothing is done", 100, backup.Progress{Keys: 100, Total: 1000}, 0, "100 keys copied, 0 bytes, 0 keys/s"},
	} {
		p := &keysProgress{verb: "copied", first: c.first}
		if got := p.line(c.at, c.took); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

// TestMoveProgressInLines: where there is no terminal a line says now and then how far a step is.
func TestMoveProgressInLines(t *testing.T) {
	var out testbed.Buffer
	a := &app{stderr: &out}
	m := moving{app: a, step: a.progress(false, "")}
	for _, step := range []string{"copied", "compared in pass 1"} {
		for range 3 {
			m.progress(step, backup.Progress{Keys: 1000, Total: 5000})
		}
		m.step.last = m.step.last.Add(-progressEvery)
		for _, n := range []int64{2000, 3000} {
			m.progress(step, backup.Progress{Keys: n, Total: 5000, Bytes: n})
		}
		m.say("a message")
	}
	want := `^2000 of 5000 keys copied, 2000 bytes, \d+ keys/s, \d+s left\na message\n2000 of 5000 keys compared in pass 1, 2000 bytes, \d+ keys/s, \d+s left\na message\n$`
	if !regexp.MustCompile(want).MatchString(out.String()) {
		t.Errorf("it prints\n%swant %s", &out, want)
	}
}

// TestMoveProgressOnATerminal: each step has a bar of its own, which messages do not tear.
func TestMoveProgressOnATerminal(t *testing.T) {
	tty := newTerminal(t, 80, 10)
	a := &app{stderr: tty.side}
	m := moving{app: a, step: a.progress(false, "")}
	show := func(step string, keys int64, messages ...string) {
		t.Helper()
		bar := regexp.MustCompile(`^` + step + ` +\d+% \|.*\| \(\d+/1000000, \d+ keys/s\) \[\d+s:\d+s\]`)
		tty.eventually(step+" is shown below its messages", func(lines []string) bool {
			m.progress(step, backup.Progress{Keys: keys, Total: 1000000})
			for i, message := range messages {
				if strings.TrimRight(lines[i], " ") != message {
					return false
				}
			}
			return bar.MatchString(lines[len(messages)])
		})
	}
	show("copied", 1000)
	m.say("one")
	show("copied", 2000, "one")
	m.say("two")
	show("compared in the last pass", 1000, "one", "two")
	m.step.end()
	tty.eventually("no bar is left", func(lines []string) bool {
		return strings.TrimRight(lines[1], " ") == "two" && strings.TrimSpace(lines[2]) == ""
	})
}

// TestBarsOnATerminal has whole commands show their bars and what they say, on a real terminal.
func TestBarsOnATerminal(t *testing.T) {
	cfg := testConfig(t)
	from, to := testbed.Redis(t), testbed.Redis(t)
	fill := from.Client().Pipeline()
	for i := range 1000 {
		fill.Set(t.Context(), fmt.Sprint("key:", i), i, 0)
	}
	if _, err := fill.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
	inStore(t, cfg, "org create --name acme")
	inStore(t, cfg, "instance create --org acme --name cache --url redis://"+from.Addr)
	t.Setenv("TERM", "xterm")
	for _, c := range []struct {
		name, command string
		bars          []string
		want          []string // what lines begin with
	}{
		{"backup", "backup --org acme --instance cache -o " + filepath.Join(t.TempDir(), "file"), []string{"backed up"}, []string{"keys        1000"}},
		{"move", "instance move --org acme --name cache --yes --url redis://" + to.Addr, []string{"copied", "compared in pass 1", "compared in the last pass"},
			[]string{"copying, while clients are served", "copied 1000 keys, ", "pass 1: of 1000 keys 0 had changed, in ", "last pass: of 1000 keys 0 had changed", "switched: ", "moved acme/cache"}},
		{"move back", "instance move --org acme --name cache --yes --replace --url redis://" + from.Addr, []string{"deleted", "copied"},
			[]string{"deleting what the new backend has", "copying, while clients are served", "moved acme/cache"}},
	} {
		tty := newTerminal(t, 120, 40)
		if status := run(t.Context(), strings.Fields(c.command), strings.NewReader(""), tty.side, tty.side); status != 0 {
			t.Fatalf("%s: it ends with %d, %s", c.name, status, &tty.told)
		}
		tty.eventually("the last line is there", func(lines []string) bool { return strings.Contains(strings.Join(lines, "\n"), c.want[len(c.want)-1]) })
		for _, bar := range c.bars {
			if !regexp.MustCompile(`\r` + bar + ` +\d+% \|[^|]*\| \(\d+/1000, \d+ keys/s\) \[\d+s:\d+s\]`).MatchString(tty.told.String()) {
				t.Errorf("%s: there is no bar for %q in\n%q", c.name, bar, &tty.told)
			}
		}
		screen := "\n" + strings.Join(tty.lines(), "\n")
		for _, want := range c.want {
			if !strings.Contains(screen, "\n"+want) {
				t.Errorf("%s: no line begins with %q on the screen\n%s", c.name, want, screen)
			}
		}
		if strings.Contains(screen, "keys/s") {
			t.Errorf("%s: a bar is left on the screen\n%s", c.name, screen)
		}
	}
}
