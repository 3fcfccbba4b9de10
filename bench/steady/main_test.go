package main

import (
	"bytes"
	"regexp"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

func TestRun(t *testing.T) {
	redis := testbed.Redis(t, "--requirepass", "the-password")
	for _, row := range []struct {
		name, args, key string
		want            string // an expression
		fails           string // part of the error
	}{
		{name: "a line", args: "-rate 1000 -clients 3 -for 100ms GET greeting", key: "the-password", want: `^1000 commands/s wanted, \d+ answered; p50 [\d.]+[µm]?s, p99 .*\n$`},
		{name: "PING unless said", args: "-rate 100 -clients 1 -for 20ms", key: "the-password", want: `^100 commands/s wanted`},
		{name: "a wrong key", key: "another", fails: "WRONGPASS"},
		{name: "an error for an answer", args: "-rate 10 -for 100ms NOSUCH", key: "the-password", fails: "unknown command 'NOSUCH'"},
		{name: "no rate", args: "-rate 0", fails: "-rate, -clients and -for want more than 0"},
	} {
		t.Run(row.name, func(t *testing.T) {
			var out bytes.Buffer
			err := run(t.Context(), append([]string{"-addr", redis.Addr}, strings.Fields(row.args)...), row.key, &out)
			switch {
			case row.fails == "" && err != nil, row.fails != "" && (err == nil || !strings.Contains(err.Error(), row.fails)):
				t.Errorf("got error %v, want %q", err, row.fails)
			case !regexp.MustCompile(row.want).MatchString(out.String()):
				t.Errorf("got %q, want %s", out.String(), row.want)
			}
		})
	}
}
