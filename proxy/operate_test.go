package proxy

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// directory is a store's instances.
type directory struct {
	all []tenant.Instance
	err error
}

func (d *directory) Instance(_ context.Context, org, name string) (tenant.Instance, error) {
	for _, in := range d.all {
		if in.Label() == org+"/"+name {
			return in, d.err
		}
	}
	if d.err != nil {
		return tenant.Instance{}, d.err
	}
	return tenant.Instance{}, tenant.ErrNotFound
}

func (d *directory) Instances(context.Context) ([]tenant.Instance, error) { return d.all, d.err }

// console is an operator's session, and the desk of a client of acme/cache beside it.
type console struct {
	*desk
	client *desk
	key    string // the client's
	store  *directory
	paused []string // what the gauge was told
	notes  *notes
}

// newConsole has an operator, whose key is of the organization ops, and a client of acme's.
func newConsole(t *testing.T) *console {
	t.Helper()
	st := fixed{}
	d := newDesk(t, st)
	c := &console{desk: d, notes: &notes{}, store: &directory{all: []tenant.Instance{
		{ID: "acme", Org: "acme", Name: "cache", URL: "redis://user:canary@10.0.0.1:6379/0"}, {ID: "ops", Org: "ops", Name: "cache", URL: "nonsense"},
	}}}
	d.core.Proxy, d.core.Auditor = "Zb3kQ9", c.notes
	d.core.Upkeep = d.core.Links.(*desked).made
	d.core.Operations = &Operations{
		Version: "1.2.3", Directory: c.store,
		Pauses: NewPauses(func(label string, paused bool) { c.paused = append(c.paused, fmt.Sprint(label, " ", paused)) }),
		Config: func() []Setting {
			return []Setting{{"listen", "127.0.0.1:6380", "127.0.0.1:6380", false}, {"http.admin_token", "(hidden)", "", true}}
		},
		Troubles: func() map[string]pool.Trouble {
			return map[string]pool.Trouble{"acme/cache": {State: "open", Cause: "timed out"}}
		},
		Answered: func(id string) (bool, bool) { return true, id == "acme" },
		Patience: func() time.Duration { return time.Second },
	}
	c.client = c.beside()
	c.key = st.grant("acme", "127.0.0.1:1", 0, "")
	c.client.send("AUTH " + c.key + "\r\n")
	d.send("AUTH " + st.grant("ops", "127.0.0.1:2", 0, "+@all +proxy") + "\r\n")
	c.client.out, d.out = nil, nil
	return c
}

// beside is another client's desk on the same loop.
func (d *desk) beside() *desk {
	other := &desk{t: d.t, core: d.core, links: d.links, wires: d.wires}
	other.session = d.core.Open(other, Peer{Addr: netip.MustParseAddrPort("127.0.0.1:3"), Local: netip.MustParseAddrPort("127.0.0.1:2")})
	return other
}

// told is what a client has been told since the last time.
func (d *desk) told() string {
	d.send("")
	if !d.paused && len(d.in) > 0 {
		d.t.Errorf("%q is not looked at", d.in)
	}
	said := d.said()
	d.out = nil
	return said
}

// ring has the timers run out that were set for so long.
func (d *desk) ring(after time.Duration) {
	for _, a := range slices.Clone(d.timers) {
		if !a.stopped && a.after == after {
			a.stopped = true
			a.fn()
		}
	}
}

func wantTold(t *testing.T, what string, d *desk, want string) {
	t.Helper()
	if got := d.told(); got != want {
		t.Errorf("%s: told %q, want %q", what, got, want)
	}
}

func TestProxyErrors(t *testing.T) {
	const syntax = "-ERR unknown subcommand or wrong number of arguments for '%s'. Try PROXY HELP.|"
	for _, e := range []struct{ in, want string }{
		{"PROXY", "-ERR wrong number of arguments for 'proxy' command|"},
		{"PROXY NOSUCH", "-ERR unknown subcommand 'NOSUCH'. Try PROXY HELP.|"},
		{"PROXY SHOW", "-ERR wrong number of arguments for 'proxy|show' command|"},
		{"PROXY SHOW NOSUCH", fmt.Sprintf(syntax, "SHOW")},
		{"PROXY PAUSE", "-ERR wrong number of arguments for 'proxy|pause' command|"},
		{"PROXY pause a b c", fmt.Sprintf(syntax, "pause")},
		{"PROXY PAUSE acme/cache x", "-ERR the time is not an integer from 1 to 600000 milliseconds|"},
		{"PROXY PAUSE acme/cache 0", "-ERR the time is not an integer from 1 to 600000 milliseconds|"},
		{"PROXY PAUSE acme/cache 600001", "-ERR the time is not an integer from 1 to 600000 milliseconds|"},
		{"PROXY KILL acme/cache 1", "-ERR wrong number of arguments for 'proxy|kill' command|"},
		{"PROXY RECONNECT acme/nosuch", "-ERR no such instance 'acme/nosuch'|"},
		{"PROXY RESUME nosuch", "-ERR no such instance 'nosuch'|"},
		{"PROXY KILL \"a\\r\\nb/\\xff\\x00\"", "-ERR no such instance 'a  b/\uFFFD\x00'|"},
		{"PROXY KILL " + strings.Repeat("x", 300), "-ERR no such instance '" + strings.Repeat("x", 128) + "'|"},
		{"MULTI\r\nPROXY RESUME cache", "-ERR backend unavailable: all connections for transactions and blocking commands are in use|-EXECABORT Transaction not begun: MULTI was refused. EXEC or DISCARD ends this state.|"},
	} {
		c := newConsole(t)
		c.send(e.in + "\r\n")
		wantTold(t, e.in, c.desk, e.want)
	}
}

// TestProxyNeedsItsRule: to all other keys it is a command that they may not run, whatever
// their rules are.
func TestProxyNeedsItsRule(t *testing.T) {
	for _, rules := range []string{"", "+@all", "allcommands +@admin +@dangerous", "+@all +proxy -proxy", "+proxy|help -proxy|help"} {
		c := newConsole(t)
		d := c.beside()
		st := fixed{}
		key := st.grant("acme", "127.0.0.1:1", 0, rules)
		desk := newDesk(t, st)
		desk.core.Operations = c.core.Operations
		desk.send("AUTH " + key + "\r\nPROXY SHOW CLIENTS\r\nPROXY HELP\r\nPROXY NOSUCH\r\n")
		const no = "-NOPERM this key has no permissions to run the 'proxy"
		if want := "+OK|" + no + "|show' command|" + no + "|help' command|" + no + "' command|"; desk.said() != want {
			t.Errorf("%q: told %s, want %s", rules, desk.said(), want)
		}
		d.send("PROXY HELP\r\n")
		wantTold(t, "who is nobody", d, "-NOAUTH Authentication required.|")
	}
}

// TestProxyFindsInstances also where the store is away: those that have clients, and those
// that are paused.
func TestProxyFindsInstances(t *testing.T) {
	c := newConsole(t)
	c.store.err = errors.New("away")
	c.send("PROXY PAUSE acme/cache\r\nPROXY PAUSE globex/cache\r\n")
	wantTold(t, "with clients, and without", c.desk, "+OK|-ERR the store cannot be asked, and no client uses 'globex/cache'|")
	c.client.session.Closed(nil)
	c.send("PROXY RESUME acme/cache\r\nPROXY RESUME acme/cache\r\n")
	wantTold(t, "paused, and not", c.desk, "+OK|-ERR the store cannot be asked, and no client uses 'acme/cache'|")
}

func TestProxyKill(t *testing.T) {
	c := newConsole(t)
	c.client.send("GET a\r\n")
	c.send("PROXY KILL acme/cache\r\n")
	wantTold(t, "KILL", c.desk, "+OK|")
	if !errors.Is(c.client.ended, errKilled) || c.ended != nil {
		t.Errorf("the client is ended by %v and the operator by %v, want the client killed", c.client.ended, c.ended)
	}
	if c.core.holds[holdKey{"acme", byOperator}] == nil {
		t.Error("new commands are not held up")
	}
	c.send("GET x\r\nPROXY KILL cache\r\n")
	c.reply()
	wantTold(t, "KILL of its own instance", c.desk, "+backend|+OK|")
	if c.ended != nil {
		t.Errorf("the operator's own session is ended by %v", c.ended)
	}
	c.send("PROXY RESUME cache\r\nGET x\r\n")
	c.reply()
	wantTold(t, "then", c.desk, "+OK|+backend|")
}

// TestProxyIsNoted in the audit log, with who has asked for what.
func TestProxyIsNoted(t *testing.T) {
	c := newConsole(t)
	c.send("PROXY PAUSE acme/cache 7\r\nPROXY RESUME acme/cache\r\nPROXY RECONNECT acme/cache\r\nPROXY KILL acme/nosuch\r\nPROXY SHOW VERSION\r\n")
	var got []string
	for _, e := range c.notes.events {
		if e.Actor != tenant.ByKey || e.ActorID != c.session.principal.KeyID || e.Org != "ops" || e.Target != "instance" || e.Address != "127.0.0.1:1" {
			t.Errorf("an event is %+v: want the operator's key and address, and an instance", e)
		}
		got = append(got, strings.TrimSpace(fmt.Sprint(e.Action, " ", e.TargetID, " ", e.Name, " ", e.Outcome, " ", string(e.After), e.Detail)))
	}
	want := []string{
		`proxy.pause acme acme/cache ok {"milliseconds":7}`, "proxy.resume acme acme/cache ok", "proxy.reconnect acme acme/cache ok",
		`proxy.kill  acme/nosuch failed {"milliseconds":30000}no such instance 'acme/nosuch'`,
	}
	if !slices.Equal(got, want) {
		t.Errorf("noted\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestProxyShow(t *testing.T) {
	c := newConsole(t)
	c.client.send("CLIENT SETNAME worker\r\nGET a\r\n")
	c.passed += 5 * time.Second
	c.client.out = nil
	key, ops := c.client.session.principal.KeyID, c.session.principal.KeyID
	c.core.Operations.Pauses.begin(target{"acme", "acme/cache"}, c.Now().Add(27*time.Second))
	for _, show := range []struct{ what, want string }{
		{"VERSION", "respgate 1.2.3\n"},
		{"CONFIG", "key               value           default         changeable\n" +
			"listen            127.0.0.1:6380  127.0.0.1:6380  no\n" +
			"http.admin_token  (hidden)        -               yes\n"},
		{"INSTANCES", "instance    server         paused  clients  health\n" +
			"acme/cache  10.0.0.1:6379  27s     1        ok\n" +
			"ops/cache   -              no      1        unknown\n"},
		{"pools", "instance    kind    connected  dialing  broken  in_use  idle  limit  waiting  maxwait_ms  owed  regions  breaker  last_error\n" +
			"acme/cache  shared  1          0        0       1       0     64     0        0           1     -        open     timed out\n"},
		{"CLIENTS", "id        addr         key           instance    name    age  idle  commands  cmd             db  state\n" +
			"Zb3kQ9-1  127.0.0.1:1  " + ops + "  ops/cache   -       5    0     0         proxy|show      0   -\n" +
			"Zb3kQ9-2  127.0.0.1:3  " + key + "  acme/cache  worker  5    5     1         get             0   -\n"},
	} {
		c.send("PROXY SHOW " + show.what + "\r\n")
		got := c.told()
		if want := fmt.Sprintf("$%d|%s|", len(show.want), show.want); columns(got) != columns(want) {
			t.Errorf("%s:\n%s\nwant\n%s", show.what, got, want)
		}
	}
	c.session.proto = 3
	c.send("PROXY SHOW VERSION\r\n")
	wantTold(t, "RESP3", c.desk, "=19|txt:respgate 1.2.3\n|")
}

// columns is text whose columns need not be as wide as they are.
func columns(text string) string {
	var lines []string
	for line := range strings.Lines(text) {
		lines = append(lines, strings.Join(strings.Fields(line), " "))
	}
	_, rest, _ := strings.Cut(strings.Join(lines, "\n"), "|")
	return rest
}

// TestProxyShowIsHarmless: what tenants and their servers word does nothing to an operator's
// terminal.
func TestProxyShowIsHarmless(t *testing.T) {
	c := newConsole(t)
	c.store.all[0].URL = "redis://a%C2%9B2Jb:6379"
	c.core.Operations.Troubles = func() map[string]pool.Trouble {
		return map[string]pool.Trouble{"acme/cache": {State: "open", Cause: "it answered \x1b[2J\tX\u202e"}}
	}
	c.client.send("GET a\r\n")
	c.send("PROXY SHOW INSTANCES\r\nPROXY SHOW POOLS\r\n")
	got := c.told()
	for _, want := range []string{"a?2Jb:6379", "it answered ?[2J?X?"} {
		if !strings.Contains(got, want) {
			t.Errorf("%q is not in %q", want, got)
		}
	}
}

// TestProxyShowIsBounded: a long table ends with how much it leaves out.
func TestProxyShowIsBounded(t *testing.T) {
	c := newConsole(t)
	for i := range maxShown {
		c.store.all = append(c.store.all, tenant.Instance{ID: fmt.Sprint(i), Org: "many", Name: fmt.Sprint(i)})
	}
	c.send("PROXY SHOW INSTANCES\r\n")
	got := c.told()
	if n := strings.Count(got, "\n"); n != maxShown+2 || !strings.HasSuffix(got, "\n... and 2 more\n|") {
		t.Errorf("%d lines, the last %q; want %d, the last '... and 2 more'", n, got[max(0, len(got)-40):], maxShown+2)
	}
}

func TestProxyHelp(t *testing.T) {
	c := newConsole(t)
	c.send("proxy help\r\n")
	got := c.told()
	for _, word := range []string{"*13|+PROXY <subcommand>", "|+KILL <instance>|", "|+PAUSE <instance> [<milliseconds>]|", "|+RECONNECT <instance>|", "|+RESUME <instance>|", "|+SHOW (CLIENTS|CONFIG|INSTANCES|POOLS|VERSION)|", "|+HELP|"} {
		if !strings.Contains(got, word) {
			t.Errorf("%q is not in the help: %s", word, got)
		}
	}
}
