package tenant

import (
	"net/netip"
	"time"
)

// Why is why a command is looked at closely; several may hold.
type Why uint8

// The reasons.
const (
	WhySampled Why = 1 << iota // by chance
	WhySlow                    // it took long
	WhyFailed                  // it was answered with an error
	WhyBig                     // it, or its reply, is large
)

// Watch says which commands are to be looked at.
type Watch struct {
	Every  int           // one in so many, at random; 0: none
	Slow   time.Duration // those that took so long from their sending to their reply, or longer; negative: none
	Failed bool          // those answered with an error
	Big    int           // those that have so many bytes, or whose reply has, or more; 0: none
}

// Unwatched is a Watch for no command.
func Unwatched() Watch { return Watch{Slow: -1} }

// Some reports whether anything is watched.
func (w Watch) Some() bool { return w.Every > 0 || w.Slow >= 0 || w.Failed || w.Big > 0 }

// And is a Watch for all commands that w or v is for. Of those that it samples, w.Every wants
// one in so many that w.Every/And.Every is the odds.
func (w Watch) And(v Watch) Watch {
	return Watch{
		Every:  leastAbove(0, w.Every, v.Every),
		Slow:   leastAbove(-1, w.Slow, v.Slow),
		Failed: w.Failed || v.Failed,
		Big:    leastAbove(0, w.Big, v.Big),
	}
}

// leastAbove is the least of a and b that is above none, else none.
func leastAbove[T int | time.Duration](none, a, b T) T {
	switch {
	case a <= none:
		return max(b, none)
	case b <= none:
		return a
	}
	return min(a, b)
}

// Observed is one command that is looked at: when its whole reply has come, or when respgate
// has refused it. It and its slices are valid during the call only.
type Observed struct {
	Why       Why
	Every     int // of the Watch by which it may have been sampled
	Principal *Principal
	Session   int64          // the connection's id, as CLIENT ID says
	Client    netip.AddrPort // from where
	Name      string         // as CLIENT SETNAME says
	DB        int
	Command   uint16        // a command.ID
	Begins    []byte        // how it begins, as it was sent, up to 256 bytes; nil: that is not known
	Size      int           // bytes of the whole command; 0: not known
	Reply     []byte        // the reply, or its last piece
	ReplySize int           // bytes of the whole reply
	Code      string        // of the error that it was answered with: metrics' label code; "" is none
	Refused   bool          // respgate has answered it itself: there is no time
	At        time.Time     // when the reply came
	Limited   time.Duration // that it waited for tokens of its limits
	Waited    time.Duration // for a link then, before it was sent
	Took      time.Duration // from then to At
	Ahead     time.Duration // the first part of that, in which replies to earlier commands of the link were still to come
}

// Own is the command's own part of the time that it took: its backend answers in order, and
// had answered all that was sent before over the same link.
func (o *Observed) Own() time.Duration { return o.Took - o.Ahead }
