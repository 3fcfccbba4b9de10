package proxy

import (
	"container/heap"
	"time"

	"github.com/respgate/respgate/tenant"
)

// queue is a session's places in the queues of buckets that proxies share. How long it has to wait there is known for certain
// only when the others have heard of it.
type queue struct {
	places  [4]queued // of commands' buckets, and of bytes'
	recheck time.Duration
}

// queued is a place in the queue of a bucket; the zero one is that there is no need to wait.
type queued struct {
	*limit
	at      int64
	due     time.Time
	certain bool
}

// enter takes places behind what is reserved, and returns how long it is until it is the session's turn, or is to be looked at again.
func (q *queue) enter(now time.Time, x *shaping) time.Duration {
	for i := range q.places {
		l := &x.commands[i%2]
		if i >= len(x.commands) {
			l = &x.bytes[i%2]
		}
		q.places[i] = queued{}
		if l.Bucket != nil && l.mode == tenant.LimitDelay {
			q.places[i] = queued{limit: l, at: l.Place()}
		}
	}
	wait, _ := q.look(now)
	return wait
}

// look returns how long it is until it is the session's turn, or is to be looked at again, and how long the turn is away for certain.
func (q *queue) look(now time.Time) (wait, turn time.Duration) {
	certain := true
	for i := range q.places {
		p := &q.places[i]
		if p.limit == nil {
			continue
		}
		if !p.certain {
			var left time.Duration
			left, p.certain = p.Until(now, p.at)
			p.due = now.Add(left)
		}
		left := p.due.Sub(now)
		wait, certain = max(wait, left), certain && p.certain
		if p.certain {
			turn = max(turn, left)
		}
	}
	if !certain {
		wait = min(wait, q.recheck)
	}
	return wait, turn
}

// requeue looks at the first session whose wait seems to have ended, and reports whether it has not: it waits on, at its place.
// When its turn would be too late it gives its place up, and asks again.
func (d *delays) requeue(clock Clock) bool {
	x := d.waiting[0].buckets.more
	if x.queue == nil {
		return false
	}
	wait, turn := x.queue.look(clock.Now())
	if turn > x.most {
		x.giveBack()
		return false
	}
	if wait <= 0 {
		return false
	}
	x.due = clock.Nanos() + int64(wait)
	heap.Fix(d, 0)
	return true
}
