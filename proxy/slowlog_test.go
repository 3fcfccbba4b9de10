package proxy

import (
	"regexp"
	"strings"
	"testing"

	"github.com/respgate/respgate/insight"
	"github.com/respgate/respgate/internal/testbed"
)

// newBook returns what a core is made with.
func newBook(t testing.TB) *insight.Book {
	t.Helper()
	book, err := insight.New(insight.Config{Proxy: "proxy1", MaxLen: 128, Sample: 1})
	if err != nil {
		t.Fatal(err)
	}
	return book
}

// TestSlowlogTalksAsRedisDoes: what is no entry is answered as by Redis, to the byte.
func TestSlowlogTalksAsRedisDoes(t *testing.T) {
	redis := testbed.Redis(t)
	st := fixed{}
	key := st.grant("acme", redis.Addr, 0, "")
	addr := startProxy(t, st)
	if err := redis.Client().ConfigSet(t.Context(), "slowlog-log-slower-than", "-1").Err(); err != nil {
		t.Fatal(err)
	}
	for _, line := range []string{
		"SLOWLOG", "SLOWLOG GET", "SLOWLOG get 5", "SLOWLOG GET -1", "SLOWLOG GET -2", "SLOWLOG GET x", "SLOWLOG GET 1.5", "SLOWLOG GET 99999999999999999999", "SLOWLOG Get 1 2",
		"SLOWLOG LEN", "SLOWLOG LEN x", "slowlog reset", "SLOWLOG RESET x", "SLOWLOG HELP", "SLOWLOG HELP x", "SLOWLOG Nosuch", "SLOWLOG nosuch x",
	} {
		for _, hello := range []string{"HELLO 2", "HELLO 3"} {
			want := lastReply(talk(t, redis.Addr, hello+"\r\n"+line+"\r\nECHO end\r\nQUIT\r\n"))
			got := lastReply(talk(t, addr, hello+" AUTH cache "+key+"\r\n"+line+"\r\nECHO end\r\nQUIT\r\n"))
			if got != want {
				t.Errorf("%s, %s:\ngot  %s\nwant %s", hello, line, got, want)
			}
		}
	}
}

// lastReply is what has come between HELLO's answer, which ends with the modules, and ECHO's.
func lastReply(talked string) string {
	_, rest, _ := strings.Cut(talked, "modules|*0|")
	reply, _, _ := strings.Cut(rest, "$3|end|")
	return reply
}

func TestSlowlogConversations(t *testing.T) {
	st := fixed{}
	redis := testbed.Redis(t).Addr
	key, strict, without := st.grant("acme", redis, 0, ""), st.grant("acme", redis, 0, "+get"), st.grant("acme", redis, 0, "+@all -slowlog|reset")
	limited := st.grant("acme", redis, 2, "")
	addr := startProxy(t, st)
	for _, c := range []struct{ name, in, want string }{
		{"not authenticated", "SLOWLOG GET\r\nQUIT\r\n", "-NOAUTH Authentication required.|+OK|"},
		{"any key", "AUTH " + strict + "\r\nSLOWLOG LEN\r\nSET k v\r\nQUIT\r\n", "+OK|:0|-NOPERM this key has no permissions to run the 'set' command|+OK|"},
		{"a key that may not", "AUTH " + without + "\r\nSLOWLOG RESET\r\nSLOWLOG LEN\r\nQUIT\r\n", "+OK|-NOPERM this key has no permissions to run the 'slowlog|reset' command|:0|+OK|"},
		{"inside MULTI", "AUTH KEY\r\nMULTI\r\nSLOWLOG GET\r\nEXEC\r\nQUIT\r\n", "+OK|+OK|-ERR the 'slowlog|get' command is not possible inside a transaction here|-EXECABORT Transaction discarded because of previous errors.|+OK|"},
		{"while subscribed", "AUTH KEY\r\nSUBSCRIBE c\r\nSLOWLOG LEN\r\nQUIT\r\n", "+OK|*3|$9|subscribe|$1|c|:1|-ERR Can't execute 'slowlog|len': only (P\\|S)SUBSCRIBE / (P\\|S)UNSUBSCRIBE / PING / QUIT / RESET are allowed in this context|+OK|"},
		{"costs one of the limit, but for HELP", "AUTH " + limited + "\r\nSLOWLOG LEN\r\nSLOWLOG LEN\r\nSLOWLOG LEN\r\nSLOWLOG NOSUCH\r\nQUIT\r\n", "+OK|:0|:0|-RATELIMIT 2 commands/s exceeded for this key, retry after N ms|-ERR unknown subcommand 'NOSUCH'. Try SLOWLOG HELP.|+OK|"},
	} {
		t.Run(c.name, func(t *testing.T) {
			got := talk(t, addr, strings.ReplaceAll(c.in, "KEY", key))
			got = regexp.MustCompile(`after \d+ ms`).ReplaceAllString(got, "after N ms")
			if want := strings.ReplaceAll(c.want, `\|`, "|"); got != want {
				t.Errorf("got  %s\nwant %s", got, want)
			}
		})
	}
}
