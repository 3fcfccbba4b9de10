package proxy

import (
	"context"
	"log/slog"
	"math"
	"strings"
	"testing"

	"github.com/respgate/respgate/tracing"
)

// uncounted counts no spans.
type uncounted struct{}

func (uncounted) Traced(string)            {}
func (uncounted) TraceDropped(string, int) {}

// BenchmarkCommandTracing is BenchmarkSession without tracing, and with it for a share of the
// commands, whose spans nobody takes.
func BenchmarkCommandTracing(b *testing.B) {
	const depth = 16
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 1_000_000_000, "+@all -@admin")
	get, value := "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n", "$64\r\n"+strings.Repeat("v", 64)+"\r\n"
	commands, replies := []byte(strings.Repeat(get, depth)), []byte(strings.Repeat(value, depth))
	for _, c := range []struct {
		name  string
		on    bool
		ratio float64
	}{{"off", false, 0}, {"none", true, 0}, {"1 in 100", true, 0.01}, {"all", true, 1}} {
		b.Run(c.name, func(b *testing.B) {
			d := newDesk(b, st)
			if c.on {
				tracer, err := tracing.New(context.Background(), tracing.Config{
					Endpoint: "http://127.0.0.1:1", Protocol: "http", Sampling: tracing.Sampling{Ratio: c.ratio, Slow: math.MaxInt64}, // the desk's clocks differ
				}, uncounted{}, slog.New(slog.DiscardHandler))
				if err != nil {
					b.Fatal(err)
				}
				defer tracer.Close()
				d.core.Observers = []Observer{tracer.Loop(nil)}
			}
			d.send("AUTH " + key + "\r\n" + get)
			d.reply()
			link := d.session.link
			wire := d.wires[link]
			b.ReportAllocs()
			for b.Loop() {
				d.out, wire.got, d.core.looked = d.out[:0], wire.got[:0], 0 // another turn
				d.session.Data(commands)
				link.Data(replies)
				if len(d.out) != len(replies) {
					b.Fatalf("%d of %d bytes of replies handed out", len(d.out), len(replies))
				}
				d.session.Drained()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*depth), "ns/command")
		})
	}
}
