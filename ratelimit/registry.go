// Package ratelimit holds the token buckets of the API keys and of their organizations. Each
// has one bucket, which all its connections on all event loops share.
package ratelimit

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"
	"weak"

	"github.com/respgate/respgate/tenant"
)

// Defaults are the limits of the keys that have none of their own.
type Defaults struct {
	RPS      int              // commands per second; 0 is unlimited
	Burst    int              // commands at once; 0 is as many as RPS
	ByteRate int64            // bytes per second; 0 is unlimited
	Mode     tenant.LimitMode // what happens beyond limits, of organizations too; LimitDefault is LimitReject
	MaxDelay time.Duration    // in the mode delay: what would have to wait longer is refused
}

// Registry holds the buckets by key id, those of organizations by theirs and a prefix. It is safe for concurrent use.
type Registry struct {
	defaults atomic.Pointer[Defaults]

	mu      sync.Mutex // taken after a bucket's own
	buckets map[string]entry
}

// entry always leads to the key's bucket while anybody has it, so that a key
// never has two; kept is what makes a bucket that is not full outlive the
// connections that drew on it.
type entry struct {
	bucket weak.Pointer[Bucket]
	kept   *Bucket
}

// New returns a registry without buckets.
func New(d Defaults) *Registry {
	r := &Registry{buckets: map[string]entry{}}
	r.defaults.Store(&d)
	return r
}

// SetDefaults changes the defaults, at once also for the buckets that follow
// them. What is in a bucket stays there.
func (r *Registry) SetDefaults(d Defaults) {
	r.defaults.Store(&d)
	for _, b := range r.all() {
		b.mu.Lock()
		b.adjust()
		b.mu.Unlock()
	}
}

// Defaults returns what SetDefaults has set.
func (r *Registry) Defaults() Defaults { return *r.defaults.Load() }

// ModeOf returns what happens beyond a limit with the mode m.
func (d Defaults) ModeOf(m tenant.LimitMode) tenant.LimitMode {
	return cmp.Or(m, d.Mode, tenant.LimitReject)
}

// Bucket returns the bucket of the key, with limits l from now on. A new bucket
// is full; one that exists keeps its tokens when its limits change, and is
// refilled, once, when l.Reset has grown.
func (r *Registry) Bucket(keyID string, l tenant.Limits) *Bucket {
	r.mu.Lock()
	b := r.buckets[keyID].bucket.Value()
	if b == nil {
		b = newBucket(r, keyID, l)
		r.buckets[keyID] = entry{bucket: weak.Make(b)}
	}
	r.mu.Unlock()
	b.follow(l)
	return b
}

// What the names of buckets begin with that are not of a key's commands. None is the beginning
// of a key's id.
const (
	organizationPrefix      = "organization/"
	bytesPrefix             = "bytes/"
	organizationBytesPrefix = "organization bytes/"
)

// Organization returns the bucket of all keys of an organization together, with the pace p
// from now on, as Bucket does; nil when that is unlimited.
func (r *Registry) Organization(id string, p tenant.Pace) *Bucket {
	if p.Rate <= 0 {
		return nil
	}
	return r.Bucket(organizationPrefix+id, tenant.Limits{Rate: &p.Rate, Burst: &p.Burst})
}

// Bytes returns the bucket of a key's bytes, which holds as many as come in a second; nil when
// they are unlimited. It follows a change of the defaults when it is asked for again.
func (r *Registry) Bytes(keyID string, l tenant.Limits) *Bucket {
	perSecond := r.Defaults().ByteRate
	if l.ByteRate != nil {
		perSecond = *l.ByteRate
	}
	return r.bytes(bytesPrefix+keyID, perSecond, l.Reset)
}

// OrganizationBytes is Bytes for all keys of an organization together.
func (r *Registry) OrganizationBytes(id string, p tenant.Pace) *Bucket {
	return r.bytes(organizationBytesPrefix+id, p.ByteRate, 0)
}

func (r *Registry) bytes(id string, perSecond, reset int64) *Bucket {
	if perSecond <= 0 {
		return nil
	}
	n := int(perSecond)
	return r.Bucket(id, tenant.Limits{Rate: &n, Reset: reset})
}

// Sweep drops the buckets that are full and that nobody has: a new one would be
// the same. It looks at every bucket; once a minute is often enough.
func (r *Registry) Sweep(now time.Time) {
	for _, b := range r.all() {
		b.release(now)
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	for id, e := range r.buckets {
		if e.bucket.Value() == nil {
			delete(r.buckets, id)
		}
	}
}

// Len returns how many buckets there are.
func (r *Registry) Len() int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return len(r.buckets)
}

func (r *Registry) all() []*Bucket {
	r.mu.Lock()
	defer r.mu.Unlock()
	all := make([]*Bucket, 0, len(r.buckets))
	for _, e := range r.buckets {
		if b := e.bucket.Value(); b != nil {
			all = append(all, b)
		}
	}
	return all
}

// keep says whether the registry holds on to b by itself.
func (r *Registry) keep(b *Bucket, yes bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	e := entry{bucket: weak.Make(b)}
	if yes {
		e.kept = b
	}
	r.buckets[b.key] = e
}
