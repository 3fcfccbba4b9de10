package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/respgate/respgate/tenant"
)

// notes are an Auditor.
type notes struct {
	said   []string
	events []tenant.Event
	lost   int
}

func (n *notes) Note(e tenant.Event, times int) {
	what, _ := strings.CutPrefix(e.Action, "command.")
	n.said = append(n.said, strings.TrimSpace(fmt.Sprintf("%s %d %s %s %s %s", what, times, e.Name, e.Outcome, e.After, e.Detail)))
	n.events = append(n.events, e)
}

func (n *notes) Lost(_ string, times int) { n.lost += times }

// TestAudit has clients of keys with audit rules send commands: those are noted that the
// rules name, with the names of their keys and without other arguments.
func TestAudit(t *testing.T) {
	const in = `{"instance":"cache"`
	long := strings.Repeat("k", 127)
	manyKeys, manyNoted := "", ""
	for i := range 20 {
		manyKeys += fmt.Sprint(" k", i)
		if i < 16 {
			manyNoted += fmt.Sprintf(`,"k%d"`, i)
		}
	}
	for _, c := range []struct {
		name, rules, in string
		rate            int
		want            []string
	}{
		{"no rules", "", "SET a secret\r\nGET a\r\n", 0, nil},
		{"what they name", "+@write", "SET a secret\r\nGET a\r\nGET b\r\nDEL a b\r\n", 0, []string{
			"audited 1 set ok " + in + `,"keys":["a"]}`, "audited 1 del ok " + in + `,"keys":["a","b"]}`,
		}},
		{"neighbours", "+get", "GET a\r\nGET b\r\n", 0, []string{"audited 1 get ok " + in + `,"keys":["a"]}`, "audited 1 get ok " + in + `,"keys":["b"]}`}},
		{"all but", "+@all -get", "GET a\r\nNOSUCH x\r\nPING\r\nCLIENT ID\r\nAUTH x\r\nQUIT\r\n", 0, []string{
			"audited 1 nosuch failed " + in + `,"keys_unknown":true} not relayed`, "audited 1 ping ok " + in + "}", "audited 1 client|id ok " + in + "}",
		}},
		{"subcommands", "+config|get", "CONFIG SET a b\r\n", 0, []string{"denied 1 config|set denied " + in + "} the key may not run it"}},
		{"denied", "+config|get", "CONFIG GET a\r\n", 0, []string{
			"denied 1 config|get denied " + in + "} the key may not run it", "audited 1 config|get denied " + in + "} the key may not run it",
		}},
		{"beyond the limit", "+get", "GET a\r\nGET b\r\n", 1, []string{"audited 1 get ok " + in + `,"keys":["a"]}`, "audited 1 get denied " + in + `,"keys":["b"]} over the limit`}},
		{"refused", "+select", "SELECT x\r\nSELECT 1\r\n", 0, []string{"audited 1 select failed " + in + "} not relayed", "audited 1 select ok " + in + "}"}},
		{"counted keys", "+eval", "EVAL secret 1 a b\r\nEVAL secret x a\r\n", 0, []string{
			"audited 1 eval ok " + in + `,"keys":["a"]}`, "audited 1 eval ok " + in + `,"keys_unknown":true}`,
		}},
		{"many keys", "+del", "DEL" + manyKeys + "\r\n", 0, []string{"audited 1 del ok " + in + `,"keys":[` + manyNoted[1:] + `],"more_keys":4}`}},
		{"long keys", "+del", "DEL " + long + "k " + long + "kx " + long + "é " + long[1:] + "éx\r\n", 0, []string{
			"audited 1 del ok " + in + `,"keys":["` + long + `k","` + long + `k…","` + long + `…","` + long[1:] + `é…"]}`,
		}},
		{"keys that are no text", "+del", "DEL \"\\xff\\\"\\n\" \"a\\\"\"\r\n", 0, []string{"audited 1 del ok " + in + `,"keys":["\\xff\\\"\\n","a\""]}`}},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := fixed{}
			key := st.grant("acme", "127.0.0.1:1", c.rate, "")
			g := st[key[3:15]]
			g.Key.Audit, g.Key.Name, g.Seats.OrgID = c.rules, "web", "acme-id"
			st[key[3:15]] = g
			d := newDesk(t, st)
			n := &notes{}
			d.core.Auditor = n
			d.send("SET before AUTH\r\nAUTH " + key + "\r\n" + c.in)
			for range 5 {
				d.reply()
			}
			if !slices.Equal(n.said, c.want) {
				t.Errorf("noted\n%s\nwant\n%s", strings.Join(n.said, "\n"), strings.Join(c.want, "\n"))
			}
			for _, e := range n.events {
				e.Name, e.After, e.Outcome, e.Detail, e.Action = "", nil, "", "", ""
				want := tenant.Event{At: d.Now(), Actor: tenant.ByKey, ActorID: key[3:15], ActorName: "web", Address: "127.0.0.1:1", OrgID: "acme-id", Org: "acme", Target: "command", TargetID: "acme"}
				if fmt.Sprint(e) != fmt.Sprint(want) {
					t.Errorf("an event is %+v, want %+v", e, want)
				}
			}
		})
	}
}

// TestDeniedCommandsAreSampled has a client try what it may not, many times: one event a
// second tells of it, and in the end all are counted.
func TestDeniedCommandsAreSampled(t *testing.T) {
	st := fixed{}
	d := newDesk(t, st)
	n := &notes{}
	d.core.Auditor = n
	d.send("AUTH " + st.grant("acme", "127.0.0.1:1", 0, "+get") + "\r\n" + strings.Repeat("SET a b\r\n", 100) + "DEL a\r\nGET a\r\n")
	period := func() {
		for _, a := range d.timers {
			if !a.stopped && a.after == deniedPeriod {
				a.stopped = true
				a.fn()
				return
			}
		}
		t.Error("the end of the period is not waited for")
	}
	const tail = ` denied {"instance":"cache","keys":["a"]} the key may not run it`
	want := []string{"denied 1 set" + tail, "denied 1 del" + tail}
	if !slices.Equal(n.said, want) {
		t.Errorf("noted %q, want %q", n.said, want)
	}
	period()
	if want = append(want, "denied 99 set"+tail); !slices.Equal(n.said, want) {
		t.Errorf("after a second: noted %q, want %q", n.said, want)
	}
	d.send("SET a b\r\nDEL a\r\n")
	if want = append(want, "denied 1 del"+tail); !slices.Equal(n.said, want) {
		t.Errorf("then: noted %q, want %q", n.said, want)
	}
	period()
	period()
	if want = append(want, "denied 1 set"+tail); !slices.Equal(n.said, want) || n.lost > 0 {
		t.Errorf("in the end: noted %q, want %q; lost %d", n.said, want, n.lost)
	}
	for _, a := range d.timers {
		if !a.stopped && a.after == deniedPeriod {
			t.Error("a period is waited for when nothing is denied")
		}
	}
}

// TestAuditCostsNothingUnused measures what relayed commands allocate with an auditor that
// has nothing to note.
func TestAuditCostsNothingUnused(t *testing.T) {
	st := fixed{}
	d := newDesk(t, st)
	d.core.Auditor = &notes{}
	get := "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"
	d.send("AUTH " + st.grant("acme", "127.0.0.1:1", 1_000_000_000, "") + "\r\n" + get)
	d.reply()
	commands, replies, link := []byte(strings.Repeat(get, 16)), []byte(strings.Repeat("+x\r\n", 16)), d.session.link
	wire := d.wires[link]
	if n := testing.AllocsPerRun(100, func() {
		d.out, wire.got, d.core.looked = d.out[:0], wire.got[:0], 0
		d.session.Data(commands)
		link.Data(replies)
		d.session.Drained()
	}); n > 0 {
		t.Errorf("%v allocations for 16 commands, want none", n)
	}
}
