package proxy

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/resp"
)

// program is a client's conversation: commands, and where its bytes are cut.
type program struct {
	seed  uint64
	proto int
	lines [][]string
	cuts  []int
	slow  bool // cut after each command, and the next comes after a reply to it
}

// vocabulary are the commands of programs, the likeliest more than once; K is a key,
// L a list, C a channel, D a database, N a number, V a value.
var vocabulary = strings.Split(`SET K V
SET K V
GET K
GET K
GET K
INCR K
INCRBY K N
APPEND K V
DEL K L
MGET K K K
MSET K V K V
STRLEN K
TYPE K
EXISTS K K
RENAME K K
LPUSH L V V
RPUSH L V V V
LRANGE L 0 -1
LLEN L
LPOP L
RPOP L 2
BLPOP L L 0.001
BRPOP L 0.001
BLMOVE L L LEFT RIGHT 0.001
BLMPOP 0.001 2 L L LEFT COUNT 2
HSET Hx f V g V
HGET Hx f
HLEN Hx
ZADD Z N a N b
ZRANGE Z 0 -1 WITHSCORES
ZPOPMIN Z
BZPOPMIN Z 0.001
BZMPOP 0.001 1 Z MAX
XADD S * f V
XLEN S
MULTI
MULTI
MULTI
EXEC
EXEC
EXEC
EXEC
DISCARD
WATCH K K
WATCH L
UNWATCH
SELECT D
SELECT D
SELECT 99
SELECT x
PING
PING V
ECHO V
EVAL return{KEYS[1],ARGV[1],redis.call('get',KEYS[1])} 1 K V
EVAL return{err='MOVED\u00201\u0020x'} 0
EVALSHA ffffffffffffffffffffffffffffffffffffffff 0
SUBSCRIBE C
SUBSCRIBE C C
PSUBSCRIBE C*
SSUBSCRIBE C
UNSUBSCRIBE
UNSUBSCRIBE C
PUNSUBSCRIBE
SUNSUBSCRIBE
UNSUBSCRIBE C C
PUNSUBSCRIBE C*
PUBLISH C V
WAIT 0 0
OBJECT ENCODING L
OBJECT FREQ
GET
SET K
MULTI x
EXEC x
WATCH
SUBSCRIBE
NOSUCH K
LPUSH K V
SETRANGE K -1 x
HSET Hx f`, "\n")

// language is what programs are made of.
type language struct {
	words [][]string             // a program is made of one of these
	apart func(line string) bool // which of them are not said inside a transaction
	ahead func(worker int)       // called before each program of a worker, who has keys of its own; nil is nothing
	slow  bool                   // all programs wait for replies, not one in four
}

// ordinary is the language of programs for one server. Subscriptions inside a transaction
// are refused here, since Redis answers them with a broken array.
var ordinary = language{[][]string{vocabulary}, func(line string) bool { return strings.Contains(line, "SUBSCRIBE") }, nil, false}

// newProgram makes a program of its own keys from a seed.
func (l language) newProgram(seed uint64, prefix string) program {
	r := rand.New(rand.NewPCG(seed, 1))
	words := l.words[r.IntN(len(l.words))]
	p := program{seed: seed, proto: 2 + r.IntN(2)}
	inside := false
	for range 3 + r.IntN(25) {
		var line []string
		template := words[r.IntN(len(words))]
		if inside && l.apart(template) {
			continue
		}
		for _, word := range strings.Fields(template) {
			line = append(line, fill(r, word, prefix, seed))
		}
		switch line[0] {
		case "XADD":
			line[2] = "1-*"
		case "MULTI":
			inside = true
		case "EXEC", "DISCARD":
			inside = false
		}
		p.lines = append(p.lines, line)
	}
	if p.slow = r.IntN(4) == 0 || l.slow; p.slow {
		at := 0
		for _, line := range p.lines {
			at += len(resp.AppendCommand(nil, line...))
			p.cuts = append(p.cuts, at)
		}
		return p
	}
	for range r.IntN(6) {
		p.cuts = append(p.cuts, r.IntN(1+len(p.bytes())))
	}
	return p
}

func fill(r *rand.Rand, word, prefix string, seed uint64) string {
	switch word {
	case "C", "C*":
		// Only one, since several end in an order that is the server's own, and another
		// program's subscription may not have ended yet.
		return fmt.Sprintf("C%d%s", seed, word[1:])
	case "K", "L", "Z", "S", "Hx":
		return prefix + word + strconv.Itoa(r.IntN(3))
	case "T", "TL", "TZ", "TS", "TH": // all of one slot
		return "{" + prefix + "}" + word + strconv.Itoa(r.IntN(3))
	case "D":
		return strconv.Itoa(r.IntN(3))
	case "N":
		return strconv.Itoa(r.IntN(100))
	case "V":
		return strings.Repeat(string(rune('a'+r.IntN(26))), 1<<r.IntN(15)>>1)
	}
	return strings.ReplaceAll(word, "\\u0020", " ")
}

func (p program) bytes() []byte {
	var b []byte
	for _, line := range p.lines {
		b = resp.AppendCommand(b, line...)
	}
	return resp.AppendCommand(b, "QUIT")
}

// run has the program's conversation at addr, after the lines in first, to each of
// which there is one reply, and returns what comes back after theirs.
func (p program) run(addr string, first ...[]string) (string, error) {
	c, err := net.Dial("tcp", addr)
	if err != nil {
		return "", err
	}
	defer c.Close()
	_ = c.SetDeadline(time.Now().Add(testbed.Patience))
	var head []byte
	for _, line := range first {
		head = resp.AppendCommand(head, line...)
	}
	head = resp.AppendCommand(head, "HELLO", strconv.Itoa(p.proto))
	answered := make(chan struct{}, len(first)+1+8*len(p.lines)+8) // a token for each reply
	go func() {
		b := p.bytes()
		at := 0
		for _, cut := range slices.Concat(p.cuts, []int{len(b)}) {
			if cut <= at {
				continue
			}
			_, _ = c.Write(append(head, b[at:cut]...))
			at, head = cut, nil
			if p.slow {
				<-answered // each command has one reply or more
			}
		}
	}()
	got, err := readReplies(c, answered)
	if err != nil {
		return "", fmt.Errorf("after %.200q: %w", got, err)
	}
	for range len(first) + 1 {
		var f resp.ReplyFramer
		n, _, err := f.Next(got)
		if err != nil {
			return "", fmt.Errorf("%.200q: %w", got, err)
		}
		got = got[n:]
	}
	return string(got), nil
}

// readReplies returns all that comes until the other side closes, and puts a token into
// answered for each reply, as far as there is room, and closes it in the end.
func readReplies(c net.Conn, answered chan<- struct{}) (got []byte, err error) {
	defer close(answered)
	var framer resp.ReplyFramer
	framed := 0
	buf := make([]byte, 64<<10)
	for {
		n, err := c.Read(buf)
		got = append(got, buf[:n]...)
		for {
			used, done, bad := framer.Next(got[framed:])
			framed += used
			if done {
				select {
				case answered <- struct{}{}:
				default:
				}
			}
			if used == 0 || bad != nil {
				break
			}
		}
		if errors.Is(err, io.EOF) {
			return got, nil
		}
		if err != nil {
			return got, err
		}
	}
}

func (p program) String() string {
	var s strings.Builder
	fmt.Fprintf(&s, "seed %d, RESP%d, cut at %v", p.seed, p.proto, p.cuts)
	for _, line := range p.lines {
		fmt.Fprintf(&s, "\n\t%.120s", strings.Join(line, " "))
	}
	return s.String()
}

// compare runs programs by several workers against a Redis directly and against
// another behind what is tested, and returns the first difference. With paced, some
// programs wait for replies.
func (l language) compare(t *testing.T, n int, paced bool, direct, behind string, first ...[]string) string {
	base := rand.Uint64()
	t.Logf("seeds from %d", base)
	var mu sync.Mutex
	var difference string
	var wg sync.WaitGroup
	const workers = 4
	for w := range workers {
		wg.Go(func() {
			for i := w; i < n; i += workers {
				p := l.newProgram(base+uint64(i), fmt.Sprintf("w%d:", w))
				p.slow = p.slow && paced
				if l.ahead != nil {
					l.ahead(w)
				}
				want, err := p.run(direct)
				got, err2 := p.run(behind, first...)
				mu.Lock()
				if difference == "" && (err != nil || err2 != nil || got != want) {
					difference = fmt.Sprintf("%v\nerrors %v, %v\n%s", p, err, err2, differing(want, got))
				}
				stop := difference != ""
				mu.Unlock()
				if stop {
					return
				}
			}
		})
	}
	wg.Wait()
	return difference
}

// differing shows where two conversations part.
func differing(want, got string) string {
	at := 0
	for at < min(len(want), len(got)) && want[at] == got[at] {
		at++
	}
	from := max(0, at-300)
	show := func(s string) string { return strings.ReplaceAll(s[from:min(len(s), at+300)], "\r\n", "|") }
	return "want ..." + show(want) + "\ngot  ..." + show(got)
}

// count is how many programs are run: n, or RESPGATE_TEST_PROGRAMS.
func count(t *testing.T, n int) int {
	if text := os.Getenv("RESPGATE_TEST_PROGRAMS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	return n
}

// TestModel has random programs say the same through the proxy as to Redis itself.
func TestModel(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", testbed.Redis(t).Addr, 0, "+@all")
	if d := ordinary.compare(t, count(t, 10_000), true, testbed.Redis(t).Addr, startProxy(t, st), []string{"AUTH", key}); d != "" {
		t.Error(d)
	}
}

// TestModelCatchesASwap plants what the model test is for: two replies in the wrong
// order, once in a hundred conversations.
func TestModelCatchesASwap(t *testing.T) {
	behind := testbed.Redis(t)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	defer wg.Wait()
	defer ln.Close()
	wg.Go(func() {
		for i := 0; ; i++ {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			wg.Go(func() { swapped(client, behind.Addr, i%100 == 99) })
		}
	})
	if d := ordinary.compare(t, 2000, false, testbed.Redis(t).Addr, ln.Addr().String()); d == "" {
		t.Error("a planted swap was not noticed")
	}
}

// swapped passes a conversation on, when it is over, with two replies that differ swapped where asked to.
func swapped(client net.Conn, addr string, swap bool) {
	defer client.Close()
	server, err := net.Dial("tcp", addr)
	if err != nil {
		return
	}
	defer server.Close()
	go func() { _, _ = io.Copy(server, client) }()
	all, _ := io.ReadAll(server)
	var replies [][]byte
	var f resp.ReplyFramer
	for rest := all; len(rest) > 0; {
		n, done, err := f.Next(rest)
		if err != nil || !done {
			break
		}
		replies = append(replies, rest[:n])
		rest = rest[n:]
	}
	for i := 2; swap && i < len(replies); i++ {
		if !bytes.Equal(replies[i], replies[i-1]) {
			replies[i], replies[i-1] = replies[i-1], replies[i]
			break
		}
	}
	_, _ = client.Write(bytes.Join(replies, nil))
}
