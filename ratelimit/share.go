package ratelimit

import (
	"math"
	"strings"
	"time"

	"golang.org/x/time/rate"

	"github.com/respgate/respgate/tenant"
)

// share is a bucket's part in the one that all proxies share. What a bucket has to give out
// is of two kinds. Some tokens were taken there ahead. The others are credit: its portion of
// what there was left there when it last asked, and of what has come there since. Credit that
// was used is taken there with the next request.
type share struct {
	joined bool // it is looked at: see sharing.busy
	alone  bool // its last request has failed
	short  bool // somebody wanted more than there was, since the last request

	ahead  int64     // tokens that were taken there and not used; below 0: the other way round
	wanted int64     // since the last request
	used   int64     // what ahead was after the last request
	since  time.Time // when that was; zero: none since it joined
	last   time.Time // when tokens were wanted, about
	most   int       // what the bucket may hold for what it has ahead

	demand  float64 // tokens per second that are wanted, of late
	pace    float64 // tokens per second that are used, over a second or so
	pending int64   // Used of the request under way
	asked   int64   // what Bucket.spent was then
	told    told
}

const (
	// quiet is how many leases a bucket that has credit in plenty goes without a request.
	quiet = 10
	// lonely is how many leases it goes without one after one that has failed.
	lonely = 5
	// patience, by the rate, is for how long a bucket that nobody wants is waited for until it has one token: for the next command of
	// who sends about as many as the rate allows.
	patience = 2 * time.Second
	// paceSpan is the time over which pace is an average.
	paceSpan = time.Second
)

// want notes that n tokens are wanted.
func (b *Bucket) want(n int) {
	b.share.wanted += int64(n)
	if !b.share.joined {
		b.share.joined, b.share.since = true, time.Time{}
		b.registry.sharing.join(b)
	}
}

// portion is how fast a bucket gets credit by itself, and how much of it at most: what there is, divided by the proxies. Alone
// it goes on as fast as it was used of late, if that is more: of a tenant whose clients are all here the other proxies need
// nothing. All proxies together give out at most twice the rate then.
func (b *Bucket) portion(perSecond, burst int) (rate.Limit, int) {
	burst = b.registry.sharing.burst(perSecond, burst)
	pace := float64(perSecond) / float64(b.registry.sharing.proxies.Load())
	if b.share.alone {
		pace = max(pace, min(b.share.pace, float64(perSecond)))
	}
	return rate.Limit(pace), max(1, int(math.Ceil(float64(burst)*pace/float64(perSecond))), min(burst, b.share.most))
}

// soonest notes that tokens are missing, and returns after how long there may be one when the bucket has one by itself after
// wait: a lease may bring it sooner.
func (b *Bucket) soonest(wait time.Duration) time.Duration {
	if b.registry.sharing == nil {
		return wait
	}
	b.share.short = true
	if b.limiter.TokensAt(b.last) <= -1 {
		return wait
	}
	return min(wait, max(b.registry.sharing.lease, time.Second/time.Duration(max(1, b.rate.Load()))))
}

// ask returns what the bucket has to ask, if a request is due, and whether it is still in use.
func (b *Bucket) ask(now time.Time) (request tenant.LeaseRequest, due, stays bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	s, lease := &b.share, b.registry.sharing.lease
	perSecond, burst := resolve(b.limits, *b.registry.defaults.Load())
	if perSecond == 0 {
		b.part()
		return request, false, false
	}
	burst = b.registry.sharing.burst(perSecond, burst)
	at := b.advance(now)
	tokens := b.limiter.TokensAt(at)
	elapsed := lease
	if !s.since.IsZero() {
		overflow := time.Duration(float64(burst) / float64(perSecond) / 2 * float64(time.Second))
		if elapsed = at.Sub(s.since); elapsed < s.interval(lease, overflow, tokens < float64(b.limiter.Burst())/2) {
			return request, false, true
		}
	}
	s.measure(elapsed, lease)
	if s.wanted > 0 {
		s.last = at
	}
	target := s.target(lease, perSecond, burst)
	if target == 0 && s.ahead == 0 && s.wanted == 0 && !s.alone && !s.since.IsZero() && (tokens >= 1 || at.Sub(s.last) > lease+patience/time.Duration(perSecond)) {
		b.part()
		return request, false, false
	}
	if s.alone { // what it has used has come again meanwhile, but for what is missing
		s.ahead = min(0, int64(tokens)-int64(b.limiter.Burst()))
	}
	s.pending, s.asked = max(0, -s.ahead), b.spent
	request = tenant.LeaseRequest{
		Name: shareName(b.key), Rate: int64(perSecond), Burst: int64(burst), Refills: b.limits.Reset,
		Used: s.pending, Want: target - max(0, s.ahead),
	}
	if request.Want < 0 { // nobody may use it meanwhile
		b.draw(at, int(min(float64(-request.Want), max(0, tokens))))
		s.ahead += request.Want
	}
	s.since, s.wanted, s.used, s.short = at, 0, s.ahead, false
	return request, true, true
}

// interval is how long there is to be between two requests. Within overflow half of the bucket comes back: after longer it
// could not be told any more when it was full.
func (s *share) interval(lease, overflow time.Duration, low bool) time.Duration {
	switch {
	case s.alone:
		return lonely * lease
	case s.short:
		return 0
	case low:
		return min(lease, overflow)
	}
	return min(quiet*lease, overflow)
}

// measure takes up what was wanted and used since the last request.
func (s *share) measure(elapsed, lease time.Duration) {
	elapsed = max(elapsed, time.Millisecond)
	half := math.Exp2(-float64(elapsed) / float64(lease))
	s.demand = max(float64(s.wanted)/elapsed.Seconds(), s.demand*half)
	part := 1 - math.Exp2(-float64(elapsed)/float64(paceSpan))
	s.pace += part * (float64(s.used-s.ahead)/elapsed.Seconds() - s.pace)
}

// target is how many tokens are to be had ahead: those that are wanted within a lease, but not more than the rate brings
// in one, nor than the bucket holds.
func (s *share) target(lease time.Duration, perSecond, burst int) int64 {
	wanted := min(s.demand, float64(perSecond)) * lease.Seconds()
	if wanted < 1.0/16 && !s.short {
		return 0
	}
	return int64(min(math.Ceil(wanted), float64(burst)))
}

// settle takes up the answer to the last request.
func (b *Bucket) settle(now time.Time, l tenant.Lease) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.share.alone != l.Failed {
		b.isolate(l.Failed)
	}
	if l.Failed {
		return
	}
	s, at := &b.share, b.advance(now)
	s.told = told{at, s.asked, l.Left}
	s.ahead += s.pending
	s.used += s.pending
	tokens := b.limiter.TokensAt(at)
	credit := l.Left / float64(b.registry.sharing.proxies.Load())
	change := max(0, l.Granted) + int64(float64(s.ahead)+credit-tokens)
	if l.Left >= 1 && tokens+float64(change) < 1 {
		change++ // a portion may be less than a token, and who wants one finds it
	}
	s.ahead += max(0, l.Granted)
	s.used += max(0, l.Granted)
	s.most = int(math.Ceil(tokens + float64(change)))
	b.adjust()
	if change >= 0 {
		b.put(int(change))
	} else {
		b.draw(at, int(-change))
	}
}

// isolate has the bucket be on its own, or no more.
func (b *Bucket) isolate(alone bool) {
	b.share.alone = alone
	if alone {
		b.share.most = 0
		b.registry.sharing.alone.Add(1)
	} else {
		b.registry.sharing.alone.Add(-1)
	}
	b.adjust()
}

// part ends that the bucket is looked at.
func (b *Bucket) part() {
	if b.share.alone {
		b.registry.sharing.alone.Add(-1)
	}
	b.share = share{}
	b.adjust()
}

// shareNames are what buckets are called among all proxies, by how they are called here: of keys and organizations, and of their bytes.
var shareNames = map[string]string{organizationPrefix: "o:", bytesPrefix: "kb:", organizationBytesPrefix: "ob:"}

// shareName is a bucket's name among all proxies.
func shareName(key string) string {
	if i := strings.IndexByte(key, '/') + 1; i > 0 {
		return shareNames[key[:i]] + key[i:]
	}
	return "k:" + key
}
