//go:build linux

package chaos

import (
	"fmt"
	"slices"
	"testing"
	"time"
)

// sample is what the proxy uses at one time, under load.
type sample struct{ resident, heap, goroutines, files float64 }

const mib = 1 << 20

func (s sample) String() string {
	return fmt.Sprintf("resident %.1f MiB, heap %.1f MiB, %.0f goroutines, %.0f descriptors", s.resident/mib, s.heap/mib, s.goroutines, s.files)
}

func (p *proxy) sample() (sample, error) {
	f, err := p.metrics()
	return sample{
		f.sum("process_resident_memory_bytes"), f.sum("go_memstats_heap_inuse_bytes"), f.sum("go_goroutines"), f.sum("process_open_fds"),
	}, err
}

// TestSoak has clients come, work and leave in shifts, while others vanish in the middle of
// what they do. What each shift was told is checked, and what the proxy uses stays as it is.
func TestSoak(t *testing.T) {
	if *longRuns == 0 {
		t.Parallel()
	}
	build, shift := built, min(time.Minute, *soakTime/4)
	if *soakTime >= time.Minute {
		build = builtPlain // the race detector's memory is not what is asked about
	}
	binary, err := build()
	if err != nil {
		t.Fatal(err)
	}
	s := openSite(t, direct, binary)
	var samples []sample
	begun, commands := time.Now(), int64(0)
	for first := 0; time.Since(begun) < *soakTime; first += 10 {
		s.startLoads(first)
		s.proven(time.Now(), 20*time.Second)
		enough := vanish(s)
		pause(t.Context(), shift)
		now, err := s.proxy.sample()
		if err != nil {
			t.Fatal(err)
		}
		samples = append(samples, now)
		enough()
		if found := s.check(); len(found) > 0 {
			t.Fatalf("after %v:%s", time.Since(begun), firstOf(found))
		}
		s.load.expect(t, "a client", nothing)
		s.bystander.expect(t, "another tenant", nothing)
		commands += s.load.total(acked) + s.bystander.total(acked)
		t.Logf("%8v: %d commands, %v", time.Since(begun).Round(time.Second), commands, now)
		for _, ctl := range s.ctls() {
			if err := ctl.FlushAll(t.Context()).Err(); err != nil {
				t.Fatal(err)
			}
		}
	}
	s.noLeaks()
	if quarter := len(samples) / 4; *soakTime >= 2*time.Minute {
		flat(t, samples[quarter:2*quarter], samples[len(samples)-quarter:])
	}
}

// flat complains when what is used at the end is clearly more than when all was warm: a
// tenth, which is how much it moves by itself, and a little.
func flat(t *testing.T, warm, end []sample) {
	t.Helper()
	for name, c := range map[string]struct {
		of     func(sample) float64
		little float64
	}{
		"resident memory": {func(s sample) float64 { return s.resident }, 4 * mib},
		"heap":            {func(s sample) float64 { return s.heap }, 4 * mib},
		"goroutines":      {func(s sample) float64 { return s.goroutines }, 8},
		"descriptors":     {func(s sample) float64 { return s.files }, 16},
	} {
		before, after := median(warm, c.of), median(end, c.of)
		if after > before*1.1+c.little {
			t.Errorf("%s grows: %.0f when warm, %.0f at the end", name, before, after)
		}
	}
}

func median(samples []sample, of func(sample) float64) float64 {
	values := make([]float64, 0, len(samples))
	for _, s := range samples {
		values = append(values, of(s))
	}
	slices.Sort(values)
	return values[len(values)/2]
}
