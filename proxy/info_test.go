package proxy

import (
	"strconv"
	"testing"
)

func TestJoinInfo(t *testing.T) {
	bulk := func(kind, text string) string { return kind + strconv.Itoa(len(text)) + "\r\n" + text + "\r\n" }
	const server = "# Server\r\nredis_mode:cluster\r\n\r\n# Cluster\r\ncluster_enabled:1\r\n\r\n"
	const alone = "# Server\r\nredis_mode:standalone\r\n\r\n# Cluster\r\ncluster_enabled:0\r\n\r\n"
	for _, c := range []struct {
		name string
		said []string
		want string
	}{
		{"keys of all nodes", []string{
			bulk("$", server+"# Keyspace\r\ndb0:keys=2,expires=1,avg_ttl=7\r\n"), bulk("$", server+"# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\n"),
		}, bulk("$", alone+"# Keyspace\r\ndb0:keys=5,expires=1,avg_ttl=7\r\n")},
		{"the first has none", []string{bulk("=", "txt:"+server+"# Keyspace\r\n"), bulk("=", "txt:"+server+"# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\n")},
			bulk("=", "txt:"+alone+"# Keyspace\r\ndb0:keys=3,expires=0,avg_ttl=0\r\n")},
		{"nobody has any", []string{bulk("$", server+"# Keyspace\r\n"), bulk("$", server+"# Keyspace\r\n")}, bulk("$", alone+"# Keyspace\r\n")},
		{"another section", []string{bulk("$", server), bulk("$", server)}, bulk("$", alone)},
		{"a node that is away", []string{"-ERR backend unavailable: timed out\r\n", bulk("$", server)}, bulk("$", alone)},
		{"all are", []string{"-ERR one\r\n", "-ERR two\r\n"}, "-ERR one\r\n"},
		{"nonsense", []string{"*0\r\n", bulk("$", "x\ndb0:keys=none")}, bulk("$", "x\ndb0:keys=none")},
	} {
		var parts []*call
		for _, reply := range c.said {
			parts = append(parts, &call{reply: []byte(reply)})
		}
		if got := string(joinInfo(nil, parts)); got != c.want {
			t.Errorf("%s:\ngot  %q\nwant %q", c.name, got, c.want)
		}
	}
}
