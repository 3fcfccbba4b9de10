package proxy

import (
	"log/slog"
	"math"
	"math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// about are the session's attributes in the log, with more of them: every line about a
// client has these, so that lines can be put together. See docs/LOGS.md.
func (s *Session) about(more ...any) []any { return s.aboutAs(s.principal, more...) }

// aboutAs is about for a session that may become p's.
func (s *Session) aboutAs(p *tenant.Principal, more ...any) []any {
	attrs := []any{"session", s.sessionID(), "client", s.addr.String()}
	if p != nil {
		attrs = append(attrs, "tenant", p.Route.Label, "key", p.KeyID)
	}
	return append(attrs, more...)
}

// SampledLine is the message of the log's lines about single commands.
const SampledLine = "command"

// Sampled is an Observer that has a share of the commands in the log: what they were, how
// long they took and what came of them, and nothing that a client has sent besides.
type Sampled struct {
	Proxy string // what the ids of sessions begin with
	Log   *slog.Logger

	ratio atomic.Uint64 // its bits
}

// SetRatio changes the share, which is 0 at first and at most 1. It is safe for concurrent
// use; Core.Rewatch has it take effect.
func (l *Sampled) SetRatio(share float64) { l.ratio.Store(math.Float64bits(share)) }

func (l *Sampled) share() float64 { return math.Float64frombits(l.ratio.Load()) }

// maxSampling is the least share, as one in so many, that is not none.
const maxSampling = 1_000_000_000

// Watch implements Observer.
func (l *Sampled) Watch(*tenant.Route) tenant.Watch {
	w := tenant.Unwatched()
	if ratio := l.share(); ratio > 0 {
		w.Every = int(min(1/ratio, maxSampling)) // more of them than wanted: the odds leave some out
	}
	return w
}

// Saw implements Observer.
func (l *Sampled) Saw(o *tenant.Observed) func(time.Time) {
	if o.Why&tenant.WhySampled == 0 || rand.Float64() >= l.share()*float64(o.Every) { //nolint:gosec // no secret
		return nil
	}
	l.Log.Info(SampledLine, "session", l.Proxy+"-"+strconv.FormatInt(o.Session, 10), "client", o.Client.String(), "tenant", o.Principal.Route.Label, "key", o.Principal.KeyID,
		"command", command.ID(o.Command).Info().Name, "db", o.DB, "limited", o.Limited, "waited", o.Waited, "ahead", o.Ahead, "took", o.Own(), "bytes", o.Size, "reply_bytes", o.ReplySize, "code", o.Code)
	return nil
}
