package insight

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// heap is how many bytes are in use.
func heap() int64 {
	var m runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

// TestTenThousandInstances: what a loop keeps of many instances is bounded, however long
// their keys are, those that were seen last have theirs, and idle ones cost nothing.
func TestTenThousandInstances(t *testing.T) {
	b := newTestBook(t, Config{Sample: 1})
	h := &home{}
	l := b.AddLoop(h, ignored)
	long := strings.Repeat("k", 120)
	var principals []*tenant.Principal
	for i := range 10_000 {
		principals = append(principals, of(fmt.Sprintf("instance%04d", i)))
	}
	before := heap()
	for round := range 2 {
		h.nanos = int64(round) * minute
		for i := range 10 {
			o := seen(tenant.WhySampled|tenant.WhyBig, "SET", fmt.Sprint(long, i), "v")
			o.Size, o.ReplySize = 2*Big, 2*Big
			for n, who := range principals {
				o.Principal, o.Session = who, int64(n*100+i)
				l.Saw(o)
			}
		}
	}
	took, perSlot := heap()-before, (heap()-before)/int64(l.slots.used)
	t.Logf("%d slots of %d instances take %d KiB", l.slots.used, len(l.slots.watches), took>>10)
	if l.slots.used > maxSlots || l.slots.used < maxSlots*9/10 || perSlot > 330 || took > 20<<20 {
		t.Errorf("%d slots take %d bytes, %d each: want at most %d, of 330", l.slots.used, took, perSlot, maxSlots)
	}
	if got := top(t, b, "instance9999"); len(got.HotKeys) == 0 || len(got.Clients) == 0 || len(got.BigKeys) == 0 || len(got.BigReplies) == 0 {
		t.Errorf("of the instance that was seen last nothing is known: %+v", got)
	}
	used := 0
	for at := l.slots.recent.Front(); at != nil; at = at.Next() {
		used += at.Value.(*watch).room()
	}
	if used != l.slots.used {
		t.Errorf("%d slots are counted, and %d are there", l.slots.used, used)
	}
	l.slots.expire(3 * minute)
	if left := heap() - before; l.slots.used != 0 || left > 1<<20 {
		t.Errorf("of idle instances %d slots and %d bytes are left", l.slots.used, left)
	}
}

// TestSlowEntriesAreBounded: with as many arguments as there may be, and a long name.
func TestSlowEntriesAreBounded(t *testing.T) {
	const n = 4096
	for hashed, most := range map[bool]int64{false: 1050, true: 1800} {
		b := newTestBook(t, Config{MaxLen: n, HashKeys: hashed})
		l := b.AddLoop(&home{}, ignored)
		o := seen(tenant.WhySlow, append([]string{"DEL"}, strings.Split(strings.Repeat("k", 60), "")...)...)
		o.Begins = o.Begins[:256]
		before := heap()
		for range n {
			o.Name = strings.Repeat("n", maxText)
			l.Saw(o)
		}
		if each := (heap() - before) / n; each > most {
			t.Errorf("with hashed keys %v: an entry takes %d bytes, want at most %d", hashed, each, most)
		}
		if got := b.SlowLen("cache"); got != n {
			t.Errorf("%d entries, want %d", got, n)
		}
	}
}

// TestLongNamesAreNotKept: a client's name is cut, and the whole of it let go.
func TestLongNamesAreNotKept(t *testing.T) {
	b := newTestBook(t, Config{Sample: 1, MaxLen: 100})
	l := b.AddLoop(&home{nanos: 1e9}, ignored)
	before := heap()
	for i := range 60 {
		o := seen(tenant.WhySlow|tenant.WhySampled|tenant.WhyBig, "SET", "k", "v")
		o.Size, o.Session, o.Name = Big+i, int64(i), strings.Repeat("n", 1<<20)
		l.Saw(o)
	}
	if took := heap() - before; took > 1<<20 {
		t.Errorf("60 names of a MiB take %d bytes", took)
	}
	got := top(t, b, "cache")
	if n := len(got.Clients[0].Name); n != maxText || len(got.BigKeys[0].Name) != maxText || len(b.Slow("cache", 1)[0].Name) != maxText {
		t.Errorf("%d bytes of a name are kept, want %d", n, maxText)
	}
}

// TestNothingIsAllocatedInTheLongRun: what is picked at random costs no garbage, even where
// every key and client is another one.
func TestNothingIsAllocatedInTheLongRun(t *testing.T) {
	b := newTestBook(t, Config{Sample: 32, MaxLen: 1, Threshold: -1})
	h, i := &home{}, 0
	l := b.AddLoop(h, ignored)
	many := manySeen()
	see := func() {
		h.nanos += int64(time.Second)
		l.Saw(&many[i%len(many)])
		i++
	}
	for range 20_000 {
		see()
	}
	if n := testing.AllocsPerRun(5000, see); n != 0 {
		t.Errorf("%v allocations for each", n)
	}
}

// manySeen are samples of many keys and clients of one instance, some of them big.
func manySeen() (all []tenant.Observed) {
	for i := range 1000 {
		o := sampled("HSET", fmt.Sprintf("user:%d", i*i), "field", strings.Repeat("v", 64))
		o.Session, o.Every = int64(i), 32
		if i%7 == 0 {
			o.Why, o.Size, o.ReplySize = tenant.WhySampled|tenant.WhyBig, Big+i, Big+i
		}
		all = append(all, *o)
	}
	return all
}

// TestAllAtOnce: loops that see, who resets, and who reads do not disturb each other.
func TestAllAtOnce(t *testing.T) {
	b := newTestBook(t, Config{Sample: 1, MaxLen: 10})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		q := queue{posts: make(chan func())}
		l := b.AddLoop(q, ignored)
		wg.Go(func() {
			for i := int64(0); ; i++ {
				select {
				case fn := <-q.posts:
					fn()
				case <-stop:
					return
				default:
					o := seen(tenant.WhySlow|tenant.WhySampled|tenant.WhyBig, "SET", fmt.Sprint(i%100), "v")
					o.Size = Big
					l.Saw(o)
				}
			}
		})
	}
	for i := range 50 {
		if got := top(t, b, "cache"); i > 25 && len(got.BigKeys) == 0 {
			t.Error("nothing is big")
		}
		b.Slow("cache", -1)
		b.SetConfig(Config{MaxLen: i%10 + 1, Sample: i})
		if b.SlowLen("cache") > i%10+1 {
			t.Error("the slow log is longer than it may be")
		}
		b.ResetSlow("cache")
		b.Forget("cache")
	}
	close(stop)
	wg.Wait()
}

// queue is a loop that takes what is posted one by one.
type queue struct{ posts chan func() }

func (q queue) Post(fn func()) bool { q.posts <- fn; return true }
func (queue) Nanos() int64          { return 0 }

// BenchmarkSampled is what a command costs that is picked at random, where each names another
// key: the dearest case.
func BenchmarkSampled(b *testing.B) {
	book := newTestBook(b, Config{Sample: 32})
	l := book.AddLoop(&home{}, ignored)
	many := manySeen()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Saw(&many[i%len(many)])
	}
}
