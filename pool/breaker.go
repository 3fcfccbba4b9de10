package pool

import "time"

// breakerState is a breaker's state as the gauge shows it.
type breakerState int

const (
	breakerClosed breakerState = iota
	breakerHalfOpen
	breakerOpen
)

// verdict is what a breaker says to a try.
type verdict uint8

const (
	proceed verdict = iota
	hold            // ask again when the gate has changed, or at the time of the next try
	refuse          // with the breaker's cause
)

// outcome is what a try says of what a breaker guards.
type outcome uint8

const (
	unclear outcome = iota // it was given up, or did not come so far
	succeeded
	failed
)

// breaker decides whether what fails may be tried. While all is well everyone may. After a
// failure one try at a time goes on, delay after the last, and others are held until it has
// ended; limit failures in a row open the breaker, and then others are refused. One success
// closes it. It has no clock and no lock of its own.
type breaker struct {
	limit int
	delay time.Duration

	failures int       // in a row
	trying   bool      // the one try that a failure leaves is under way
	round    uint64    // counts failures and recoveries: whoever began in an earlier one comes late
	next     time.Time // no try before, after a failure
	cause    error     // of the last failure
	opened   time.Time // when it last opened
}

func (b *breaker) state() breakerState {
	switch {
	case b.failures < b.limit:
		return breakerClosed
	case b.trying:
		return breakerHalfOpen
	}
	return breakerOpen
}

func (b *breaker) ask(now time.Time) verdict {
	switch {
	case b.failures == 0, !b.trying && !now.Before(b.next):
		return proceed
	case b.failures < b.limit:
		return hold
	}
	return refuse
}

// begin takes note of a try that may proceed, and returns what end is to be told.
func (b *breaker) begin() (round uint64) {
	b.trying = b.failures > 0
	return b.round
}

// end takes note of how a try has ended. Of those that fail together one counts: they met
// the same fault.
func (b *breaker) end(round uint64, how outcome, cause error, now time.Time) {
	switch {
	case how == succeeded && b.failures > 0:
		b.failures, b.trying, b.cause = 0, false, nil
		b.round++
	case how == succeeded, round != b.round:
	case how == failed:
		b.failures++
		b.trying, b.cause = false, cause
		b.round++
		if b.failures == b.limit {
			b.opened = now
		}
		b.next = now.Add(b.pause())
	default:
		b.trying = false
	}
}

// pause is how long nobody tries after a failure. Links come back to an open breaker by
// timers that Jitter spreads: the first of them is never too early, and is the probe.
func (b *breaker) pause() time.Duration {
	if b.failures < b.limit {
		return Jitter(b.delay)
	}
	return soonest(b.delay)
}
