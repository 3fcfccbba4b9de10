package main

import (
	"fmt"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// TestOrderOfScriptsInAGroup has scripts and plain commands of one pipeline write to the same
// list of an instance with several servers: scripts have a link of their own, and yet nothing
// overtakes anything.
func TestOrderOfScriptsInAGroup(t *testing.T) {
	primary := testbed.Redis(t)
	testbed.Replica(t, primary)
	sentinels := testbed.Sentinels(t, 3, primary, "")
	r := startServe(t, testConfig(t))
	c := talkTo(t, r.addr, r.tenantAt(t, "acme", sentinelURL(sentinels, "", ""), limits(0, 0)))
	script, err := primary.Client().ScriptLoad(t.Context(), "return redis.call('RPUSH', KEYS[1], ARGV[1])").Result()
	if err != nil {
		t.Fatal(err)
	}
	var commands, replies, want []string
	for i := range 200 {
		n := fmt.Sprint(i)
		want = append(want, n)
		replies = append(replies, ":"+fmt.Sprint(i+1))
		if i%2 == 0 {
			commands = append(commands, "EVALSHA "+script+" 1 list "+n)
		} else {
			commands = append(commands, "RPUSH list "+n)
		}
	}
	c.send(commands...)
	c.expect(replies...)
	got, err := primary.Client().LRange(t.Context(), "list", 0, -1).Result()
	if strings.Join(got, " ") != strings.Join(want, " ") {
		t.Errorf("the list has %q, %v, want the order of the commands", got, err)
	}
}
