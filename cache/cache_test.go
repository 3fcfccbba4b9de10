package cache

import (
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"

	"github.com/respgate/respgate/command"
)

// book is a meter that adds up what it is told.
type book struct {
	bytes, entries int
	evicted        [NumReasons]int
}

func (b *book) CacheHolds(bytes, entries int) { b.bytes += bytes; b.entries += entries }
func (b *book) CacheEvicted(why Reason)       { b.evicted[why]++ }

// request is GET of a key, or another command of it.
func request(name, key string) []byte {
	return AppendRequest(nil, command.Lookup([]byte(name)), fmt.Appendf(nil, "$%d\r\n%s\r\n", len(key), key))
}

// keep has a reply kept, if it is.
func keep(c *Cache, name, key, reply string, until int64) {
	c.Begin(request(name, key), []byte(key)).Keep([]byte(reply), until)
}

// got is what is kept: "-" is nothing, "" that it is not to be kept.
func got(c *Cache, name, key string, now int64) string {
	e := c.Get(request(name, key), now)
	switch {
	case e == nil:
		return "-"
	case e.Pending():
		return "pending"
	}
	return string(e.Reply())
}

func TestCache(t *testing.T) {
	const long = 1 << 20
	for _, c := range []struct {
		name string
		do   func(c *Cache)
		want string // of GET k, STRLEN k and GET j at time 10
	}{
		{"nothing", func(*Cache) {}, "- - -"},
		{"kept", func(c *Cache) { keep(c, "get", "k", "K", 11); keep(c, "get", "j", "J", 11) }, "K - J"},
		{"its time is over", func(c *Cache) { keep(c, "get", "k", "K", 10); keep(c, "get", "j", "J", 11) }, "- - J"},
		{"all of a key become invalid", func(c *Cache) {
			keep(c, "get", "k", "K", 11)
			keep(c, "strlen", "k", "1", 11)
			keep(c, "get", "j", "J", 11)
			c.Invalidate([]byte("k"))
		}, "- - J"},
		{"the first of a key ends by itself", func(c *Cache) {
			keep(c, "get", "k", "K", 11)
			keep(c, "strlen", "k", "1", 10)
			c.Get(request("strlen", "k"), 10)
			c.Invalidate([]byte("k"))
		}, "- - -"},
		{"under way", func(c *Cache) { c.Begin(request("get", "k"), []byte("k")) }, "pending - -"},
		{"changed while it was under way", func(c *Cache) {
			e := c.Begin(request("get", "k"), []byte("k"))
			c.Invalidate([]byte("k"))
			e.Keep([]byte("K"), 11)
		}, "- - -"},
		{"dropped while it was under way, and asked anew", func(c *Cache) {
			e := c.Begin(request("get", "k"), []byte("k"))
			c.Clear()
			second := c.Begin(request("get", "k"), []byte("k"))
			e.Keep([]byte("old"), 11)
			e.Drop()
			second.Keep([]byte("new"), 11)
		}, "new - -"},
		{"too long", func(c *Cache) { keep(c, "get", "k", strings.Repeat("x", long), 11) }, " - -"},
		{"not to be kept", func(c *Cache) { keep(c, "get", "k", "", 11) }, " - -"},
		{"not to be kept, and changed", func(c *Cache) { keep(c, "get", "k", "", 11); c.Invalidate([]byte("k")) }, "- - -"},
		{"other keys become invalid", func(c *Cache) { keep(c, "get", "k", "K", 11); c.Invalidate([]byte("kk")); c.Invalidate(nil) }, "K - -"},
		{"all becomes invalid", func(c *Cache) { keep(c, "get", "k", "K", 11); keep(c, "get", "j", "J", 11); c.Clear() }, "- - -"},
	} {
		t.Run(c.name, func(t *testing.T) {
			b := &book{}
			cache := NewSpace(Limits{Bytes: 1 << 30, EntryBytes: long - 1}, 1).Add(1<<30, b)
			c.do(cache)
			state := strings.Join([]string{got(cache, "get", "k", 10), got(cache, "strlen", "k", 10), got(cache, "get", "j", 10)}, " ")
			if state != c.want {
				t.Errorf("got %q, want %q", state, c.want)
			}
			if b.bytes != cache.Bytes() || b.entries != cache.Len() {
				t.Errorf("%d bytes in %d entries, and the meter was told of %d in %d", cache.Bytes(), cache.Len(), b.bytes, b.entries)
			}
			cache.Close()
			if b.bytes != 0 || b.entries != 0 || cache.space.Used() != 0 {
				t.Errorf("closed, it has %d bytes in %d entries, and its space %d", b.bytes, b.entries, cache.space.Used())
			}
		})
	}
}

// TestCacheStaysInItsBounds: an instance has no more than its bytes, all together no more than
// theirs, and who has most gives way.
func TestCacheStaysInItsBounds(t *testing.T) {
	const entry = overhead + 100
	space := NewSpace(Limits{Bytes: 2 * 20 * entry, EntryBytes: 1000}, 2) // two loops: 20 entries here
	small, big := &book{}, &book{}
	a, b := space.Add(2*5*entry, small), space.Add(1<<30, big)
	fill := func(c *Cache, n int) {
		for i := range n {
			key := fmt.Sprintf("%03d", i)
			used := len(request("get", key)) + len(key)
			keep(c, "get", key, strings.Repeat("x", 100-used), 1)
		}
	}
	fill(a, 7)
	if a.Len() != 5 || small.evicted != [NumReasons]int{InstanceFull: 2} {
		t.Errorf("the small one has %d entries and evicted %v, want 5 and 2 since it was full", a.Len(), small.evicted)
	}
	fill(b, 30)
	if a.Len() != 5 || b.Len() != 15 || big.evicted != [NumReasons]int{ProxyFull: 15} {
		t.Errorf("%d and %d entries, the big one evicted %v, want 5, 15, and 15 since all were full", a.Len(), b.Len(), big.evicted)
	}
	space.SetLimits(Limits{Bytes: 2 * 8 * entry, EntryBytes: 1000})
	if a.Len()+b.Len() != 8 || a.Len() < 3 {
		t.Errorf("after a lower bound there are %d and %d entries, want 8", a.Len(), b.Len())
	}
	a.SetBytes(0)
	if a.Len() != 0 {
		t.Errorf("without bytes there are %d entries", a.Len())
	}
	fill(a, 1)
	if a.Len() != 0 {
		t.Error("an entry is kept where there is no room for any")
	}
}

// TestCacheKeepsWhatIsUsed: what is read often stays while much is read once.
func TestCacheKeepsWhatIsUsed(t *testing.T) {
	c := NewSpace(Limits{Bytes: 1 << 30, EntryBytes: 1000}, 1).Add(100*(overhead+50), &book{})
	for i := range 10_000 {
		keep(c, "get", fmt.Sprint("once", i), "x", 1)
		hot := fmt.Sprint("hot", i%10)
		if got(c, "get", hot, 0) == "-" {
			if i > 10 {
				t.Fatalf("%s was dropped after %d reads", hot, i)
			}
			keep(c, "get", hot, "x", 1)
		}
	}
}

// TestCacheModel compares with what a cache without bounds would say: whatever is kept is that.
func TestCacheModel(t *testing.T) {
	r := rand.New(rand.NewPCG(1, 2))
	b := &book{}
	space := NewSpace(Limits{Bytes: 40_000, EntryBytes: 300}, 1)
	c := space.Add(30_000, b)
	type state struct {
		reply string
		until int64
	}
	model := map[string]state{} // by name and key
	pending := map[string]*Entry{}
	names := []string{"get", "strlen", "type"}
	for step := range 200_000 {
		now := int64(step)
		name, key := names[r.IntN(len(names))], fmt.Sprint("k", r.IntN(60))
		at := name + " " + key
		switch r.IntN(10) {
		case 0:
			c.Invalidate([]byte(key))
			for _, n := range names {
				delete(model, n+" "+key)
				delete(pending, n+" "+key)
			}
		case 1:
			if r.IntN(100) == 0 {
				c.Clear()
				clear(model)
				clear(pending)
			}
		case 2, 3:
			if e := pending[at]; e != nil {
				reply := strings.Repeat("v", r.IntN(400))
				until := now + int64(r.IntN(2000))
				e.Keep([]byte(reply), until)
				delete(pending, at)
				if len(reply) > 300 {
					reply = ""
				}
				model[at] = state{reply, until}
			}
		default:
			e := c.Get(request(name, key), now)
			want, known := model[at]
			switch {
			case e == nil && pending[at] == nil:
				pending[at] = c.Begin(request(name, key), []byte(key))
				delete(model, at)
			case e == nil:
				t.Fatalf("step %d: %s is under way, and not there", step, at)
			case e.Pending() != (pending[at] != nil):
				t.Fatalf("step %d: %s is pending: %v", step, at, e.Pending())
			case e.Pending():
			case !known || now >= want.until || string(e.Reply()) != want.reply:
				t.Fatalf("step %d: %s is %q, want %q until %d (%v)", step, at, e.Reply(), want.reply, want.until, known)
			}
		}
		if c.Bytes() > 30_000 || c.Bytes() != b.bytes || c.Len() != b.entries || space.Used() != c.Bytes() {
			t.Fatalf("step %d: %d bytes in %d entries, told %d in %d, the space has %d", step, c.Bytes(), c.Len(), b.bytes, b.entries, space.Used())
		}
	}
	if b.evicted[InstanceFull] == 0 || b.evicted[Expired] == 0 {
		t.Errorf("evicted %v: want some of both kinds", b.evicted)
	}
}

func TestGetAllocatesNothing(t *testing.T) {
	c := NewSpace(Limits{Bytes: 1 << 20, EntryBytes: 1000}, 1).Add(1<<20, &book{})
	keep(c, "get", "k", "x", 1)
	want := request("get", "k")
	if n := testing.AllocsPerRun(100, func() { c.Get(want, 0) }); n != 0 {
		t.Errorf("a look allocates %v times", n)
	}
}

// TestRules: a command that has a rule only reads, has its key first, and has no other keys
// unless its rule knows; one that may change data is never taken for one that does not.
func TestRules(t *testing.T) {
	for id := range command.Num {
		info := id.Info()
		rule := RuleOf(id)
		if rule != Never && (Changes(id) || len(info.Keys) != 1 || info.Keys[0].Pos != 1 || info.Keys[0].Last != 0 && rule != Single && rule != Many) {
			t.Errorf("%s has a rule: %+v", info.Name, info.Keys)
		}
		if !Changes(id) && info.Flags&command.FlagWrite != 0 {
			t.Errorf("%s writes, and is not taken to change anything", info.Name)
		}
	}
	for _, name := range []string{"set", "eval", "evalsha", "fcall", "fcall_ro", "exec", "flushall", "swapdb", "blpop", "getex", "restore", "nosuch"} {
		if !Changes(command.Lookup([]byte(name))) {
			t.Errorf("%s may change data", name)
		}
	}
}
