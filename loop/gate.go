package loop

import (
	"errors"
	"net"
)

// maxHandshake is how many bytes a client may send in its handshake: several times what
// one with a chain of certificates takes.
const maxHandshake = 32 << 10

var errLongHandshake = errors.New("TLS handshake of too many bytes")

// Gate bounds how many TLS handshakes compute at once, since hundreds that are runnable
// would leave the loops waiting for a processor. A handshake has its place only while it
// computes: it gives it back for as long as it waits for its peer, so that silent and slow
// ones hold nobody up. Who waits for a place comes in the order of arrival. It is safe
// for concurrent use.
type Gate struct {
	places chan struct{}
	ended  func(err error)
}

// NewGate returns a gate for n handshakes at once. ended is called, on several goroutines,
// with how each ended; nil is well.
func NewGate(n int, ended func(err error)) *Gate {
	return &Gate{make(chan struct{}, n), ended}
}

// Transport is NewTransport for a connection whose handshake goes through the gate, and
// may not be longer than 32 KiB from the peer.
func (g *Gate) Transport(nc net.Conn) *Transport { return &Transport{Conn: nc, gate: g} }

// enter waits for a place, and leave gives it back.
func (t *Transport) enter() {
	t.gate.places <- struct{}{}
	t.inside = true
}

func (t *Transport) leave() {
	if t.inside {
		t.inside = false
		<-t.gate.places
	}
}

// readShaking is Read during the handshake.
func (t *Transport) readShaking(b []byte) (int, error) {
	if t.gate == nil {
		return t.Conn.Read(b)
	}
	if t.got >= maxHandshake {
		return 0, errLongHandshake
	}
	t.leave()
	n, err := t.Conn.Read(b[:min(len(b), maxHandshake-t.got)])
	t.got += n
	t.count(n)
	t.enter()
	return n, err
}

// writeShaking is Write during the handshake.
func (t *Transport) writeShaking(b []byte) (int, error) {
	if t.gate == nil {
		return t.Conn.Write(b)
	}
	t.leave()
	defer t.enter()
	return t.Conn.Write(b)
}

// count has the loop hold n received bytes, each twice: crypto/tls has them in a record's
// buffer and in a message's.
func (t *Transport) count(n int) {
	if t.loop != nil {
		t.counted.Add(2 * int64(n))
		t.loop.shaking.Add(2 * int64(n))
		t.loop.account.check()
	}
}

// uncount has the loop hold no more of them. When a connection is closed while more comes,
// both the loop and the handshake's goroutine call it, in either order.
func (t *Transport) uncount() {
	if t.loop != nil {
		t.loop.shaking.Add(-t.counted.Swap(0))
	}
}

// shaken is told how the handshake has ended.
func (t *Transport) shaken(err error) {
	t.uncount()
	if t.gate != nil {
		t.leave()
		t.gate.ended(err)
	}
}
