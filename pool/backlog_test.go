package pool

import "testing"

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
			held := 0
			l.hold = func(n int) { held += n }
			c.before(l)
			var a, b client
			send(t, l, &a, "A1")
			sendAll(t, l, &b, "B1", "B2", "b3")
			send(t, l, &a, "A2-longer")
			send(t, l, &b, "B4")
			sizes := map[Owner]int{}
			l.EachWaiting(func(o Owner, n int) { sizes[o] += n })
			if sizes[&a] != 11 || sizes[&b] != 8 || held != 19 || l.Backlog() != 19 {
				t.Errorf("%d and %d bytes wait, %d are counted, want 11, 8 and 19", sizes[&a], sizes[&b], held)
			}
			l.Disown(func(o Owner) bool { return o == &a })
			if held != 8 {
				t.Errorf("%d bytes are counted after that, want 8", held)
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
			if held != 0 {
				t.Errorf("%d bytes are counted in the end", held)
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
			held := 0
			l.hold = func(n int) { held += n }
			var a client
			send(t, l, &a, "A1")
			if held != 2 {
				t.Errorf("%d bytes are counted, want 2", held)
			}
			if c.end(l); held != 0 {
				t.Errorf("%d bytes are counted in the end", held)
			}
		})
	}
}
