package pool

import (
	"bytes"
	"errors"
	"io"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/resp"
)

// feed gives a link bytes in pieces, as its connection would, until it closes that.
func feed(l *Link, w *wire, in []byte, piece int) {
	var kept []byte
	for len(in) > 0 && w.closed == nil {
		n := min(piece, len(in))
		kept = append(kept, in[:n]...)
		in = in[n:]
		kept = kept[l.Data(kept):]
	}
}

// hearer keeps what its link gives it: whole replies and pushes apart from what is yet to
// be completed.
type hearer struct {
	whole, torn string
	done        int
}

func (h *hearer) hear(kind string, b []byte, done int, partial bool) {
	h.torn += string(b)
	h.done += done
	if !partial {
		h.whole, h.torn = h.whole+kind+h.torn, ""
	}
}

func (h *hearer) Replies(b []byte, done int, partial bool) {
	if done > 0 && partial {
		// What ends here and what begins come in one piece.
		end := ends(h.torn, b, done)
		h.hear("", b[:end], done, false)
		b, done = b[end:], 0
	}
	h.hear("", b, done, partial)
}
func (h *hearer) Pushed(b []byte, partial bool) { h.hear("push ", b, 0, partial) }
func (h *hearer) Failed(command.ID, *Error)     {}
func (h *hearer) Lost(error)                    {}

// ends is where in b the nth reply ends, of which the first began with torn.
func ends(torn string, b []byte, n int) int {
	text := append([]byte(torn), b...)
	off := 0
	for range n {
		var f resp.ReplyFramer
		for done := false; !done; { // an error behind attributes comes apart
			size, ended, err := f.Next(text[off:])
			off, done = off+size, ended || err != nil || size == 0
		}
	}
	return off - len(torn)
}

// FuzzSharedLink: however the replies on a link are cut, each client gets the same ones, and
// no more than it is owed.
func FuzzSharedLink(f *testing.F) {
	f.Add([]byte("+1\r\n$5\r\nhello\r\n-ERR x\r\n*2\r\n:1\r\n$-1\r\n%1\r\n+a\r\n_\r\n"), uint8(3), []byte{0, 1, 1, 2, 0, 0})
	f.Add([]byte("|1\r\n+a\r\n+b\r\n-ERR x\r\n!5\r\nERR y\r\n+1\r\n"), uint8(1), []byte{0, 0, 1})
	f.Add([]byte("+1\r\n+too many\r\n"), uint8(4), []byte{2})
	f.Add([]byte(">2\r\n+a\r\n+b\r\n:x\r\n@"), uint8(2), []byte{0, 1, 4})
	f.Fuzz(func(t *testing.T, in []byte, piece uint8, owners []byte) {
		var heard [2][3]hearer
		var closed [2]error
		var owed [3]int
		for i, size := range []int{len(in) + 1, int(piece) + 1} {
			l, _, m := newLink()
			w := &wire{}
			l.Up(w, Hello{})
			owed = [3]int{}
			for _, o := range owners {
				who := int(o) % 3
				owed[who]++
				pos, _ := l.SendAll(&heard[i][who], []byte("C"), []Part{{command.Other, 1}}, 0)
				if o >= 128 {
					l.Cut(pos)
				}
			}
			feed(l, w, in, size)
			closed[i] = w.closed
			if answered := heard[i][0].done + heard[i][1].done + heard[i][2].done; answered != m.answered || answered > len(owners) {
				t.Errorf("%d commands: %d replies, counted %d", len(owners), answered, m.answered)
			}
		}
		for who := range owed {
			whole, cut := heard[0][who], heard[1][who]
			if whole.done > owed[who] || cut.done != whole.done || cut.whole != whole.whole {
				t.Errorf("client %d, owed %d:\nin pieces %d: %q\nat once   %d: %q", who, owed[who], cut.done, cut.whole, whole.done, whole.whole)
			}
			if closed[0] == nil && cut.torn != whole.torn {
				t.Errorf("client %d has %q of its next reply, at once %q", who, cut.torn, whole.torn)
			}
		}
		if (closed[0] == nil) != (closed[1] == nil) {
			t.Errorf("in pieces it is closed by %v, at once by %v", closed[1], closed[0])
		}
	})
}

// FuzzPinnedLink is FuzzSharedLink for a client that has a link to itself: replies,
// confirmations and what is pushed come apart, in the same order. plan is what it has sent:
// other commands, SUBSCRIBEs and UNSUBSCRIBEs of up to three names.
func FuzzPinnedLink(f *testing.F) {
	const subscribed = "*3\r\n$9\r\nsubscribe\r\n$1\r\na\r\n:1\r\n*3\r\n$7\r\nmessage\r\n$1\r\na\r\n$1\r\nm\r\n"
	f.Add([]byte(subscribed+"*3\r\n$11\r\nunsubscribe\r\n$1\r\na\r\n:0\r\n+PONG\r\n"), uint8(5), []byte{5, 3, 0}, false, false)
	f.Add([]byte(strings.ReplaceAll(subscribed, "*3", ">3")+"+OK\r\n>2\r\n$10\r\ninvalidate\r\n*1\r\n$1\r\nk\r\n-ERR x\r\n"), uint8(1), []byte{5, 0, 0}, true, false)
	f.Add([]byte("+1700000000.1 [0 127.0.0.1:1] \"GET\" \"k\"\r\n+OK\r\n"), uint8(2), []byte{0}, false, true)
	f.Add([]byte(">3\r\n$12\r\nsunsubscribe\r\n$1\r\na\r\n:0\r\n>3\r\n$10\r\nssubscribe\r\n$-1\r\n:1\r\n"), uint8(7), []byte{13}, true, false)
	f.Add([]byte("*3\r\n$11\r\nunsubscribe\r\n$-1\r\n:0\r\n*1\r\n>2\r\n+x\r\n+y\r\n:1\r\n"), uint8(0), []byte{3, 0}, false, false)
	names := []string{"subscribe", "unsubscribe", "psubscribe", "punsubscribe", "ssubscribe", "sunsubscribe"}
	f.Fuzz(func(t *testing.T, in []byte, piece uint8, plan []byte, resp3, monitor bool) {
		var heard [2]hearer
		var closed [2]error
		for i, size := range []int{len(in) + 1, int(piece) + 1} {
			l, _, _ := newLink()
			l.pin = &pinned{holder: &heard[i]}
			l.key.Proto = 2
			if resp3 {
				l.key.Proto = 3
			}
			w := &wire{}
			l.Up(w, Hello{})
			for _, b := range plan {
				if b < 3 {
					_, _ = l.Send(&heard[i], []byte("C"), command.Other, 0)
				} else {
					kind := int(b-3) / 4 % len(names)
					_ = l.Listen(&heard[i], []byte("C"), command.Lookup([]byte(names[kind])), int(b)%4, 0)
				}
			}
			if monitor {
				l.Monitor()
			}
			feed(l, w, in, size)
			closed[i] = w.closed
			if heard[i].done > len(plan) {
				t.Errorf("%d commands have %d replies", len(plan), heard[i].done)
			}
		}
		whole, cut := &heard[0], &heard[1]
		if cut.done != whole.done || cut.whole != whole.whole || closed[0] == nil && cut.torn != whole.torn {
			t.Errorf("in pieces %d: %q and %q\nat once   %d: %q and %q", cut.done, cut.whole, cut.torn, whole.done, whole.whole, whole.torn)
		}
		if (closed[0] == nil) != (closed[1] == nil) {
			t.Errorf("in pieces it is closed by %v, at once by %v", closed[1], closed[0])
		}
	})
}

// speaker is a server that says the same whatever it is asked, a piece at a time.
type speaker struct {
	net.Conn
	says  []byte
	piece int
	read  int
}

func (s *speaker) Write(b []byte) (int, error) { return len(b), nil }
func (s *speaker) Read(b []byte) (int, error) {
	n := copy(b, s.says[:min(s.piece, len(s.says))])
	s.says = s.says[n:]
	s.read += n
	if n == 0 {
		return 0, io.EOF
	}
	return n, nil
}

// FuzzHandshake: a server is taken only for its words, however they are cut, and nothing is
// believed to be accepted that was refused.
func FuzzHandshake(f *testing.F) {
	const hello = "*14\r\n$6\r\nserver\r\n$5\r\nredis\r\n$7\r\nversion\r\n$6\r\n7.0.15\r\n$5\r\nproto\r\n:2\r\n$2\r\nid\r\n:7\r\n$4\r\nmode\r\n$10\r\nstandalone\r\n$4\r\nrole\r\n$6\r\nmaster\r\n$7\r\nmodules\r\n*0\r\n"
	f.Add([]byte(hello+"+OK\r\n+PONG\r\n"), uint8(1), true, 3)
	f.Add([]byte(hello+"+PONG\r\n"), uint8(200), false, 2)
	f.Add([]byte("-ERR unknown command\r\n+OK\r\n+PONG\r\n*3\r\n$6\r\nmaster\r\n:0\r\n*0\r\n"), uint8(3), false, 2)
	f.Add([]byte("|1\r\n+a\r\n+b\r\n-NOAUTH x\r\n!3\r\nERR\r\n"), uint8(9), true, 3)
	f.Fuzz(func(t *testing.T, says []byte, piece uint8, second bool, proto int) {
		cut := &speaker{says: says, piece: int(piece) + 1}
		reply, err := exchange(cut, "PING")
		if cut.read > maxHandshakeReply+4096 {
			t.Errorf("%d bytes have been read", cut.read)
		}
		if err == nil {
			var f resp.ReplyFramer
			n, done, _ := f.Next(reply)
			if k := f.Kind(); n != len(reply) || !done || k == '-' || k == '!' {
				t.Errorf("%q is taken for what was asked for", reply)
			}
			if again, err := exchange(&speaker{says: reply, piece: len(reply)}, "PING"); err != nil || !bytes.Equal(again, reply) {
				t.Errorf("in pieces %q, at once %q, %v", reply, again, err)
			}
		}
		var refused ReplyError
		if errors.As(err, &refused) && strings.Contains(string(refused), "\n") {
			t.Errorf("the refusal %q has several lines", refused)
		}
		db := 0
		if second {
			db = 1
		}
		h, err := handshake(&speaker{says: says, piece: int(piece) + 1}, Backend{Role: PrimaryRole, Password: "x"}, db, 2+proto&1)
		if err == nil && (!bytes.Contains(says, []byte("+PONG\r\n")) && !bytes.Contains(says, []byte("-BUSY")) && !bytes.Contains(says, []byte("-MISCONF")) || h.Role != "" && h.Role != "master") {
			t.Errorf("%q is taken for a primary: %+v", says, h)
		}
	})
}

// FuzzClusterLayout: whatever slots a node says who has, each slot has one of the primaries
// or none, and who has been named has what it was named for.
func FuzzClusterLayout(f *testing.F) {
	f.Add([]byte{0, 0, 0x1f, 0xff, 1, 0x20, 0, 0x3f, 0xff, 2}, "10.0.0.1:6379,10.0.0.2:6379,:6379,?:6380")
	f.Add([]byte{0x3f, 0xff, 0, 0, 1, 0, 9, 0, 9, 3}, "h:1,h:1,,[::1]:2")
	f.Add([]byte{0, 0, 0x40, 0, 0}, "x")
	f.Fuzz(func(t *testing.T, ranges []byte, names string) {
		addrs := strings.Split(names, ",")
		v := view{from: "127.0.0.1:7000"}
		owned := map[int]bool{}
		for r := range slices.Chunk(ranges, 5) {
			if len(r) < 5 {
				break
			}
			slots := redis.ClusterSlot{Start: int(int16(uint16(r[0])<<8 | uint16(r[1]))), End: int(int16(uint16(r[2])<<8 | uint16(r[3])))}
			for i := range int(r[4]) % 4 {
				slots.Nodes = append(slots.Nodes, redis.ClusterNode{Addr: addrs[(int(r[4])+i)%len(addrs)]})
			}
			v.ranges = append(v.ranges, slots)
			for s := max(0, slots.Start); slots.Start >= 0 && slots.End < HashSlots && len(slots.Nodes) > 0 && s <= slots.End; s++ {
				owned[s] = true
			}
		}
		c := &clusterNodes{asker: asker{backend: Backend{Group: Cluster, Addr: "127.0.0.1:7000"}, clients: map[string]*redis.Client{}}}
		l := c.layout(t.Context(), v, nil)
		if len(l.Readers) != len(l.Primaries) || len(l.Primaries) > HashSlots || !l.same(l) {
			t.Errorf("%d primaries, %d sets of readers", len(l.Primaries), len(l.Readers))
		}
		for slot := range HashSlots {
			owner := l.Owner(slot)
			if owner >= len(l.Primaries) || (owner >= 0) != owned[slot] {
				t.Fatalf("slot %d has %d of %d primaries, somebody was named: %v", slot, owner, len(l.Primaries), owned[slot])
			}
		}
		if len(owned) == 0 && len(l.Primaries) > 0 {
			t.Errorf("%d primaries without a slot", len(l.Primaries))
		}
		for i, p := range l.Primaries {
			if slices.Contains(l.Primaries[:i], p) {
				t.Errorf("%s is there twice", p.Addr)
			}
		}
	})
}

// FuzzConcerns: a sentinel's event is about a primary only where its payload names it.
func FuzzConcerns(f *testing.F) {
	f.Add("+switch-master", "mymaster 10.0.0.1 6379 10.0.0.2 6379", "mymaster")
	f.Add("+slave", "slave 10.0.0.2:6379 10.0.0.2 6379 @ mymaster 10.0.0.1 6379", "mymaster")
	f.Add("+sdown", "master mymaster 10.0.0.1 6379", "mymaster")
	f.Add("+odown", "", "")
	f.Fuzz(func(t *testing.T, channel, payload, name string) {
		words := strings.Fields(payload)
		if concerns(channel, payload, name) && !slices.Contains(words, name) {
			t.Errorf("%q of %q is about %q", payload, channel, name)
		}
		if len(strings.Fields(name)) == 1 && strings.Fields(name)[0] == name {
			for channel, payload := range map[string]string{"+switch-master": name + " h 1 h 2", "+sdown": "master " + name + " h 1", "+slave": "slave x h 1 @ " + name + " h 2"} {
				if !concerns(channel, payload, name) {
					t.Errorf("%q of %q is not about %q", payload, channel, name)
				}
			}
		}
	})
}
