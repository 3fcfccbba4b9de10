package tracing

import (
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/internal/testbed/otlp"
	"github.com/respgate/respgate/tenant"
)

// TestReason: the ratio's share of those picked at random whoever they were picked for, and
// all that failed or were slow, up to the bound.
func TestReason(t *testing.T) {
	const n = 20_000
	const chance, slow, failed, big = tenant.WhySampled, tenant.WhySlow, tenant.WhyFailed, tenant.WhyBig
	for name, c := range map[string]struct {
		ratio       float64
		why         tenant.Why
		every       int
		took        time.Duration
		reason      string
		least, most int // of n
	}{
		"all":                            {1, chance, 1, 0, reasonRatio, n, n},
		"all of those for us":            {0.01, chance, 100, 0, reasonRatio, n, n},
		"a third of those for others":    {0.01, chance, 32, 0, reasonRatio, n * 28 / 100, n * 36 / 100},
		"none of those for others":       {0, chance, 32, 0, "", 0, 0},
		"big, for others":                {1, big, 1, 0, "", 0, 0},
		"failed":                         {0, failed, 0, 0, reasonFailed, perSecond, perSecond},
		"failed, and traced in any case": {1, failed | chance, 1, 0, reasonRatio, n, n},
		"slow":                           {0, slow, 0, time.Second, reasonSlow, perSecond, perSecond},
		"slow and failed":                {0, failed | slow, 0, time.Second, reasonFailed, perSecond, perSecond},
		"not slow enough for us":         {0, slow, 0, time.Second - 1, "", 0, 0},
		"it has waited on purpose":       {0, big, 0, time.Minute, "", 0, 0},
	} {
		t.Run(name, func(t *testing.T) {
			tracer, heard := open(t, Config{Endpoint: "http://127.0.0.1:1", Protocol: "grpc", Sampling: Sampling{Ratio: c.ratio, Slow: time.Second}}, nil)
			l := tracer.Loop(nil)
			o := get
			o.Why, o.Every, o.Took = c.why, c.every, c.took
			got := 0
			for range n {
				reason := l.reason(&o)
				if reason == "" {
					continue
				}
				got++
				if reason != c.reason {
					t.Fatalf("one is traced for %q, want %q", reason, c.reason)
				}
			}
			if got < c.least || got > c.most {
				t.Errorf("%d of %d, want %d to %d", got, n, c.least, c.most)
			}
			dropped := heard.take()["-"+dropRate]
			if bounded := c.most == perSecond; bounded && dropped != n-got || !bounded && dropped != 0 {
				t.Errorf("%d dropped, %d traced of %d", dropped, got, n)
			}
			o.At = o.At.Add(time.Second)
			if c.most == perSecond && l.reason(&o) == "" {
				t.Error("none is traced in the next second")
			}
		})
	}
}

// TestReceiverAway: whoever hands spans over never waits; what the receiver does not take is
// dropped and counted, told of once, and the end is bounded.
func TestReceiverAway(t *testing.T) {
	const n = 3 * maxQueued
	for _, protocol := range otlp.Protocols {
		for name, c := range map[string]struct {
			url  func(t *testing.T) string
			most int // that are made
		}{
			"refuses": {func(t *testing.T) string { return "http://" + testbed.FreeAddr(t) }, n},
			"hangs":   {func(t *testing.T) string { r := otlp.Receive(t, protocol); r.Hang(); return r.URL }, maxQueued},
		} {
			t.Run(protocol+" "+name, func(t *testing.T) {
				var log testbed.Buffer
				tracer, heard := open(t, Config{Endpoint: c.url(t), Protocol: protocol, Sampling: Sampling{Ratio: 1}}, slog.New(slog.NewTextHandler(&log, nil)))
				l := tracer.Loop(nil)
				for range n {
					show(l)
				}
				began := time.Now()
				tracer.Close()
				if took := time.Since(began); took > 10*flushTimeout {
					t.Errorf("the end takes %v", took)
				}
				got := heard.take()
				if got[reasonRatio]+got["-"+dropQueue] != n || got["-"+dropExport] != got[reasonRatio] || got[reasonRatio] > c.most {
					t.Errorf("of %d counted were %v", n, got)
				}
				if said := strings.Count(log.String(), "spans cannot be exported"); said != 1 {
					t.Errorf("that was told %d times:\n%s", said, log.String())
				}
			})
		}
	}
}

// TestClientsDoNotRead: the spans that wait for clients are bounded.
func TestClientsDoNotRead(t *testing.T) {
	tracer, heard := open(t, Config{Endpoint: "http://127.0.0.1:1", Protocol: "grpc", Sampling: Sampling{Ratio: 1}}, nil)
	l := tracer.Loop(nil)
	o := get
	o.Why, o.Every = tenant.WhySampled, 1
	var waiting []func(time.Time)
	for range maxOpen + 5 {
		if written := l.Saw(&o); written != nil {
			waiting = append(waiting, written)
		}
	}
	if made := heard.take()[reasonRatio]; len(waiting) != maxOpen || made != 5 {
		t.Errorf("%d wait and %d do not, want %d and 5", len(waiting), made, maxOpen)
	}
	for _, written := range waiting {
		written(o.At)
	}
	if l.open != 0 || l.Saw(&o) == nil {
		t.Errorf("%d spans are open when the clients have read", l.open)
	}
}

// TestPlacesComeBack: what is exported makes room for more.
func TestPlacesComeBack(t *testing.T) {
	r := otlp.Receive(t, "http")
	tracer, heard := open(t, Config{Endpoint: r.URL, Protocol: "http", Sampling: Sampling{Ratio: 1}}, nil)
	l := tracer.Loop(nil)
	for range 3 {
		for range maxQueued {
			show(l)
		}
		testbed.Eventually(t, "the queue is empty", func() bool { return tracer.queue.waiting.Load() == 0 })
	}
	if got := len(r.Spans()); got != 3*maxQueued {
		t.Errorf("%d of %d spans have arrived, counted were %v", got, 3*maxQueued, heard.take())
	}
}

// TestClose exports what waits.
func TestClose(t *testing.T) {
	for _, protocol := range otlp.Protocols {
		t.Run(protocol, func(t *testing.T) {
			r := otlp.Receive(t, protocol)
			tracer, heard := open(t, Config{Endpoint: r.URL, Protocol: protocol, Sampling: Sampling{Ratio: 1}}, nil)
			l := tracer.Loop(nil)
			const n = maxBatch + 100
			for range n {
				show(l)
			}
			tracer.Close()
			if got := len(r.Spans()); got != n {
				t.Errorf("%d of %d have arrived when it has ended: %v", got, n, heard.take())
			}
		})
	}
}
