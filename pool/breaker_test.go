package pool

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
	"time"
)

// play runs a script on a breaker that opens after three failures and waits for a second.
// Its words: ?proceed ?hold ?refuse what ask says; =closed =half-open =open the state;
// a( a try named a begins, a) succeeds, a! fails, a. is given up; +700ms time passes.
func play(t *testing.T, script string) *breaker {
	t.Helper()
	b := &breaker{limit: 3, delay: time.Second}
	now := time.Unix(0, 0)
	rounds := map[string]uint64{}
	for i, word := range strings.Fields(script) {
		name, act := word[:len(word)-1], word[len(word)-1]
		switch {
		case word[0] == '?':
			if got := [...]string{"proceed", "hold", "refuse"}[b.ask(now)]; got != word[1:] {
				t.Errorf("word %d: ask says %s, want %s", i+1, got, word[1:])
			}
		case word[0] == '=':
			if got := [...]string{"closed", "half-open", "open"}[b.state()]; got != word[1:] {
				t.Errorf("word %d: the breaker is %s, want %s", i+1, got, word[1:])
			}
		case word[0] == '+':
			d, err := time.ParseDuration(word[1:])
			if err != nil {
				t.Fatal(err)
			}
			now = now.Add(d)
		case act == '(':
			rounds[name] = b.begin()
		default:
			how := map[byte]outcome{')': succeeded, '!': failed, '.': unclear}[act]
			b.end(rounds[name], how, errors.New(name), now)
		}
	}
	return b
}

func TestBreaker(t *testing.T) {
	const opened = "a( a! +1.2s b( b! +1.2s c( c! "
	for _, c := range []struct{ name, script string }{
		{"all may try while all is well", "?proceed a( ?proceed b( ?proceed a) b) =closed ?proceed"},
		{"after a failure the others are held", "a( a! ?hold +799ms ?hold =closed"},
		{"one of them tries next", "a( a! +1.2s ?proceed b( ?hold +1h ?hold =closed"},
		{"a success has all go on", "a( a! +1.2s b( b) ?proceed =closed"},
		{"failures at the same time count once", "a( b( c( d( a! b! c! d! =closed ?hold +1.2s ?proceed"},
		{"late failures of an earlier round do not count", "a( b( a! +1.2s c( c) b! =closed ?proceed"},
		{"the third in a row opens it", opened + "=open ?refuse +799ms ?refuse"},
		{"two with a success between do not", "a( a! +1.2s b( b! +1.2s c( c) d( d! =closed ?hold"},
		{"a probe at a time goes through", opened + "+800ms ?proceed p( =half-open ?refuse +1h ?refuse"},
		{"a probe's failure keeps it open", opened + "+800ms p( p! =open ?refuse +799ms ?refuse +1ms ?proceed"},
		{"a probe's success closes it", opened + "+800ms p( p) =closed ?proceed"},
		{"a probe that is given up leaves room for another", opened + "+800ms p( p. =open ?proceed"},
		{"a try given up says nothing", "a( a. =closed ?proceed b( b! ?hold"},
		{"a late success closes it too", "z( " + opened + "z) =closed ?proceed"},
		{"the probe that comes after that is late", "z( " + opened + "+800ms p( z) p! =closed ?proceed"},
		{"it opens again as it did at first", opened + "+800ms p( p) d( d! ?hold =closed"},
	} {
		t.Run(c.name, func(t *testing.T) { play(t, c.script) })
	}
	if got := play(t, opened).cause; got.Error() != "c" {
		t.Errorf("the cause is %v, want that of the last failure, c", got)
	}
}

// TestBreakerModel has tries begin and end in random order: whatever happens, a failing
// backend is tried by one at a time, no earlier than it should and no later than it must.
func TestBreakerModel(t *testing.T) {
	for seed := range uint64(300) {
		r := rand.New(rand.NewPCG(seed, 0))
		b := &breaker{limit: 1 + r.IntN(4), delay: time.Second}
		now := time.Unix(0, 0)
		var tries []uint64 // under way, by their round
		var last time.Time // of the last failure that counts
		inRow := 0         // failures since the last success
		for step := range 400 {
			if t.Failed() {
				t.Fatalf("seed %d, step %d", seed, step)
			}
			current := 0
			for _, round := range tries {
				if round == b.round {
					current++
				}
			}
			got, since := b.ask(now), now.Sub(last)
			switch {
			case inRow == 0 && got != proceed:
				t.Errorf("ask says %d though all is well", got)
			case inRow > 0 && current > 1:
				t.Errorf("%d try at a time after a failure", current)
			case inRow > 0 && got == proceed && (current > 0 || since < 800*time.Millisecond):
				t.Errorf("another may try %v after a failure, with %d under way", since, current)
			case inRow > 0 && got != proceed && current == 0 && since >= 1200*time.Millisecond:
				t.Errorf("nobody may try %v after a failure", since)
			case got == hold && inRow >= b.limit, got == refuse && inRow < b.limit:
				t.Errorf("ask says %d after %d failures of %d", got, inRow, b.limit)
			case (b.state() == breakerClosed) != (inRow < b.limit):
				t.Errorf("state %d after %d failures of %d", b.state(), inRow, b.limit)
			}
			switch r.IntN(3) {
			case 0:
				now = now.Add(time.Duration(r.IntN(500)) * time.Millisecond)
			case 1:
				if got == proceed {
					tries = append(tries, b.begin())
				}
			case 2:
				if len(tries) == 0 {
					continue
				}
				i, how := r.IntN(len(tries)), outcome(r.IntN(3))
				round := tries[i]
				tries = append(tries[:i], tries[i+1:]...)
				if how == failed && round == b.round {
					inRow++
					last = now
				}
				if how == succeeded {
					inRow = 0
				}
				b.end(round, how, errBroken, now)
			}
		}
	}
}

var errBroken = errors.New("broken")
