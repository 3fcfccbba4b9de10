package insight

import (
	"context"
	"net/netip"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// home is a loop that does at once what it is posted, with a clock of its own.
type home struct {
	nanos int64
	ended bool
}

func (h *home) Post(fn func()) bool {
	if !h.ended {
		fn()
	}
	return !h.ended
}
func (h *home) Nanos() int64 { return h.nanos }

func newTestBook(t testing.TB, cfg Config) *Book {
	t.Helper()
	cfg.Proxy = "proxy1"
	b, err := New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

var (
	bob   = &tenant.Principal{KeyID: "key000000001", Route: tenant.Route{InstanceID: "cache", Label: "acme/cache"}}
	alice = &tenant.Principal{KeyID: "key000000002", Route: tenant.Route{InstanceID: "cache", Label: "acme/cache"}}
	noon  = time.Date(2026, 1, 2, 12, 0, 0, 0, time.UTC)
)

// of makes a principal of another instance's.
func of(instance string) *tenant.Principal {
	return &tenant.Principal{KeyID: "key000000003", Route: tenant.Route{InstanceID: instance, Label: "acme/" + instance}}
}

// seen is a command of bob's that is looked at.
func seen(why tenant.Why, args ...string) *tenant.Observed {
	return &tenant.Observed{
		Why: why, Every: 1, Principal: bob, Session: 7, Client: netip.MustParseAddrPort("127.0.0.1:5000"), Name: "bob",
		Command: uint16(idOf(strings.ToLower(args[0]))), Begins: begins(args...), Size: len(sent(args...)), At: noon,
	}
}

func sampled(args ...string) *tenant.Observed { return seen(tenant.WhySampled, args...) }

// slow is one that took that long.
func slow(took time.Duration, args ...string) *tenant.Observed {
	o := seen(tenant.WhySlow, args...)
	o.Took = took
	return o
}

// ignored is for what is logged.
func ignored(string) {}

func top(t testing.TB, b *Book, instance string) tenant.Top {
	t.Helper()
	top, err := b.Top(t.Context(), instance)
	if err != nil {
		t.Fatal(err)
	}
	return top
}

func TestSlowLog(t *testing.T) {
	b := newTestBook(t, Config{MaxLen: 3})
	l := b.AddLoop(&home{}, ignored)
	o := slow(22*time.Millisecond, "GET", "k")
	o.Limited, o.Waited, o.Ahead, o.DB, o.ReplySize, o.Code = 5*time.Millisecond, time.Millisecond, 2*time.Millisecond, 3, 40, "WRONGTYPE"
	l.Saw(o)
	want := tenant.SlowEntry{
		ID: 0, At: noon, Command: "get", Args: []string{"GET", "k"},
		Took: 20 * time.Millisecond, Total: 28 * time.Millisecond, Limited: 5 * time.Millisecond, Waited: time.Millisecond, Ahead: 2 * time.Millisecond,
		Address: "127.0.0.1:5000", Name: "bob", KeyID: "key000000001", SessionID: "proxy1-7", DB: 3, Size: 20, ReplySize: 40, Error: "WRONGTYPE",
	}
	if got := b.Slow("cache", -1); len(got) != 1 || !reflect.DeepEqual(got[0], want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	ids := func(n int) (ids []int64) {
		for _, e := range b.Slow("cache", n) {
			ids = append(ids, e.ID)
		}
		return ids
	}
	for range 4 {
		l.Saw(slow(time.Second, "PING"))
	}
	for _, c := range []struct {
		n    int
		want []int64
	}{{-1, []int64{4, 3, 2}}, {0, nil}, {2, []int64{4, 3}}, {10, []int64{4, 3, 2}}} {
		if got := ids(c.n); !slices.Equal(got, c.want) {
			t.Errorf("the newest %d are %v, want %v", c.n, got, c.want)
		}
	}
	if got := b.SlowLen("cache"); got != 3 {
		t.Errorf("there are %d, want 3", got)
	}
	if b.SlowLen("other") != 0 || b.Slow("other", -1) != nil {
		t.Error("another instance has entries too")
	}
	b.SetConfig(Config{MaxLen: 1})
	if got := ids(-1); !slices.Equal(got, []int64{4}) {
		t.Errorf("with a bound of 1 there are %v, want the newest", got)
	}
	b.ResetSlow("cache")
	l.Saw(slow(time.Second, "PING"))
	if got := ids(-1); !slices.Equal(got, []int64{5}) {
		t.Errorf("after a RESET there are %v, want 5: ids go on", got)
	}
	b.Forget("cache")
	l.Saw(slow(time.Second, "PING"))
	if got := ids(-1); !slices.Equal(got, []int64{0}) {
		t.Errorf("of an instance that was forgotten there are %v, want 0", got)
	}
	b.SetConfig(Config{})
	l.Saw(slow(time.Second, "PING"))
	if got := ids(-1); got != nil {
		t.Errorf("with a bound of 0 there are %v", got)
	}
}

// TestSlowLogsAreBoundedTogether: beyond the bound of all instances the oldest entries go,
// whosever they are, and an instance that has many takes only its own.
func TestSlowLogsAreBoundedTogether(t *testing.T) {
	b := newTestBook(t, Config{MaxLen: maxEntries})
	l := b.AddLoop(&home{}, ignored)
	add := func(instance string, n int) {
		e := slow(time.Second, "PING")
		e.Principal = of(instance)
		for range n {
			l.Saw(e)
		}
	}
	add("old", 10)
	add("many", maxEntries-10)
	add("new", 4)
	for instance, want := range map[string]int{"old": 6, "many": maxEntries - 10, "new": 4} {
		if got := b.SlowLen(instance); got != want {
			t.Errorf("%s has %d, want %d", instance, got, want)
		}
	}
	if got := b.Slow("old", -1); got[5].ID != 4 {
		t.Errorf("the oldest that is left is %d, want 4", got[5].ID)
	}
	add("many", maxEntries)
	if got := b.slow.all.Len(); got != maxEntries || b.SlowLen("new") != 0 {
		t.Errorf("there are %d in all, want %d", got, maxEntries)
	}
}

// TestWhatIsSlow: by a command's own time, and what is said for its instance.
func TestWhatIsSlow(t *testing.T) {
	for _, c := range []struct {
		name        string
		threshold   time.Duration
		maxLen      int
		took, ahead time.Duration
		why         tenant.Why
		want        int
	}{
		{"as long as that", 10 * time.Millisecond, 9, 10 * time.Millisecond, 0, tenant.WhySlow, 1},
		{"shorter", 10 * time.Millisecond, 9, 10*time.Millisecond - 1, 0, tenant.WhySlow, 0},
		{"behind others", 10 * time.Millisecond, 9, 20 * time.Millisecond, 11 * time.Millisecond, tenant.WhySlow, 0},
		{"all", 0, 9, 0, 0, tenant.WhySlow, 1},
		{"none", -1, 9, time.Hour, 0, tenant.WhySlow, 0},
		{"a wait", 10 * time.Millisecond, 9, time.Hour, 0, tenant.WhyFailed, 0},
		{"none is kept", 0, 0, time.Hour, 0, tenant.WhySlow, 0},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := newTestBook(t, Config{Threshold: c.threshold, MaxLen: c.maxLen})
			logged := 0
			l := b.AddLoop(&home{}, func(label string) {
				if logged++; label != "acme/cache" {
					t.Errorf("%s is counted", label)
				}
			})
			o := slow(c.took, "GET", "k")
			o.Ahead, o.Why = c.ahead, c.why
			l.Saw(o)
			if got := b.SlowLen("cache"); got != c.want || logged != c.want {
				t.Errorf("%d are kept and %d counted, want %d", got, logged, c.want)
			}
			want := tenant.Watch{Slow: c.threshold}
			if c.maxLen == 0 {
				want.Slow = off
			}
			if got := l.Watch(&bob.Route); got != want {
				t.Errorf("watches %+v, want %+v", got, want)
			}
		})
	}
}

// TestWeights: whoever else looks at commands, and at how many of them, rates are right.
func TestWeights(t *testing.T) {
	for _, c := range []struct {
		name         string
		every, found int // one in so many is wanted, and found
	}{{"as many as are wanted", 32, 32}, {"more", 32, 4}, {"all", 8, 1}, {"fewer, for a moment", 4, 32}} {
		t.Run(c.name, func(t *testing.T) {
			b := newTestBook(t, Config{Sample: c.every})
			l := b.AddLoop(&home{nanos: 1e9}, ignored)
			const truth = 100_000
			o := sampled("GET", "k")
			o.Every = c.found
			for range truth / c.found {
				l.Saw(o)
			}
			got := top(t, b, "cache").HotKeys[0]
			if off := got.Rate - truth; off < -2*got.Error-1 || off > 2*got.Error+1 {
				t.Errorf("got %v ± %v per second, want %d", got.Rate, got.Error, truth)
			}
		})
	}
	b := newTestBook(t, Config{})
	l := b.AddLoop(&home{nanos: 1e9}, ignored)
	o := seen(tenant.WhySampled|tenant.WhyBig, "GET", "k")
	o.ReplySize = Big
	l.Saw(o)
	if got := top(t, b, "cache"); len(got.HotKeys)+len(got.Clients)+len(got.BigReplies) != 0 {
		t.Errorf("what nobody wants is counted: %+v", got)
	}
	b.SetConfig(Config{Sample: 7, MaxLen: 1, Threshold: -1})
	if got, want := l.Watch(&bob.Route), (tenant.Watch{Every: 7, Slow: -1, Big: Big}); got != want {
		t.Errorf("watches %+v, want %+v", got, want)
	}
}

func TestHotKeysAndClients(t *testing.T) {
	b := newTestBook(t, Config{Sample: 1})
	homes := []*home{{}, {}}
	loops := []*Loop{b.AddLoop(homes[0], ignored), b.AddLoop(homes[1], ignored)}
	for i := range 900 {
		homes[i%2].nanos = int64(i) * 1e8
		loops[i%2].Saw(sampled("GET", "hot"))
	}
	homes[0].nanos, homes[1].nanos = minute+30e9, minute+30e9
	for range 90 {
		o := sampled("MGET", "warm", "hot")
		o.Principal, o.Session, o.Client, o.Name, o.DB = alice, 8, netip.MustParseAddrPort("127.0.0.1:5001"), "", 2
		loops[0].Saw(o)
	}
	loops[0].Saw(sampled("DBSIZE"))
	got := top(t, b, "cache")
	want := tenant.Top{
		Window: 90 * time.Second, Every: 1,
		HotKeys: []tenant.HotKey{{Key: "hot", Rate: 10}, {Key: "warm", DB: 2, Rate: 1}},
		Clients: []tenant.BusyClient{
			{SessionID: "proxy1-7", Address: "127.0.0.1:5000", Name: "bob", KeyID: "key000000001", Rate: 901.0 / 90},
			{SessionID: "proxy1-8", Address: "127.0.0.1:5001", KeyID: "key000000002", Rate: 1},
		},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	if got := top(t, b, "other"); len(got.HotKeys)+len(got.Clients) != 0 {
		t.Errorf("another instance has %+v", got)
	}
}

// TestWhatWasHotGoes: after two minutes nothing is told of what was, and nothing is kept.
func TestWhatWasHotGoes(t *testing.T) {
	b := newTestBook(t, Config{Sample: 1})
	h := &home{}
	l := b.AddLoop(h, ignored)
	saw := func(at int64, key string) { h.nanos = at; l.Saw(sampled("GET", key)) }
	saw(5, "early")
	for _, c := range []struct {
		at   int64
		want int
	}{{minute - 1, 1}, {minute, 1}, {2*minute - 1, 1}, {2 * minute, 0}} {
		h.nanos = c.at
		if got := top(t, b, "cache").HotKeys; len(got) != c.want {
			t.Errorf("after %v there are %d hot keys, want %d", time.Duration(c.at), len(got), c.want)
		}
	}
	if l.slots.used != 0 || len(l.slots.watches) != 0 {
		t.Errorf("%d slots are in use by %d instances", l.slots.used, len(l.slots.watches))
	}
	saw(3*minute, "a")
	saw(4*minute, "b")
	h.nanos = 4*minute + 30e9
	keys := func() (keys []string) {
		for _, k := range top(t, b, "cache").HotKeys {
			keys = append(keys, k.Key)
		}
		slices.Sort(keys)
		return keys
	}
	if got := keys(); !slices.Equal(got, []string{"a", "b"}) {
		t.Errorf("in the next minute %v are hot, want a and b", got)
	}
	saw(5*minute, "c")
	h.nanos = 5 * minute
	if got := keys(); !slices.Equal(got, []string{"b", "c"}) {
		t.Errorf("in the one after that %v are hot, want b and c", got)
	}
	saw(9*minute, "d")
	h.nanos = 9 * minute
	if got := keys(); !slices.Equal(got, []string{"d"}) {
		t.Errorf("after a quiet time %v are hot, want d", got)
	}
}

// TestLoopsThatHaveEnded are not waited for, and who stops asking is told so.
func TestLoopsThatHaveEnded(t *testing.T) {
	b := newTestBook(t, Config{})
	b.AddLoop(&home{ended: true}, ignored)
	top(t, b, "cache")
	b.AddLoop(deaf{}, ignored)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := b.Top(ctx, "cache"); err == nil {
		t.Error("a loop that does not answer has answered")
	}
}

// deaf is a loop that is busy for ever.
type deaf struct{}

func (deaf) Post(func()) bool { return true }
func (deaf) Nanos() int64     { return 0 }
