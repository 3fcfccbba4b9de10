package insight

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

func TestLongKeysAreCut(t *testing.T) {
	b := newTestBook(t, Config{Sample: 1})
	l := b.AddLoop(&home{nanos: 1e9}, ignored)
	long := strings.Repeat("k", 129)
	l.Saw(sampled("GET", long))
	l.Saw(sampled("SET", long[:128], strings.Repeat("v", 500)))
	got := top(t, b, "cache").HotKeys
	if len(got) != 1 || got[0].Key != long[:128] {
		t.Errorf("got %+v, want the first 128 bytes", got)
	}
	b = newTestBook(t, Config{Sample: 1})
	l = b.AddLoop(&home{nanos: 1e9}, ignored)
	l.Saw(sampled("GET", long))
	l.Saw(sampled("LRANGE", "short", "0", "1"))
	for _, k := range top(t, b, "cache").HotKeys {
		if k.Cut != (k.Key != "short") {
			t.Errorf("%q is cut: %v", k.Key, k.Cut)
		}
	}
}

func TestBigCommandsAndReplies(t *testing.T) {
	b := newTestBook(t, Config{Sample: 32})
	l := b.AddLoop(&home{nanos: 1e9}, ignored)
	bigOne := func(size, reply int, args ...string) {
		o := seen(tenant.WhyBig, args...)
		o.Size, o.ReplySize, o.At = size, reply, noon.Add(time.Duration(size+reply))
		l.Saw(o)
	}
	bigOne(Big, 5, "SET", "a", "v")
	bigOne(Big-1, 5, "SET", "small", "v")
	bigOne(3*Big, 5, "SET", "a", "v")
	bigOne(2*Big, 5, "SET", "a", "v")
	bigOne(2*Big, 5, "APPEND", "b", "v")
	bigOne(9*Big, Big, "PFCOUNT", "not a write")
	bigOne(30, 4*Big, "GET", "a")
	bigOne(30, 2*Big, "HGETALL", "a")
	bigOne(30, 5*Big, "KEYS", "*")
	got := top(t, b, "cache")
	tell := func(list []tenant.BigCommand) (lines []string) {
		for _, c := range list {
			lines = append(lines, fmt.Sprintf("%s %s %d", c.Command, c.Key, c.Bytes/Big))
		}
		return lines
	}
	if lines, want := tell(got.BigKeys), []string{"set a 3", "append b 2"}; !slices.Equal(lines, want) {
		t.Errorf("big keys: got %q, want %q", lines, want)
	}
	if lines, want := tell(got.BigReplies), []string{"keys  5", "get a 4", "hgetall a 2", "pfcount not a write 1"}; !slices.Equal(lines, want) {
		t.Errorf("big replies: got %q, want %q", lines, want)
	}
	if c := got.BigKeys[0]; c.SessionID != "proxy1-7" || c.KeyID != bob.KeyID || c.Name != "bob" || c.Address != "127.0.0.1:5000" || !c.At.Equal(noon.Add(3*Big+5)) {
		t.Errorf("of the largest it is told %+v", c)
	}
	if len(got.HotKeys)+len(got.Clients) != 0 || got.Every != 32 {
		t.Errorf("what was not picked at random is counted: %+v", got)
	}
	for i := range 100 {
		bigOne((i+10)*Big, 5, "SET", fmt.Sprint("k", i%50), "v")
	}
	list := top(t, b, "cache").BigKeys
	if len(list) != tenant.TopLen || list[0].Key != "k49" || list[15].Key != "k34" || list[15].Bytes != int64(94*Big) {
		t.Errorf("of many %d are told, from %v to %v", len(list), list[0], list[len(list)-1])
	}
}

// TestHashedKeys: with hashes a key is told alike everywhere, and nothing of it.
func TestHashedKeys(t *testing.T) {
	b := newTestBook(t, Config{Sample: 1, MaxLen: 10, HashKeys: true})
	l := b.AddLoop(&home{nanos: 1e9}, ignored)
	o := slow(time.Second, "SET", "customer", "secret"+strings.Repeat("v", 300))
	o.Why, o.Size, o.ReplySize = tenant.WhySlow|tenant.WhySampled|tenant.WhyBig, 2*Big, 2*Big
	l.Saw(o)
	o = slow(time.Second, "CONFIG", "GET", "x")
	o.Command = uint16(idOf("config|get"))
	l.Saw(o)
	l.Saw(slow(time.Second, "MIGRATE", "h", "1", "k", "0", "10", "AUTH", "x"))
	entries, got := b.Slow("cache", -1), top(t, b, "cache")
	if all := fmt.Sprint(entries, got); strings.Contains(all, "customer") || strings.Contains(all, "secret") {
		t.Errorf("something is told: %s", all)
	}
	key := got.HotKeys[0].Key
	if len(key) != len("sha256:")+16 || !strings.HasPrefix(key, "sha256:") {
		t.Errorf("the key is told as %q", key)
	}
	args := entries[2].Args
	if args[0] != "SET" || args[1] != key || got.BigKeys[0].Key != key || got.BigReplies[0].Key != key {
		t.Errorf("the key %q is %q in the slow log, %q among the big", key, args[1], got.BigKeys[0].Key)
	}
	if !strings.HasSuffix(args[2], "... (178 more bytes)") {
		t.Errorf("the value is told as %q", args[2])
	}
	if args := entries[1].Args; args[0] != "CONFIG" || !strings.HasPrefix(args[2], "sha256:") {
		t.Errorf("CONFIG GET is told as %q", args)
	}
	if args := entries[0].Args; args[7] != redacted {
		t.Errorf("MIGRATE is told as %q", args)
	}
	if other := newTestBook(t, Config{HashKeys: true}).veil.show("customer"); other == key {
		t.Error("two processes have the same hashes")
	}
}
