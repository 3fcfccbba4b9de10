package pool

import (
	"fmt"
	"log/slog"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/tenant"
)

// old serves as Redis 5 does, which knows no HELLO and says of a command that it does not
// know what it was given; auth answers AUTH.
func old(t *testing.T, auth string) (addr string) {
	t.Helper()
	unknown := func(command redcon.Command) string {
		text := fmt.Sprintf("ERR unknown command `%s`, with args beginning with: ", command.Args[0])
		for _, arg := range command.Args[1:] {
			text += fmt.Sprintf("`%s`, ", arg)
		}
		return text
	}
	srv := redcon.NewServer("", func(c redcon.Conn, command redcon.Command) {
		switch name := string(command.Args[0]); {
		case name == "AUTH" && auth == "":
			c.WriteString("OK")
		case name == "AUTH" && auth != "unknown":
			c.WriteError(auth)
		case name == "PING":
			c.WriteString("PONG")
		default:
			c.WriteError(unknown(command))
		}
	}, nil, nil)
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() { defer close(done); _ = srv.Serve(ln) }()
	t.Cleanup(func() { _ = srv.Close(); <-done })
	return ln.Addr().String()
}

// TestOldServer has a server that knows no HELLO refuse it, and AUTH: nobody is told the password,
// though the server repeats it, nor what the server thinks of it.
func TestOldServer(t *testing.T) {
	const protocol = "NOPROTO unsupported protocol version"
	for _, c := range []struct {
		name, auth string
		proto      int
		want       string // what a client is told; "" is nothing
	}{
		{"RESP2", "", 2, ""},
		{"RESP3", "", 3, protocol},
		{"no AUTH either", "unknown", 2, "backend unavailable: it answered WRONGPASS"},
		{"another password", "ERR invalid password", 2, "backend unavailable: it answered WRONGPASS"},
		{"no password", "ERR Client sent AUTH, but no password is set", 2, "backend unavailable: it answered WRONGPASS"},
		{"full", "ERR max number of clients reached", 2, "ERR max number of clients reached"},
	} {
		t.Run(c.name, func(t *testing.T) {
			var log strings.Builder
			d := NewDialer(DialConfig{Attempts: 1, Timeout: 10 * time.Second}, slog.New(slog.NewTextHandler(&log, nil)), nil)
			b, err := ParseURL(tenant.Secret("redis://u:hunter2@" + old(t, c.auth)))
			if err != nil {
				t.Fatal(err)
			}
			conn, _, err := d.Dial(t.Context(), "acme/cache", b, 0, c.proto, 1)
			told := ""
			if err != nil {
				told = refusal(err).Error()
			} else {
				defer conn.Close()
			}
			if told != c.want {
				t.Errorf("a client is told %q, want %q", told, c.want)
			}
			if all := fmt.Sprint(err, log.String()); strings.Contains(all, "hunter2") {
				t.Errorf("the password is told: %s", all)
			}
		})
	}
}
