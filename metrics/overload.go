package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// Why a client was dropped: the values of the label reason.
const (
	DroppedAuth    = "auth_timeout" // it did not authenticate in time
	DroppedOutput  = "output"       // it does not read its replies
	DroppedTorn    = "torn_reply"   // its backend was lost in the middle of a reply
	DroppedMemory  = "memory"       // it held most when too much was in flight
	DroppedStalled = "stalled"      // it does not take the last of its replies
)

// Why a connection was refused: the values of the label reason.
const (
	RefusedClients     = "max_clients"
	RefusedDescriptors = "descriptors"  // what is left of them is for backends
	RefusedKey         = "key"          // all connections of its key are in use
	RefusedOrg         = "organization" // or all of its organization
	RefusedHTTP        = "http"         // all connections over HTTP are in use
)

// overload is what tells that the process is at its bounds.
type overload struct {
	dropped, refused *prometheus.CounterVec
	acceptErrors     prometheus.Counter
	limit            prometheus.Gauge
	inFlight         prometheus.GaugeFunc
	held             *atomic.Pointer[func() int64] // nil until there is anything to be held
}

func newOverload() overload {
	o := overload{
		dropped: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "respgate_clients_dropped_total", Help: "Clients whose connection respgate has ended against their will.",
		}, []string{"reason"}),
		refused: prometheus.NewCounterVec(prometheus.CounterOpts{
			Name: "respgate_clients_refused_total", Help: "Connections that were refused.",
		}, []string{"reason"}),
		acceptErrors: prometheus.NewCounter(prometheus.CounterOpts{
			Name: "respgate_accept_errors_total", Help: "Failed attempts to accept a connection: it waits in the kernel.",
		}),
		limit: prometheus.NewGauge(prometheus.GaugeOpts{
			Name: "respgate_memory_limit_bytes", Help: "How much may be in flight: beyond it the clients that hold most are dropped.",
		}),
		held: new(atomic.Pointer[func() int64]),
	}
	o.inFlight = prometheus.NewGaugeFunc(prometheus.GaugeOpts{
		Name: "respgate_memory_in_flight_bytes", Help: "Commands and replies that are held until they go on.",
	}, func() float64 {
		if held := o.held.Load(); held != nil {
			return float64((*held)())
		}
		return 0
	})
	for _, reason := range []string{DroppedAuth, DroppedOutput, DroppedTorn, DroppedMemory, DroppedStalled} {
		o.dropped.WithLabelValues(reason)
	}
	for _, reason := range []string{RefusedClients, RefusedDescriptors, RefusedKey, RefusedOrg, RefusedHTTP} {
		o.refused.WithLabelValues(reason)
	}
	return o
}

func (o overload) all() []prometheus.Collector {
	return []prometheus.Collector{o.dropped, o.refused, o.acceptErrors, o.limit, o.inFlight}
}

// Dropped counts a client that was dropped, for one of the Dropped reasons.
func (l *Loop) Dropped(reason string) { l.all.overload.dropped.WithLabelValues(reason).Inc() }

// Refused counts a connection that was refused, for one of the Refused reasons.
func (m *Metrics) Refused(reason string) { m.overload.refused.WithLabelValues(reason).Inc() }

// AcceptFailed counts a failed attempt to accept a connection.
func (m *Metrics) AcceptFailed() { m.overload.acceptErrors.Inc() }

// WatchMemory tells how many bytes may be in flight, and from where a scrape gets how many
// are: held may be called from any goroutine.
func (m *Metrics) WatchMemory(limit int64, held func() int64) {
	m.overload.limit.Set(float64(limit))
	m.overload.held.Store(&held)
}
