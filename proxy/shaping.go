package proxy

import (
	"time"

	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// A session has a limit of its key and one of its organization.
const (
	ofKey = iota
	ofOrg
)

// limit is a bucket, nil where there is no limit, and what happens when it is short.
type limit struct {
	*ratelimit.Bucket
	mode tenant.LimitMode
}

// enforced reports whether there is a limit that is not for counting only.
func (l *limit) enforced() bool { return l.Bucket != nil && l.mode != tenant.LimitDryRun }

// shaping is what a session has whose commands may wait for a limit, or pass it, or whose bytes
// are limited. Where several limits are short the strictest decides: one that rejects, else
// one that delays.
type shaping struct {
	commands [2]limit
	bytes    [2]limit
	most     time.Duration // that a command may wait, and a bit: waits are rounded up
	measured bool          // some bytes are limited

	// Of the batch at hand.
	got     [2]int // tokens taken of commands' buckets
	lenient int    // commands that no dry run would refuse
	waited  time.Duration
	spends  bool // it spends what was reserved

	// What is reserved for the next commands, which have waited for it, or do.
	paid    int    // commands
	ahead   [2]int // bytes
	dryRuns int    // of the commands, those that a dry run would refuse
	since   int64  // when the wait began; the loop's clock
	due     int64  // when it ends
	index   int    // in delays; -1: nothing waits
	queue   *queue // nil: buckets are not shared
}

// shapingOf is a principal's with these buckets; nil when there is nothing to do for it.
func shapingOf(r *ratelimit.Registry, p *tenant.Principal, b buckets) *shaping {
	d := r.Defaults()
	key, org := d.ModeOf(p.Limits.Mode), d.ModeOf(p.Pace.Mode)
	keyBytes, orgBytes := r.Bytes(p.KeyID, p.Limits), r.OrganizationBytes(p.Seats.OrgID, p.Pace)
	measured := keyBytes != nil || orgBytes != nil
	if !measured && key == tenant.LimitReject && (b.org == nil || org == tenant.LimitReject) {
		return nil
	}
	x := &shaping{
		commands: [2]limit{{b.key, key}, {b.org, org}}, bytes: [2]limit{{keyBytes, key}, {orgBytes, org}},
		most: d.MaxDelay + time.Microsecond, measured: measured, index: -1,
	}
	if often := r.Recheck(); often > 0 {
		x.queue = &queue{recheck: often}
	}
	return x
}

// ask asks for n commands' tokens, and grants as many as may be served. What was reserved is spent
// first; what follows it is to be asked for again, which a shortage of no bucket says. owing
// is that replies are to come yet.
func (x *shaping) ask(now time.Time, n int, owing bool) (granted int, short shortage) {
	x.got, x.lenient, x.spends = [2]int{}, n, x.paid > 0
	if x.spends {
		granted = min(n, x.paid)
		x.paid -= granted
		return granted, shortage{mode: tenant.LimitDelay}
	}
	x.waited = 0
	if !owing {
		x.giveAhead()
	}
	if short = x.owes(now); short.of != nil {
		return 0, short
	}
	granted = n
	for i := range x.commands {
		l := &x.commands[i]
		if l.Bucket == nil {
			continue
		}
		got, retry := l.Take(now, granted)
		x.got[i] = got
		switch {
		case got == granted:
		case l.mode == tenant.LimitDryRun:
			x.lenient = min(x.lenient, got)
		default:
			granted, short = got, shortage{l.Bucket, retry, l.mode}
		}
	}
	for i := range x.commands {
		if spare := x.got[i] - granted; spare > 0 {
			x.commands[i].Give(spare)
			x.got[i] = granted
		}
	}
	return granted, short
}

// spent is how long the commands have waited that ask has granted tokens for.
func (x *shaping) spent() time.Duration {
	if !x.spends {
		return 0
	}
	return x.waited
}

// owes returns which bucket of bytes has given more than it had, if one has: the strictest.
func (x *shaping) owes(now time.Time) (short shortage) {
	for i := range x.bytes {
		l := &x.bytes[i]
		if l.Bucket == nil {
			continue
		}
		switch wait := l.Wait(now); {
		case wait == 0:
		case l.mode == tenant.LimitDryRun:
			x.lenient = 0
		case short.of == nil || l.mode < short.mode:
			short = shortage{l.Bucket, wait, l.mode}
		}
	}
	return short
}

// settle ends a batch of which used commands were granted and served, of asked that were
// granted. It returns how many a dry run would have refused. still is that the session has
// this shaping yet.
func (x *shaping) settle(asked, used int, still bool) (dryRuns int) {
	switch {
	case !x.spends:
		for i := range x.commands {
			if l := &x.commands[i]; l.Bucket != nil {
				l.Give(x.got[i] - used)
			}
		}
	case still:
		x.paid += asked - used
	default:
		x.givePaid(asked - used)
	}
	dryRuns = max(0, used-x.lenient) + x.dryRuns
	x.got, x.spends, x.dryRuns = [2]int{}, false, 0 // the next batch may ask for nothing
	return dryRuns
}

// perWake is how many wakes a second there are at most of a session for which there are
// always commands: it gets several tokens at once where there are more in a second.
const perWake = 200

// portion is for how many of n commands, of so many bytes each, tokens are reserved at once.
func (x *shaping) portion(n, each int) int {
	for i := range x.commands {
		if l := &x.commands[i]; l.Bucket != nil && l.mode == tenant.LimitDelay && l.Rate() > 0 {
			n = min(n, max(1, l.Rate()/perWake))
		}
		if l := &x.bytes[i]; l.Bucket != nil && l.mode == tenant.LimitDelay {
			n = min(n, max(1, l.Rate()/perWake/each))
		}
	}
	return n
}

// reserve gets tokens for up to n commands, of about so many bytes each with their replies,
// that will be there in the time wait. A shortage of a bucket says that there is none within
// the time that a command may wait, or that a bucket is short that lets nothing wait.
func (x *shaping) reserve(now time.Time, n, each int) (wait time.Duration, short shortage) {
	wait, short = x.payable(now)
	if short.of != nil {
		return wait, short
	}
	var got [2]int
	asked, dryRuns := n, 0
	for i := range x.commands {
		l := &x.commands[i]
		if l.Bucket == nil {
			continue
		}
		var retry time.Duration
		switch l.mode {
		case tenant.LimitDelay:
			var ok bool
			if retry, ok = l.Reserve(now, n, x.most); ok {
				got[i] = n
				wait = max(wait, retry)
			}
		case tenant.LimitDryRun:
			got[i], _ = l.Take(now, n)
			continue
		default:
			got[i], retry = l.Take(now, n)
		}
		if n = got[i]; n == 0 {
			short = shortage{of: l.Bucket, retry: retry}
			break
		}
	}
	for i := range x.commands {
		if l := &x.commands[i]; l.Bucket != nil {
			l.Give(got[i] - n)
			dryRuns = max(dryRuns, n-got[i]) // no other one gives less
		}
	}
	switch {
	case n == 0 && asked > 1:
		return x.reserve(now, 1, each)
	case n == 0:
		return 0, short
	}
	if x.queue != nil {
		wait = x.queue.enter(now, x)
	}
	for i := range x.bytes {
		if l := &x.bytes[i]; l.Bucket != nil && l.mode == tenant.LimitDelay {
			l.Debit(now, n*each)
			x.ahead[i] += n * each
		}
	}
	x.paid, x.dryRuns, x.waited = n, dryRuns, 0
	return wait, shortage{}
}

// payable returns when the buckets of bytes will owe nothing, or which of them nothing may
// wait for, or not so long.
func (x *shaping) payable(now time.Time) (wait time.Duration, short shortage) {
	for i := range x.bytes {
		l := &x.bytes[i]
		if !l.enforced() {
			continue
		}
		w := l.Wait(now)
		if w > 0 && l.mode == tenant.LimitReject || w > x.most {
			return 0, shortage{of: l.Bucket, retry: w}
		}
		wait = max(wait, w)
	}
	return wait, shortage{}
}

// debit takes n bytes that have come or gone, but for those that were reserved.
func (x *shaping) debit(now time.Time, n int) {
	for i := range x.bytes {
		if l := &x.bytes[i]; l.Bucket != nil {
			spent := min(n, x.ahead[i])
			x.ahead[i] -= spent
			l.Debit(now, n-spent)
		}
	}
}

// giveBack gives back all that was reserved.
func (x *shaping) giveBack() {
	x.givePaid(x.paid)
	x.paid, x.dryRuns = 0, 0
	x.giveAhead()
}

func (x *shaping) givePaid(n int) {
	for i := range x.commands {
		if l := &x.commands[i]; l.enforced() {
			l.Give(n)
		}
	}
}

func (x *shaping) giveAhead() {
	for i := range x.bytes {
		if l := &x.bytes[i]; l.Bucket != nil {
			l.Give(x.ahead[i])
		}
	}
	x.ahead = [2]int{}
}
