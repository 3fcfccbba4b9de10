package tracing

import (
	"context"
	"math/rand/v2"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"github.com/respgate/respgate/command"
)

// Sign is what may be remarkable of a command that is over.
type Sign struct {
	Every  int // it was picked at random, one in so many; 0: it was not
	Failed bool
	Took   time.Duration // 0 where it waited on purpose
}

// Command is a command that is over, as its span tells of it. A time that is zero did not
// come.
type Command struct {
	ID           command.ID
	Reason       string // what Pick returned
	Organization string
	Instance     string // "organization/instance"
	KeyID        string
	Session      string
	Client       netip.AddrPort
	Database     int
	Code         string // the first word of the error that it was answered with, where that is known; "" is none
	Error        string // what kind of error that is; "" is none

	Began   time.Time     // it was let through by its limit
	Sent    time.Time     // it had a connection, and was sent
	Replied time.Time     // its reply had come
	Written time.Time     // the client's socket had taken that
	Ahead   time.Duration // of the time between Sent and Replied, how long replies to earlier commands were still to come
}

// Loop traces the commands of one event loop, on whose goroutine it is used.
type Loop struct {
	*Tracer
	remarkable *rate.Limiter
}

// Loop returns what an event loop traces with.
func (t *Tracer) Loop() *Loop { return &Loop{t, rate.NewLimiter(perSecond, perSecond)} }

// Wants returns which commands are to be looked at: one in so many at random, 0 is none, and
// those that took so long.
func (l *Loop) Wants() (every int, slow time.Duration) {
	s := l.sampling.Load()
	return s.Every(), s.Slow
}

// Pick reports whether a command is to be traced, and why. Of those picked at random for
// others too, it takes its share.
func (l *Loop) Pick(sign Sign, now time.Time) (reason string, ok bool) {
	s := l.sampling.Load()
	switch {
	case sign.Every > 0 && rand.Float64() < s.Ratio*float64(sign.Every): //nolint:gosec // no secret
		return reasonRatio, true // it would have been, however it went
	case sign.Failed:
		reason = reasonFailed
	case sign.Took >= s.Slow && sign.Took > 0:
		reason = reasonSlow
	default:
		return "", false
	}
	if !l.remarkable.AllowN(now, 1) {
		l.obs.TraceDropped(dropRate, 1)
		return "", false
	}
	return reason, true
}

// Trace makes a command's span, and returns its trace's id; "" is that it is dropped.
func (l *Loop) Trace(c *Command) (id string) {
	if l.queue.full() {
		l.obs.TraceDropped(dropQueue, 1)
		return ""
	}
	name := operation(c.ID)
	_, span := l.tracer.Start(context.Background(), name, trace.WithTimestamp(c.Began),
		trace.WithSpanKind(trace.SpanKindClient), trace.WithAttributes(c.attributes(name)...))
	for _, phase := range [...]struct {
		name string
		at   time.Time
	}{{"limit", c.Began}, {"pool", c.Sent}, {"sent", c.Sent}, {"replied", c.Replied}, {"written", c.Written}} {
		if !phase.at.IsZero() {
			span.AddEvent(phase.name, trace.WithTimestamp(phase.at))
		}
	}
	if c.Error != "" {
		span.SetStatus(codes.Error, "")
	}
	l.obs.Traced(c.Reason)
	span.End(trace.WithTimestamp(c.end()))
	return span.SpanContext().TraceID().String()
}

// end is when the client had its reply, as far as that is known.
func (c *Command) end() time.Time {
	for _, at := range [...]time.Time{c.Written, c.Replied, c.Sent} {
		if !at.IsZero() {
			return at
		}
	}
	return c.Began
}

// attributes are a command's, by the conventions for Redis. The server's address is left out: spans may be
// shown to tenants, who are not to learn it.
func (c *Command) attributes(name string) []attribute.KeyValue {
	all := append(make([]attribute.KeyValue, 0, 20),
		semconv.DBSystemNameRedis, semconv.DBOperationName(name), semconv.DBNamespace(strconv.Itoa(c.Database)),
		semconv.ClientAddress(c.Client.Addr().String()), semconv.ClientPort(int(c.Client.Port())),
		attribute.String("respgate.organization", c.Organization), attribute.String("respgate.instance", c.Instance),
		attribute.String("respgate.key.id", c.KeyID), attribute.String("respgate.session.id", c.Session),
		attribute.String("respgate.sampled", c.Reason),
	)
	for _, phase := range [...]struct {
		name     string
		from, to time.Time
	}{{"pool", c.Began, c.Sent}, {"backend", c.Sent, c.Replied}, {"write", c.Replied, c.Written}} {
		if !phase.from.IsZero() && !phase.to.IsZero() {
			all = append(all, attribute.Float64("respgate."+phase.name+".duration", phase.to.Sub(phase.from).Seconds()))
		}
	}
	if c.Ahead > 0 {
		all = append(all, attribute.Float64("respgate.ahead.duration", c.Ahead.Seconds()))
	}
	if c.Error != "" {
		all = append(all, semconv.ErrorTypeKey.String(c.Error))
	}
	if c.Code != "" {
		all = append(all, semconv.DBResponseStatusCode(c.Code))
	}
	return all
}

// operation is a command's name as people write it; what the table does not know is "other".
func operation(id command.ID) string {
	if id == command.Other {
		return id.Info().Name
	}
	return strings.ToUpper(strings.ReplaceAll(id.Info().Name, "|", " "))
}
