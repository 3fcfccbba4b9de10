package loop

import "math"

// Account adds up what the loops of a process hold for their connections: input that is no
// whole command yet, output that the kernel has not taken, what comes in handshakes, and what
// handlers say with [Loop.Hold]. Each loop tells what it holds at the end of a turn, and only when that has
// changed by tellEvery, so that the usual turn tells nothing.
type Account struct {
	bound int64
	loops []*Loop
	over  chan struct{}
}

// tellEvery is how many bytes the account may be wrong by, for each loop.
const tellEvery = 64 << 10

// NewAccount returns an account that tells when more than bound bytes are held.
func NewAccount(bound int64) *Account {
	return &Account{bound: bound, over: make(chan struct{}, 1)}
}

// Add makes l one of the account's loops. It must be called before l runs, and before the
// account is asked anything.
func (a *Account) Add(l *Loop) {
	a.loops = append(a.loops, l)
	l.account = a
}

// Held returns how many bytes the loops hold. It may be called from any goroutine.
func (a *Account) Held() (n int64) {
	for _, l := range a.loops {
		n += l.told.Load() + l.shaking.Load()
	}
	return n
}

// Bound returns how many bytes the loops may hold.
func (a *Account) Bound() int64 { return a.bound }

// Room returns how many bytes more the loops may hold, at least 0.
func (a *Account) Room() int64 { return max(0, a.bound-a.Held()) }

// Over has something to receive when the loops have come to hold more than the bound.
func (a *Account) Over() <-chan struct{} { return a.over }

// Room returns how many bytes more the loop and the others of its account may hold, at
// least 0; without an account any number. It may be called from any goroutine.
func (l *Loop) Room() int64 {
	if l.account == nil {
		return math.MaxInt64
	}
	return l.account.Room()
}

// Hold counts n bytes more, or less, that handlers keep besides their connections' own
// buffers. It must be called on the loop's goroutine.
func (l *Loop) Hold(n int) { l.kept += n }

// tell tells the account what the loop holds, if that has changed by enough.
func (l *Loop) tell() {
	held := l.chunks.lent + l.buffers.lent + l.kept
	if d := held - int(l.told.Load()); d == 0 || held > 0 && -tellEvery < d && d < tellEvery {
		return
	}
	l.told.Store(int64(held))
	l.account.check()
}

// check tells when too much is held. It may be called from any goroutine.
func (a *Account) check() {
	if a != nil && a.Held() > a.bound {
		select {
		case a.over <- struct{}{}:
		default:
		}
	}
}

// Held returns how many bytes the connection holds: what it has received that is not
// consumed, by the size of its buffer, and what is unsent.
func (c *Conn) Held() int {
	held := cap(c.in) + c.Unsent()
	if c.sec != nil {
		held += int(c.sec.wire.counted.Load())
	}
	return held
}
