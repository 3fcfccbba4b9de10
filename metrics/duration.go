package metrics

import (
	"math"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
)

// durationMetric is a histogram as a scrape has it: classic and native in one. Who asks for
// text gets the classic one.
type durationMetric struct {
	desc      *prometheus.Desc
	labels    []*dto.LabelPair
	histogram *dto.Histogram
}

// Desc implements prometheus.Metric.
func (d *durationMetric) Desc() *prometheus.Desc { return d.desc }

// Write implements prometheus.Metric.
func (d *durationMetric) Write(out *dto.Metric) error {
	out.Label, out.Histogram = d.labels, d.histogram
	return nil
}

// newDuration makes one of what is summed: numDuration counters. Of each classic bucket, the
// last without a bound, last is an example or nil.
func newDuration(as *prometheus.Desc, sum []uint64, last *[len(bounds) + 1]*exemplar, labels ...string) *durationMetric {
	classic := durationsOf(sum)
	h := &dto.Histogram{
		SampleCount:   proto.Uint64(classic.count),
		SampleSum:     proto.Float64(float64(classic.nanos) / 1e9),
		Schema:        proto.Int32(schema),
		ZeroThreshold: proto.Float64(zeroThreshold),
		ZeroCount:     proto.Uint64(sum[0]),
	}
	h.PositiveSpan, h.PositiveDelta = nativeBuckets(sum)
	if len(h.PositiveSpan) == 0 {
		h.PositiveSpan = []*dto.BucketSpan{{Offset: proto.Int32(0), Length: proto.Uint32(0)}} // else it looks like a classic one
	}
	buckets := make([]dto.Bucket, len(classic.buckets))
	h.Bucket = make([]*dto.Bucket, 0, len(buckets))
	below := uint64(0)
	for i := range buckets {
		b := &buckets[i]
		below += classic.buckets[i]
		b.CumulativeCount = proto.Uint64(below)
		if last != nil && last[i] != nil {
			b.Exemplar = last[i].dto()
			h.Exemplars = append(h.Exemplars, b.Exemplar)
		}
		switch {
		case i < len(bounds):
			b.UpperBound = &seconds[i]
		case b.Exemplar != nil: // it is there of itself, but cannot have an example then
			b.UpperBound = proto.Float64(math.Inf(1))
		default:
			continue
		}
		h.Bucket = append(h.Bucket, b)
	}
	return &durationMetric{as, prometheus.MakeLabelPairs(as, labels), h}
}

// nativeBuckets returns the native buckets as they are sent: spans of neighbours, and how much
// each bucket has more than the one before. Gaps of up to two buckets are bridged.
func nativeBuckets(sum []uint64) (spans []*dto.BucketSpan, deltas []int64) {
	next, before := int32(0), int64(0) // of the bucket after the last one
	add := func(n int64) {
		deltas = append(deltas, n-before)
		before = n
	}
	for i := 1; i < numCells; {
		at, n := cells[i].native, int64(0)
		for ; i < numCells && cells[i].native == at; i++ {
			n += int64(sum[i]) //nolint:gosec // it counts
		}
		switch gap := at - next; {
		case n == 0:
			continue
		case len(spans) > 0 && gap <= 2:
			for range gap {
				add(0)
			}
			*spans[len(spans)-1].Length += uint32(gap) + 1 //nolint:gosec // 0 to 2
		default:
			spans = append(spans, &dto.BucketSpan{Offset: proto.Int32(gap), Length: proto.Uint32(1)})
		}
		add(n)
		next = at + 1
	}
	return spans, deltas
}
