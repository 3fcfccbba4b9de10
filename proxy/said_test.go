package proxy

import (
	"bytes"
	"log/slog"
	"regexp"
	"strings"
	"testing"

	"github.com/respgate/respgate/tenant"
)

// TestSampledCommands has a share of the commands in the log, with what they cost and
// without what they say.
func TestSampledCommands(t *testing.T) {
	for _, c := range []struct {
		name        string
		ratio       float64
		others      int // what others sample, one in so many
		least, most int // lines for 2000 commands
	}{
		{"none", 0, 0, 0, 0},
		{"none, but others look", 0, 1, 0, 0},
		{"all", 1, 0, 2000, 2000},
		{"a share", 0.3, 0, 450, 750},
		{"a share, and others look at all", 0.3, 1, 450, 750},
	} {
		t.Run(c.name, func(t *testing.T) {
			st := fixed{}
			key := st.grant("acme", "127.0.0.1:1", 0, "")
			d := newDesk(t, st)
			var out bytes.Buffer
			said := &Sampled{Proxy: "Zb3kQ9", Log: slog.New(slog.NewTextHandler(&out, nil))}
			said.SetRatio(c.ratio)
			d.core.Observers = []Observer{said, &notebook{watch: tenant.Watch{Every: c.others, Slow: -1}}}
			d.send("AUTH " + key + "\r\n")
			for range 100 {
				d.send(strings.Repeat("SET canary-name canary-value\r\n", 20))
				d.reply()
			}
			if n := strings.Count(out.String(), "\n"); n < c.least || n > c.most {
				t.Errorf("%d lines for 2000 commands, want %d to %d", n, c.least, c.most)
			}
			line, _, _ := strings.Cut(out.String(), "\n")
			_, line, _ = strings.Cut(line, "level=")
			line = regexp.MustCompile(`took=\S+`).ReplaceAllString(line, "took=TIME") // the desk's clock is not its links'
			want := "INFO msg=command session=Zb3kQ9-1 client=127.0.0.1:1 tenant=acme/cache key=" + key[3:15] + " command=set db=0 limited=0s waited=0s ahead=0s took=TIME bytes=50 reply_bytes=10 code=\"\""
			if line != want && c.least > 0 {
				t.Errorf("the first is\n%s\nwant\n%s", line, want)
			}
			if strings.Contains(out.String(), "canary") {
				t.Error("the log has an argument")
			}
		})
	}
}
