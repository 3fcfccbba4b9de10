package proxy

import (
	"bytes"
	"fmt"
	"strconv"
	"strings"
)

// notClustered makes INFO's words those of a server in no cluster.
var notClustered = strings.NewReplacer("redis_mode:cluster", "redis_mode:standalone", "cluster_enabled:1", "cluster_enabled:0")

// joinInfo is what the first node says of itself, but that it is in a cluster, and with all
// nodes' keys. Nodes that do not answer are left out: INFO is how one asks what is wrong.
func joinInfo(_ *Session, parts []*call) []byte {
	var kind byte
	var first string
	var spaces []keyspace
	for _, p := range parts {
		body, ok := infoText(p.reply)
		if !ok {
			continue
		}
		if kind == 0 {
			kind, first = p.reply[0], body
		}
		if k, ok := keyspaceOf(body); ok {
			spaces = append(spaces, k)
		}
	}
	if kind == 0 {
		return bytes.Clone(parts[0].reply)
	}
	first = notClustered.Replace(withKeyspace(first, spaces))
	reply := strconv.AppendInt([]byte{kind}, int64(len(first)), 10)
	reply = append(append(reply, "\r\n"...), first...)
	return append(reply, "\r\n"...)
}

// infoText returns a bulk string, or RESP3's verbatim one with its kind.
func infoText(reply []byte) (text string, ok bool) {
	header, body, _ := bytes.Cut(reply, []byte("\r\n"))
	if len(header) == 0 || header[0] != '$' && header[0] != '=' || len(body) < 2 {
		return "", false
	}
	return string(body[:len(body)-2]), true
}

// keyspace is a node's line about its one database.
type keyspace struct {
	keys, expires int64
	rest          string // such as ",avg_ttl=0"
}

const keyspacePrefix = "\ndb0:"

func keyspaceOf(text string) (k keyspace, ok bool) {
	_, line, ok := strings.Cut(text, keyspacePrefix)
	line, _, _ = strings.Cut(line, "\r\n")
	n, err := fmt.Sscanf(line, "keys=%d,expires=%d", &k.keys, &k.expires)
	if !ok || n != 2 || err != nil {
		return k, false
	}
	if _, rest, more := strings.Cut(line, ",avg_ttl="); more {
		k.rest = ",avg_ttl=" + rest
	}
	return k, true
}

// withKeyspace puts the sum of all nodes' lines in place of text's own, or where it would
// be: a node without keys has none.
func withKeyspace(text string, all []keyspace) string {
	const title = "# Keyspace\r\n"
	if len(all) == 0 || !strings.Contains(text, title) {
		return text
	}
	sum := all[0]
	for _, k := range all[1:] {
		sum.keys += k.keys
		sum.expires += k.expires
	}
	before, after, _ := strings.Cut(text, title)
	if line, rest, there := strings.Cut(after, "\r\n"); there && strings.HasPrefix(line, keyspacePrefix[1:]) {
		after = rest
	}
	return fmt.Sprintf("%s%sdb0:keys=%d,expires=%d%s\r\n%s", before, title, sum.keys, sum.expires, sum.rest, after)
}
