package proxy

import (
	"fmt"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// BenchmarkSession takes commands through a session and a link and their replies back,
// with policy, limit and metrics, without sockets: all that respgate itself does.
func BenchmarkSession(b *testing.B) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 1_000_000_000, "+@all -@admin")
	get, value := "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n", "$64\r\n"+strings.Repeat("v", 64)+"\r\n"
	for _, depth := range []int{1, 16, 64} {
		b.Run(fmt.Sprintf("pipeline %d", depth), func(b *testing.B) {
			d := newDesk(b, st)
			d.core.Observers = []Observer{busy{}}
			d.send("AUTH " + key + "\r\n" + get)
			d.reply()
			commands, replies := []byte(strings.Repeat(get, depth)), []byte(strings.Repeat(value, depth))
			link := d.session.link
			wire := d.wires[link]
			b.ReportAllocs()
			for b.Loop() {
				d.out, wire.got, d.core.looked = d.out[:0], wire.got[:0], 0 // another turn
				if n := d.session.Data(commands); n != len(commands) {
					b.Fatalf("%d of %d bytes consumed", n, len(commands))
				}
				if n := link.Data(replies); n != len(replies) || len(d.out) != n {
					b.Fatalf("%d of %d bytes of replies consumed, %d handed out", n, len(replies), len(d.out))
				}
				d.session.Drained()
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*depth), "ns/command")
		})
	}
}

// busy is an observer that wants to see what those of a proxy want.
type busy struct{}

func (busy) Watch(*tenant.Route) tenant.Watch {
	return tenant.Watch{Every: 32, Slow: math.MaxInt64, Failed: true, Big: 16 << 10} // the desk's clocks differ
}

func (busy) Saw(*tenant.Observed) func(time.Time) { return nil }
