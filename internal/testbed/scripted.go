package testbed

import (
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/tidwall/redcon"
)

// ScriptedCluster is a cluster whose nodes say what a test wants.
type ScriptedCluster struct {
	Addrs []string // of its nodes

	mu     sync.Mutex
	shares []int
	answer func(node int, command []string) string
}

// Closes is what a scripted node answers that closes the connection instead.
const Closes = "closes"

// NewScriptedCluster starts n nodes that have the same number of slots each. answer says
// what a node answers to a command, in RESP; "" is nothing, now or later. What connects and
// finds out about the cluster is answered without it.
func NewScriptedCluster(tb testing.TB, n int, answer func(node int, command []string) string) *ScriptedCluster {
	tb.Helper()
	c := &ScriptedCluster{answer: answer}
	var serving sync.WaitGroup
	tb.Cleanup(serving.Wait) // runs after those below
	for i := range n {
		ln, err := new(net.ListenConfig).Listen(tb.Context(), "tcp", "127.0.0.1:0")
		if err != nil {
			tb.Fatal(err)
		}
		c.Addrs = append(c.Addrs, ln.Addr().String())
		c.shares = append(c.shares, i)
		srv := redcon.NewServer("", func(conn redcon.Conn, command redcon.Command) { c.serve(i, conn, command) }, nil, nil)
		serving.Go(func() { _ = srv.Serve(ln) })
		tb.Cleanup(func() { _ = srv.Close() })
	}
	return c
}

// Share cuts the slots into as many ranges, and gives each to one of the nodes.
func (c *ScriptedCluster) Share(nodes ...int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.shares = nodes
}

// URL is what an instance's URL names the cluster by.
func (c *ScriptedCluster) URL() string { return "redis-cluster://" + strings.Join(c.Addrs, ",") }

func (c *ScriptedCluster) serve(node int, conn redcon.Conn, command redcon.Command) {
	var words []string
	for _, arg := range command.Args {
		words = append(words, string(arg))
	}
	switch line := strings.ToLower(strings.Join(words, " ")); {
	case strings.HasPrefix(line, "hello"):
		conn.WriteError("ERR unknown command 'HELLO'") // as before Redis 6
	case line == "ping":
		conn.WriteString("PONG")
	case line == "cluster info":
		conn.WriteBulkString("cluster_state:ok\r\ncluster_current_epoch:1\r\n")
	case line == "cluster slots":
		c.slots(conn)
	default:
		if reply := c.answer(node, words); reply == Closes {
			_ = conn.Close()
		} else {
			conn.WriteRaw([]byte(reply))
		}
	}
}

func (c *ScriptedCluster) slots(conn redcon.Conn) {
	c.mu.Lock()
	defer c.mu.Unlock()
	conn.WriteArray(len(c.shares))
	for i, node := range c.shares {
		host, port, _ := net.SplitHostPort(c.Addrs[node])
		number, _ := strconv.Atoi(port)
		conn.WriteArray(3)
		conn.WriteInt(i * slots / len(c.shares))
		conn.WriteInt((i+1)*slots/len(c.shares) - 1)
		conn.WriteArray(3)
		conn.WriteBulkString(host)
		conn.WriteInt(number)
		conn.WriteBulkString("node" + strconv.Itoa(node))
	}
}
