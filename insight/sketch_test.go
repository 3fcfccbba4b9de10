package insight

import (
	"math/rand/v2"
	"slices"
	"testing"
)

// stream counts a stream of ranks truly, and in so many sketches.
type stream struct {
	truly    map[uint64]uint64
	sketches []*sketch[struct{}]
}

func (s *stream) see(what, n uint64, at int) {
	s.truly[what] += n
	s.sketches[at].add(what, n)
}

// TestTheMostFrequentAreFound: on streams of which few things make up much (Zipf), in one
// sketch and in several that are added up, the ten most frequent are found, and no count is
// further from the truth than is said.
func TestTheMostFrequentAreFound(t *testing.T) {
	for _, c := range []struct {
		name     string
		skew     float64
		sketches int
		weight   uint64
	}{
		{"one sketch", 1.2, 1, 1},
		{"one sketch, steep", 2, 1, 32},
		{"two loops and two minutes", 1.2, 4, 32},
		{"many loops", 1.5, 32, 7},
	} {
		t.Run(c.name, func(t *testing.T) {
			for seed := range uint64(10) {
				r := rand.New(rand.NewPCG(seed, 7))
				zipf := rand.NewZipf(r, c.skew, 1, 1_000_000)
				s := stream{truly: map[uint64]uint64{}}
				for range c.sketches {
					s.sketches = append(s.sketches, new(sketch[struct{}]))
				}
				for range 50_000 {
					s.see(zipf.Uint64(), c.weight, r.IntN(c.sketches))
				}
				s.check(t)
			}
		})
	}
}

// TestWhatIsNotFrequentIsNotTold: where no thing is frequent, none is told.
func TestWhatIsNotFrequentIsNotTold(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	s := stream{truly: map[uint64]uint64{}, sketches: []*sketch[struct{}]{new(sketch[struct{}])}}
	for range 50_000 {
		s.see(r.Uint64N(1_000_000), 1, 0)
	}
	m := s.merged()
	if got := frequent(m, rater{every: 1, seconds: 1}); len(got) != 0 {
		t.Errorf("%d of a million alike are frequent: %v", len(got), got[0])
	}
}

func (s *stream) merged() *merger[struct{}] {
	m := &merger[struct{}]{all: map[uint64]*mergedCount[struct{}]{}}
	for _, one := range s.sketches {
		m.add(one)
	}
	return m
}

func (s *stream) check(t *testing.T) {
	t.Helper()
	m := s.merged()
	for what, c := range m.all {
		total, want := m.total(c), s.truly[what]
		if want > total.all || want < total.all-total.over {
			t.Errorf("%d was counted %d to %d times, truly %d", what, total.all-total.over, total.all, want)
		}
	}
	var byCount []uint64
	for what := range s.truly {
		byCount = append(byCount, what)
	}
	slices.SortFunc(byCount, func(a, b uint64) int { return int(s.truly[b]) - int(s.truly[a]) })
	per := rater{every: 1, seconds: 2}
	told := frequent(m, per)
	for rank, what := range byCount[:10] {
		i := slices.IndexFunc(told, func(r rated[struct{}]) bool { return r.hash == what })
		if i < 0 {
			t.Errorf("number %d, of %d, is not told", rank+1, s.truly[what])
			continue
		}
		if rate := float64(s.truly[what]) / per.seconds; rate < told[i].rate-told[i].off || rate > told[i].rate+told[i].off {
			t.Errorf("number %d has %v per second, told %v ± %v", rank+1, rate, told[i].rate, told[i].off)
		}
	}
}

// TestRatesOfSamples: of commands that are picked at random, the true rate is within the
// error that is told for about nineteen of twenty.
func TestRatesOfSamples(t *testing.T) {
	const every, truth, rounds = 32, 20_000, 1000
	r := rand.New(rand.NewPCG(3, 4))
	within := 0
	for range rounds {
		var c count
		for range truth {
			if r.IntN(every) == 0 {
				c.all += every
			}
		}
		rate, off := rater{every: every, seconds: 1}.rate(c)
		if rate-off <= truth && truth <= rate+off {
			within++
		}
	}
	if within < rounds*93/100 || within > rounds*98/100 {
		t.Errorf("the truth is within the error told %d times of %d, want about 955", within, rounds)
	}
}
