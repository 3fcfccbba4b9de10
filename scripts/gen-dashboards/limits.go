package main

// limitsOfAll are limits of all tenants.
func limitsOfAll() row {
	return row{"Limits", []panel{
		{
			kind: stacked, title: "Rate limited commands", none: "nothing refused", unit: perSecond, w: 12, byTenant: true, steps: from(1),
			queries: []query{of(busiest("10", `sum by (tenant) (rate(rate_limited_commands_total{$here}[$r]))`), "{{tenant}}")},
			about:   "Commands per second that the limit of their key or organization has refused, of the ten tenants that have most.",
		},
		{
			kind: lines, title: "Share refused by tenant", none: "nothing refused", unit: share, w: 12, max: 1, byTenant: true, steps: from(0.01, 0.1),
			queries: []query{of(busiest("10", `sum by (tenant) (rate(rate_limited_commands_total{$here}[$r])) / (sum by (tenant) (rate(redis_commands_total{$here}[$r])) > 0)`), "{{tenant}}")},
			about:   "Share of a tenant's commands that a limit has refused. A tenant near 1 is kept out: it needs a higher limit, or does something in a loop.",
		},
		{
			kind: stacked, title: "Commands that waited for a limit", none: "nothing waited", unit: perSecond, byTenant: true, steps: from(1),
			queries: []query{of(busiest("10", `sum by (tenant) (rate(rate_limit_delayed_commands_total{$here}[$r]))`), "{{tenant}}")},
			about:   "Commands per second that a limit in the mode delay has let wait, of the ten tenants that have most. Those that would have waited for too long are among the refused.",
		},
		{
			kind: lines, title: "Wait for a limit by tenant", none: "nothing waited", unit: seconds, byTenant: true, steps: from(0.01, 0.1),
			queries: []query{of(busiest("10", mean("tenant", "redis_tenant_duration_seconds", `$here, phase="limit"`)), "{{tenant}}")},
			about:   "Mean time that a command waited for its limit, of the ten tenants for which it is longest.",
		},
		{
			kind: stacked, title: "Commands of dry runs", none: "nothing would be refused", unit: perSecond, byTenant: true, steps: from(1),
			queries: []query{of(busiest("10", `sum by (tenant) (rate(rate_limit_dry_run_commands_total{$here}[$r]))`), "{{tenant}}")},
			about:   "Commands per second that were served and that a limit in the mode dry_run would have refused, of the ten tenants that have most.",
		},
	}}
}

// sharedLimits are those across proxies, which only some have.
func sharedLimits() row {
	const none = "limits are not shared"
	return row{"Limits across proxies", []panel{
		{
			kind: states, title: "Shared Redis", none: none, w: 6, unit: count, steps: sharedSteps,
			queries: []query{{expr: `rate_limit_shared_up{$here}`, legend: "{{instance}}", mapped: sharedStates}},
			about:   "Whether the Redis that proxies share for their limits answers each of them. While it does not, each holds limits by itself, and all together may admit twice the rate.",
		},
		{
			kind: stacked, title: "Limits held without it", none: none, w: 6, unit: count, steps: from(1),
			queries: []query{of(`rate_limit_shared_fallback_buckets{$here}`, "{{instance}}")},
			about:   "Limits of keys and organizations that a proxy holds by itself, since the shared Redis has not answered for them.",
		},
		{
			kind: stacked, title: "Requests to it", none: none, w: 6, unit: "reqps", colours: resultColours,
			queries: []query{of(`sum by (result) (rate(rate_limit_shared_requests_total{$here}[$r]))`, "{{result}}")},
			about:   "Requests to the shared Redis per second, by how they ended. Each is for all limits that are due.",
		},
		{
			kind: lines, title: "Its latency p50, p95, p99", none: "no requests", w: 6, unit: seconds, colours: quantileColours, steps: from(0.05, 0.25),
			queries: quantiles(`rate_limit_shared_request_duration_seconds_bucket{$here}`),
			about:   "Time that the shared Redis takes for a request. No command waits for it; after a quarter of a second proxies go on without.",
		},
	}}
}

// tenantLimits are those of one tenant.
func tenantLimits() row {
	const served = `sum(rate(redis_commands_total{$here}[$r])) - sum(rate(rate_limited_commands_total{$here}[$r]))` +
		` - sum(rate(rate_limit_delayed_commands_total{$here}[$r])) - sum(rate(rate_limit_dry_run_commands_total{$here}[$r]))`
	return row{"Limits", []panel{
		{
			kind: stacked, title: "Commands and the limit", unit: perSecond,
			colours: map[string]string{"let through": "green", "waited": "yellow", "refused": "orange", "beyond it in a dry run": "blue"},
			queries: []query{
				of(`clamp_min(`+served+`, 0)`, "let through"),
				of(`sum(rate(rate_limit_dry_run_commands_total{$here}[$r]))`, "beyond it in a dry run"),
				of(`sum(rate(rate_limit_delayed_commands_total{$here}[$r]))`, "waited"),
				of(`sum(rate(rate_limited_commands_total{$here}[$r]))`, "refused"),
			},
			about: "The tenant's commands per second, with those that the limit of their key or organization has refused, has let wait (mode delay), or would have refused (mode dry_run). A flat top is a limit that is reached.",
		},
		{
			kind: lines, title: "Wait for the limit p50, p95, p99", none: "no commands", unit: seconds, colours: quantileColours, steps: from(0.01, 0.1),
			queries: quantiles(`redis_tenant_duration_seconds_bucket{$here, phase="limit"}`),
			about:   "Time that the tenant's commands waited for their limit. In the mode delay their clients feel a slow Redis; in others nothing waits, which is drawn as up to 0.1 ms, the finest that is told apart.",
		},
		{
			kind: lines, title: "Share refused", unit: share, max: 1, steps: from(0.01, 0.1),
			queries: []query{of(`sum by (instance) (rate(rate_limited_commands_total{$here}[$r])) / (sum by (instance) (rate(redis_commands_total{$here}[$r])) > 0)`, "{{instance}}")},
			about:   "Share of the tenant's commands that a limit has refused, at each proxy.",
		},
	}}
}
