package main

import (
	"image/color"
	"io"
	"os"
	"reflect"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/charmbracelet/x/term"
	"github.com/charmbracelet/x/vt"
	"github.com/creack/pty"

	"github.com/respgate/respgate/internal/testbed"
)

// terminal is what a user looks at and types into.
type terminal struct {
	t          *testing.T
	keys, side *os.File // the user's side, and the program's

	mu     sync.Mutex
	screen *vt.Emulator
	told   testbed.Buffer // all that the program has printed
}

func newTerminal(t *testing.T, width, height int) *terminal {
	t.Helper()
	keys, side, err := pty.Open()
	if err != nil {
		t.Fatal(err)
	}
	x := &terminal{t: t, keys: keys, side: side, screen: vt.NewEmulator(width, height)}
	x.resize(width, height)
	var running sync.WaitGroup
	running.Go(func() { // what the program asks the terminal, it answers
		_, _ = io.Copy(keys, x.screen)
	})
	running.Go(func() {
		b := make([]byte, 4096)
		for {
			n, err := keys.Read(b)
			if err != nil {
				return
			}
			_, _ = x.told.Write(b[:n])
			x.mu.Lock()
			_, _ = x.screen.Write(b[:n])
			x.mu.Unlock()
		}
	})
	t.Cleanup(func() {
		_ = side.Close()
		_ = x.screen.InputPipe().(io.Closer).Close() // its own Close may not be called beside Read
		_ = keys.Close()
		running.Wait()
	})
	return x
}

func (x *terminal) resize(width, height int) {
	x.t.Helper()
	x.mu.Lock()
	defer x.mu.Unlock()
	x.screen.Resize(width, height)
	if err := pty.Setsize(x.keys, &pty.Winsize{Rows: uint16(height), Cols: uint16(width)}); err != nil {
		x.t.Fatal(err)
	}
	if err := syscall.Kill(os.Getpid(), syscall.SIGWINCH); err != nil { // the kernel tells the terminal's own processes
		x.t.Fatal(err)
	}
}

func (x *terminal) lines() []string {
	x.mu.Lock()
	defer x.mu.Unlock()
	return strings.Split(x.screen.String(), "\n")
}

// colour is one that is on the screen; nil: there is none.
func (x *terminal) colour() color.Color {
	x.mu.Lock()
	defer x.mu.Unlock()
	for row := range x.screen.Height() {
		for col := range x.screen.Width() {
			if cell := x.screen.CellAt(col, row); cell != nil && cell.Style.Fg != nil {
				return cell.Style.Fg
			}
		}
	}
	return nil
}

func (x *terminal) press(keys string) {
	x.t.Helper()
	if _, err := x.keys.WriteString(keys); err != nil {
		x.t.Fatal(err)
	}
}

// eventually waits until the screen is as it should be.
func (x *terminal) eventually(what string, ok func(lines []string) bool) {
	x.t.Helper()
	defer func() {
		if x.t.Failed() {
			x.t.Logf("the screen:\n%s", strings.Join(x.lines(), "\n"))
		}
	}()
	testbed.Eventually(x.t, what, func() bool { return ok(x.lines()) })
}

// TestTopOnADumbTerminal, which can do nothing but print, is one table.
func TestTopOnADumbTerminal(t *testing.T) {
	x := newTopTest(t, testConfig(t))
	t.Setenv("RESPGATE_SERVER", "http://"+x.http)
	t.Setenv("RESPGATE_TOKEN", x.operator.token)
	t.Setenv("TERM", "dumb")
	tty := newTerminal(t, 100, 40)
	var stderr testbed.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(t.Context(), []string{"top"}, tty.side, tty.side, &stderr) }()
	select {
	case status := <-ended:
		if status != 0 || stderr.String() != "" {
			t.Errorf("it ends with %d, %s", status, &stderr)
		}
	case <-time.After(testbed.Patience):
		t.Fatal("it does not end by itself")
	}
	tty.eventually("the table is there", func(lines []string) bool { return strings.HasPrefix(lines[0], "TENANT ") })
}

// TestTopInATerminal: on a real terminal, of a real proxy under load, the busiest tenant comes
// first, others when they are sorted otherwise; what one does can be looked at; and the
// terminal is as it was afterwards.
func TestTopInATerminal(t *testing.T) {
	x := newTopTest(t, testConfig(t))
	x.load(t)
	t.Setenv("RESPGATE_SERVER", "http://"+x.http)
	t.Setenv("RESPGATE_TOKEN", x.operator.token)
	t.Setenv("TERM", "xterm-256color")
	t.Setenv("NO_COLOR", "please")
	tty := newTerminal(t, 100, 40)
	before, err := term.GetState(tty.side.Fd())
	if err != nil {
		t.Fatal(err)
	}
	var stderr testbed.Buffer
	ended := make(chan int, 1)
	go func() { ended <- run(t.Context(), []string{"top", "--interval", "1s"}, tty.side, tty.side, &stderr) }()

	first := func(label string) func([]string) bool {
		return func(lines []string) bool {
			return len(lines) > 3 && strings.HasPrefix(lines[0], "respgate top: 2 tenants by ") && strings.HasPrefix(lines[1], "  TENANT") && strings.HasPrefix(strings.TrimLeft(lines[2], "> "), label+" ")
		}
	}
	tty.eventually("the busiest comes first", first("acme/cache"))
	if colour := tty.colour(); colour != nil {
		t.Errorf("there is the colour %v with NO_COLOR", colour)
	}
	tty.press("3")
	tty.eventually("the one with the most errors comes first", first("globex/cache"))
	tty.press("1")
	tty.eventually("the busiest comes first again", first("acme/cache"))
	tty.press("g\r")
	tty.eventually("what acme does is shown", func(lines []string) bool {
		text := strings.Join(lines, "\n")
		hot := slices.ContainsFunc(lines, func(line string) bool { return strings.HasSuffix(strings.TrimRight(line, " "), "  hot") })
		return strings.HasPrefix(lines[0], "respgate top: acme/cache at proxy") && strings.Contains(text, "incr") && hot && strings.Contains(text, "noisy")
	})
	tty.press("\x1b")
	tty.eventually("the table is back", first("acme/cache"))
	tty.resize(60, 6)
	tty.eventually("it fits a small terminal", func(lines []string) bool {
		return len(lines) == 6 && first("acme/cache")(lines) && strings.HasPrefix(lines[5], "q quit")
	})
	tty.press("q")
	select {
	case status := <-ended:
		if status != 0 || stderr.String() != "" {
			t.Errorf("it ends with %d, %s", status, &stderr)
		}
	case <-time.After(testbed.Patience):
		t.Fatal("q does not leave")
	}
	after, err := term.GetState(tty.side.Fd())
	if err != nil || !reflect.DeepEqual(after, before) {
		t.Errorf("the terminal's modes are %+v, %v, want %+v as before", after, err, before)
	}
	tty.eventually("the screen is what it was before", func(lines []string) bool {
		tty.mu.Lock()
		defer tty.mu.Unlock()
		return !tty.screen.IsAltScreen() && !tty.screen.CursorHidden() && strings.TrimSpace(strings.Join(lines, "")) == ""
	})
}
