package proxy

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"

	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/tenant"
)

// seated is a principal of a key and an organization with so many seats each.
func seated(key, org string, ofKey, ofOrg int) *tenant.Principal {
	return &tenant.Principal{KeyID: key, Seats: tenant.Seats{OrgID: org, Key: ofKey, Org: ofOrg}}
}

func TestSeats(t *testing.T) {
	var refused string
	s := NewSeats(func(_ *tenant.Principal, whose string) { refused = whose })
	a, b, other := seated("a", "acme", 2, 3), seated("b", "acme", 2, 3), seated("c", "globex", 0, 0)
	for i, step := range []struct {
		name     string
		from, to *tenant.Principal
		refused  string
	}{
		{"the first", nil, a, ""},
		{"the second", nil, a, ""},
		{"the key has no more", nil, a, metrics.RefusedKey},
		{"another key of the organization", nil, b, ""},
		{"the organization has no more", nil, b, metrics.RefusedOrg},
		{"another organization", nil, other, ""},
		{"from there into a full one", other, b, metrics.RefusedOrg},
		{"a key for another of the organization", a, b, ""},
		{"the same key again", b, b, ""},
		{"again, with fewer seats than are taken", b, seated("b", "acme", 1, 1), ""},
		{"a new one, with fewer", nil, seated("b", "acme", 1, 0), metrics.RefusedKey},
		{"one leaves", b, nil, ""},
		{"one more for it", nil, a, ""},
		{"as many as before", nil, a, metrics.RefusedKey},
		{"no bound any more", nil, seated("a", "acme", 0, 0), ""},
		{"which is counted all the same", nil, a, metrics.RefusedKey},
	} {
		refused = ""
		if ok := s.move(step.from, step.to); ok != (step.refused == "") || refused != step.refused {
			t.Errorf("step %d, %s: got %v, refused for the %q, want for the %q", i, step.name, ok, refused, step.refused)
		}
	}
	for _, p := range []*tenant.Principal{a, a, a, b, other} {
		s.move(p, nil)
	}
	if len(s.taken) > 0 {
		t.Errorf("when all have left there are %v", s.taken)
	}
	if !(*Seats)(nil).move(nil, a) {
		t.Error("without seats a client is refused")
	}
}

// TestSeatsAtOnce has clients of three keys come, change and go on many goroutines: there
// are never more than may be, and none are left in the end.
func TestSeatsAtOnce(t *testing.T) {
	s := NewSeats(func(*tenant.Principal, string) {})
	keys := []*tenant.Principal{seated("a", "acme", 5, 12), seated("b", "acme", 6, 12), seated("c", "acme", 7, 12)}
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			mine := make([]*tenant.Principal, 10)
			for range 5000 {
				i, to := rand.IntN(len(mine)), keys[rand.IntN(len(keys))]
				if rand.IntN(3) == 0 {
					to = nil
				}
				if s.move(mine[i], to) {
					mine[i] = to
				}
				s.mu.Lock()
				if n := s.taken; n[seat{metrics.RefusedKey, "a"}] > 5 || n[seat{metrics.RefusedKey, "b"}] > 6 || n[seat{metrics.RefusedKey, "c"}] > 7 || n[seat{metrics.RefusedOrg, "acme"}] > 12 {
					t.Errorf("taken: %v", n)
				}
				s.mu.Unlock()
			}
			for _, p := range mine {
				s.move(p, nil)
			}
		})
	}
	wg.Wait()
	if len(s.taken) > 0 {
		t.Errorf("when all have left there are %v", s.taken)
	}
}

// TestSessionTakesASeat follows one client's words: after each, how many of its key there
// are, and what it was told.
func TestSessionTakesASeat(t *testing.T) {
	const (
		full = "-ERR max number of clients reached|"
		bad  = "-WRONGPASS invalid username-password pair or user is disabled.|"
	)
	for _, c := range []struct {
		name, in string
		others   int // sessions of the first key beside it, of 2
		want     string
		left     string // seats of the first and of the second key
		ended    bool
	}{
		{"AUTH", "AUTH A", 0, "+OK|", "1 0", false},
		{"AUTH twice", "AUTH A\r\nAUTH A", 0, "+OK|+OK|", "1 0", false},
		{"another key", "AUTH A\r\nAUTH B", 0, "+OK|+OK|", "0 1", false},
		{"and back", "AUTH A\r\nAUTH B\r\nAUTH A", 0, "+OK|+OK|+OK|", "1 0", false},
		{"a bad key after", "AUTH A\r\nAUTH x", 0, "+OK|" + bad, "1 0", false},
		{"RESET", "AUTH A\r\nRESET", 0, "+OK|+RESET|", "0 0", false},
		{"RESET and AUTH", "AUTH A\r\nRESET\r\nAUTH A", 1, "+OK|+RESET|+OK|", "2 0", false},
		{"the last seat", "AUTH A", 1, "+OK|", "2 0", false},
		{"no seat", "AUTH A\r\nAUTH B", 2, full, "2 0", true},
		{"no seat for HELLO", "HELLO 3 AUTH default A\r\nPING", 2, full, "2 0", true},
		{"no seat for a change", "AUTH B\r\nAUTH A\r\nPING", 2, "+OK|" + full, "2 1", true},
		{"AUTH again of a full key", "AUTH A\r\nAUTH A", 1, "+OK|+OK|", "2 0", false},
	} {
		st := fixed{}
		key := map[string]string{}
		for name, org := range map[string]string{"A": "acme", "B": "globex"} {
			key[name] = st.grant(org, "127.0.0.1:1", 0, "")
			id := key[name][3:15]
			g := st[id]
			g.Seats = tenant.Seats{OrgID: org, Key: 2}
			st[id] = g
		}
		d := newDesk(t, st)
		d.core.Seats = NewSeats(func(*tenant.Principal, string) {})
		taken := func() string {
			n := d.core.Seats.taken
			return fmt.Sprint(n[seat{metrics.RefusedKey, key["A"][3:15]}], n[seat{metrics.RefusedKey, key["B"][3:15]}])
		}
		for range c.others {
			d.core.Open(d, Peer{}).Data([]byte("AUTH " + key["A"] + "\r\n"))
		}
		d.out, d.paused = nil, false
		words := c.in + "\r\n"
		for name, text := range key {
			words = strings.ReplaceAll(words, " "+name+"\r\n", " "+text+"\r\n")
		}
		d.send(words)
		if got := d.said(); got != c.want || d.drained != c.ended || taken() != c.left {
			t.Errorf("%s: got %s, ended %v, seats %s; want %s, %v, %s", c.name, got, d.drained, taken(), c.want, c.ended, c.left)
		}
		d.session.Closed(nil)
		if got, want := taken(), fmt.Sprint(c.others, 0); got != want {
			t.Errorf("%s: when it has gone, seats %s, want %s", c.name, got, want)
		}
	}
}
