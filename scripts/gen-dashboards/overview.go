package main

// overview is the page of all proxies and tenants.
func overview() board {
	return board{
		uid: overviewUID, title: "respgate overview", here: every, variables: variables(),
		about: "All proxies and tenants: how much is asked, what fails, where the time goes, and what is near its bound. A tenant's line leads to its own page.",
		rows: []row{
			now(), traffic(), timeByPhase(), byCommand(), limitsOfAll(), sharedLimits(), backends(), nearCaches(), clients(), overHTTP(), stored(), process(),
		},
	}
}

func now() row {
	return row{"Now", []panel{
		{
			kind: number, title: "Proxies down", unit: count, steps: from(1), queries: []query{of(`sum(1 - up{$here})`, "down")},
			about: "Proxies that Prometheus could not scrape the last time that it tried.",
		},
		{
			kind: number, title: "Commands", unit: perSecond, queries: []query{of(`sum(rate(redis_commands_total{$here}[$r]))`, "commands")},
			about: "Commands of all tenants per second, with those that are refused.",
		},
		{
			kind: number, title: "Errors", unit: share, steps: from(0.01, 0.05),
			queries: []query{of(`sum(rate(redis_command_errors_total{$here, code!~"RATELIMIT|MOVED|ASK"}[$r])) / sum(rate(redis_commands_total{$here}[$r]))`, "errors")},
			about:   "Share of the commands that were answered with an error. Those that a limit has refused are not in it, nor MOVED and ASK, which respgate follows.",
		},
		{
			kind: number, title: "p99", unit: seconds, steps: from(0.1, 1),
			queries: []query{of(`histogram_quantile(0.99, sum by (le) (rate(redis_command_duration_seconds_bucket{$here}[$r])))`, "p99")},
			about:   "99 of 100 commands were answered by their Redis within this time.",
		},
		{
			kind: number, title: "Refused by limits", unit: share, steps: from(0.01, 0.1),
			queries: []query{of(`sum(rate(rate_limited_commands_total{$here}[$r])) / sum(rate(redis_commands_total{$here}[$r]))`, "refused")},
			about:   "Share of the commands that the limit of their key or organization has refused.",
		},
		{
			kind: number, title: "Breakers open", unit: count, steps: from(1), queries: []query{of(`sum(redis_breaker_state{$here} == bool 2)`, "open")},
			about: "Backends that are not dialled, since they did not answer, over all proxies.",
		},
		{
			kind: number, title: "Clients", unit: count, queries: []query{of(`sum(client_connections{$here})`, "clients")},
			about: "Clients that have authenticated.",
		},
		{
			kind: number, title: "Memory in flight", unit: share, max: 1, steps: from(0.5, 0.8),
			queries: []query{of(`max(respgate_memory_in_flight_bytes{$here} / respgate_memory_limit_bytes{$here})`, "of the limit")},
			about:   "Commands and replies that are held until they go on, as a share of what may be: the proxy that has most. Beyond 1 clients are dropped.",
		},
	}}
}

func traffic() row {
	return row{"Traffic", []panel{
		{
			kind: stacked, title: "Request rate", unit: perSecond, queries: []query{of(`sum by (instance) (rate(redis_commands_total{$here}[$r]))`, "{{instance}}")},
			about: "Commands per second at each proxy.",
		},
		{
			kind: stacked, title: "Error rate", unit: share, steps: from(0.05, 0.2), colours: codeColours,
			queries: []query{of(top("10", `sum by (code) (rate(redis_command_errors_total{$here}[$r])) / on () group_left () (sum(rate(redis_commands_total{$here}[$r])) > 0)`), "{{code}}")},
			about:   "Share of the commands that were answered with an error, by its code: Redis's own in capitals, and respgate's. Alerts begin at the lines (5 % and 20 %), of one tenant at one proxy, without errors that are the client's or the limit's.",
		},
		{
			kind: lines, title: "Latency p50, p95, p99", unit: seconds, steps: from(0.1, 1), colours: quantileColours,
			queries: quantiles(`redis_command_duration_seconds_bucket{$here}`),
			about:   "Time from sending a command to its Redis until the reply was there. Dots lead to traces, where there are any.",
		},
		{
			kind: lines, title: "Busiest tenants", unit: perSecond, byTenant: true,
			queries: []query{of(top("10", `sum by (tenant) (rate(redis_commands_total{$here}[$r]))`), "{{tenant}}")},
			about:   "Commands per second of the ten tenants that have sent most.",
		},
		{
			kind: lines, title: "Errors by tenant", none: "no errors", unit: perSecond, byTenant: true, steps: from(1),
			queries: []query{of(busiest("10", `sum by (tenant) (rate(redis_command_errors_total{$here, code!="RATELIMIT"}[$r]))`), "{{tenant}}")},
			about:   "Commands per second that were answered with an error, of the ten tenants that have most. Those that a limit has refused are not in it.",
		},
		{
			kind: lines, title: "Time in the backend by tenant", unit: seconds, byTenant: true, steps: from(0.1, 1),
			queries: []query{of(top("10", mean("tenant", "redis_tenant_duration_seconds", `$here, phase="backend"`)), "{{tenant}}")},
			about:   "Mean time that a command was at the tenant's Redis, of the ten tenants for which it is longest.",
		},
	}}
}

func timeByPhase() row {
	return row{"Where the time goes", []panel{
		{
			kind: stacked, title: "Time by phase", unit: seconds, w: 12, colours: phaseColours,
			queries: []query{of(mean("phase", "redis_tenant_duration_seconds", "$here"), "{{phase}}")},
			about:   "Mean time of a command in each phase: waiting for its limit, for a link to the backend (pool), at the backend, and until the client took the reply (write).",
		},
		{
			kind: lines, title: "Time by phase, p99", unit: seconds, w: 12, colours: phaseColours, steps: from(0.1, 1),
			queries: []query{of(quantile("0.99", "phase", `redis_tenant_duration_seconds_bucket{$here}`), "{{phase}}")},
			about:   "What 99 of 100 commands took at most in each phase.",
		},
	}}
}

func byCommand() row {
	return row{"Commands", []panel{
		{
			kind: stacked, title: "Command rate by command", unit: perSecond,
			queries: []query{of(busiest("10", `sum by (command) (rate(redis_commands_total{$here}[$r]))`), "{{command}}")},
			about:   "Commands per second, the ten most frequent.",
		},
		{
			kind: lines, title: "Latency by command, p95", unit: seconds, steps: from(0.1, 1),
			queries: []query{of(top("10", quantile("0.95", "command", `redis_command_duration_seconds_bucket{$here}`)), "{{command}}")},
			about:   "What 95 of 100 commands took at most, for the ten slowest. Commands that block until there is something take as long as they want to.",
		},
		{
			kind: lines, title: "Commands sent again", unit: perSecond, steps: from(1),
			queries: []query{of(`sum by (reason) (rate(redis_command_retries_total{$here}[$r]))`, "{{reason}}")},
			about:   "Commands that no server had executed, or that only read, by why they were sent again; denied: they were not, since there were too many.",
		},
	}}
}

func backends() row {
	return row{"Redis", []panel{
		{
			kind: stacked, title: "Redis connections", w: 6, unit: count, colours: kindColours, queries: []query{of(`sum by (kind) (redis_connections_active{$here})`, "{{kind}}")},
			about: "Open connections to backends: shared by many clients, pinned to one for a time (transactions, blocking commands), of subscribers, and of near caches.",
		},
		{
			kind: lines, title: "Connection attempts", w: 6, unit: perSecond, colours: resultColours, steps: from(1),
			queries: []query{of(`sum by (result) (rate(redis_connection_attempts_total{$here}[$r]))`, "{{result}}")},
			about:   "Tries to connect to a backend per second, by how they ended. breaker_open: not tried, since the last ones failed.",
		},
		{
			kind: states, title: "Breakers", w: 6, unit: count, steps: breakerSteps, byTenant: true, none: "all closed",
			queries: []query{{
				expr:   `max by (tenant) (redis_breaker_state{$here}) and on (tenant) max by (tenant) (max_over_time(redis_breaker_state{$here}[$__range] @ end())) > 0`,
				legend: "{{tenant}}", mapped: breakerStates,
			}},
			about: "Tenants whose backend was given up at some time: closed: it is dialled; open: it is not; half-open: one probe is under way.",
		},
		{
			kind: lines, title: "Dials that wait for their turn", w: 6, unit: perSecond, steps: from(1), byTenant: true,
			queries: []query{of(top("10", `sum by (tenant) (rate(redis_connection_attempts_delayed_total{$here}[$r]))`), "{{tenant}}")},
			about:   "Tries to connect per second that waited, so that a backend which has come back is not stormed.",
		},
		{
			kind: lines, title: "Links of their own in use", none: "nobody has half of them", unit: share, max: 1, steps: from(0.8, 0.95), byTenant: true,
			queries: []query{of(`max by (tenant, kind) (redis_connections_active{$here, tenant!="other"} / on (job, instance, kind) group_left () redis_connections_limit{$here}) > 0.5`, "{{tenant}} {{kind}}")},
			about:   "Connections that are pinned or of subscribers, as a share of those that there may be (pool.pinned_max, pool.subscribers_max), of tenants that have more than half.",
		},
		{
			kind: lines, title: "Waiting for a link of their own", none: "nobody waits", unit: count, steps: from(1), byTenant: true,
			queries: []query{of(busiest("10", `sum by (tenant, kind) (redis_pool_waiting{$here})`), "{{tenant}} {{kind}}")},
			about:   "Clients whose command waits since all links of that kind are in use, of the ten tenants with most.",
		},
		{
			kind: lines, title: "Refused for want of a link", none: "nothing refused", unit: perSecond, steps: from(1), byTenant: true,
			queries: []query{of(busiest("10", `sum by (tenant, kind) (rate(redis_pool_exhausted_total{$here}[$r]))`), "{{tenant}} {{kind}}")},
			about:   "Commands per second that waited for a link of their own in vain: pool.pinned_max or pool.subscribers_max is too small, or clients hold theirs too long.",
		},
		{
			kind: lines, title: "Slow commands by tenant", unit: perSecond, w: 12, none: "none was slow", byTenant: true, steps: from(1),
			queries: []query{of(busiest("10", `sum by (tenant) (rate(slowlog_entries_total{$here}[$r]))`), "{{tenant}}")},
			about:   "Commands per second that went into their instance's slow log (SLOWLOG GET), of the ten tenants with most.",
		},
		{
			kind: states, title: "Held up by an operator", unit: count, w: 12, none: "nobody was", steps: pauseSteps, byTenant: true,
			queries: []query{{expr: `max by (tenant) (redis_paused{$here})`, legend: "{{tenant}}", mapped: pauseStates}},
			about:   "Instances whose commands an operator has held up at some proxy (PROXY PAUSE).",
		},
	}}
}

func clients() row {
	return row{"Clients", []panel{
		{
			kind: stacked, title: "Clients by tenant", unit: count, byTenant: true, queries: []query{of(top("10", `sum by (tenant) (client_connections{$here})`), "{{tenant}}")},
			about: "Clients that have authenticated, of the ten tenants with most.",
		},
		{
			kind: lines, title: "Bytes", unit: byteRate, colours: sideColours, queries: []query{of(`sum by (direction) (rate(client_bytes_total{$here}[$r]))`, "{{direction}}")},
			about: "Bytes per second from clients (in) and to them (out).",
		},
		{
			kind: lines, title: "Auth failures", unit: perSecond, steps: from(1, 10),
			queries: []query{of(`sum by (reason) (rate(api_key_auth_failures_total{$here}[$r]))`, "{{reason}}")},
			about:   "Failed attempts to authenticate per second, by why they failed.",
		},
		{
			kind: lines, title: "Attempts to authenticate", unit: perSecond, colours: map[string]string{"all": "green"},
			queries: []query{
				of(`sum(rate(api_key_requests_total{$here}[$r]))`, "all"),
				of(`sum by (by) (rate(api_key_guesses_throttled_total{$here}[$r]))`, "slowed down by {{by}}"),
			},
			about: "Attempts to authenticate per second, and failed ones that are answered late, since there were too many with one key or from one address.",
		},
		{
			kind: lines, title: "Clients dropped", unit: perSecond, steps: from(1),
			queries: []query{of(`sum by (reason) (rate(respgate_clients_dropped_total{$here}[$r]))`, "{{reason}}")},
			about:   "Clients per second whose connection respgate has ended: they did not authenticate or read in time, or held most when too much was in flight.",
		},
		{
			kind: lines, title: "Connections refused", unit: perSecond, steps: from(1),
			queries: []query{
				of(`sum by (reason) (rate(respgate_clients_refused_total{$here}[$r]))`, "{{reason}}"),
				of(`sum(rate(respgate_accept_errors_total{$here}[$r]))`, "accept failed"),
			},
			about: "Connections per second that were refused, by which bound they were beyond.",
		},
		{
			kind: lines, title: "TLS handshakes", unit: perSecond, colours: map[string]string{"ok": "green", "error": "red"},
			queries: []query{of(`sum by (result) (rate(respgate_tls_handshakes_total{$here}[$r]))`, "{{result}}")},
			about:   "TLS handshakes with Redis clients per second, by how they ended.",
		},
		{
			kind: total, title: "First certificate ends in", unit: seconds, w: 8, h: 8, none: "no TLS",
			steps:   []step{{colour: "red"}, {7 * 86400, "yellow"}, {30 * 86400, "green"}},
			queries: []query{of(`min(respgate_tls_certificate_expiry_timestamp_seconds{$here}) - time()`, "left")},
			about:   "How long the listeners' certificate that ends first is still good.",
		},
		{
			kind: stacked, title: "Commands and replies in flight", unit: inBytes, queries: []query{of(`respgate_memory_in_flight_bytes{$here}`, "{{instance}}")},
			about: "Bytes that are held until they go on, at each proxy. The limit is on the panel Memory.",
		},
	}}
}
