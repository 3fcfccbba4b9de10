package main

import (
	"errors"
	"log/slog"
	"math"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/respgate/respgate/metrics"

	"github.com/respgate/respgate/internal/testbed"
)

// failing is a listener that has no descriptors for a while.
type failing struct {
	net.Listener
	failures int
	failed   func() // is told of each
}

func (f *failing) Accept() (net.Conn, error) {
	if f.failures > 0 {
		f.failures--
		f.failed()
		return nil, &net.OpError{Op: "accept", Err: syscall.EMFILE}
	}
	return nil, net.ErrClosed
}

// TestAcceptWaitsForDescriptors has a listener fail several times in a row: it is asked
// again less and less often, and the log tells of it once.
func TestAcceptWaitsForDescriptors(t *testing.T) {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer ln.Close()
	reg := prometheus.NewPedanticRegistry()
	m, err := metrics.New(reg, 1, "", "")
	if err != nil {
		t.Fatal(err)
	}
	log := &testbed.Buffer{}
	d := &dataPlane{log: slog.New(slog.NewTextHandler(log, nil)), metrics: m}
	var at []time.Time
	const failures = 5
	d.accept(t.Context(), &failing{ln, failures, func() { at = append(at, time.Now()) }}, nil)
	pause := minAcceptPause
	for i := 1; i < len(at); i++ {
		if got := at[i].Sub(at[i-1]); got < pause {
			t.Errorf("it was asked again after %v, want %v at least", got, pause)
		}
		pause *= 2
	}
	if n := strings.Count(log.String(), "too many open files"); n != 1 {
		t.Errorf("the log tells of it %d times, want once:\n%s", n, log)
	}
	families, err := reg.Gather()
	if err != nil {
		t.Fatal(err)
	}
	counted := 0.0
	for _, f := range families {
		if f.GetName() == "respgate_accept_errors_total" {
			counted = f.GetMetric()[0].GetCounter().GetValue()
		}
	}
	if counted != failures {
		t.Errorf("%v failures are counted, want %d", counted, failures)
	}
}

func TestSpell(t *testing.T) {
	var s spell
	start := time.Unix(1000, 0)
	for i, step := range []struct {
		after time.Duration // since the start; negative: it ends
		want  bool
	}{
		{-1, false},
		{0, true}, {time.Second, false},
		{-1, true}, {-1, false},
		{2 * time.Second, false}, {-1, false}, // too early to tell again
		{tellSpells, true}, {-1, true},
	} {
		got := false
		if step.after < 0 {
			got = s.ends()
		} else {
			got = s.begins(start.Add(step.after))
		}
		if got != step.want {
			t.Errorf("step %d: told %v, want %v", i, got, step.want)
		}
	}
}

func TestMemoryBound(t *testing.T) {
	for _, c := range []struct {
		name              string
		configured, there int64
		want              int64
	}{
		{"as configured", 100 << 20, 1 << 30, 100 << 20},
		{"half of what there is", 0, 1 << 30, 512 << 20},
		{"nobody knows", 0, 0, unknownMemory},
	} {
		if got := (LimitsConfig{MemoryBytes: c.configured}).memoryBound(c.there); got != c.want {
			t.Errorf("%s: %d, want %d", c.name, got, c.want)
		}
	}
}

func TestResourceWarnings(t *testing.T) {
	for _, c := range []struct {
		name   string
		has    resources
		limits LimitsConfig
		want   string
	}{
		{"enough", resources{memory: 1 << 30, files: 20_000}, LimitsConfig{MaxClients: 10_000, MemoryBytes: 1 << 29}, ""},
		{"nothing is known", resources{files: math.MaxInt}, LimitsConfig{MaxClients: 10_000, MemoryBytes: 1 << 29}, ""},
		{"few descriptors", resources{files: 1024}, LimitsConfig{MaxClients: 10_000},
			"limits.max_clients is 10000, but with 1024 descriptors (ulimit -n), of which 176 are kept for backends, at most 848 clients are served"},
		{"very few", resources{files: 40}, LimitsConfig{MaxClients: 30},
			"limits.max_clients is 30, but with 40 descriptors (ulimit -n), of which 20 are kept for backends, at most 20 clients are served"},
		{"little memory", resources{memory: 1 << 20, files: 20_000}, LimitsConfig{MaxClients: 1, MemoryBytes: 1 << 29},
			"limits.memory_bytes is 536870912, but there are only 1048576 bytes of memory"},
	} {
		if got := strings.Join(c.has.warnings(c.limits), "; "); got != c.want {
			t.Errorf("%s: %q, want %q", c.name, got, c.want)
		}
	}
}

func TestLeastMemoryBytes(t *testing.T) {
	t.Setenv("RESPGATE_CONFIG", "")
	for value, want := range map[string]error{"0": nil, "16MiB": nil, "1MiB": errors.New("limits.memory_bytes: want 0, or 16MiB or more, got 1048576 bytes")} {
		t.Setenv("RESPGATE_LIMITS_MEMORY_BYTES", value)
		if _, err := loadConfig(""); (err == nil) != (want == nil) || err != nil && err.Error() != want.Error() {
			t.Errorf("%s: %v, want %v", value, err, want)
		}
	}
}
