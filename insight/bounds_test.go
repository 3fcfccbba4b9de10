package insight

import (
	"fmt"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"
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
	l := b.AddLoop(h)
	long := strings.Repeat("k", 120)
	var names []string
	for i := range 10_000 {
		names = append(names, fmt.Sprintf("instance%04d", i))
	}
	before := heap()
	for round := range 2 {
		at := int64(round) * minute
		for i := range 10 {
			for n, name := range names {
				e := sampled(at+int64(i), 1, "SET", fmt.Sprint(long, i), "v")
				e.Instance, e.Client.ID = name, int64(n*100+i%20)
				e.Big, e.Size, e.ReplySize = true, 2*Big, 2*Big
				l.Saw(e)
			}
		}
	}
	h.nanos = minute
	took, perSlot := heap()-before, (heap()-before)/int64(l.slots.used)
	t.Logf("%d slots of %d instances take %d KiB", l.slots.used, len(l.slots.watches), took>>10)
	if l.slots.used > maxSlots || l.slots.used < maxSlots*9/10 || perSlot > 330 || took > 20<<20 {
		t.Errorf("%d slots take %d bytes, %d each: want at most %d, of 330", l.slots.used, took, perSlot, maxSlots)
	}
	if got := top(t, b, names[len(names)-1]); len(got.HotKeys) == 0 || len(got.Clients) == 0 || len(got.BigKeys) == 0 || len(got.BigReplies) == 0 {
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

// TestLongNamesAreNotKept: a client's name is cut, and the whole of it let go.
func TestLongNamesAreNotKept(t *testing.T) {
	b := newTestBook(t, Config{Sample: 1, MaxLen: 100})
	l := b.AddLoop(&home{nanos: 1e9})
	before := heap()
	for i := range 60 {
		e := slow(1, time.Second, "SET", "k", "v")
		e.Weight, e.Big, e.Size = 1, true, Big+i
		e.Client.ID, e.Client.Name = int64(i), strings.Repeat("n", 1<<20)
		l.Saw(e)
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
	b := newTestBook(t, Config{Sample: 1})
	l := b.AddLoop(&home{})
	events := manyEvents()
	now, i := int64(0), 0
	see := func() {
		e := &events[i%len(events)]
		now += int64(time.Second)
		e.Now = now
		l.Saw(e)
		i++
	}
	for range 20_000 {
		see()
	}
	if n := testing.AllocsPerRun(5000, see); n != 0 {
		t.Errorf("%v allocations for each", n)
	}
}

// manyEvents are samples of many keys and clients of one instance, some of them big.
func manyEvents() (events []Event) {
	for i := range 1000 {
		e := sampled(0, 32, "HSET", fmt.Sprintf("user:%d", i*i), "field", strings.Repeat("v", 64))
		e.Client.ID = int64(i)
		if i%7 == 0 {
			e.Big, e.Size, e.ReplySize = true, Big+i, Big+i
		}
		events = append(events, *e)
	}
	return events
}

// TestAllAtOnce: loops that see, who resets, and who reads do not disturb each other.
func TestAllAtOnce(t *testing.T) {
	b := newTestBook(t, Config{Sample: 1, MaxLen: 10})
	var wg sync.WaitGroup
	stop := make(chan struct{})
	for range 3 {
		q := queue{posts: make(chan func())}
		l := b.AddLoop(q)
		wg.Go(func() {
			for i := int64(0); ; i++ {
				select {
				case fn := <-q.posts:
					fn()
				case <-stop:
					return
				default:
					e := slow(i, time.Second, "SET", fmt.Sprint(i%100), "v")
					e.Weight, e.Big, e.Size = 1, true, Big
					l.Saw(e)
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
	l := book.AddLoop(&home{})
	events := manyEvents()
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		l.Saw(&events[i%len(events)])
	}
}
