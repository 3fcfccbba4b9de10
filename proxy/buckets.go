package proxy

import (
	"time"

	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// buckets are what a session's commands need a token of each of.
type buckets struct {
	key  *ratelimit.Bucket
	org  *ratelimit.Bucket // of all keys of its organization; nil: unlimited
	more *shaping          // nil: what is over a limit is refused, and no bytes are counted
}

// bucketsOf are a principal's.
func bucketsOf(r *ratelimit.Registry, p *tenant.Principal) buckets {
	b := buckets{key: r.Bucket(p.KeyID, p.Limits), org: r.Organization(p.Seats.OrgID, p.Pace)}
	b.more = shapingOf(r, p, b)
	return b
}

// shortage says of which bucket there are too few tokens, when there is one again, and what
// happens to commands then.
type shortage struct {
	of    *ratelimit.Bucket
	retry time.Duration
	mode  tenant.LimitMode // LimitDelay: they wait; else they are refused
}

// take asks for n tokens of each, and grants as many as there are of both.
func (b *buckets) take(now time.Time, n int) (granted int, short shortage) {
	granted, retry := b.key.Take(now, n)
	short = shortage{of: b.key, retry: retry}
	if b.org == nil {
		return granted, short
	}
	both, retry := b.org.Take(now, granted)
	if both < granted {
		b.key.Give(granted - both)
		short = shortage{of: b.org, retry: retry}
	}
	return both, short
}

// give returns n tokens of each that were granted in the same turn and not used.
func (b *buckets) give(n int) {
	b.key.Give(n)
	if b.org != nil {
		b.org.Give(n)
	}
}

// whose is what of a client a shortage is of, and what there are too many of.
func (b *buckets) whose(short shortage) (whose, what string) {
	whose, what = "key", "commands"
	if x := b.more; x != nil && (short.of == x.bytes[ofKey].Bucket || short.of == x.bytes[ofOrg].Bucket) {
		what = "bytes"
	}
	if short.of == b.org || b.more != nil && short.of == b.more.bytes[ofOrg].Bucket {
		whose = "organization"
	}
	return whose, what
}
