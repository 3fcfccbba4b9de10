package proxy

import (
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// TestBuckets takes tokens of a key's bucket and its organization's: what one grants and the
// other does not goes back.
func TestBuckets(t *testing.T) {
	now := time.Unix(1, 0)
	for _, c := range []struct {
		name           string
		key, org       int // commands at once; 0 is unlimited
		ask, want      int
		whose          string // has too few
		keyHas, orgHas int    // then
	}{
		{"neither", 0, 0, 100, 100, "", 100, 0},
		{"the key's only", 10, 0, 6, 6, "", 4, 0},
		{"too few for the key", 10, 0, 16, 10, "key", 0, 0},
		{"the organization's only", 0, 10, 6, 6, "", 100, 4},
		{"too few for the organization", 0, 10, 16, 10, "organization", 100, 0},
		{"enough of both", 10, 20, 6, 6, "", 4, 14},
		{"fewer of the organization's", 10, 4, 6, 4, "organization", 6, 0},
		{"fewer of the key's", 4, 10, 6, 4, "key", 0, 6},
		{"too few of both", 10, 4, 16, 4, "organization", 6, 0},
	} {
		p := &tenant.Principal{KeyID: "k", Limits: tenant.Limits{Rate: &c.key}, Seats: tenant.Seats{OrgID: "o"}, Pace: tenant.Pace{Rate: c.org}}
		b := bucketsOf(ratelimit.New(ratelimit.Defaults{}), p)
		got, short := b.take(now, c.ask)
		if got != c.want {
			t.Errorf("%s: granted %d of %d, want %d", c.name, got, c.ask, c.want)
		}
		if whose, what := b.whose(short); c.whose != "" && (whose != c.whose || what != "commands" || short.retry <= 0) {
			t.Errorf("%s: the %s has too few %s, for %v; want the %s, commands", c.name, whose, what, short.retry, c.whose)
		}
		if left, _ := b.key.Take(now, 100); left != c.keyHas {
			t.Errorf("%s: the key has %d left, want %d", c.name, left, c.keyHas)
		}
		if b.org == nil {
			continue
		}
		if left, _ := b.org.Take(now, 100); left != c.orgHas {
			t.Errorf("%s: the organization has %d left, want %d", c.name, left, c.orgHas)
		}
		if b.give(3); c.org > 2 {
			if left, _ := b.org.Take(now, 100); left != 3 {
				t.Errorf("%s: the organization has %d after 3 were given back", c.name, left)
			}
		}
	}
}

// TestOrganizationsLimit has clients of two keys of one organization send commands, until
// its limit changes.
func TestOrganizationsLimit(t *testing.T) {
	st := fixed{}
	var keys []string
	for range 2 {
		key := st.grant("acme", "127.0.0.1:1", 0, "")
		g := st[key[3:15]]
		g.Seats.OrgID, g.Quota = "acme-id", tenant.Quota{Rate: 4, Burst: 5}
		st[key[3:15]] = g
		keys = append(keys, key)
	}
	d := newDesk(t, st)
	d.send("AUTH " + keys[0] + "\r\n" + strings.Repeat("GET a\r\n", 3))
	d.reply()
	d.session = d.core.Open(d, Peer{})
	d.send("AUTH " + keys[1] + "\r\n" + strings.Repeat("GET a\r\n", 4))
	d.reply()
	const over = "-RATELIMIT 4 commands/s exceeded for this organization, retry after 250 ms|"
	if got, want := d.said(), "+OK|"+strings.Repeat("+backend|", 3)+"+OK|+backend|+backend|"+over+over; got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
	d.out = nil
	for _, step := range []struct {
		pace tenant.Pace
		want string
	}{{tenant.Pace{}, "+backend|"}, {tenant.Pace{Rate: 7, Burst: 5}, strings.NewReplacer("4 c", "7 c", "250", "143").Replace(over)}} {
		p := *d.session.principal
		p.Pace = step.pace
		if err := d.session.adopt(d.session.handle, &p); err != nil {
			t.Fatal(err)
		}
		d.session.serveAll("GET a\r\n")
		d.reply()
		if got := d.said(); got != step.want {
			t.Errorf("with %+v: got %s, want %s", step.pace, got, step.want)
		}
		d.out = nil
	}
}

// serveAll serves commands without a look at what has become of the key.
func (s *Session) serveAll(in string) { s.runBatch([]byte(in)) }
