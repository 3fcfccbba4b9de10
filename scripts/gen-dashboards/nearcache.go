package main

// What panels say where nobody has a near cache, and where nobody has asked one: in both there
// is no hit ratio.
const (
	noCache  = "no near cache"
	notAsked = "no near cache was asked"
)

// hitRatio is the share that near caches have answered of the commands that they can answer.
func hitRatio(by string) string {
	sum := func(counter string) string { return "sum by (" + by + ") (rate(" + counter + "{$here}[$r]))" }
	return sum("cache_hits_total") + " / (" + sum("cache_hits_total") + " + " + sum("cache_misses_total") + " > 0)"
}

// dropped are replies that near caches keep no longer, by why.
func dropped() []query {
	return []query{
		of(`sum(rate(cache_invalidations_total{$here}[$r]))`, "changed"),
		of(`sum by (reason) (rate(cache_evictions_total{$here}[$r]))`, "{{reason}}"),
	}
}

const aboutDropped = "Replies per second that are kept no longer: their key has changed, its time is over or they were kept for a minute (expired), the instance has used its bytes (instance_full), or all instances of the proxy have (proxy_full, cache.max_bytes)."

var dropColours = map[string]string{"changed": "blue", "expired": "green", "instance_full": "orange", "proxy_full": "red"}

// nearCaches are those of all tenants.
func nearCaches() row {
	return row{"Near caches", []panel{
		{
			kind: stacked, title: "Answered from near caches", none: noCache, unit: perSecond, byTenant: true,
			queries: []query{of(top("10", `sum by (tenant) (rate(cache_hits_total{$here}[$r]))`), "{{tenant}}")},
			about:   "Commands per second that the proxies have answered from their memory, of the ten tenants with most.",
		},
		{
			kind: lines, title: "Hit ratio by tenant", none: notAsked, unit: share, max: 1, byTenant: true,
			queries: []query{of(top("10", hitRatio("tenant")), "{{tenant}}")},
			about:   "Share that a near cache has answered of the commands that it can answer, of the ten tenants for which it is greatest.",
		},
		{
			kind: lines, title: "Age of what they answer p50, p95, p99", none: "nothing answered", unit: seconds, colours: quantileColours, steps: from(0.3, 1),
			queries: quantiles(`cache_hit_age_seconds_bucket{$here}`),
			about:   "How old a reply from a near cache may have been at most. It is near a quarter of a second at the most, or a backend is slow to answer, and never more than a second.",
		},
		{
			kind: stacked, title: "Memory of near caches", none: noCache, unit: inBytes, byTenant: true,
			queries: []query{of(top("10", `sum by (tenant) (cache_bytes{$here})`), "{{tenant}}")},
			about:   "Bytes that are kept, over all proxies, of the ten tenants with most.",
		},
		{
			kind: stacked, title: "Replies dropped from near caches", none: noCache, unit: perSecond, colours: dropColours,
			queries: dropped(), about: aboutDropped,
		},
		{
			kind: lines, title: "Near caches dropped whole", none: noCache, unit: perSecond, byTenant: true, steps: from(1),
			queries: []query{of(top("10", `sum by (tenant) (rate(cache_drops_total{$here}[$r]))`), "{{tenant}}")},
			about:   "Times per second that all that a loop kept of a tenant was dropped: its connection was lost or replaced, or the databases were flushed.",
		},
	}}
}

// tenantCache is the one of a tenant.
func tenantCache() row {
	return row{"Near cache", []panel{
		{
			kind: stacked, title: "Hits and misses", none: noCache, unit: perSecond, colours: map[string]string{"from the cache": "green", "from its Redis": "blue"},
			queries: []query{
				of(`sum(rate(cache_hits_total{$here}[$r]))`, "from the cache"),
				of(`sum(rate(cache_misses_total{$here}[$r]))`, "from its Redis"),
			},
			about: "The tenant's commands per second that its near cache can answer: those that it did, and those that went to the Redis.",
		},
		{
			kind: lines, title: "Hit ratio", none: notAsked, unit: share, max: 1,
			queries: []query{of(hitRatio("instance"), "{{instance}}")},
			about:   "Share that the near cache has answered of the commands that it can answer, at each proxy.",
		},
		{
			kind: stacked, title: "Replies dropped", none: noCache, unit: perSecond, colours: dropColours,
			queries: dropped(), about: aboutDropped,
		},
		{
			kind: stacked, title: "Memory of its near cache", none: noCache, unit: inBytes,
			queries: []query{of(`sum by (instance) (cache_bytes{$here})`, "{{instance}}")},
			about:   "Bytes that are kept at each proxy. The instance's cache size bounds those of each.",
		},
		{
			kind: stacked, title: "Replies kept", none: noCache, unit: count,
			queries: []query{of(`sum by (instance) (cache_entries{$here})`, "{{instance}}")},
			about:   "Replies that are kept at each proxy, those that a key is not there among them.",
		},
		{
			kind: lines, title: "Dropped whole", none: noCache, unit: perSecond, steps: from(1),
			queries: []query{of(`sum by (instance) (rate(cache_drops_total{$here}[$r]))`, "{{instance}}")},
			about:   "Times per second that all that a loop kept of the tenant was dropped: its connection was lost or replaced, or the databases were flushed.",
		},
	}}
}
