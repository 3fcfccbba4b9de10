package main

import (
	"bufio"
	"fmt"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
)

// TestFirstClientOfAGroup has the first client of an instance say HELLO and SUBSCRIBE at once,
// before anything is known of the instance's servers: SUBSCRIBE waits for HELLO's answer, and
// leaves one link, which goes when the client does.
func TestFirstClientOfAGroup(t *testing.T) {
	primary := testbed.Redis(t)
	sentinels := testbed.Sentinels(t, 1, primary, "")
	admin := primary.Client()
	r := startServe(t, testConfig(t))
	for i := range 5 {
		key := r.tenantAt(t, fmt.Sprintf("acme%d", i), sentinelURL(sentinels, "", ""), limits(0, 0))
		conn := dial(t, r.addr)
		c := &talker{t, conn, bufio.NewReader(conn)}
		c.send("HELLO 2 AUTH default "+key, "SUBSCRIBE news")
		c.expect("*14")
		for c.line() != "*3" { // the rest of HELLO's answer
		}
		c.expect("$9", "subscribe", "$4", "news", ":1")
		conn.Close()
		testbed.Within(t, 10*time.Second, "no link is subscribed", func() bool {
			n, err := admin.PubSubNumSub(t.Context(), "news").Result()
			return err == nil && n["news"] == 0
		})
	}
}
