package proxy

import (
	"time"

	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// buckets are what a session's commands need a token of each of.
type buckets struct {
	key *ratelimit.Bucket
	org *ratelimit.Bucket // of all keys of its organization; nil: unlimited
}

// bucketsOf are a principal's.
func bucketsOf(r *ratelimit.Registry, p *tenant.Principal) buckets {
	return buckets{r.Bucket(p.KeyID, p.Limits), r.Organization(p.Seats.OrgID, p.Pace)}
}

// shortage says of which bucket there are too few tokens, and when there is one again.
type shortage struct {
	of    *ratelimit.Bucket
	retry time.Duration
}

// take asks for n tokens of each, and grants as many as there are of both.
func (b buckets) take(now time.Time, n int) (granted int, short shortage) {
	granted, retry := b.key.Take(now, n)
	short = shortage{b.key, retry}
	if b.org == nil {
		return granted, short
	}
	both, retry := b.org.Take(now, granted)
	if both < granted {
		b.key.Give(granted - both)
		short = shortage{b.org, retry}
	}
	return both, short
}

// give returns n tokens of each that were granted in the same turn and not used.
func (b buckets) give(n int) {
	b.key.Give(n)
	if b.org != nil {
		b.org.Give(n)
	}
}

// whose is what of a client a shortage is of.
func (b buckets) whose(short shortage) string {
	if short.of == b.org {
		return "organization"
	}
	return "key"
}
