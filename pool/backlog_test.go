package pool

import (
	"math"
	"strings"
	"testing"
)

// purse is the memory of a process.
type purse struct {
	held int
	room int64
}

func (p *purse) Hold(n int)  { p.held += n }
func (p *purse) Room() int64 { return p.room }

// TestDisown takes one client's commands out of those that wait for a connection.
func TestDisown(t *testing.T) {
	for _, c := range []struct {
		name   string
		before func(l *Link) // brings the link to where commands wait
	}{
		{"never connected", func(*Link) {}},
		{"lost", func(l *Link) {
			l.Up(&wire{}, Hello{})
			l.Closed(nil)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, _, _ := newLink()
			p := &purse{room: math.MaxInt64}
			l.memory = p
			c.before(l)
			var a, b client
			send(t, l, &a, "A1")
			sendAll(t, l, &b, "B1", "B2", "b3")
			send(t, l, &a, "A2-longer")
			send(t, l, &b, "B4")
			sizes := map[Owner]int{}
			l.EachWaiting(func(o Owner, n int) { sizes[o] += n })
			if sizes[&a] != 11 || sizes[&b] != 8 || p.held != 19 || l.Backlog() != 19 {
				t.Errorf("%d and %d bytes wait, %d are counted, want 11, 8 and 19", sizes[&a], sizes[&b], p.held)
			}
			l.Disown(func(o Owner) bool { return o == &a })
			if p.held != 8 {
				t.Errorf("%d bytes are counted after that, want 8", p.held)
			}
			last := send(t, l, &b, "B5")
			w := &wire{}
			l.Up(w, Hello{})
			if got, want := string(w.unsent), "B1B2b3B4B5"; got != want {
				t.Errorf("sent %q, want %q", got, want)
			}
			l.Cut(last)
			w.flush(-1)
			l.Data([]byte("+1\r\n+2\r\n+3\r\n+4\r\n+5\r\n"))
			expect(t, "b", &b, "3:+1|+2|+3|", "1:+4|", "1:+5|")
			expect(t, "a", &a)
			if p.held != 0 {
				t.Errorf("%d bytes are counted in the end", p.held)
			}
		})
	}
}

// TestBacklogIsCounted brings the bytes that wait for a connection to each of their ends.
func TestBacklogIsCounted(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(l *Link)
	}{
		{"connected", func(l *Link) { l.Up(&wire{}, Hello{}) }},
		{"not to be reached", func(l *Link) { l.Down(errGone) }},
		{"lost, and never to connect again", func(l *Link) {
			l.Up(&wire{}, Hello{})
			l.retire(errGone)
			l.Closed(errGone)
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			l, _, _ := newLink()
			p := &purse{room: math.MaxInt64}
			l.memory = p
			var a client
			send(t, l, &a, "A1")
			if p.held != 2 {
				t.Errorf("%d bytes are counted, want 2", p.held)
			}
			if c.end(l); p.held != 0 {
				t.Errorf("%d bytes are counted in the end", p.held)
			}
		})
	}
}

// TestLinksHoldLessTheLessRoomThereIs gives a link as many bytes as it takes.
func TestLinksHoldLessTheLessRoomThereIs(t *testing.T) {
	for _, c := range []struct {
		name         string
		room         int64
		full, waited int // bytes
	}{
		{"without bound", math.MaxInt64, fullAt, maxBacklog},
		{"much room", 1 << 40, fullAt, maxBacklog},
		{"some room", 16 << 20, 2 << 20, 2 << 20},
		{"no room", 0, leastShare, leastShare},
	} {
		t.Run(c.name, func(t *testing.T) {
			const size = 32 << 10
			command := strings.Repeat("x", size)
			var a client
			l, _, _ := newLink()
			l.memory = &purse{room: c.room}
			for {
				if _, err := l.Send(&a, []byte(command), 0, 0); err != nil {
					break
				}
			}
			if l.Backlog() != c.waited {
				t.Errorf("%d bytes wait for a connection, want %d", l.Backlog(), c.waited)
			}
			l, _, _ = newLink()
			l.memory = &purse{room: c.room}
			l.Up(&wire{}, Hello{})
			for !l.Full() {
				send(t, l, &a, command)
			}
			if got := l.Unsent(); got != c.full+size {
				t.Errorf("it is full with %d bytes, want the first command beyond %d", got, c.full)
			}
		})
	}
}
