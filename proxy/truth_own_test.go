package proxy

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
)

// TestCommandTellsOperatorsOfProxy, and nobody else, in both protocols.
func TestCommandTellsOperatorsOfProxy(t *testing.T) {
	st := fixed{}
	server := testbed.Redis(t)
	cases := []struct {
		rules string
		names []string // of proxy's, that are told
	}{
		{"+@all", nil},
		{"+@all +proxy", []string{"proxy", "proxy|help", "proxy|kill", "proxy|pause", "proxy|reconnect", "proxy|resume", "proxy|show"}},
		{"+@all +proxy|show", []string{"proxy", "proxy|show"}},
	}
	keys := map[string]string{}
	for _, c := range cases {
		keys[c.rules] = st.grant("acme", server.Addr, 0, c.rules)
	}
	addr := startProxy(t, st)
	count := int64(0)
	for _, c := range cases {
		for _, proto := range []int{2, 3} {
			t.Run(fmt.Sprint(c.rules, " ", proto), func(t *testing.T) {
				client := testbed.Client(t, &redis.Options{Addr: addr, Password: keys[c.rules], Protocol: proto, MaxRetries: -1})
				ask := func(args ...any) any {
					reply, err := client.Do(t.Context(), args...).Result()
					if err != nil {
						t.Fatalf("%v: %v", args, err)
					}
					return reply
				}
				var listed []string
				for _, name := range ask("COMMAND", "LIST").([]any) {
					if strings.HasPrefix(name.(string), "proxy") {
						listed = append(listed, name.(string))
					}
				}
				if !slices.Equal(listed, c.names) {
					t.Errorf("LIST tells of %q, want %q", listed, c.names)
				}
				if filtered := fmt.Sprint(ask("COMMAND", "LIST", "FILTERBY", "PATTERN", "get*")); strings.Contains(filtered, "proxy") {
					t.Errorf("a filtered LIST tells of it: %s", filtered)
				}
				n := ask("COMMAND", "COUNT").(int64)
				if c.names == nil {
					count = n
				} else if n != count+1 {
					t.Errorf("COUNT is %d, want %d: one more than without it", n, count+1)
				}
				if all := ask("COMMAND").([]any); int64(len(all)) != n {
					t.Errorf("COMMAND tells of %d, COUNT of %d", len(all), n)
				}
				info := ask("COMMAND", "INFO", "get", "PROXY", "nosuch", "proxy|show", "proxy|kill").([]any)
				told := []any{info[0] != nil, info[1] != nil, info[2] != nil, info[3] != nil, info[4] != nil}
				if want := []any{true, c.names != nil, false, c.names != nil, len(c.names) > 2}; !slices.Equal(told, want) {
					t.Errorf("INFO tells of %v, want %v", told, want)
				}
				docs := fmt.Sprint(ask("COMMAND", "DOCS", "proxy"))
				for _, name := range []string{"proxy|show", "proxy|kill", "operators' commands about this proxy"} {
					want := slices.Contains(c.names, name) || c.names != nil && !strings.HasPrefix(name, "proxy|")
					if strings.Contains(docs, name) != want {
						t.Errorf("DOCS tells of %q: %v, want %v: %s", name, !want, want, docs)
					}
				}
				if strings.Contains(fmt.Sprint(ask("COMMAND", "DOCS", "get")), "proxy") {
					t.Error("DOCS of GET tells of it")
				}
			})
		}
	}
}
