package loop

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"net"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// holder keeps what it is sent.
type holder struct {
	conn   *Conn
	closed chan struct{}
}

func (h *holder) Data(b []byte) int {
	if len(b) == 0 {
		h.conn.Close(nil)
	}
	return 0
}
func (h *holder) Drained()     {}
func (h *holder) Closed(error) { close(h.closed) }

// startAccounted runs loops with one account.
func startAccounted(t *testing.T, loops int, bound int64) (*Account, []*Loop) {
	t.Helper()
	a := NewAccount(bound)
	var all []*Loop
	for range loops {
		l, err := New(slog.New(slog.DiscardHandler))
		if err != nil {
			t.Fatal(err)
		}
		a.Add(l)
		done := make(chan struct{})
		go func() { l.Run(); close(done) }()
		t.Cleanup(func() { l.Stop(); <-done })
		all = append(all, l)
	}
	return a, all
}

// attachHolder has a loop serve one end of a connection and returns it and the other end.
func attachHolder(t *testing.T, l *Loop, pair func(testing.TB) (client, server net.Conn)) (net.Conn, *holder) {
	client, server := pair(t)
	h := &holder{closed: make(chan struct{})}
	opened := make(chan struct{})
	l.Attach(server, func(c *Conn) Handler { h.conn = c; close(opened); return h })
	<-opened
	return client, h
}

func TestAccountOfInput(t *testing.T) {
	for name, pair := range transports {
		for _, size := range []int{1, 3 * chunkSize, 5 << 20} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, size), func(t *testing.T) {
				a, loops := startAccounted(t, 2, 1<<20)
				client, h := attachHolder(t, loops[1], pair)
				if _, err := client.Write(make([]byte, size)); err != nil {
					t.Fatal(err)
				}
				var held int
				testbed.Eventually(t, "all has been received", func() bool {
					loops[1].Do(func() { held = h.conn.Held() })
					return held >= size
				})
				if got := a.Held(); got < int64(held-tellEvery) || got > int64(held+tellEvery) {
					t.Errorf("the account says %d while the connection holds %d", got, held)
				}
				over := false
				select {
				case <-a.Over():
					over = true
				default:
				}
				if want := size > 1<<20; over != want {
					t.Errorf("over the bound of 1 MiB: %v, want %v", over, want)
				}
				client.Close()
				<-h.closed
				loops[1].Do(func() {}) // the turn has ended
				if got := a.Held(); got != 0 {
					t.Errorf("%d bytes are left on the account", got)
				}
			})
		}
	}
}

func TestAccountOfOutput(t *testing.T) {
	for name, pair := range transports {
		t.Run(name, func(t *testing.T) {
			const size = 20 << 20
			a, loops := startAccounted(t, 1, 1<<30)
			client, h := attachHolder(t, loops[0], pair)
			if tls, ok := client.(interface{ Handshake() error }); ok {
				if err := tls.Handshake(); err != nil {
					t.Fatal(err)
				}
			}
			loops[0].Do(func() { h.conn.Write(make([]byte, size)) })
			loops[0].Do(func() {}) // that turn is over
			if got := a.Held(); got < size/4 || got > 2*size {
				t.Errorf("the account says %d, want the %d bytes but for what the kernel has taken", got, size)
			}
			if _, err := io.CopyN(io.Discard, client, size); err != nil {
				t.Fatal(err)
			}
			testbed.Within(t, 10*time.Second, "nothing is left on the account", func() bool { return a.Held() == 0 })
		})
	}
}

func TestAccountOfWhatHandlersHold(t *testing.T) {
	a, loops := startAccounted(t, 1, 1000)
	for _, step := range []struct{ add, want, room int64 }{{tellEvery, tellEvery, 0}, {10, tellEvery, 0}, {-tellEvery - 10, 0, 1000}} {
		loops[0].Do(func() { loops[0].Hold(int(step.add)) })
		loops[0].Do(func() {})
		if got := a.Held(); got != step.want || a.Room() != step.room {
			t.Errorf("after %+d: %d held and room for %d, want %d and %d", step.add, got, a.Room(), step.want, step.room)
		}
	}
}

// taker takes one line at a time and says so.
type taker struct {
	conn *Conn
	name string
	told *[]string
	end  chan struct{}
}

func (k *taker) Data(b []byte) int {
	n := bytes.IndexByte(b, '\n') + 1
	if n == 0 {
		close(k.end)
		k.conn.Close(nil)
		return 0
	}
	*k.told = append(*k.told, k.name)
	k.conn.Again()
	return n
}
func (k *taker) Drained()     {}
func (k *taker) Closed(error) {}

// TestAgain has two connections whose handlers take a line a turn: neither waits for the
// other, and all lines are taken before the end is heard.
func TestAgain(t *testing.T) {
	const lines = 1000
	for name, pair := range transports {
		t.Run(name, func(t *testing.T) {
			l := startLoop(t)
			var told []string
			var all []*taker
			start := make(chan struct{})
			for _, who := range []string{"a", "b"} {
				client, server := pair(t)
				k := &taker{name: who, told: &told, end: make(chan struct{})}
				all = append(all, k)
				opened := make(chan struct{})
				l.Attach(server, func(c *Conn) Handler { k.conn = c; close(opened); return k })
				<-opened
				if tls, ok := client.(interface{ Handshake() error }); ok {
					if err := tls.Handshake(); err != nil {
						t.Fatal(err)
					}
				}
				defer client.Close()
				go func() {
					<-start
					_, _ = client.Write(bytes.Repeat([]byte("x\n"), lines))
					_ = client.(interface{ CloseWrite() error }).CloseWrite()
				}()
			}
			close(start)
			for _, k := range all {
				<-k.end
			}
			l.Do(func() {})
			if len(told) != 2*lines {
				t.Fatalf("%d lines were taken, want %d", len(told), 2*lines)
			}
			run, longest := 0, 0
			seen := map[string]int{}
			for i, who := range told {
				if i > 0 && told[i-1] != who {
					run = 0
				}
				run++
				seen[who]++
				if seen["a"] > 0 && seen["b"] > 0 && seen["a"] < lines && seen["b"] < lines {
					longest = max(longest, run)
				}
			}
			if longest > 3 {
				t.Errorf("%d lines of one were taken in a row while the other had some", longest)
			}
		})
	}
}

// nibbler takes a few bytes at a time, and pauses now and then.
type nibbler struct {
	conn *Conn
	rand *rand.Rand
	got  []byte
	end  chan struct{}
}

func (n *nibbler) Data(b []byte) int {
	if len(b) == 0 {
		close(n.end)
		n.conn.Close(nil)
		return 0
	}
	taken := min(len(b), n.rand.IntN(8000))
	n.got = append(n.got, b[:taken]...)
	n.conn.Again()
	if n.rand.IntN(10) == 0 {
		n.conn.Pause()
		n.conn.loop.Post(n.conn.Resume)
	}
	return taken
}
func (n *nibbler) Drained()     {}
func (n *nibbler) Closed(error) {}

func TestAgainKeepsBytesInOrder(t *testing.T) {
	for name, pair := range transports {
		for _, size := range []int{100, 3 * chunkSize, 4 << 20} {
			t.Run(fmt.Sprintf("%s, %d bytes", name, size), func(t *testing.T) {
				a, loops := startAccounted(t, 1, 1<<30)
				client, server := pair(t)
				random := rand.New(rand.NewPCG(1, uint64(size)))
				sent := make([]byte, size)
				for i := range sent {
					sent[i] = byte(random.Uint32())
				}
				n := &nibbler{rand: random, end: make(chan struct{})}
				loops[0].Attach(server, func(c *Conn) Handler { n.conn = c; return n })
				go func() {
					_, _ = client.Write(sent)
					_ = client.(interface{ CloseWrite() error }).CloseWrite()
				}()
				<-n.end
				loops[0].Do(func() {})
				if !bytes.Equal(n.got, sent) {
					t.Errorf("%d bytes came, or others than the %d that were sent", len(n.got), len(sent))
				}
				if held := a.Held(); held != 0 {
					t.Errorf("%d bytes are left on the account", held)
				}
			})
		}
	}
}
