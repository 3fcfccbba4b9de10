package load

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestReplyLength(t *testing.T) {
	for _, c := range []struct {
		in    string
		want  int
		fails bool
	}{
		{"", 0, false},
		{"+OK\r", 0, false},
		{"+OK\r\n", 5, false},
		{":12\r\n+OK\r\n", 5, false},
		{"$-1\r\n", 5, false},
		{"$0\r\n\r\n", 6, false},
		{"$3\r\nabc\r", 0, false},
		{"$3\r\nabc\r\n", 9, false},
		{"$x\r\n", 0, true},
		{"-ERR no\r\n", 0, true},
		{"*1\r\n", 0, true},
		{"\r\n", 0, true},
	} {
		got, err := replyLength([]byte(c.in))
		if got != c.want || (err != nil) != c.fails {
			t.Errorf("%q: got %d, %v, want %d", c.in, got, err, c.want)
		}
	}
}

func TestDiscardReply(t *testing.T) {
	for _, c := range []struct {
		in, rest string
		fails    bool
	}{
		{"+OK\r\nrest", "rest", false},
		{"*3\r\n$3\r\nabc\r\n$-1\r\n*1\r\n:1\r\nrest", "rest", false},
		{"*0\r\nrest", "rest", false},
		{"*2\r\n+OK\r\n", "", true},
		{"$9\r\nabc", "", true},
		{"*1\r\n-ERR no\r\n", "", true},
	} {
		r := bufio.NewReader(strings.NewReader(c.in))
		err := discardReply(r)
		rest, _ := io.ReadAll(r)
		if (err != nil) != c.fails || !c.fails && string(rest) != c.rest {
			t.Errorf("%q: rest %q, %v, want %q", c.in, rest, err, c.rest)
		}
	}
}

func TestRequests(t *testing.T) {
	for _, c := range []struct {
		got  []byte
		want string
	}{
		{Command("GET", "a"), "*2\r\n$3\r\nGET\r\n$1\r\na\r\n"},
		{MSET(1), "*3\r\n$4\r\nMSET\r\n$12\r\nbulk:0000000\r\n$16\r\n0000000000000000\r\n"},
		{MGET(2), "*3\r\n$4\r\nMGET\r\n$12\r\nbulk:0000000\r\n$12\r\nbulk:0000001\r\n"},
	} {
		if !bytes.Equal(c.got, []byte(c.want)) {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestPercentile(t *testing.T) {
	for _, c := range []struct {
		values []time.Duration
		q      float64
		want   time.Duration
	}{
		{nil, 0.5, 0},
		{[]time.Duration{7}, 0.99, 7},
		{[]time.Duration{4, 1, 3, 2}, 0.5, 2},
		{[]time.Duration{4, 1, 3, 2}, 0.99, 4},
		{[]time.Duration{4, 1, 3, 2}, 0, 1},
	} {
		if got := Percentile(c.values, c.q); got != c.want {
			t.Errorf("%v of %v: got %v, want %v", c.q, c.values, got, c.want)
		}
	}
}

func TestPerSecond(t *testing.T) {
	points := []Point{{0, 7}, {1 * time.Second, 17}, {2 * time.Second, 57}, {4 * time.Second, 97}, {9 * time.Second, 107}}
	for _, c := range []struct{ low, high, want float64 }{
		{0, 95, (97 - 17) / 3.0},
		{40, 95, 20},
		{60, 95, 0}, // one point says nothing
		{200, 300, 0},
	} {
		if got := PerSecond(points, c.low, c.high); got != c.want {
			t.Errorf("from %v to %v: got %v, want %v", c.low, c.high, got, c.want)
		}
	}
}

func TestProcessed(t *testing.T) {
	for _, c := range []struct {
		in    string
		want  float64
		fails bool
	}{
		{"$50\r\n# Stats\r\ntotal_connections_received:1\r\ntotal_commands_processed:42\r\n", 42, false},
		{"$7\r\n# Stats\r\n", 0, true},
	} {
		if got, err := processed([]byte(c.in)); got != c.want || (err != nil) != c.fails {
			t.Errorf("%q: got %v, %v, want %v", c.in, got, err, c.want)
		}
	}
}

func TestSteadySchedule(t *testing.T) {
	s := Steady{Rate: 20_000, Clients: 50, During: 3 * time.Second}
	if got := s.total(); got != 60_000 {
		t.Errorf("total %d", got)
	}
	for _, c := range []struct {
		client, n int
		want      time.Duration
	}{
		{0, 0, 0},
		{1, 0, 50 * time.Microsecond}, // evenly spread
		{49, 0, 2450 * time.Microsecond},
		{0, 1, 2500 * time.Microsecond}, // each client 400 times a second
		{3, 400, time.Second + 150*time.Microsecond},
	} {
		if got := s.due(s.nth(c.client, c.n)); got != c.want {
			t.Errorf("client %d's command %d: due %v, want %v", c.client, c.n, got, c.want)
		}
	}
}

func TestSteadyLatencies(t *testing.T) {
	// Commands are due at 0, 1, 2 and 3 s; clients 0 and 1 have two each.
	r := &steadyRun{Steady: Steady{Rate: 1, Clients: 2, During: 4 * time.Second}, answered: make([]int, 2), kept: make([][]byte, 2)}
	for _, step := range []struct {
		at     time.Duration
		client int
		in     string
	}{
		{2 * time.Second, 1, "$1\r\nx"},
		{3 * time.Second, 1, "\r\n+O"},
		{4 * time.Second, 1, "K\r\n"},
		{5 * time.Second, 0, "+OK\r\n"},
	} {
		r.now = step.at
		if err := r.received(step.client, []byte(step.in)); err != nil {
			t.Fatal(err)
		}
	}
	r.now = 6 * time.Second
	want := Steadily{[]time.Duration{2 * time.Second, time.Second, 5 * time.Second, 4 * time.Second}, 3, 6 * time.Second}
	if got := r.result(); !reflect.DeepEqual(got, want) {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

// serve answers each of a client's lines that begins a command with a reply.
func serve(t *testing.T, reply string) Endpoint {
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { ln.Close() })
	go func() {
		for {
			nc, err := ln.Accept()
			if err != nil {
				return
			}
			go func() {
				defer nc.Close()
				for lines := bufio.NewScanner(nc); lines.Scan(); {
					if strings.HasPrefix(lines.Text(), "*") {
						fmt.Fprint(nc, reply)
					}
				}
			}()
		}
	}()
	return Endpoint{Addr: ln.Addr().String(), Password: "key"}
}

func TestGenerators(t *testing.T) {
	request := Command("GET", "a")
	for _, c := range []struct {
		name string
		run  func(context.Context, Endpoint) (int, error)
		want int
	}{
		{"latencies", func(ctx context.Context, e Endpoint) (int, error) {
			all, err := Latencies(ctx, e, request, 7)
			return len(all), err
		}, 7},
		{"steady", func(ctx context.Context, e Endpoint) (int, error) {
			got, err := Steady{Rate: 1000, Clients: 3, Request: request, During: 50 * time.Millisecond}.Run(ctx, e, func() {})
			return len(got.Latencies), err
		}, 50},
		{"open", func(ctx context.Context, e Endpoint) (int, error) {
			conns, err := Open(ctx, Repeat(e, 40), request)
			if err != nil {
				return 0, err
			}
			defer conns.Close()
			return len(conns), nil
		}, 40},
		{"bulk", func(ctx context.Context, e Endpoint) (int, error) {
			_, err := Bulk(ctx, e, MSET(1000))
			return 0, err
		}, 0},
		{"swarm", func(ctx context.Context, e Endpoint) (int, error) {
			s, err := StartSwarm(ctx, Repeat(e, 10), 8)
			if err != nil {
				return 0, err
			}
			defer s.Close()
			for {
				if n, err := s.Commands(); n >= 100 || err != nil {
					return 100, err
				}
			}
		}, 100},
	} {
		got, err := c.run(t.Context(), serve(t, "$1\r\nx\r\n"))
		if got != c.want || err != nil {
			t.Errorf("%s: got %d, %v, want %d", c.name, got, err, c.want)
		}
		if _, err := c.run(t.Context(), serve(t, "-ERR no\r\n")); err == nil || !strings.Contains(err.Error(), "ERR no") {
			t.Errorf("%s: a target's error is lost: %v", c.name, err)
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		if _, err := c.run(ctx, serve(t, "+OK\r\n")); err == nil {
			t.Errorf("%s: does not end with its context", c.name)
		}
	}
}
