package main

import (
	"context"
	"errors"
	"os"
	"slices"
	"time"

	tea "charm.land/bubbletea/v2"
	"github.com/charmbracelet/colorprofile"

	"github.com/respgate/respgate/admin/control"
)

// watchTop shows the screen until its user leaves or ctx ends. The terminal is then as it was.
func watchTop(ctx context.Context, s topScreen, in, out *os.File) error {
	options := []tea.ProgramOption{tea.WithContext(ctx), tea.WithInput(in), tea.WithOutput(out), tea.WithoutSignalHandler()}
	if os.Getenv("NO_COLOR") != "" { // whatever it says: https://no-color.org
		options = append(options, tea.WithColorProfile(colorprofile.ASCII))
	}
	_, err := tea.NewProgram(s, options...).Run()
	if errors.Is(err, tea.ErrProgramKilled) && ctx.Err() != nil {
		return nil // a signal: as good as q
	}
	return err
}

// topScreen is what `respgate top` shows: a table of tenants, or what stands out of one. It
// is changed by Update only, which does nothing else.
type topScreen struct {
	source   topSource
	interval time.Duration

	order    control.Order
	tenants  control.TopTenants
	selected string   // the label of a tenant; it stays selected where it goes
	page     *topPage // of that tenant; nil: the table is shown
	scrolled int      // lines of the page
	err      error    // of the last look, if that failed: what is shown is older

	width, height int
	turn          int // grows when something else is to be shown: what was asked for before is too late
}

func newTopScreen(source topSource, first control.TopTenants, order control.Order, interval time.Duration) topScreen {
	s := topScreen{source: source, order: order, interval: interval, width: 80, height: 24}
	s.take(first)
	return s
}

type (
	// topLook is that it is time to look again.
	topLook struct{ turn int }
	// topFound is what was found.
	topFound struct {
		turn    int
		tenants control.TopTenants
		page    *topPage // nil: the table is shown
		err     error
	}
)

// Init implements tea.Model.
func (s topScreen) Init() tea.Cmd { return s.wait() }

// wait has it look again after a while.
func (s topScreen) wait() tea.Cmd {
	turn := s.turn
	return tea.Tick(s.interval, func(time.Time) tea.Msg { return topLook{turn} })
}

// look has it look for what is to be shown.
func (s topScreen) look() tea.Cmd {
	turn, source, order := s.turn, s.source, s.order
	page := s.page
	return func() tea.Msg {
		found := topFound{turn: turn}
		if found.tenants, found.err = source.tenants(order); found.err == nil && page != nil {
			var now topPage
			now, found.err = source.instance(page.org, page.name)
			found.page = &now
		}
		return found
	}
}

// Update implements tea.Model.
func (s topScreen) Update(msg tea.Msg) (tea.Model, tea.Cmd) {
	switch msg := msg.(type) {
	case tea.WindowSizeMsg:
		s.width, s.height = msg.Width, msg.Height
	case topLook:
		if msg.turn == s.turn {
			return s, s.look()
		}
	case topFound:
		if msg.turn != s.turn {
			return s, nil
		}
		if s.err = msg.err; s.err == nil {
			s.take(msg.tenants)
			s.page = msg.page
		}
		return s, s.wait()
	case tea.KeyPressMsg:
		return s.press(msg.String())
	}
	return s, nil
}

// take takes the newest figures of tenants over.
func (s *topScreen) take(tenants control.TopTenants) {
	was := s.at()
	s.tenants = tenants
	if s.at() < 0 && len(tenants.Tenants) > 0 {
		s.selectRow(was)
	}
}

// at is which row is selected; -1 is none.
func (s *topScreen) at() int {
	return slices.IndexFunc(s.tenants.Tenants, func(r control.TenantRow) bool { return r.Org+"/"+r.Instance == s.selected })
}

// selectRow selects a row, or the nearest that there is.
func (s *topScreen) selectRow(i int) {
	if rows := s.tenants.Tenants; len(rows) > 0 {
		r := rows[min(max(i, 0), len(rows)-1)]
		s.selected = r.Org + "/" + r.Instance
	}
}

// topSorts are the orders that have a key of their own.
var topSorts = map[string]control.Order{"1": control.ByRate, "2": control.ByLatency, "3": control.ByErrors, "4": control.ByLimited}

// topMoves are how far keys go; the greatest are to the ends.
var topMoves = map[string]int{"up": -1, "k": -1, "down": 1, "j": 1, "pgup": -10, "pgdown": 10, "home": -topTenants, "g": -topTenants, "end": topTenants, "G": topTenants}

// press does what a key says.
func (s topScreen) press(key string) (tea.Model, tea.Cmd) {
	move, moves := topMoves[key]
	order, sorts := topSorts[key]
	switch {
	case key == "q", key == "ctrl+c":
		return s, tea.Quit
	case s.page != nil && moves:
		s.scrolled = min(max(s.scrolled+move, 0), max(len(s.pageLines())-s.room(), 0))
	case moves:
		s.selectRow(s.at() + move)
	case s.page != nil && (key == "esc" || key == "backspace" || key == "left"):
		s.page, s.scrolled = nil, 0
		return s.anew()
	case s.page != nil:
	case sorts:
		s.order = order
		return s.anew()
	case key == "s":
		all := control.Orders()
		s.order = all[(slices.Index(all, s.order)+1)%len(all)]
		return s.anew()
	case key == "enter" || key == "right":
		if i := s.at(); i >= 0 {
			s.page = &topPage{org: s.tenants.Tenants[i].Org, name: s.tenants.Tenants[i].Instance}
			return s.anew()
		}
	}
	return s, nil
}

// anew looks for something else than before, at once.
func (s topScreen) anew() (tea.Model, tea.Cmd) {
	s.turn++
	s.err = nil
	return s, s.look()
}
