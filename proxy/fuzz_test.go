package proxy

import (
	"bytes"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/resp"
)

// whole returns how many replies b has, and whether it ends with the last of them.
func whole(b []byte) (n int, ok bool) {
	var f resp.ReplyFramer
	for len(b) > 0 {
		size, done, err := f.Next(b)
		if err != nil || size == 0 {
			return n, false
		}
		b = b[size:]
		if done {
			n++
		} else if len(b) == 0 {
			return n, false
		}
	}
	return n, true
}

// one reports whether b is one whole reply: a push is none.
func one(b []byte) bool {
	var f resp.ReplyFramer
	n, ok := whole(b)
	if n != 1 || !ok {
		return false
	}
	_, _, err := f.Next(b)
	return err == nil && f.Kind() != '>'
}

// commands frames what a backend has been sent, which must be whole commands.
func commands(t testing.TB, b []byte) (all [][]string) {
	t.Helper()
	framer := resp.NewFramer(resp.Authenticated(1 << 30))
	for len(b) > 0 {
		var f resp.Frame
		n, err := framer.Next(b, &f)
		if err != nil || f.Raw == nil {
			t.Fatalf("a backend got %q: %v", b, err)
		}
		b = b[n:]
		words := []string{}
		for _, arg := range f.AppendArgs(nil) {
			words = append(words, string(arg))
		}
		all = append(all, words)
	}
	return all
}

// settle has every backend answer what it got, and the client read what it is told, until
// nothing moves. It returns what the client has read.
func (d *desk) settle(t testing.TB, answer func(l *pool.Link, command []string, n int) string) (told []byte) {
	t.Helper()
	n := 0
	for moved := true; moved; {
		moved = false
		for l, w := range maps.Clone(d.wires) {
			got := w.got
			w.got = nil
			for _, command := range commands(t, got) {
				l.Data([]byte(answer(l, command, n)))
				n++
				moved = true
			}
		}
		before := len(d.in)
		if len(d.out) > 0 {
			told = append(told, d.out...)
			d.out = nil
			d.session.Drained()
			moved = true
		}
		d.passed++ // another turn
		d.send("")
		moved = moved || len(d.in) != before
	}
	return told
}

// FuzzSession: whatever a client says before and after it authenticates, and however that
// is cut, it is told the same: at most one reply to each command, and all that it is owed.
// Before it has authenticated, no backend hears of it.
func FuzzSession(f *testing.F) {
	f.Add([]byte("PING\r\nAUTH x\r\n"), []byte("*2\r\n$3\r\nGET\r\n$1\r\nk\r\nCLIENT ID\r\nCLIENT REPLY SKIP\r\nGET a\r\n"), uint8(3))
	f.Add([]byte("HELLO 3\r\n*0\r\n"), []byte("HELLO 3\r\nSELECT 3\r\nMULTI\r\nEVAL x 0\r\nEXEC\r\nRESET\r\nGET a\r\n"), uint8(1))
	f.Add([]byte("*1\r\n$-1"), []byte("CLIENT SETNAME a\r\nCLIENT LIST\r\nCLIENT REPLY OFF\r\nGET a\r\nCLIENT REPLY ON\r\nNOSUCH\r\nQUIT\r\nGET a"), uint8(0))
	f.Add([]byte(""), []byte("COMMAND COUNT\r\nCOMMAND INFO get\r\nINFO\r\nSCAN 0\r\nCONFIG GET x\r\nSUBSCRIBE a b\r\nCLIENT NO-EVICT on\r\n*1\r\n$4\r\nPI"), uint8(5))
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "+@all")
	answers := []string{"+backend\r\n", "$3\r\nabc\r\n", "-ERR x\r\n", "*2\r\n:1\r\n$-1\r\n", ":1\r\n", "*0\r\n"}
	f.Fuzz(func(t *testing.T, before, after []byte, piece uint8) {
		if len(before)+len(after) > 8<<10 { // what a client may say of itself before has bounds that a cut shows earlier
			return
		}
		in := string(before) + "AUTH " + key + "\r\n" + string(after)
		var told [2]string
		for i, size := range []int{len(in), int(piece) + 1} {
			d := newDesk(t, st)
			answer := func(_ *pool.Link, _ []string, n int) string { return answers[n%len(answers)] }
			for rest := string(before); rest != ""; rest = rest[min(size, len(rest)):] {
				d.send(rest[:min(size, len(rest))])
			}
			for _, w := range d.wires {
				if len(w.got) > 0 {
					t.Errorf("the backend got %q before the client had authenticated", w.got)
				}
			}
			for rest := in[len(before):]; rest != ""; rest = rest[min(size, len(rest)):] {
				d.send(rest[:min(size, len(rest))])
			}
			told[i] = string(d.settle(t, answer))
			s := d.session
			n, ok := whole([]byte(told[i]))
			if !ok || n > said(in)+1 {
				t.Errorf("%d commands have %d replies, whole %v: %q", said(in), n, ok, told[i])
			}
			if d.ended == nil && (s.owed() != 0 || s.kept != len(s.name)+len(s.libName)+len(s.libVer) || d.paused && !s.heldUp) {
				t.Errorf("%d replies are owed, %d bytes kept, paused %v", s.owed(), s.kept, d.paused)
			}
		}
		if told[0] != told[1] && !strings.Contains(told[0], "qbuf=") {
			t.Errorf("in pieces %q\nat once   %q", told[1], told[0])
		}
	})
}

// said is how many commands there are in what a client says, at most.
func said(in string) (n int) {
	framer := resp.NewFramer(resp.Authenticated(1 << 30))
	for b := []byte(in); len(b) > 0; {
		var f resp.Frame
		size, err := framer.Next(b, &f)
		if err != nil || f.Raw == nil {
			return n
		}
		b = b[size:]
		n++
	}
	return n
}

// FuzzRewritten: where the proxy changes a reply, the client gets one whole reply, however
// the backend's is cut.
func FuzzRewritten(f *testing.F) {
	f.Add([]byte("*2\r\n$2\r\n17\r\n*1\r\n$1\r\nk\r\n"), uint8(2))
	f.Add([]byte("*2\r\n$1\r\n0\r\n*0\r\n"), uint8(0))
	f.Add([]byte("$41\r\n# Server\r\nredis_mode:cluster\r\ntcp_port:6379\r\n"), uint8(9))
	f.Add([]byte("=22\r\ntxt:cluster_enabled:1\r\n\r\n"), uint8(200))
	f.Add([]byte("*2\r\n*10\r\n$3\r\nget\r\n:2\r\n*1\r\n+readonly\r\n:1\r\n:1\r\n:1\r\n*0\r\n*0\r\n*0\r\n*0\r\n*10\r\n$6\r\nconfig\r\n:-2\r\n*0\r\n:0\r\n:0\r\n:0\r\n*0\r\n*0\r\n*0\r\n*1\r\n*1\r\n$10\r\nconfig|get\r\n"), uint8(7))
	f.Add([]byte("%2\r\n$3\r\nget\r\n*0\r\n$5\r\ndebug\r\n_\r\n"), uint8(3))
	f.Add([]byte("-ERR x\r\n"), uint8(3))
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "")
	d := newDesk(f, st)
	d.send("AUTH " + key + "\r\n")
	s := d.session
	allowed := func(name string) bool { return runs(s.principal.Commands, name) }
	f.Fuzz(func(t *testing.T, reply []byte, piece uint8) {
		if !one(reply) {
			return
		}
		for name, owner := range map[string]func() pool.Owner{
			"command": func() pool.Owner { return &truth{Session: s, about: "command", allowed: allowed} },
			"count":   func() pool.Owner { return &truth{Session: s, about: "command|count", allowed: allowed} },
			"list":    func() pool.Owner { return &truth{Session: s, about: "command|list", allowed: allowed} },
			"docs":    func() pool.Owner { return &truth{Session: s, about: "command|docs", allowed: allowed} },
			"info":    func() pool.Owner { return &truth{Session: s, about: "command|info", allowed: allowed} },
			"scan":    func() pool.Owner { return &scanning{Session: s, node: 2, nodes: 4} },
		} {
			var told [2]string
			for i, size := range []int{len(reply), int(piece) + 1} {
				if name == "scan" {
					size = len(reply) // its call hands it whole
				}
				d.out = nil
				s.sent++
				o := owner()
				for rest := reply; len(rest) > 0; rest = rest[min(size, len(rest)):] {
					if size >= len(rest) {
						o.Replies(rest, 1, false)
					} else {
						o.Replies(rest[:size], 0, true)
					}
				}
				told[i] = string(d.out)
				s.Drained()
				if s.owed() != 0 || s.kept != 0 {
					t.Fatalf("%s: %d replies are owed, %d bytes kept", name, s.owed(), s.kept)
				}
			}
			if !one([]byte(told[0])) || told[0] != told[1] {
				t.Errorf("%s of %q: %q, in pieces %q", name, reply, told[0], told[1])
			}
		}
		for _, parts := range [][]*call{{{reply: reply}}, {{reply: []byte("-ERR x\r\n")}, {reply: reply}}, {{reply: reply}, {reply: reply}}} {
			if told := joinInfo(s, parts); !one(told) {
				t.Errorf("INFO of %q by %d nodes: %q", reply, len(parts), told)
			}
		}
	})
}

// FuzzElements: what is split into its elements is the same when they are put together.
func FuzzElements(f *testing.F) {
	for _, seed := range []string{"*2\r\n:1\r\n$1\r\nx\r\n", "%1\r\n+a\r\n*1\r\n_\r\n", "~0\r\n", "*-1\r\n", "*1\r\n>1\r\n+x\r\n:1\r\n", "*1\r\n|1\r\n+a\r\n+b\r\n-ERR x\r\n", "+OK\r\n", "*\r\n"} {
		f.Add([]byte(seed))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		kind, parts, ok := elements(b)
		if !ok || !one(b) {
			return
		}
		again := appendAggregate(nil, kind, parts)
		_, body, _ := bytes.Cut(b, []byte("\n"))
		if _, bodyAgain, _ := bytes.Cut(again, []byte("\n")); !one(again) || !bytes.Equal(body, bodyAgain) {
			t.Errorf("%q, split and put together: %q", b, again)
		}
	})
}

// FuzzSplit: a command with keys of several slots goes in parts of one slot each, and the
// client is told one reply, in the order of its keys.
func FuzzSplit(f *testing.F) {
	f.Add("a b c d a {a}x", uint8(0))
	f.Add("a  b \r\n \x00", uint8(1))
	f.Add("k {} {}k {k k}", uint8(2))
	x := newTable(f)
	names := []string{"MGET", "MSET", "DEL", "UNLINK", "EXISTS", "TOUCH"}
	f.Fuzz(func(t *testing.T, text string, which uint8) {
		name := names[int(which)%len(names)]
		keys := strings.Split(text, " ")
		if len(keys) > 100 {
			return
		}
		args := []string{name}
		for i, k := range keys {
			if args = append(args, k); name == "MSET" {
				args = append(args, strconv.Itoa(i))
			}
		}
		sent := map[int][]string{} // by slot
		x.send(string(resp.AppendCommand(nil, args...)))
		told := string(x.settle(t, func(_ *pool.Link, command []string, _ int) string {
			step := 1
			if name == "MSET" {
				step = 2
			}
			got := command[1:]
			slot := pool.Slot([]byte(got[0]))
			if command[0] != name || sent[slot] != nil {
				t.Errorf("%q has been sent, and %q before", command, sent[slot])
			}
			sent[slot] = got
			reply := redcon.AppendArray(nil, len(got))
			for i := 0; i < len(got); i += step {
				if s := pool.Slot([]byte(got[i])); s != slot {
					t.Errorf("%q of slot %d is with those of %d", got[i], s, slot)
				}
				reply = redcon.AppendBulkString(reply, got[i])
			}
			switch name {
			case "MGET":
				return string(reply)
			case "MSET":
				return "+OK\r\n"
			}
			return fmt.Sprintf(":%d\r\n", len(got))
		}))
		want := map[int][]string{}
		values := redcon.AppendArray(nil, len(keys))
		for i, k := range keys {
			values = redcon.AppendBulkString(values, k)
			slot := pool.Slot([]byte(k))
			if want[slot] = append(want[slot], k); name == "MSET" {
				want[slot] = append(want[slot], strconv.Itoa(i))
			}
		}
		if !maps.EqualFunc(sent, want, slices.Equal) {
			t.Errorf("%q went as %v, want %v", args, sent, want)
		}
		reply := map[string]string{"MGET": string(values), "MSET": "+OK\r\n"}[name]
		if reply == "" {
			reply = fmt.Sprintf(":%d\r\n", len(keys))
		}
		if told != reply || x.session.owed() != 0 || x.session.kept != 0 {
			t.Errorf("the client is told %q, want %q; %d replies are owed, %d bytes kept", told, reply, x.session.owed(), x.session.kept)
		}
	})
}

// FuzzNodes: whatever a cluster's nodes answer, the client is told one whole reply to its
// one command, in the end.
func FuzzNodes(f *testing.F) {
	f.Add(uint8(0), []byte("-MOVED 15495 127.0.0.1:3\r\n"), []byte("-ASK 15495 127.0.0.1:3\r\n"), []byte("+OK\r\n"))
	f.Add(uint8(1), []byte(":1\r\n"), []byte("-ERR x\r\n"), []byte(":2\r\n"))
	f.Add(uint8(2), []byte("*1\r\n$1\r\na\r\n"), []byte("~1\r\n$1\r\na\r\n"), []byte("_\r\n"))
	f.Add(uint8(3), []byte("*2\r\n$1\r\nc\r\n:1\r\n"), []byte("%1\r\n$1\r\nc\r\n:1\r\n"), []byte("-TRYAGAIN x\r\n"))
	f.Add(uint8(4), []byte("-MOVED 15495 \r\n"), []byte("-MOVED x y z\r\n"), []byte("-CLUSTERDOWN x\r\n"))
	f.Add(uint8(5), []byte("*2\r\n$20\r\n18446744073709551615\r\n*0\r\n"), []byte("*2\r\n:1\r\n*0\r\n"), []byte("!3\r\nERR\r\n"))
	f.Add(uint8(6), []byte("*1\r\n>1\r\n+x\r\n:1\r\n"), []byte("|1\r\n+a\r\n+b\r\n-ERR x\r\n"), []byte("*-1\r\n"))
	x := newTable(f)
	lines := []string{"GET a", "MGET a b c d", "MSET a 1 b 2 c 3", "DEL a b", "EVAL x 1 a", "SCAN 0", "SCAN 1", "INFO"}
	for _, name := range slices.Sorted(maps.Keys(spreads)) {
		name = strings.ReplaceAll(name, "|", " ")
		for _, args := range []string{"", " x", " x y"} {
			lines = append(lines, name+args)
		}
	}
	f.Fuzz(func(t *testing.T, which uint8, a, b, c []byte) {
		if !one(a) || !one(b) || !one(c) {
			return
		}
		line := lines[int(which)%len(lines)]
		x.send(line + "\r\n")
		var told []byte
		for tries := 0; tries < 30 && len(told) == 0; tries++ {
			told = append(told, x.settle(t, func(l *pool.Link, _ []string, n int) string {
				switch {
				case n > 0 && n%3 == 2:
					return string(c)
				case l.Key().Backend.Addr == x.cluster.Addrs[0]:
					return string(a)
				}
				return string(b)
			})...)
			x.later()
		}
		if x.ended != nil || x.drained {
			t.Fatalf("%s: the session has ended: %v", line, x.ended)
		}
		if !one(told) || x.session.owed() != 0 || x.session.kept != 0 {
			t.Fatalf("%s: the client is told %q; %d replies are owed, %d bytes kept", line, told, x.session.owed(), x.session.kept)
		}
	})
}

// FuzzSlotMoved: MOVED's and ASK's slot is read as it is written, and no other word's.
func FuzzSlotMoved(f *testing.F) {
	f.Add("-MOVED 15495 127.0.0.1:3\r\n", uint16(15495))
	f.Add("-ASK -1 x\r\n", uint16(0))
	f.Add("-MOVED 99999999999999999999 x\r\n", uint16(1))
	f.Add("-ERR MOVED 1 x\r\n", uint16(16383))
	f.Fuzz(func(t *testing.T, reply string, slot uint16) {
		if got := slotMoved([]byte(reply)); got >= 0 && !strings.HasPrefix(reply, "-MOVED") && !strings.HasPrefix(reply, "-ASK") {
			t.Errorf("%q is of slot %d", reply, got)
		}
		for _, word := range []string{"MOVED", "ASK"} {
			if got := slotMoved(fmt.Appendf(nil, "-%s %d 127.0.0.1:%d\r\n", word, slot, slot)); got != int(slot) {
				t.Errorf("%s %d is of slot %d", word, slot, got)
			}
		}
	})
}
