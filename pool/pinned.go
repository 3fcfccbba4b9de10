package pool

import (
	"bytes"
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/respgate/respgate/loop"
)

// Holder is the client that has a link to itself. Its methods are called on the
// loop's goroutine.
type Holder interface {
	Owner
	// Pushed is given what the backend says without being asked, or a part of
	// it. b is the caller's and valid during the call.
	Pushed(b []byte, partial bool)
	// Lost is the last call: the link is gone, and all that was owed has Failed.
	Lost(err error)
}

// State is what a client leaves behind in a link that it gives back.
type State uint8

// The states, from clean to worst.
const (
	Clean   State = iota
	Watched       // keys, or an open transaction: DISCARD or UNWATCH ends it
	Unknown       // it ran a command that nobody knows: RESET undoes what that may have done
	Spoilt        // anything: the link is closed
)

// ErrBusy says that all links of an instance are taken.
var ErrBusy = &Error{Reason: "all connections for transactions and blocking commands are in use"}

// pinned is what a link that one client has to itself has more than a shared one.
type pinned struct {
	pool   *Pool
	slot   slot
	db     int // selected, as far as the link was told
	holder Holder
	inbox  inbox
	worn   bool // it is to close when it is given back
}

// freeKey says which kept links are alike: the database is chosen anew.
type freeKey struct {
	instance string
	backend  Backend
	proto    int
}

func (k Key) free() freeKey { return freeKey{k.Instance, k.Backend, k.Proto} }

// borrow is a wish for a link.
type borrow struct {
	key   Key
	slot  slot
	then  func(*Link, *Error)
	place *place
	timer *loop.Timer
	stop  func() // ends its dialling; nil before
	over  bool   // answered or cancelled
	since int64  // nanoseconds of the loop's clock
}

// end answers the wish, once.
func (b *borrow) end(l *Link, err *Error) {
	b.timer.Stop()
	b.over = true
	b.then(l, err)
}

// Borrow gets a link that the caller has to itself, in key's database: a kept one,
// else a new one, else the next that comes back within the time that the pool's
// configuration allows. then is called once, perhaps at once, with the link, or with
// the reason why there is none; not after cancel has been called.
func (p *Pool) Borrow(key Key, kind Kind, then func(*Link, *Error)) (cancel func()) {
	key.Lane = Plain
	b := &borrow{key: key, slot: slot{key.Instance, kind}, then: then, since: p.loop.Nanos()}
	if l := p.keptLink(key.free(), kind); l != nil {
		p.hand(l, b)
		return func() { b.over = true }
	}
	b.place = &place{pool: p}
	b.place.given = func() { p.given(b) }
	if p.slots.take(b.slot, b.place) {
		p.dialPinned(b)
	} else {
		p.waiting[b.slot] = append(p.waiting[b.slot], b)
		p.slots.obs.LinkWaits(key.Label, kind.String(), 1)
		b.timer = p.loop.After(p.cfg.PinnedWait, func() {
			if p.leave(b) {
				p.slots.obs.LinksExhausted(key.Label, kind.String())
				b.end(nil, ErrBusy)
			}
		})
	}
	return func() {
		b.over = true
		p.abandon(b)
	}
}

// abandon has nothing more done for a wish.
func (p *Pool) abandon(b *borrow) {
	p.leave(b)
	if b.stop != nil {
		b.stop()
	}
}

// leave takes a wish out of the queues; false says that it has a slot already.
func (p *Pool) leave(b *borrow) bool {
	list := p.waiting[b.slot]
	for i, w := range list {
		if w == b {
			p.waiting[b.slot] = append(list[:i:i], list[i+1:]...)
			p.slots.obs.LinkWaits(b.key.Label, b.slot.kind.String(), -1)
			break
		}
	}
	if len(p.waiting[b.slot]) == 0 {
		delete(p.waiting, b.slot)
	}
	b.timer.Stop()
	return p.slots.leave(b.slot, b.place)
}

// given runs on the loop when a slot has become the wish's.
func (p *Pool) given(b *borrow) {
	p.leave(b)
	if b.over {
		p.slots.release(b.slot)
		return
	}
	p.dialPinned(b)
}

// dialPinned makes a link for b, which has a slot.
func (p *Pool) dialPinned(b *borrow) {
	ctx, stop := context.WithCancel(p.ctx)
	b.stop = stop
	p.dialled[b] = struct{}{}
	go func() {
		defer stop()
		nc, hello, err := p.dialer.Dial(ctx, b.key.Label, b.key.Backend, b.key.DB, b.key.Proto, p.cfg.Dial.Attempts)
		posted := p.loop.Post(func() {
			delete(p.dialled, b)
			l := p.newLink(b.key)
			l.gone = true
			l.pin = &pinned{pool: p, slot: b.slot, db: b.key.DB}
			if err == nil && b.key.Group.left(b.key.Backend) { // meanwhile: Leave did not know of this link
				_ = nc.Close()
				err = errLeftGroup
			}
			if err == nil {
				err = p.adopt(l, nc, hello, b.slot.kind.String())
			}
			if err == nil {
				p.pinned[l] = struct{}{}
			}
			switch {
			case err != nil:
				p.slots.release(b.slot)
				b.fail(refusal(err))
			case b.over:
				p.keep(l)
			default:
				p.hand(l, b)
			}
		})
		if !posted && nc != nil {
			_ = nc.Close()
		}
	}()
}

// hand gives a clean link to b, in b's database. That is waited for: were it
// refused, what follows would run in another.
func (p *Pool) hand(l *Link, b *borrow) {
	l.key.Group = b.key.Group
	l.count(p.meter(b.key.Label))
	if l.pin.db == b.key.DB {
		b.end(l, nil)
		return
	}
	l.pin.db = b.key.DB
	l.Ask(func(reply []byte) {
		switch {
		case len(reply) == 0:
			b.fail(&Error{Reason: "connection closed"})
		case reply[0] != '+':
			l.Abort(errGivenBack)
			b.fail(refusal(ReplyError(bytes.TrimSuffix(reply[1:], []byte("\r\n")))))
		case b.over:
			p.keep(l)
		default:
			b.end(l, nil)
		}
	}, "SELECT", strconv.Itoa(b.key.DB))
}

func (b *borrow) fail(err *Error) {
	if !b.over {
		b.end(nil, err)
	}
}

// Worn reports whether the link is to be given back as soon as it owes nothing, so that a new
// connection takes its place.
func (l *Link) Worn() bool { return l.pin.worn }

// Hold makes h the link's holder, until it gives the link back.
func (l *Link) Hold(h Holder) { l.pin.holder = h }

// DB returns the database that the link's last SELECT chose.
func (l *Link) DB() int { return l.pin.db }

// SelectedDB says that the link's holder has chosen a database.
func (l *Link) SelectedDB(db int) { l.pin.db = db }

// GiveBack ends the holder's hold. The link owes nothing, or state is Spoilt.
func (l *Link) GiveBack(state State) {
	p := l.pin.pool
	l.pin.holder = nil
	switch {
	case l.state != up:
	case state == Spoilt, l.q.len() > 0:
		l.conn.Close(errGivenBack)
	case state == Watched:
		// Without a transaction DISCARD is refused; then there are keys at most.
		l.Ask(func(reply []byte) {
			if accepted(reply) {
				p.keep(l)
			} else {
				l.scrub([]string{"UNWATCH"})
			}
		}, "DISCARD")
	case state == Unknown:
		l.pin.db = 0
		l.scrub([]string{"RESET"}, helloCommand(l.key.Backend, l.key.Proto))
	default:
		p.keep(l)
	}
}

// scrub sends commands one after the other and keeps the link when all are accepted.
func (l *Link) scrub(steps ...[]string) {
	if len(steps) == 0 {
		l.pin.pool.keep(l)
		return
	}
	l.Ask(func(reply []byte) {
		if accepted(reply) {
			l.scrub(steps[1:]...)
		} else {
			l.Abort(errGivenBack)
		}
	}, steps[0]...)
}

// accepted reports whether a reply is there and no error.
func accepted(reply []byte) bool { return len(reply) > 0 && reply[0] != '-' && reply[0] != '!' }

var errGivenBack = errors.New("no longer needed")

// keep has a clean link wait for its next holder, if there is none already.
func (p *Pool) keep(l *Link) {
	if l.state != up {
		return
	}
	if l.pin.slot.kind != Pinned || l.pin.worn {
		l.conn.Close(errGivenBack)
		return
	}
	p.handed++
	for _, b := range p.waiting[l.pin.slot] {
		// Now and then one of another loop has its turn.
		if b.key.free() == l.key.free() && (p.handed%8 != 0 || len(p.slots.pools) == 1) && p.leave(b) {
			p.hand(l, b)
			return
		}
	}
	if p.slots.wanted(l.pin.slot) {
		l.conn.Close(errGivenBack)
		return
	}
	l.moved = p.loop.Nanos()
	p.kept[l.key.free()] = append(p.kept[l.key.free()], l)
}

// keptLink takes the link that was kept last.
func (p *Pool) keptLink(k freeKey, kind Kind) *Link {
	list := p.kept[k]
	if kind != Pinned || len(list) == 0 {
		return nil
	}
	l := list[len(list)-1]
	p.drop(l)
	return l
}

// drop takes a link out of those kept, if it is among them.
func (p *Pool) drop(l *Link) {
	k := l.key.free()
	list := p.kept[k]
	for i := len(list) - 1; i >= 0; i-- {
		if list[i] == l {
			list = append(list[:i], list[i+1:]...)
			break
		}
	}
	if p.kept[k] = list; len(list) == 0 {
		delete(p.kept, k)
	}
}

// spare closes one of the links kept for k's instance: another loop needs its slot.
func (p *Pool) spare(k slot) {
	for free, list := range p.kept {
		if free.instance == k.instance && k.kind == Pinned {
			l := list[0]
			p.drop(l)
			l.conn.Close(errGivenBack)
			return
		}
	}
}

// watchKept closes links that have been kept for too long.
func (p *Pool) watchKept(now int64) {
	for k := range p.kept {
		for len(p.kept[k]) > 0 && time.Duration(now-p.kept[k][0].moved) > p.cfg.IdleTimeout {
			l := p.kept[k][0]
			p.drop(l)
			l.conn.Close(errGivenBack)
		}
	}
}

// lost ends a pinned link whose connection is gone.
func (l *Link) lost(err error) {
	p := l.pin.pool
	l.state, l.cause = broken, err
	failed := l.take()
	p.drop(l)
	delete(p.pinned, l)
	p.slots.release(l.pin.slot)
	holder := l.pin.holder
	l.pin.holder = nil
	for _, q := range failed {
		q.owner.Failed(q.cmd, &Error{Sent: true})
	}
	if holder != nil {
		holder.Lost(err)
	}
	l.wakeRoomy()
}
