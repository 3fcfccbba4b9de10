package main

// tenantPage is the page of one tenant.
func tenantPage() board {
	return board{
		uid: tenantUID, title: "respgate tenant", here: every + `, tenant="$tenant"`,
		about:     "One tenant: whether it is its clients, the proxy, its limit or its Redis, and what it does.",
		variables: append(variables(), labelValues("tenant", "Tenant", `label_values(client_connections{job=~"$job", instance=~"$instance"}, tenant)`, single)),
		rows:      []row{whoIsIt(), tenantTime(), tenantCommands(), tenantLimits(), tenantClients(), tenantRedis(), tenantCache()},
	}
}

// p99 is what 99 of 100 commands took at most in a phase; 0 where there were none.
func p99(phase string) string {
	return `histogram_quantile(0.99, sum by (le) (rate(redis_tenant_duration_seconds_bucket{$here, phase="` + phase + `"}[$r]))) >= 0`
}

// shareOf is the share of the tenant's commands that some count is of.
func shareOf(counter, selector string) string {
	return `sum(rate(` + counter + `{$here` + selector + `}[$r])) / (sum(rate(redis_commands_total{$here}[$r])) > 0)`
}

func whoIsIt() row {
	return row{"Is it the client, the proxy, the limit or the Redis?", []panel{
		{
			kind: words, title: "How to read it", w: width, h: 3,
			about: "The box that is not green is where to look, from the left.\n\n" +
				"**Client**: it takes its replies late, or is answered errors that are its own (a wrong type, a command that its key may not run). " +
				"**Limit**: its key or organization asks for more than it may: commands are refused, or wait. " +
				"**Proxy**: commands wait for a link of their own, or too much is in flight. " +
				"**Redis**: it answers late, or not at all. All green, and still slow for them? Then it is on the way from the client to the proxy.",
		},
		{
			kind: verdicts, title: "Client", unit: seconds, steps: from(0.1, 1),
			queries: []query{
				of(p99("write"), "takes replies within (p99)"),
				{expr: shareOf("redis_command_errors_total", `, code!~"RATELIMIT|MOVED|ASK|`+proxyCodes+"|"+backendCodes+`"`), legend: "errors of its own", unit: share, steps: from(0.01, 0.05)},
				{expr: `sum(client_connections{$here})`, legend: "clients", unit: count, steps: []step{{colour: "red"}, {1, "green"}}},
			},
			about: "Signs that it is the clients: how late 1 in 100 replies is taken from the socket, the share of commands answered with an error that is the client's own, and how many clients there are.",
		},
		{
			kind: verdicts, title: "Limit", unit: share, steps: from(0.01, 0.1),
			queries: []query{
				of(shareOf("rate_limited_commands_total", ""), "refused"),
				of(shareOf("rate_limit_delayed_commands_total", ""), "had to wait"),
				{expr: p99("limit"), legend: "waits for it (p99)", unit: seconds, steps: from(0.01, 0.1)},
			},
			about: "Signs that it is the limit: the share of commands that the limit of their key or organization refuses or has let wait (mode delay), and how long they wait.",
		},
		{
			kind: verdicts, title: "Proxy", unit: seconds, steps: from(0.01, 0.1),
			queries: []query{
				of(p99("pool"), "waits for a link (p99)"),
				{expr: `sum(rate(redis_pool_exhausted_total{$here}[$r]))`, legend: "refused for want of one", unit: perSecond, steps: from(0.01, 1)},
				{expr: `max(respgate_memory_in_flight_bytes{$proxies} / respgate_memory_limit_bytes{$proxies})`, legend: "memory in flight", unit: share, steps: from(0.5, 0.8)},
			},
			about: "Signs that it is the proxy: how long commands wait for a link to the backend, commands that got none, and how much of the memory for commands and replies is in use, by all tenants.",
		},
		{
			kind: verdicts, title: "Redis", unit: seconds, steps: from(0.1, 1),
			queries: []query{
				of(p99("backend"), "answers within (p99)"),
				{
					expr: `clamp_min(sum(rate(redis_command_errors_total{$here, code=~"` + backendCodes + `"}[$r])) - sum(rate(redis_pool_exhausted_total{$here}[$r])) - sum(rate(redis_command_retries_total{$here, reason="not_served"}[$r])), 0)` +
						` / (sum(rate(redis_commands_total{$here}[$r])) > 0)`,
					legend: "errors of its own", unit: share, steps: from(0.01, 0.05),
				},
				{expr: `max(redis_breaker_state{$here})`, legend: "breaker", unit: count, steps: breakerSteps, mapped: breakerStates},
			},
			about: "Signs that it is the Redis: how late it answers 1 in 100 commands, the share of commands that failed since it could not be reached, was loading or out of memory, without those that were sent again, and whether it is dialled at all.",
		},
	}}
}

func tenantTime() row {
	return row{"Where the time goes", []panel{
		{
			kind: stacked, title: "Time by phase", unit: seconds, colours: phaseColours,
			queries: []query{of(mean("phase", "redis_tenant_duration_seconds", "$here"), "{{phase}}")},
			about:   "Mean time of a command in each phase: waiting for its limit, for a link to the backend (pool), at the backend, and until the client took the reply (write).",
		},
		{
			kind: lines, title: "Time by phase, p99", unit: seconds, colours: phaseColours, steps: from(0.1, 1),
			queries: []query{of(quantile("0.99", "phase", `redis_tenant_duration_seconds_bucket{$here}`), "{{phase}}")},
			about:   "What 99 of 100 commands took at most in each phase.",
		},
		{
			kind: lines, title: "Latency of its Redis p50, p95, p99", unit: seconds, colours: quantileColours, steps: from(0.1, 1),
			queries: quantiles(`redis_tenant_duration_seconds_bucket{$here, phase="backend"}`),
			about:   "Time from sending a command to the tenant's Redis until the reply was there.",
		},
	}}
}

func tenantCommands() row {
	return row{"Commands", []panel{
		{
			kind: stacked, title: "Command rate by command", unit: perSecond,
			queries: []query{of(busiest("10", `sum by (command) (rate(redis_commands_total{$here}[$r]))`), "{{command}}")},
			about:   "The tenant's commands per second, the ten most frequent.",
		},
		{
			kind: stacked, title: "Errors by code", none: "no errors", unit: perSecond, colours: codeColours, steps: from(1),
			queries: []query{of(busiest("10", `sum by (code) (rate(redis_command_errors_total{$here}[$r]))`), "{{code}}")},
			about:   "The tenant's commands per second that were answered with an error, by its code: Redis's own in capitals, and respgate's.",
		},
		{
			kind: stacked, title: "Errors by command", none: "no errors", unit: perSecond, steps: from(1),
			queries: []query{of(busiest("10", `sum by (command, code) (rate(redis_command_errors_total{$here}[$r]))`), "{{command}} {{code}}")},
			about:   "Which of the tenant's commands were answered with which error, the ten most frequent.",
		},
	}}
}

func tenantClients() row {
	return row{"Clients", []panel{
		{
			kind: stacked, title: "Clients", unit: count, w: 12, queries: []query{of(`sum by (instance) (client_connections{$here})`, "{{instance}}")},
			about: "The tenant's clients that have authenticated, at each proxy.",
		},
		{
			kind: lines, title: "Bytes", unit: byteRate, w: 12, colours: sideColours, queries: []query{of(`sum by (direction) (rate(client_bytes_total{$here}[$r]))`, "{{direction}}")},
			about: "Bytes per second from the tenant's clients (in) and to them (out).",
		},
	}}
}

func tenantRedis() row {
	return row{"Redis", []panel{
		{
			kind: stacked, title: "Connections by kind", w: 6, unit: count, colours: kindColours,
			queries: []query{of(`sum by (kind) (redis_connections_active{$here})`, "{{kind}}")},
			about:   "Open connections to the tenant's Redis: shared by many clients, pinned to one for a time (transactions, blocking commands), of subscribers, and of near caches.",
		},
		{
			kind: lines, title: "Links of their own in use", w: 6, unit: share, max: 1, colours: kindColours, steps: from(0.8, 0.95),
			queries: []query{of(`max by (kind) (redis_connections_active{$here, tenant!="other"} / on (job, instance, kind) group_left () redis_connections_limit{$proxies})`, "{{kind}}")},
			about:   "Connections that are pinned or of subscribers, as a share of those that there may be (pool.pinned_max, pool.subscribers_max), at the proxy that has most. Those who share the name other have bounds of their own.",
		},
		{
			kind: lines, title: "Waiting for a link of their own", w: 6, unit: count, colours: kindColours, steps: from(1),
			queries: []query{of(`sum by (kind) (redis_pool_waiting{$here})`, "{{kind}}")},
			about:   "Clients whose command waits since all links of that kind are in use.",
		},
		{
			kind: lines, title: "Refused for want of a link", w: 6, unit: perSecond, colours: kindColours, steps: from(1),
			queries: []query{of(`sum by (kind) (rate(redis_pool_exhausted_total{$here}[$r]))`, "{{kind}}")},
			about:   "Commands per second that waited for a link of their own in vain.",
		},
		{
			kind: lines, title: "Connection attempts", w: 6, unit: perSecond, colours: resultColours, steps: from(1),
			queries: []query{of(`sum by (result) (rate(redis_connection_attempts_total{$here}[$r]))`, "{{result}}")},
			about:   "Tries to connect to the tenant's Redis per second, by how they ended.",
		},
		{
			kind: states, title: "Breaker", w: 6, unit: count, steps: breakerSteps,
			queries: []query{{expr: `max by (instance) (redis_breaker_state{$here})`, legend: "{{instance}}", mapped: breakerStates}},
			about:   "Whether each proxy dials the tenant's Redis: closed: it does; open: it does not, since the last tries failed; half-open: one probe is under way.",
		},
		{
			kind: lines, title: "Commands sent again", w: 6, unit: perSecond, steps: from(1),
			queries: []query{of(`sum by (reason) (rate(redis_command_retries_total{$here}[$r]))`, "{{reason}}")},
			about:   "The tenant's commands that no server had executed, or that only read, by why they were sent again; denied: they were not, since there were too many.",
		},
		{
			kind: lines, title: "Slow commands", unit: perSecond, w: 6, steps: from(1),
			queries: []query{of(`sum by (instance) (rate(slowlog_entries_total{$here}[$r]))`, "{{instance}}")},
			about:   "The tenant's commands per second that went into its slow log at each proxy: SLOWLOG GET there, or respgate slowlog, shows them.",
		},
		{
			kind: states, title: "Held up by an operator", unit: count, w: width, h: 5, none: "never", steps: pauseSteps,
			queries: []query{{expr: `max by (instance) (redis_paused{$here})`, legend: "{{instance}}", mapped: pauseStates}},
			about:   "Whether an operator holds up the tenant's commands at a proxy (PROXY PAUSE).",
		},
	}}
}
