// Package loop runs event loops over sockets. A loop owns its connections and
// its timers: everything that happens to them happens on the loop's goroutine,
// in turns. In one turn a loop waits for events, reads each ready socket once,
// hands the bytes to the connection's [Handler], and at the end writes what the
// handlers have appended, with one system call per connection.
//
// Protocol code sees only [Handler] and [Conn]; whether the bytes come through
// epoll or kqueue, as they are or over TLS, is not visible to it.
package loop

import (
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// readSize is what one connection may deliver in one turn.
	readSize = 256 << 10
	// maxEvents is how many sockets one wait reports.
	maxEvents = 1024
	// lingerTime is how long a closed connection's unread input is thrown
	// away, so that the kernel does not answer it with a reset that would
	// destroy replies still on their way (RFC 1122, 4.2.2.13).
	lingerTime = time.Second
	// lingerTries is how many times that long a peer may acknowledge nothing.
	lingerTries = 5
	// stallTime is how long a peer may take nothing of the last it is to be sent.
	stallTime = 30 * time.Second
)

// ErrPanic is what a connection is closed with when its handler panicked.
var ErrPanic = errors.New("internal error")

// ErrStalled is what a connection is closed with when its peer does not take its last
// replies.
var ErrStalled = errors.New("client does not take its last replies")

// ErrStopped is what connections are closed with when their loop stops.
var ErrStopped = errors.New("loop stopped")

// Handler is the protocol on one connection. Its methods are called on the
// loop's goroutine only. One that also has a method HungUp() is told, once, when the peer
// of its paused connection will send no more, though input has not been consumed yet (not
// on macOS without TLS). One that has a method Certified(*x509.Certificate) is told, before
// any input, which certificate of its peer's the TLS handshake has verified, if any. One that
// has a method Released() is told when the connection's descriptor is closed too: after
// Closed, since a connection lingers until its peer has its last bytes.
type Handler interface {
	// Data is given all bytes received and not yet consumed, and returns how
	// many of them it has consumed; the rest is offered again, with more,
	// later. b is the loop's and valid during the call. An empty b says that
	// the peer will send no more.
	Data(b []byte) (consumed int)
	// Drained says that all output has been handed to the kernel.
	Drained()
	// Closed is the last call: the connection is gone, for the reason err.
	Closed(err error)
}

// Loop is one event loop. Create it with New, run it with Run.
type Loop struct {
	log  *slog.Logger
	poll poller
	base time.Time
	now  time.Time

	conns   map[*Conn]struct{}
	byFD    []*Conn
	first   []*Conn // dirty connections that are flushed first
	dirty   []*Conn // the other dirty connections
	ready   []*Conn // resumed, with input to look at
	closing []*Conn
	drained []*Conn
	timers  timerHeap
	chunks  chunkList
	buffers bufferList
	account *Account     // nil: nobody asks
	kept    int          // bytes, by handlers: see Hold
	told    atomic.Int64 // what the account knows
	shaking atomic.Int64 // bytes that handshakes hold, which the account knows too
	rbuf    []byte
	sealed  []byte         // what is read before it is decrypted; nil without TLS
	tasks   sync.WaitGroup // handshakes

	mu       sync.Mutex
	posted   []func()
	stopped  bool
	spare    []func()
	sleeping atomic.Bool
	stop     bool
	habit    habit
}

// New returns a loop that is ready to Run.
func New(log *slog.Logger) (*Loop, error) {
	l := &Loop{log: log, conns: map[*Conn]struct{}{}, rbuf: make([]byte, readSize)}
	l.habit.alone = !spareProcessor()
	if err := l.poll.open(); err != nil {
		return nil, fmt.Errorf("event loop: %w", err)
	}
	l.base = time.Now()
	l.now = l.base
	return l, nil
}

// Now returns the time at which the current turn began.
func (l *Loop) Now() time.Time { return l.now }

// Nanos returns Now as nanoseconds since the loop was made.
func (l *Loop) Nanos() int64 { return int64(l.now.Sub(l.base)) }

// Post has fn called on the loop's goroutine in one of its next turns. It may
// be called from any goroutine and returns false when the loop has stopped:
// then fn will never be called.
func (l *Loop) Post(fn func()) bool {
	l.mu.Lock()
	if l.stopped {
		l.mu.Unlock()
		return false
	}
	l.posted = append(l.posted, fn)
	l.mu.Unlock()
	if l.sleeping.Swap(false) {
		l.poll.wake()
	}
	return true
}

// Do runs fn on the loop's goroutine and waits for it. It returns false when
// the loop has stopped. It must not be called on the loop's own goroutine.
func (l *Loop) Do(fn func()) bool {
	done := make(chan struct{})
	if !l.Post(func() { defer close(done); fn() }) {
		return false
	}
	<-done
	return true
}

// Stop makes Run return after its current turn, with all connections closed: up to a
// second later when peers have yet to take their last bytes.
func (l *Loop) Stop() { l.Post(func() { l.stop = true }) }

// Run runs the loop until Stop is called, then closes what it owns.
func (l *Loop) Run() {
	for !l.stop {
		l.turn()
	}
	l.shutdown()
}

func (l *Loop) turn() {
	events := l.wait()
	l.now = time.Now()
	l.runPosted()
	l.runTimers()
	l.dispatch(events)
	l.runReady()
	if len(l.dirty) > 1 {
		// The first to get their replies ask again while the last get theirs: what
		// they ask leaves for the backends in the same write.
		l.flushList(&l.dirty)
		l.runDrained()
		l.dispatch(l.poll.poll())
	}
	l.flush()
	l.runClosing()
	l.tell()
}

func (l *Loop) runPosted() {
	l.mu.Lock()
	batch := l.posted
	l.posted = l.spare[:0]
	l.mu.Unlock()
	for i, fn := range batch {
		batch[i] = nil
		l.protect(nil, fn)
	}
	l.spare = batch[:0]
}

func (l *Loop) runTimers() {
	for {
		fn := l.timers.pop(l.now)
		if fn == nil {
			return
		}
		l.protect(nil, fn)
	}
}

func (l *Loop) dispatch(events []event) {
	for i := range events {
		e := &events[i]
		if fd := e.fd(); fd < len(l.byFD) && l.byFD[fd] != nil {
			l.byFD[fd].report(e)
		}
	}
}

// runReady looks at the input that connections kept while they were paused.
// What becomes ready meanwhile has its turn next time.
func (l *Loop) runReady() {
	n := len(l.ready)
	for _, c := range l.ready[:n] {
		c.queued = false
		c.deliver()
	}
	rest := copy(l.ready, l.ready[n:])
	clear(l.ready[rest:])
	l.ready = l.ready[:rest]
}

// flush writes the output of this turn: backends first, since what they do
// takes longest. Handlers may append more when they hear that they are drained.
func (l *Loop) flush() {
	for len(l.first)+len(l.dirty)+len(l.drained) > 0 {
		l.flushList(&l.first)
		l.flushList(&l.dirty)
		l.runDrained()
	}
}

// runDrained tells those whose output has all gone out.
func (l *Loop) runDrained() {
	l.now = time.Now()
	for i, c := range l.drained {
		l.drained[i] = nil
		l.protect(c, c.handler.Drained)
	}
	l.drained = l.drained[:0]
}

func (l *Loop) flushList(list *[]*Conn) {
	for i := 0; i < len(*list); i++ {
		c := (*list)[i]
		(*list)[i] = nil
		c.dirty = false
		c.flush()
	}
	*list = (*list)[:0]
}

func (l *Loop) runClosing() {
	for len(l.closing) > 0 {
		list := l.closing
		l.closing = nil
		for _, c := range list {
			c.finish()
		}
		l.flush() // what the others had to be told
	}
}

// protect runs fn and survives its panic: it is logged and the connection that
// the work was for, if any, closed.
func (l *Loop) protect(c *Conn, fn func()) {
	defer l.recover(c)
	fn()
}

func (l *Loop) recover(c *Conn) {
	if r := recover(); r != nil {
		l.log.Error("panic on event loop", "panic", r, "stack", string(debug.Stack()))
		if c != nil {
			c.Close(ErrPanic)
		}
	}
}

func (l *Loop) shutdown() {
	l.mu.Lock()
	l.stopped = true
	l.mu.Unlock()
	l.runPosted()
	for c := range l.conns {
		c.Close(ErrStopped)
	}
	l.runClosing()
	l.awaitLingering()
	l.tell()
	l.tasks.Wait()
	l.poll.close()
}

// awaitLingering lets the connections that are left, which all linger, have their time.
func (l *Loop) awaitLingering() {
	for end := time.Now().Add(lingerTime); len(l.conns) > 0; {
		left := time.Until(end)
		if left <= 0 {
			for c := range l.conns {
				c.release()
			}
			return
		}
		l.dispatch(l.poll.wait(left))
	}
}
