package main

import (
	"fmt"
	"maps"
	"slices"
)

// What several panels show alike.

// quantiles are a histogram's p50, p95 and p99. Values that there are not are left out: there
// was nothing to take the time of.
func quantiles(bucket string) []query {
	var made []query
	for _, q := range []string{"0.50", "0.95", "0.99"} {
		made = append(made, query{
			expr:   fmt.Sprintf("histogram_quantile(%s, sum by (le) (rate(%s[$r]))) >= 0", q, bucket),
			legend: "p" + q[2:], exemplars: q == "0.99",
		})
	}
	return made
}

// quantile is one of a histogram, by a label, in the same way.
func quantile(q, by, bucket string) string {
	return fmt.Sprintf("histogram_quantile(%s, sum by (le, %s) (rate(%s[$r]))) >= 0", q, by, bucket)
}

// mean is the mean of a histogram, by a label.
func mean(by, histogram, selector string) string {
	return fmt.Sprintf("sum by (%s) (rate(%s_sum{%s}[$r])) / (sum by (%[1]s) (rate(%[2]s_count{%[3]s}[$r])) > 0)", by, histogram, selector)
}

// Errors of Redis, or of the way to it, which clients do nothing for: the values of code.
const backendCodes = "backend_unavailable|backend_lost|LOADING|MASTERDOWN|CLUSTERDOWN|READONLY|TRYAGAIN|MISCONF|NOREPLICAS|NOTREADY|OOM|BUSY"

// proxyCodes are errors that neither the client nor its Redis is to blame for.
const proxyCodes = "auth_unavailable|max_clients"

// Colours that stand for the same on all panels.
var (
	quantileColours = map[string]string{"p50": "green", "p95": "yellow", "p99": "red"}
	phaseColours    = map[string]string{"limit": "orange", "pool": "yellow", "backend": "blue", "write": "purple"}
	codeColours     = map[string]string{
		"RATELIMIT": "orange", "backend_unavailable": "dark-red", "backend_lost": "red", "NOPERM": "purple", "ERR": "yellow", "WRONGTYPE": "blue",
	}
	kindColours   = map[string]string{"shared": "blue", "pinned": "orange", "subscriber": "purple", "cache": "green"}
	resultColours = map[string]string{"ok": "green", "refused": "red", "timeout": "orange", "auth": "purple", "error": "dark-red", "breaker_open": "yellow"}
	sideColours   = map[string]string{"in": "green", "out": "blue"}
)

// breakerStates are the values of redis_breaker_state.
var breakerStates = map[string]state{"0": {"closed", "green"}, "1": {"half-open", "yellow"}, "2": {"open", "red"}}

// breakerSteps are their colours.
var breakerSteps = from(1, 2)

// pauseStates are the values of redis_paused.
var pauseStates = map[string]state{"0": {"served", "green"}, "1": {"held up", "orange"}}

// pauseSteps are their colours.
var pauseSteps = []step{{colour: "green"}, {1, "orange"}}

// sharedStates are the values of rate_limit_shared_up.
var sharedStates = map[string]state{"0": {"away", "red"}, "1": {"answers", "green"}}

// sharedSteps are their colours.
var sharedSteps = []step{{colour: "red"}, {1, "green"}}

func sorted(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
