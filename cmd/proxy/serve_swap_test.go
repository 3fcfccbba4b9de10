package main

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/resp"
)

const swapClients = 50

// valueSizes are the lengths of each client's values, so that also the order of a
// client's own replies shows.
var valueSizes = []int{1, 7, 100, 1 << 10, 3, 17 << 10, 64 << 10, 2, 300 << 10, 1 << 20}

// valueOf is what the client's key number i holds: its every byte names the client,
// and its length the key.
func valueOf(client, i int) []byte {
	return bytes.Repeat([]byte{byte('0' + client)}, valueSizes[i])
}

func keyOf(client, i int) string { return fmt.Sprintf("k:%d:%d", client, i) }

// tally counts what became of commands.
type tally struct {
	right, failed int
	torn          int // unanswered because the proxy closed the connection
	wrong         []string
}

func (a *tally) add(b tally) {
	a.right += b.right
	a.failed += b.failed
	a.torn += b.torn
	a.wrong = append(a.wrong, b.wrong...)
}

// checkReplies has clients ask for their own values in pipelines, with answers that
// the proxy makes between them, until stop is closed, and checks every reply.
func checkReplies(t *testing.T, addr, key string, stop <-chan struct{}) tally {
	t.Helper()
	var all tally
	var mu sync.Mutex
	var wg sync.WaitGroup
	for client := range swapClients {
		wg.Go(func() {
			mine := checkClient(addr, key, client, stop)
			mu.Lock()
			defer mu.Unlock()
			all.add(mine)
		})
	}
	wg.Wait()
	return all
}

func checkClient(addr, key string, client int, stop <-chan struct{}) (sum tally) {
	for round := client; ; {
		c, err := net.Dial("tcp", addr)
		if err != nil {
			sum.wrong = append(sum.wrong, err.Error())
			return sum
		}
		_ = c.SetDeadline(time.Now().Add(testbed.Patience))
		r := bufio.NewReader(c)
		_, _ = c.Write(resp.AppendCommand(nil, "AUTH", key))
		if line, err := r.ReadString('\n'); line != "+OK\r\n" {
			sum.wrong = append(sum.wrong, fmt.Sprintf("AUTH: %q, %v", line, err))
			c.Close()
			return sum
		}
		for ; ; round++ {
			select {
			case <-stop:
				c.Close()
				return sum
			default:
			}
			if !checkPipeline(c, r, client, round, &sum) {
				break
			}
		}
		c.Close()
	}
}

// checkPipeline asks for all of the client's values, beginning with another one each
// round, and for something that the proxy answers itself after each. It returns
// false when the connection is lost.
func checkPipeline(c net.Conn, r *bufio.Reader, client, round int, sum *tally) bool {
	var pipeline []byte
	n := len(valueSizes)
	for i := range n {
		pipeline = resp.AppendCommand(pipeline, "GET", keyOf(client, (round+i)%n))
		pipeline = resp.AppendCommand(pipeline, "CLIENT", "SETNAME", "x")
	}
	written := make(chan struct{})
	go func() { _, _ = c.Write(pipeline); close(written) }()
	defer func() { <-written }()
	for i := range n {
		got, err := readReply(r)
		switch want := valueOf(client, (round+i)%n); {
		case errors.Is(err, errClosed):
			sum.torn += n - i
			c.Close()
			return false
		case err != nil && strings.HasPrefix(err.Error(), "-ERR backend "):
			sum.failed++
		case err != nil || !bytes.Equal(got, want):
			sum.wrong = append(sum.wrong, fmt.Sprintf("client %d wants %d × %q, got %d bytes: %.40q, %v", client, len(want), want[0], len(got), got, err))
			c.Close()
			return false
		default:
			sum.right++
		}
		if line, err := r.ReadString('\n'); line != "+OK\r\n" && err == nil {
			sum.wrong = append(sum.wrong, fmt.Sprintf("client %d: SETNAME answered %q", client, line))
		}
	}
	return true
}

var errClosed = errors.New("connection closed")

// readReply reads a bulk reply; an error reply is returned as an error.
func readReply(r *bufio.Reader) ([]byte, error) {
	line, err := r.ReadString('\n')
	if err != nil {
		return nil, errClosed
	}
	size, err := strconv.Atoi(strings.TrimSpace(line[1:]))
	if line[0] != '$' || err != nil || size < 0 {
		return nil, errors.New(strings.TrimSpace(line))
	}
	value := make([]byte, size+2)
	if _, err := io.ReadFull(r, value); err != nil {
		return nil, errClosed
	}
	return value[:size], nil
}

func fill(t *testing.T, server *testbed.Server) {
	t.Helper()
	p := server.Client().Pipeline()
	for client := range swapClients {
		for i := range valueSizes {
			p.Set(t.Context(), keyOf(client, i), valueOf(client, i), 0)
		}
	}
	if _, err := p.Exec(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// TestNoReplyGoesAstray kills the backend under the pipelines of 50 clients on four
// loops: every reply is the client's own, each command gets one answer, and two
// seconds after the backend is back everything works.
func TestNoReplyGoesAstray(t *testing.T) {
	server := testbed.Redis(t)
	fill(t, server)
	cfg := testConfig(t)
	cfg.Loops = 4
	cfg.Pool.DialRetryDelay = 200 * time.Millisecond
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", server.Addr, nil)

	stop := make(chan struct{})
	result := make(chan tally)
	go func() { result <- checkReplies(t, r.addr, key, stop) }()
	served := func(n int64) func() bool {
		return func() bool { return r.commandsServed(t) > n }
	}
	testbed.Eventually(t, "replies flow", served(2000))
	server.Kill()
	testbed.Eventually(t, "commands fail", func() bool {
		return strings.HasPrefix(talk(t, r.addr, "AUTH "+key+"\r\nPING\r\nQUIT\r\n"), "+OK|-ERR backend ")
	})
	server.Start()
	testbed.Eventually(t, "the proxy works again on every loop", func() bool {
		for range 4 {
			if talk(t, r.addr, "AUTH "+key+"\r\nPING\r\nQUIT\r\n") != "+OK|+PONG|+OK|" {
				return false
			}
		}
		return true
	})
	fill(t, server)
	close(stop)
	sum := <-result
	t.Logf("%d right, %d failed, %d unanswered as the connection was closed", sum.right, sum.failed, sum.torn)
	wrong := make([]string, 0, len(sum.wrong))
	for _, w := range sum.wrong {
		if !strings.HasSuffix(w, "$-1") { // the server came back empty
			wrong = append(wrong, w)
		}
	}
	if len(wrong) > 0 || sum.right == 0 || sum.failed == 0 {
		t.Errorf("%d wrong, want none, such as %.500q; %d right, %d failed, want some", len(wrong), wrong, sum.right, sum.failed)
	}
}

// TestCheckerCatchesASwap plants one swap of two replies between the proxy and its
// backend: the check of TestNoReplyGoesAstray has to find it.
func TestCheckerCatchesASwap(t *testing.T) {
	server := testbed.Redis(t)
	fill(t, server)
	between := swapper(t, server.Addr)
	r := startServe(t, testConfig(t))
	key := r.tenant(t, "acme", between, nil)
	stop := make(chan struct{})
	result := make(chan tally)
	go func() { result <- checkReplies(t, r.addr, key, stop) }()
	testbed.Eventually(t, "replies flow", func() bool { return r.commandsServed(t) > 600 })
	close(stop)
	if sum := <-result; len(sum.wrong) == 0 {
		t.Errorf("the planted swap was not found in %d replies", sum.right)
	}
}

// swapper passes connections on to the backend and swaps, once on each connection,
// two neighbouring replies.
func swapper(t *testing.T, backend string) string {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			client, err := ln.Accept()
			if err != nil {
				return
			}
			server := dial(t, backend)
			wg.Go(func() { _, _ = io.Copy(server, client); server.Close() })
			wg.Go(func() { swapReplies(client, server); client.Close() })
		}
	})
	t.Cleanup(func() { ln.Close(); wg.Wait() })
	return ln.Addr().String()
}

func swapReplies(to io.Writer, from io.Reader) {
	r := bufio.NewReaderSize(from, 256<<10)
	var held []byte
	for n := 0; ; n++ {
		reply, err := oneReply(r)
		if err != nil {
			return
		}
		switch {
		case n == 200:
			held = reply
			continue
		case held != nil:
			reply = append(reply, held...)
			held = nil
		}
		if _, err := to.Write(reply); err != nil {
			return
		}
	}
}

func oneReply(r *bufio.Reader) ([]byte, error) {
	var framer resp.ReplyFramer
	var reply []byte
	for more := 1; ; {
		if _, err := r.Peek(more); err != nil {
			return nil, err
		}
		b, _ := r.Peek(r.Buffered())
		n, done, err := framer.Next(b)
		reply = append(reply, b[:n]...)
		_, _ = r.Discard(n)
		if done || err != nil {
			return reply, err
		}
		more = len(b) - n + 1 // an error line is taken whole only
	}
}
