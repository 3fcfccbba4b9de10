package insight

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// sent is a command as a client sends it.
func sent(args ...string) []byte {
	b := fmt.Appendf(nil, "*%d\r\n", len(args))
	for _, a := range args {
		b = fmt.Appendf(b, "$%d\r\n%s\r\n", len(a), a)
	}
	return b
}

// begins is how it begins: what a link keeps of it.
func begins(args ...string) []byte {
	b := sent(args...)
	return b[:min(len(b), 256)]
}

func idOf(name string) command.ID {
	top, sub, _ := strings.Cut(name, "|")
	return command.Lookup([]byte(top)).Sub([]byte(sub))
}

func shownTexts(id command.ID, b []byte) (texts []string) {
	for _, a := range shownArgs(id, b) {
		texts = append(texts, a.text+a.rest)
	}
	return texts
}

func TestShownArgs(t *testing.T) {
	long := strings.Repeat("x", 1000)
	digits := strings.Split(strings.Repeat("1 ", 40), " ")[:40]
	for _, c := range []struct {
		name, command string
		bytes         []byte
		want          []string
	}{
		{"as sent", "set", begins("SeT", "k", "v"), []string{"SeT", "k", "v"}},
		{"an empty argument", "set", begins("SET", "k", ""), []string{"SET", "k", ""}},
		{"a long argument", "set", begins("SET", "k", long), []string{"SET", "k", long[:128] + "... (872 more bytes)"}},
		{"128 bytes", "set", begins("SET", "k", long[:128]), []string{"SET", "k", long[:128]}},
		{"129 bytes", "set", begins("SET", "k", long[:129]), []string{"SET", "k", long[:128] + "... (1 more bytes)"}},
		{"no more is known", "set", begins("SET", long[:120], long), []string{"SET", long[:120], long[:108] + "... (892 more bytes)"}},
		{"later arguments are not known", "mset", begins("MSET", "a", long, "b", long), []string{"MSET", "a", long[:128] + "... (872 more bytes)", "... (2 more arguments)"}},
		{"32 arguments", "del", begins(append([]string{"DEL"}, digits[:31]...)...), append([]string{"DEL"}, digits[:31]...)},
		{"33 arguments", "del", begins(append([]string{"DEL"}, digits[:32]...)...), append(append([]string{"DEL"}, digits[:30]...), "... (2 more arguments)")},
		{"a header is cut", "del", sent("DEL", "a", "b")[:20], []string{"DEL", "a", "... (1 more arguments)"}},
		{"not known", "config|get", nil, []string{"config|get"}},
		{"a name only", "dbsize", begins("DBSIZE"), []string{"DBSIZE"}},

		{"AUTH", "auth", begins("AUTH", "user", "secret"), []string{"AUTH", redacted, redacted}},
		{"HELLO", "hello", begins("HELLO", "3", "AUTH", "user", "secret", "SETNAME", "bob"), []string{"HELLO", "3", "AUTH", redacted, redacted, "SETNAME", "bob"}},
		{"CONFIG SET", "config|set", begins("CONFIG", "SET", "maxmemory", "1", "RequirePass", "secret", "masterauth", "secret"), []string{"CONFIG", "SET", "maxmemory", "1", "RequirePass", redacted, "masterauth", redacted}},
		{"ACL SETUSER", "acl|setuser", begins("ACL", "SETUSER", "bob", "on", ">secret"), []string{"ACL", "SETUSER", redacted, redacted, redacted}},
		{"MIGRATE AUTH", "migrate", begins("MIGRATE", "h", "1", "k", "0", "10", "COPY", "AUTH", "secret"), []string{"MIGRATE", "h", "1", "k", "0", "10", "COPY", "AUTH", redacted}},
		{"MIGRATE AUTH2", "migrate", begins("MIGRATE", "h", "1", "", "0", "10", "AUTH2", "user", "secret", "KEYS", "k"), []string{"MIGRATE", "h", "1", "", "0", "10", "AUTH2", redacted, redacted, "KEYS", "k"}},
		{"SENTINEL", "nosuch", begins("SENTINEL", "SET", "main", "auth-pass", "secret"), []string{"SENTINEL", "SET", redacted, redacted, redacted}},
		{"a long secret", "auth", begins("AUTH", long), []string{"AUTH", redacted}},
		{"CLIENT", "client|setname", begins("CLIENT", "SETNAME", "auth"), []string{"CLIENT", "SETNAME", "auth"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := shownTexts(idOf(c.command), c.bytes); !slices.Equal(got, c.want) {
				t.Errorf("got  %q\nwant %q", got, c.want)
			}
		})
	}
}

// FuzzBeginning: whatever a command's beginning is, what is shown of it is bounded and what
// is sought in it ends.
func FuzzBeginning(f *testing.F) {
	for _, seed := range [][]byte{
		begins("SET", "k", "v"), begins("MIGRATE", "h", "1", "k", "0", "10", "AUTH", "secret"), sent("DEL", "a")[:9], begins("GET", strings.Repeat("k", 300)),
		nil, []byte("*"), []byte("*1\r\n"), []byte("*9999999999\r\n$9999999999\r\nx"), []byte("*-1\r\n"), []byte("*2\r\n$-1\r\n\r\n"), []byte("PING\r\n"),
		[]byte("*3\r\n$4\r\nEVAL\r\n$1\r\nx\r\n$1\r\n1\r\n"), []byte("*99\r\n$4\r\nMGET\r\n$1\r\nk\r\n"),
	} {
		f.Add(uint16(1), seed)
	}
	f.Fuzz(func(t *testing.T, n uint16, b []byte) {
		b = b[:min(len(b), 256)]
		id := command.ID(n) % command.Num
		shown := shownTexts(id, b)
		total := 0
		for _, text := range shown {
			total += len(text)
		}
		if len(shown) == 0 || len(shown) > maxArgs || total > 256+maxArgs*64 {
			t.Errorf("%d arguments of %d bytes are shown", len(shown), total)
		}
		l := newTestBook(t, Config{}).AddLoop(nil, nil)
		if k := l.firstKey(&tenant.Observed{Command: uint16(id), Begins: b}); len(k.text) > maxText || k.known && !strings.Contains(string(b), string(k.text)) {
			t.Errorf("the first key is %q", k.text)
		}
	})
}
