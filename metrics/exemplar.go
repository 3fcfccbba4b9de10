package metrics

import (
	"sync/atomic"
	"time"

	dto "github.com/prometheus/client_model/go"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/types/known/timestamppb"

	"github.com/respgate/respgate/command"
)

// traceLabel is the label of an exemplar.
const traceLabel = "trace_id"

// exemplar is one command of those that a histogram counts, whose trace can be looked up.
type exemplar struct {
	took  time.Duration
	trace string
	at    time.Time
}

// exemplars are the last of each classic bucket.
type exemplars [len(bounds) + 1]atomic.Pointer[exemplar]

// Exemplar names the trace of a command that is counted by Duration, at the time at which it
// ended. The last one of each command and bucket is kept. It is called on the loop.
func (l *Loop) Exemplar(id command.ID, d time.Duration, traceID string, at time.Time) {
	slot := &l.exemplars[top(id)]
	all := slot.Load()
	if all == nil {
		all = new(exemplars)
		slot.Store(all)
	}
	all[cells[cellOf(int64(d))].classic].Store(&exemplar{d, traceID, at})
}

// exemplarsOf returns the last one of each bucket over all loops, nil where there is none.
func (m *Metrics) exemplarsOf(id command.ID) (last [len(bounds) + 1]*exemplar) {
	for _, l := range m.loops {
		if all := l.exemplars[id].Load(); all != nil {
			for i := range all {
				if e := all[i].Load(); e != nil && (last[i] == nil || last[i].at.Before(e.at)) {
					last[i] = e
				}
			}
		}
	}
	return last
}

func (e *exemplar) dto() *dto.Exemplar {
	return &dto.Exemplar{
		Label:     []*dto.LabelPair{{Name: proto.String(traceLabel), Value: proto.String(e.trace)}},
		Value:     proto.Float64(e.took.Seconds()),
		Timestamp: timestamppb.New(e.at),
	}
}
