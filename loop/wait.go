package loop

import (
	"runtime"
	"time"
)

const (
	// spinTime is how long a loop looks for events without sleeping while two peers
	// talk in turns: several times what a local Redis takes to answer, and what a
	// processor takes to wake up.
	spinTime = 50 * time.Microsecond
	// spinAfter is how many turns the two must have talked to each other, and to
	// nobody else.
	spinAfter = 8
)

// habit tells from the last turns how the next one should be waited for.
type habit struct {
	last   [2]int // the sockets of the last two turns that had one event each
	streak int    // turns in a row in which the two took turns
	busy   bool   // the last turn had several events: more will be there already
	alone  bool   // there is no processor to spare for spinning
}

// note learns from a turn.
func (h *habit) note(events []event) {
	h.busy = len(events) > 1
	switch {
	case len(events) == 0: // a timer, or posted work: says nothing of the peers
	case h.busy:
		h.streak = 0
	default:
		fd := events[0].fd()
		if fd == h.last[1] && fd != h.last[0] {
			h.streak++
		} else {
			h.streak = 0
		}
		h.last[1], h.last[0] = h.last[0], fd
	}
}

// wait returns the next events. A busy loop asks without sleeping first: it then never
// tells the scheduler that it may block. One client and its backend that talk in turns
// are waited for awake: waking up takes longer than their answers do.
func (l *Loop) wait() []event {
	events := l.look()
	if len(events) == 0 && !l.pending() {
		events = l.sleep()
	}
	l.habit.note(events)
	return events
}

// pending reports whether there is work besides events.
func (l *Loop) pending() bool { return len(l.ready)+len(l.closing)+len(l.drained) > 0 }

// look asks for events without sleeping.
func (l *Loop) look() []event {
	switch {
	case l.habit.busy || l.pending():
		return l.poll.poll()
	case l.habit.streak >= spinAfter && !l.habit.alone:
		return l.spin()
	}
	return nil
}

func (l *Loop) spin() []event {
	for began := time.Now(); ; {
		if events := l.poll.poll(); len(events) > 0 {
			return events
		}
		if time.Since(began) > spinTime {
			l.habit.streak = 0
			return nil
		}
	}
}

func (l *Loop) sleep() []event {
	l.sleeping.Store(true)
	timeout := l.timers.next(time.Now())
	l.mu.Lock()
	if len(l.posted) > 0 {
		timeout = 0
	}
	l.mu.Unlock()
	events := l.poll.wait(timeout)
	l.sleeping.Store(false)
	return events
}

// spareProcessor reports whether spinning takes nothing from others.
func spareProcessor() bool { return runtime.GOMAXPROCS(0) > 1 }
