package api

import (
	"cmp"
	"fmt"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"sync"
	"time"

	"golang.org/x/time/rate"
)

const (
	// maxBuckets bounds how many tokens' or addresses' requests are counted at once.
	maxBuckets = 8192
	// maxTried bounds the search for a bucket that is not needed, when there is no room.
	maxTried = 16
)

// limits hold requests to a rate, each name's for itself. When there are too many names one
// of them begins anew: an idle one, where one is found soon.
type limits struct {
	policy      string // its name in RateLimit
	mu          sync.Mutex
	rate, burst int
	buckets     map[string]*rate.Limiter
}

func newLimits(policy string, rps, burst int) *limits {
	return &limits{policy: policy, rate: rps, burst: burst, buckets: map[string]*rate.Limiter{}}
}

func (l *limits) set(rps, burst int) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.rate, l.burst = rps, burst
}

// quota is what is left to a name.
type quota struct {
	policy string
	burst  int // how many requests there may be in window; 0: there is no limit
	window time.Duration
	left   int
	full   time.Duration // until all of burst is left
	wait   time.Duration // until the next request; 0: it may come now
}

// take counts n requests, one or none, at now, where there may be one: else wait is set.
// ownRate and ownBurst come before the defaults where they are not 0.
func (l *limits) take(name string, n, ownRate, ownBurst int, now time.Time) quota {
	l.mu.Lock()
	defer l.mu.Unlock()
	rps := cmp.Or(ownRate, l.rate)
	burst := cmp.Or(ownBurst, ownRate, l.burst, l.rate)
	if rps <= 0 {
		return quota{}
	}
	bucket := l.bucket(name, rps, burst, now)
	q := quota{policy: l.policy, burst: burst, window: seconds(float64(burst) / float64(rps))}
	tokens := bucket.TokensAt(now)
	if tokens < 1 {
		q.wait = seconds((1 - tokens) / float64(rps))
	} else if bucket.AllowN(now, n) {
		tokens -= float64(n)
	}
	q.left = int(tokens)
	q.full = seconds((float64(burst) - tokens) / float64(rps))
	return q
}

// bucket returns the name's with these limits, a full one where there was none.
func (l *limits) bucket(name string, rps, burst int, now time.Time) *rate.Limiter {
	bucket := l.buckets[name]
	if bucket == nil {
		l.makeRoom(now)
		bucket = rate.NewLimiter(rate.Limit(rps), burst)
		l.buckets[name] = bucket
	}
	if bucket.Limit() != rate.Limit(rps) || bucket.Burst() != burst {
		bucket.SetLimitAt(now, rate.Limit(rps))
		bucket.SetBurstAt(now, burst)
	}
	return bucket
}

func (l *limits) makeRoom(now time.Time) {
	if len(l.buckets) < maxBuckets {
		return
	}
	tried, some := 0, ""
	for name, b := range l.buckets { // in random order
		some = name
		if tried++; tried == maxTried || b.TokensAt(now) >= float64(b.Burst()) {
			break
		}
	}
	delete(l.buckets, some)
}

func seconds(s float64) time.Duration { return time.Duration(s * float64(time.Second)) }

// tell writes the header fields of draft-ietf-httpapi-ratelimit-headers-10.
func (q quota) tell(h http.Header) {
	if q.burst == 0 {
		return
	}
	h.Set("RateLimit-Policy", fmt.Sprintf("%q;q=%d;w=%d", q.policy, q.burst, wholeSeconds(q.window)))
	h.Set("RateLimit", fmt.Sprintf("%q;r=%d;t=%d", q.policy, q.left, wholeSeconds(q.full)))
	if q.wait > 0 {
		h.Set("Retry-After", strconv.Itoa(wholeSeconds(q.wait)))
	}
}

// wholeSeconds is never less than d.
func wholeSeconds(d time.Duration) int { return int(math.Ceil(d.Seconds())) }

// callerNetwork is the network that counts as one caller: an IPv6 client has all of a /64.
const callerNetwork = 64

// addressOf returns the address that a request came from, and what it is counted as.
func addressOf(r *http.Request) (address, counted string) {
	host, _, err := net.SplitHostPort(r.RemoteAddr)
	if err != nil {
		return r.RemoteAddr, r.RemoteAddr
	}
	addr, err := netip.ParseAddr(host)
	if err != nil {
		return host, host
	}
	addr = addr.Unmap().WithZone("")
	if addr.Is6() {
		return addr.String(), netip.PrefixFrom(addr, callerNetwork).Masked().String()
	}
	return addr.String(), addr.String()
}

// Strangers counts n requests, one or none, of who has not said truly who they are, against
// the address that a request came from, as the API's own are. It returns how long they have
// to wait.
func (a *API) Strangers(r *http.Request, n int) time.Duration {
	_, counted := addressOf(r)
	return a.callers.take(counted, n, 0, 0, a.now()).wait
}
