package metrics

import (
	"math"
	"math/rand/v2"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
)

// TestCells: they are in order, the last is the highest native bucket, and each duration is in
// the first cell that does not end before it.
func TestCells(t *testing.T) {
	if got, want := cells[numCells-1].end, int64(1<<highest*1e9); got != want {
		t.Fatalf("the last cell ends at %d ns, want %d", got, want)
	}
	tried := []int64{math.MinInt64, -1, 0, 1, 511, 512, 953, 954, 1 << 47, 1 << 48, math.MaxInt64}
	for _, c := range cells {
		tried = append(tried, c.end-1, c.end, c.end+1)
	}
	for range 10_000 {
		tried = append(tried, int64(math.Exp2(rand.Float64()*50)))
	}
	for _, d := range tried {
		want := slices.IndexFunc(cells[:], func(c cell) bool { return c.end >= d })
		if want < 0 {
			want = numCells - 1
		}
		if got := cellOf(d); got != want {
			t.Errorf("%d ns: got cell %d, which ends at %d, want %d, which ends at %d", d, got, cells[got].end, want, cells[want].end)
		}
	}
	for i, c := range cells[1:] {
		if c.end <= cells[i].end || c.native < cells[i].native || c.classic < cells[i].classic {
			t.Errorf("cell %d is %+v, after %+v", i+1, c, cells[i])
		}
	}
}

// TestBothKindsOfHistogram: what the Prometheus library makes of the same observations, bucket
// for bucket.
func TestBothKindsOfHistogram(t *testing.T) {
	everywhere := map[time.Duration]int{0: 3}
	for _, c := range cells {
		everywhere[time.Duration(c.end)] = 1 + len(everywhere)%3
		everywhere[time.Duration(c.end-2)] = 2
	}
	for _, tt := range []struct {
		name     string
		observed map[time.Duration]int
	}{
		{"nothing", nil},
		{"no time at all", map[time.Duration]int{0: 7}},
		{"a single one", map[time.Duration]int{time.Millisecond: 1}},
		{"neighbours", map[time.Duration]int{1000 * time.Microsecond: 5, 1100 * time.Microsecond: 2, 1200 * time.Microsecond: 9}},
		{"small gaps", map[time.Duration]int{1000 * time.Microsecond: 5, 1250 * time.Microsecond: 2, 1600 * time.Microsecond: 1}},
		{"far apart", map[time.Duration]int{time.Microsecond: 5, time.Second: 2, time.Hour: 1}},
		{"everywhere", everywhere},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := prometheus.NewHistogram(prometheus.HistogramOpts{
				Name: "x", Buckets: seconds[:], NativeHistogramBucketFactor: 1.1, NativeHistogramZeroThreshold: zeroThreshold,
			})
			var h histogram
			for d, n := range tt.observed {
				h.observe(d, n)
				for range n {
					want.Observe(d.Seconds())
				}
			}
			var sum [numDuration]uint64
			h.addTo(sum[:])
			got, reference := written(t, newDuration(descPhases, sum[:], nil, "a/b", "limit")), written(t, want)
			if got.GetSampleCount() != reference.GetSampleCount() || math.Abs(got.GetSampleSum()-reference.GetSampleSum()) > 1e-6 {
				t.Errorf("got %d of %v s, want %d of %v s", got.GetSampleCount(), got.GetSampleSum(), reference.GetSampleCount(), reference.GetSampleSum())
			}
			if got, want := classicBuckets(got), classicBuckets(reference); !reflect.DeepEqual(got, want) {
				t.Errorf("classic: got %v, want %v", got, want)
			}
			if got.GetSchema() != reference.GetSchema() || got.GetZeroCount() != reference.GetZeroCount() || got.GetZeroThreshold() != reference.GetZeroThreshold() {
				t.Errorf("schema, zero bucket and its threshold: got %d, %d and %v, want %d, %d and %v", got.GetSchema(), got.GetZeroCount(), got.GetZeroThreshold(),
					reference.GetSchema(), reference.GetZeroCount(), reference.GetZeroThreshold())
			}
			if got, want := native(got), native(reference); !reflect.DeepEqual(got, want) {
				t.Errorf("native: got %v, want %v", got, want)
			}
			if len(got.GetPositiveSpan()) == 0 {
				t.Error("there is no span: it is not seen to be native")
			}
		})
	}
}

func written(t testing.TB, m prometheus.Metric) *dto.Histogram {
	t.Helper()
	var out dto.Metric
	if err := m.Write(&out); err != nil {
		t.Fatal(err)
	}
	return out.GetHistogram()
}

func classicBuckets(h *dto.Histogram) map[float64]uint64 {
	counts := map[float64]uint64{}
	for _, b := range h.GetBucket() {
		counts[b.GetUpperBound()] = b.GetCumulativeCount()
	}
	return counts
}

// native returns the native buckets that are not empty, by their number.
func native(h *dto.Histogram) map[int32]int64 {
	counts := map[int32]int64{}
	i, next, n := int32(0), 0, int64(0)
	for _, span := range h.GetPositiveSpan() {
		i += span.GetOffset()
		for range span.GetLength() {
			n += h.GetPositiveDelta()[next]
			if n > 0 {
				counts[i] = n
			}
			next++
			i++
		}
	}
	return counts
}
