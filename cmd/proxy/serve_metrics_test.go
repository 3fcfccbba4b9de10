package main

import (
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// TestCommandsAreCountedOnce sends a pipeline that is looked at in several goes, since
// SELECT and the scripts' lane wait for what is owed: each command counts once.
func TestCommandsAreCountedOnce(t *testing.T) {
	cfg := testConfig(t)
	r := startServe(t, cfg)
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, limits(0, 0))
	const n = 20
	in := "AUTH " + key + "\r\n" + strings.Repeat("GET a\r\nSELECT 1\r\nGET a\r\nSELECT 0\r\nEVAL 'return 1' 0\r\nCONFIG GET x\r\nGET\r\n", n) + "QUIT\r\n"
	got := talk(t, r.addr, in)
	if lines := strings.Count(got, "|"); lines != 2+8*n { // config|get has one too
		t.Fatalf("%d lines came back: %s", lines, got)
	}
	for series, want := range map[string]float64{
		`redis_commands_total{command="get"`:                  3 * n,
		`redis_commands_total{command="select"`:               2 * n,
		`redis_commands_total{command="eval"`:                 n,
		`redis_commands_total{command="config"`:               n,
		`redis_command_duration_seconds_count{command="get"`:  3 * n,
		`redis_tenant_duration_seconds_count{phase="limit"`:   4 * n,
		`redis_tenant_duration_seconds_count{phase="backend"`: 4 * n,
	} {
		if got := r.metric(t, series); got != want {
			t.Errorf("%s} is %v, want %v", series, got, want)
		}
	}
}
