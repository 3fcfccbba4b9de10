package pool

import (
	"errors"
	"testing"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/testbed"
)

// grouped is a group of a kind whose primary is at addr, as sentinels would know it.
func grouped(kind Group, addr string) (*Topology, Backend) {
	t := &Topology{Backend: Backend{Network: "tcp", Addr: "127.0.0.1:1", Group: kind}, wake: make(chan struct{}, 1)}
	primary := t.Backend.member(addr, PrimaryRole)
	t.layout.Store(&Layout{Primaries: []Backend{primary}, Readers: [][]Backend{nil}})
	return t, primary
}

// TestDemotedWhileDialled has a primary that is silent be replaced while a link of a client's
// own to it is made, and then come back, thinking that it still is the primary: the link is
// not given out, since what the client wrote over it would be lost.
func TestDemotedWhileDialled(t *testing.T) {
	server := testbed.Redis(t)
	b := newBench(t)
	group, primary := grouped(Sentinel, server.Addr)
	server.Freeze()
	t.Cleanup(server.Thaw)
	answer := make(chan *Error, 1)
	b.loop.Do(func() {
		b.pool.Borrow(Key{Instance: "i", Label: testTenant, Backend: primary, Proto: 2, Group: group}, Pinned, func(_ *Link, err *Error) { answer <- err })
	})
	group.layout.Store(&Layout{Primaries: []Backend{group.Backend.member("127.0.0.1:2", PrimaryRole)}, Readers: [][]Backend{nil}})
	b.loop.Do(func() { b.pool.Leave(group, []Backend{primary}) })
	server.Thaw()
	select {
	case err := <-answer:
		if err == nil || err.Reason != errLeftGroup.Error() || !err.Left {
			t.Errorf("the wish is answered with %v, want %v", err, errLeftGroup)
		}
	case <-time.After(testbed.Patience):
		t.Fatal("the wish is not answered")
	}
}

// TestReadersLeaveWhenTheyHaveAnswered: what has been asked of a replica that answers and is
// not read from any more is not lost. What a demoted primary is still doing is given up.
func TestReadersLeaveWhenTheyHaveAnswered(t *testing.T) {
	for _, c := range []struct {
		name string
		role Role
		want string
	}{
		{"a replica", ReaderRole, "+PONG\r\n"},
		{"a primary", PrimaryRole, refusal(errLeftGroup).Error()},
	} {
		t.Run(c.name, func(t *testing.T) {
			server := testbed.Redis(t)
			b := newBench(t)
			group, _ := grouped(Sentinel, "127.0.0.1:2")
			member := group.Backend.member(server.Addr, c.role)
			var link *Link
			b.loop.Do(func() {
				link = b.pool.Shared(Key{Instance: "i", Label: testTenant, Backend: member, Proto: 2, Group: group})
				link.Acquire()
			})
			if got := b.do(link, "PING"); got != "+PONG\r\n" {
				t.Fatalf("PING: %q", got)
			}
			o := &told{make(chan string, 1)}
			b.loop.Do(func() {
				_, _ = link.Send(o, []byte("*1\r\n$4\r\nPING\r\n"), command.Other, b.loop.Nanos())
				b.pool.Leave(group, []Backend{member})
			})
			if got := <-o.c; got != c.want {
				t.Errorf("the command is answered %q, want %q", got, c.want)
			}
			b.loop.Do(func() { link.Abort(errors.New("done")) })
		})
	}
}

// TestWishesEndWhenTheirServerLeaves: who waits for a link of its own to a server that says
// nothing is told as soon as another one has its place, not when the dial's time is out; so is
// who waits for its turn to dial.
func TestWishesEndWhenTheirServerLeaves(t *testing.T) {
	for _, kind := range []Group{Sentinel, Cluster} {
		t.Run([]string{Sentinel: "sentinel", Cluster: "cluster"}[kind], func(t *testing.T) {
			f := newFront(t, "")
			b := newBenches(t, 1, NewSlots(1, 1))[0]
			cfg := *b.pool.dialer.cfg.Load()
			cfg.Timeout = time.Hour
			b.pool.dialer.SetConfig(cfg)
			b.loop.Do(func() { b.pool.cfg.PinnedWait = time.Hour })
			group, primary := grouped(kind, f.addr)
			answers := make(chan *Error, 2)
			b.loop.Do(func() {
				for range cap(answers) {
					b.pool.Borrow(Key{Instance: "i", Label: testTenant, Backend: primary, Proto: 2, Group: group}, Pinned, func(_ *Link, err *Error) { answers <- err })
				}
			})
			testbed.Eventually(t, "the first dials", func() bool { return f.present.Load() == 1 })
			b.loop.Do(func() { b.pool.Leave(group, []Backend{primary}) })
			for range cap(answers) {
				select {
				case err := <-answers:
					if err == nil || !err.Left {
						t.Errorf("a wish is answered with %v, want that the server has left", err)
					}
				case <-time.After(testbed.Patience):
					t.Fatal("a wish is not answered")
				}
			}
			testbed.Within(t, 10*time.Second, "its slot is free", func() bool {
				b.pool.slots.mu.Lock()
				defer b.pool.slots.mu.Unlock()
				return len(b.pool.slots.used) == 0
			})
			b.loop.Do(func() {
				if len(b.pool.dialled) != 0 || len(b.pool.waiting) != 0 {
					t.Errorf("%d wishes are still dialled and %d wait", len(b.pool.dialled), len(b.pool.waiting))
				}
			})
		})
	}
}

// TestSilentLinkOfAServerThatHasLeft: it does not connect again, and what it has not sent is
// told to be so.
func TestSilentLinkOfAServerThatHasLeft(t *testing.T) {
	server := testbed.Redis(t)
	b := newBench(t)
	group, _ := grouped(Cluster, "127.0.0.1:2")
	member := group.Backend.member(server.Addr, AnyRole)
	var link *Link
	b.loop.Do(func() {
		link = b.pool.Shared(Key{Instance: "i", Label: testTenant, Backend: member, Proto: 2, Group: group})
		link.Acquire()
	})
	if got := b.do(link, "PING"); got != "+PONG\r\n" {
		t.Fatalf("PING: %q", got)
	}
	server.Freeze()
	t.Cleanup(server.Thaw)
	o := &told{make(chan string, 1)}
	b.loop.Do(func() {
		_, _ = link.Send(o, []byte("*1\r\n$4\r\nPING\r\n"), command.Other, b.loop.Nanos())
		b.pool.Leave(group, []Backend{member})
	})
	if got, want := <-o.c, (&Error{Sent: true}).Error(); got != want {
		t.Errorf("the command is answered %q, want %q", got, want)
	}
	b.loop.Do(func() {
		if len(b.pool.links) != 0 || link.state != broken || !link.gone {
			t.Errorf("there are %d links, and the one to the server is in state %d", len(b.pool.links), link.state)
		}
	})
}
