package loop

import (
	"container/heap"
	"time"
)

// Timer is a function call at a later time on a loop's goroutine.
type Timer struct {
	at    time.Time
	fn    func()
	index int // in the heap, -1 when not in it
	loop  *Loop
}

// After has fn called on the loop's goroutine once d has passed. It must be
// called on that goroutine.
func (l *Loop) After(d time.Duration, fn func()) *Timer {
	t := &Timer{at: l.now.Add(d), fn: fn, loop: l}
	heap.Push(&l.timers, t)
	return t
}

// Reset has the call made once d has passed from now, also when it has been made or cancelled
// before. It must be called on the loop's goroutine, and allocates nothing.
func (t *Timer) Reset(d time.Duration) {
	t.Stop()
	t.at = t.loop.now.Add(d)
	heap.Push(&t.loop.timers, t)
}

// Stop cancels the call if it has not been made. It must be called on the
// loop's goroutine; a nil Timer may be stopped.
func (t *Timer) Stop() {
	if t != nil && t.index >= 0 {
		heap.Remove(&t.loop.timers, t.index)
	}
}

// timerHeap is ordered by time, the soonest first (container/heap).
type timerHeap []*Timer

// next returns how long to sleep until the soonest timer is due: -1 is forever.
func (h timerHeap) next(now time.Time) time.Duration {
	if len(h) == 0 {
		return -1
	}
	return max(0, h[0].at.Sub(now))
}

// pop removes and returns the soonest call that is due at now, or nil.
func (h *timerHeap) pop(now time.Time) func() {
	if len(*h) == 0 || (*h)[0].at.After(now) {
		return nil
	}
	return heap.Pop(h).(*Timer).fn
}

// Len implements heap.Interface.
func (h timerHeap) Len() int { return len(h) }

// Less implements heap.Interface.
func (h timerHeap) Less(i, j int) bool { return h[i].at.Before(h[j].at) }

// Swap implements heap.Interface.
func (h timerHeap) Swap(i, j int) {
	h[i], h[j] = h[j], h[i]
	h[i].index, h[j].index = i, j
}

// Push implements heap.Interface.
func (h *timerHeap) Push(x any) {
	t := x.(*Timer)
	t.index = len(*h)
	*h = append(*h, t)
}

// Pop implements heap.Interface.
func (h *timerHeap) Pop() any {
	last := len(*h) - 1
	t := (*h)[last]
	(*h)[last] = nil
	*h = (*h)[:last]
	t.index = -1
	return t
}
