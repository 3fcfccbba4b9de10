package main

func overHTTP() row {
	return row{"HTTP", []panel{
		{
			kind: stacked, title: "HTTP requests", unit: "reqps",
			queries: []query{of(busiest("10", `sum by (method, path) (rate(http_requests_total{$here}[$r]))`), "{{method}} {{path}}")},
			about:   "Requests per second to the management API, the console, health and metrics, the ten most frequent.",
		},
		{
			kind: stacked, title: "HTTP errors", unit: share, steps: from(0.05, 0.2),
			queries: []query{of(`sum by (status) (rate(http_request_errors_total{$here}[$r])) / on () group_left () (sum(rate(http_requests_total{$here}[$r])) > 0)`, "{{status}}")},
			about:   "Share of the requests that were answered with a status of 400 or more: 4xx are the caller's, 5xx respgate's.",
		},
		{
			kind: lines, title: "HTTP latency, p95", unit: seconds, steps: from(0.5, 1),
			queries: []query{of(top("10", quantile("0.95", "path", `http_request_duration_seconds_bucket{$here}`)), "{{path}}")},
			about:   "What 95 of 100 requests took at most, for the ten slowest paths.",
		},
	}}
}

func stored() row {
	one := func(title, metric, about string) panel {
		return panel{kind: total, title: title, unit: count, w: 6, queries: []query{of("max("+metric+"{$here})", title)}, about: about}
	}
	return row{"Store", []panel{
		one("Instances", "redis_instances", "Instances in the store, which all proxies share."),
		one("Organizations", "organizations", "Organizations in the store, which all proxies share."),
		one("Users", "users", "Users in the store, which all proxies share."),
		one("API keys", "api_keys", "API keys in the store, which all proxies share."),
		{
			kind: stacked, title: "Database query rate", unit: perSecond,
			queries: []query{of(busiest("10", `sum by (query) (rate(database_queries_total{$here}[$r]))`), "{{query}}")},
			about:   "Queries to the store per second, the ten most frequent.",
		},
		{
			kind: lines, title: "Database latency", unit: seconds, colours: quantileColours, steps: from(0.1, 1),
			queries: quantiles(`database_query_duration_seconds_bucket{$here}`),
			about:   "Time that queries to the store take. Commands do not wait for them, but keys that are new to a proxy do.",
		},
		{
			kind: lines, title: "Database errors", unit: perSecond, steps: from(1),
			queries: []query{of(`sum by (instance) (rate(database_query_errors_total{$here}[$r]))`, "{{instance}}")},
			about:   "Queries to the store per second that failed, at each proxy.",
		},
		{
			kind: stacked, title: "Database connections", unit: count, colours: map[string]string{"in_use": "orange", "idle": "green"},
			queries: []query{of(`sum by (state) (database_connections{$here})`, "{{state}}")},
			about:   "Connections to the store's database, over all proxies.",
		},
		{
			kind: lines, title: "Waiting for a database connection", unit: share, steps: from(0.1, 1),
			queries: []query{of(`sum by (instance) (rate(database_connection_wait_seconds_total{$here}[$r]))`, "{{instance}}")},
			about:   "Share of the time in which a query waited for a connection; 1 is one query all the time.",
		},
		{
			kind: lines, title: "Store away", unit: seconds, steps: from(1, 60),
			queries: []query{of(`respgate_store_away_seconds{$here}`, "{{instance}}")},
			about:   "For how long a proxy could not ask the store: known keys are let in from its cache, for store.max_stale at most.",
		},
	}}
}

func process() row {
	return row{"Process", []panel{
		{
			kind: lines, title: "CPU", unit: share, max: 1, steps: from(0.6, 0.8),
			queries: []query{of(`rate(process_cpu_seconds_total{$here}[$r]) / respgate_cpus{$here}`, "{{instance}}")},
			about:   "Processor time that the process uses, as a share of the cores that it may use.",
		},
		{
			kind: lines, title: "Memory", unit: inBytes,
			queries: []query{
				of(`process_resident_memory_bytes{$here}`, "{{instance}} resident"),
				of(`min(respgate_memory_limit_bytes{$here})`, "in flight at most"),
				of(`min(respgate_memory_available_bytes{$here} > 0)`, "available"),
			},
			about: "Memory of each process beside what may be in flight in it, and what its container or machine has: where proxies differ, the least.",
		},
		{
			kind: lines, title: "Memory used", unit: share, max: 1, steps: from(0.8, 0.9),
			queries: []query{of(`process_resident_memory_bytes{$here} / (respgate_memory_available_bytes{$here} > 0)`, "{{instance}}")},
			about:   "Memory of the process as a share of what its container or machine has.",
		},
		{
			kind: lines, title: "Descriptors", unit: share, max: 1, steps: from(0.7, 0.9),
			queries: []query{of(`process_open_fds{$here} / process_max_fds{$here}`, "{{instance}}")},
			about:   "Open descriptors as a share of those that the process may have. An eighth is kept for backends.",
		},
		{
			kind: lines, title: "Goroutines", unit: count, queries: []query{of(`go_goroutines{$here}`, "{{instance}}")},
			about: "Goroutines of the process: they do not grow with clients, but with clients over TLS and with dials.",
		},
		{
			kind: lines, title: "Garbage collection", unit: share, steps: from(0.01),
			queries: []query{of(`rate(go_gc_duration_seconds_sum{$here}[$r])`, "{{instance}}")},
			about:   "Share of the time in which the whole process stood still for the garbage collector.",
		},
		{
			kind: states, title: "Drains", unit: count, w: 12, h: 6, steps: []step{{colour: "green"}, {1, "orange"}},
			queries: []query{{
				expr: `respgate_draining{$here}`, legend: "{{instance}}",
				mapped: map[string]state{"0": {"serves", "green"}, "1": {"drains", "orange"}},
			}},
			about: "Whether a proxy serves, or lets its clients finish before it ends.",
		},
		{
			kind: labels, title: "What runs", unit: "none", w: 12, h: 6, queries: []query{of(`respgate_build_info{$here}`, "")},
			about: "The version of each proxy, and the commit that it was built from.",
		},
		{
			kind: states, title: "Configuration", unit: count, w: 12, h: 6, steps: []step{{colour: "red"}, {1, "green"}},
			queries: []query{{
				expr: `respgate_config_last_reload_successful{$here}`, legend: "{{instance}}",
				mapped: map[string]state{"0": {"an earlier one", "red"}, "1": {"as in its file", "green"}},
			}},
			about: "Whether the configuration that was read last is in effect, or an earlier one, since it was not valid.",
		},
		{
			kind: lines, title: "What was lost", unit: perSecond, w: 12, h: 6, steps: []step{{colour: "green"}, {0.001, "red"}},
			queries: []query{
				of(`sum(rate(audit_events_dropped_total{$here}[$r]))`, "audit events"),
				of(`sum(rate(usage_records_dropped_total{$here}[$r]))`, "records of usage"),
				of(`sum(rate(respgate_log_lines_dropped_total{$here}[$r]))`, "lines of the log"),
				of(`sum(rate(respgate_trace_spans_dropped_total{$here}[$r]))`, "spans of traces"),
			},
			about: "What could not be stored or sent, or was too much, and is given up, per second. Many like lines of the log are one.",
		},
		{
			kind: lines, title: "Traces", unit: perSecond, w: 12, h: 6,
			queries: []query{of(`sum by (reason) (rate(respgate_trace_spans_total{$here}[$r]))`, "{{reason}}")},
			about:   "Commands and HTTP requests per second of which a span was made, by why: chosen at random (ratio), slow, failed.",
		},
	}}
}
