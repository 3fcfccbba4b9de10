//go:build linux

package chaos

import (
	"flag"
	"fmt"
	"os"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/rs/zerolog"
)

var (
	longRuns = flag.Int("chaos.runs", 0, "how often each fault comes; 0 is the short form: once, and recovery is not timed strictly")
	results  = flag.String("chaos.results", "", "write the table to this `file`")
	soakTime = flag.Duration("chaos.soak", 2*time.Second, "how long the soak lasts")
)

// recovery is how soon after the backend's own recovery every client is to be served.
const recovery = 2 * time.Second

func TestMain(m *testing.M) {
	flag.Parse()
	zerolog.SetGlobalLevel(zerolog.Disabled) // toxics log to it
	if *longRuns == 0 {
		_ = flag.Set("test.parallel", "12") // they wait more than they work
	}
	code := m.Run()
	if dir, err := buildDir(); err == nil {
		_ = os.RemoveAll(dir)
	}
	os.Exit(code)
}

// TestFaults has everything break under load, again and again.
func TestFaults(t *testing.T) {
	runs, limit, tested := *longRuns, recovery, commit()
	if runs == 0 {
		runs, limit = 1, 20*time.Second
	}
	var mu sync.Mutex
	rows := map[string]row{}
	all := append(slices.Clip(faults), insideFaults...)
	t.Run("faults", func(t *testing.T) {
		for _, f := range all {
			t.Run(f.name, func(t *testing.T) {
				if *longRuns == 0 {
					t.Parallel()
				}
				r := f.run(t, runs, limit)
				mu.Lock()
				defer mu.Unlock()
				rows[f.name] = r
			})
		}
	})
	text := table(all, rows)
	t.Log("\n" + text)
	if *results != "" && !t.Failed() {
		if err := os.WriteFile(*results, []byte(heading(tested)+text), 0o644); err != nil {
			t.Error(err)
		}
	}
}

// run has the fault come so often, and tells how it went.
func (f fault) run(t *testing.T, runs int, limit time.Duration) row {
	s := newSite(t, f.path)
	r := row{}
	for range runs {
		before := s.load.unhappy()
		heal := f.inject(s)
		if f.felt {
			within(t, 20*time.Second, func() bool { return s.load.unhappy() > before },
				func() string { return "a client feels it" })
		}
		pause(t.Context(), f.hold)
		heal()
		at := time.Now()
		s.proven(at, limit)
		if f.well != nil {
			within(t, limit, func() bool { return f.well(s) }, func() string { return "all is well again" })
		}
		r.runs++
		r.recovery = max(r.recovery, time.Since(at))
	}
	found := s.check()
	for o, n := range map[outcome]*int64{acked: &r.acked, refused: &r.refused, unknown: &r.unknown} {
		*n = s.load.total(o)
	}
	r.found = tally(found)
	if len(found) > 0 {
		t.Errorf("%s:%s", summary(r.found), firstOf(found))
	}
	s.load.expect(t, "the tenant", f.told)
	s.bystander.expect(t, "another tenant", f.elsewhere)
	s.noLeaks()
	return r
}

// TestTheCheckerSeesTricks has a middleman do what must never happen, and wants it noticed.
func TestTheCheckerSeesTricks(t *testing.T) {
	for _, c := range []struct {
		name  string
		trick trick
		want  breach
	}{
		{"a write that reaches Redis twice", duplicate, doubled},
		{"two replies that change places", exchange, misdelivered},
	} {
		t.Run(c.name, func(t *testing.T) {
			if *longRuns == 0 {
				t.Parallel()
			}
			s := newSite(t, byMiddle)
			s.middle.play(c.trick, 1)
			within(t, 20*time.Second, s.middle.played, func() string { return "the trick is played" })
			s.proven(time.Now(), 20*time.Second)
			if found := s.check(); tally(found)[c.want] == 0 {
				t.Errorf("a middleman's trick was not noticed, want %q:%s", c.want, firstOf(found))
			}
		})
	}
}

// row is what a line of the table says.
type row struct {
	runs                    int
	acked, refused, unknown int64
	found                   map[breach]int
	recovery                time.Duration // the longest
}

func (r row) String() string {
	other := 0
	for b, n := range r.found {
		if b != lost && b != doubled && b != misdelivered {
			other += n
		}
	}
	return fmt.Sprintf("%d | %d | %d | %d | %d | %d | %d | %d | %.2f s", r.runs, r.acked+r.refused+r.unknown, r.found[lost],
		r.found[doubled], r.found[misdelivered], other, r.unknown, r.refused, r.recovery.Seconds())
}
