package pool

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// sink is an owner, a meter and a connection that keep nothing. It has a size, so that two
// are never at the same address.
type sink struct{ _ int }

func (*sink) Replies([]byte, int, bool)       {}
func (*sink) Failed(command.ID, *Error)       {}
func (*sink) Answered(command.ID, int64, int) {}
func (*sink) Waited(int64, int)               {}
func (*sink) Watch() *tenant.Watch {
	return &tenant.Watch{Every: 32, Slow: 10 * time.Millisecond, Failed: true, Big: 16 << 10}
}
func (*sink) Saw(*Sight)                        {}
func (*sink) Refused(Owner, command.ID, []byte) {}
func (*sink) Write([]byte)                      {}
func (*sink) Unsent() int                       { return 0 }
func (*sink) Tail(int) []byte                   { return nil }
func (*sink) Close(error)                       {}

// BenchmarkLink sends a turn's commands of several clients over a link and hands their
// replies out.
func BenchmarkLink(b *testing.B) {
	get, value := "*2\r\n$3\r\nGET\r\n$16\r\nkey:000000000001\r\n", "$64\r\n"+strings.Repeat("v", 64)+"\r\n"
	for _, c := range []struct{ clients, each int }{{1, 1}, {8, 1}, {8, 16}} {
		b.Run(fmt.Sprintf("%d clients, %d each", c.clients, c.each), func(b *testing.B) {
			l, _, _ := newLink()
			l.count(&sink{})
			l.Up(&sink{}, Hello{})
			owners := make([]sink, c.clients)
			raw, parts := []byte(strings.Repeat(get, c.each)), make([]Part, c.each)
			for i := range parts {
				parts[i] = Part{command.Lookup([]byte("get")), len(get)}
			}
			replies := []byte(strings.Repeat(value, c.clients*c.each))
			b.ReportAllocs()
			for b.Loop() {
				for i := range owners {
					if _, err := l.SendAll(&owners[i], raw, parts, 1); err != nil {
						b.Fatal(err)
					}
				}
				if n := l.Data(replies); n != len(replies) {
					b.Fatalf("%d of %d bytes consumed", n, len(replies))
				}
			}
			b.ReportMetric(float64(b.Elapsed().Nanoseconds())/float64(b.N*c.clients*c.each), "ns/command")
		})
	}
}
