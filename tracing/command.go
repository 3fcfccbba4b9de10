package tracing

import (
	"context"
	"math/rand/v2"
	"strconv"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/time/rate"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// Exemplars keeps the ids of traces beside what is measured. It is called on the loop's
// goroutine.
type Exemplars interface {
	Exemplar(id command.ID, took time.Duration, trace string, at time.Time)
}

// maxOpen bounds a loop's spans whose replies are on their way to clients: for more, nobody
// waits until these read.
const maxOpen = 1024

// Loop traces the commands of one event loop, on whose goroutine it is used.
type Loop struct {
	*Tracer
	exemplars  Exemplars
	remarkable *rate.Limiter
	open       int // spans whose replies are on their way to clients
}

// Loop returns what an event loop traces with. exemplars may be nil.
func (t *Tracer) Loop(exemplars Exemplars) *Loop {
	return &Loop{Tracer: t, exemplars: exemplars, remarkable: rate.NewLimiter(perSecond, perSecond)}
}

// Watch returns which commands of an instance it wants to see.
func (l *Loop) Watch(*tenant.Route) tenant.Watch {
	s := l.sampling.Load()
	return tenant.Watch{Every: s.every(), Slow: s.Slow, Failed: true}
}

// Saw is told of a command, which is valid during the call. What it returns, unless it is
// nil, ends the command's span: it is to be called once, when the client's socket has taken
// the reply, or never will.
func (l *Loop) Saw(o *tenant.Observed) (written func(at time.Time)) {
	reason := l.reason(o)
	if reason == "" {
		return nil
	}
	if l.queue.full() {
		l.obs.TraceDropped(dropQueue, 1)
		return nil
	}
	id, took, replied, refused := command.ID(o.Command), o.Took, o.At, o.Refused
	sent := replied.Add(-took)
	admitted := sent.Add(-o.Waited)
	began := admitted.Add(-o.Limited)
	name := operation(id)
	_, span := l.tracer.Start(context.Background(), name, trace.WithTimestamp(began), trace.WithSpanKind(trace.SpanKindClient),
		trace.WithAttributes(l.attributes(o, name, reason)...))
	mark := func(phase string, at time.Time) { span.AddEvent(phase, trace.WithTimestamp(at)) }
	if !refused {
		mark("limit", admitted)
		mark("pool", sent)
		mark("sent", sent)
	}
	mark("replied", replied)
	if o.Code != "" {
		span.SetStatus(codes.Error, "") // the error's words may have what the client sent
	}
	l.open++
	end := func(at time.Time) {
		l.open--
		mark("written", at)
		span.SetAttributes(seconds("write", at.Sub(replied)))
		l.obs.Traced(reason)
		span.End(trace.WithTimestamp(at))
		if l.exemplars != nil && !refused && !id.Waits() { // which nobody measures
			l.exemplars.Exemplar(id, took, span.SpanContext().TraceID().String(), at)
		}
	}
	if l.open > maxOpen {
		end(replied)
		return nil
	}
	return end
}

// reason is why a command is traced, "" if it is not. Of those picked at random for others
// too, it takes its share.
func (l *Loop) reason(o *tenant.Observed) (why string) {
	s := l.sampling.Load()
	switch {
	case o.Why&tenant.WhySampled != 0 && rand.Float64() < s.Ratio*float64(o.Every): //nolint:gosec // no secret
		return reasonRatio // it would have been, however it went
	case o.Why&tenant.WhyFailed != 0:
		why = reasonFailed
	case o.Why&tenant.WhySlow != 0 && o.Took >= s.Slow:
		why = reasonSlow
	default:
		return ""
	}
	if !l.remarkable.AllowN(o.At, 1) {
		l.obs.TraceDropped(dropRate, 1)
		return ""
	}
	return why
}

// attributes are what there is to tell of a command, by the conventions for Redis. The
// server's address is left out: spans may be shown to tenants, who are not to learn it.
func (l *Loop) attributes(o *tenant.Observed, name, reason string) []attribute.KeyValue {
	p := o.Principal
	all := append(make([]attribute.KeyValue, 0, 16),
		semconv.DBSystemNameRedis, semconv.DBOperationName(name), semconv.DBNamespace(strconv.Itoa(o.DB)),
		semconv.ClientAddress(o.Client.Addr().String()), semconv.ClientPort(int(o.Client.Port())),
		attribute.String("respgate.organization", p.Org), attribute.String("respgate.instance", p.Route.Label),
		attribute.String("respgate.key.id", p.KeyID), attribute.String("respgate.session.id", l.proxy+"-"+strconv.FormatInt(o.Session, 10)),
		attribute.String("respgate.traced", reason),
	)
	if o.Code != "" {
		all = append(all, semconv.DBResponseStatusCode(prefix(o.Code)), semconv.ErrorTypeKey.String(o.Code))
	}
	if o.Refused {
		return all
	}
	if o.Limited > 0 {
		all = append(all, seconds("limit", o.Limited))
	}
	all = append(all, seconds("pool", o.Waited), seconds("backend", o.Took))
	if o.Ahead > 0 {
		all = append(all, seconds("ahead", o.Ahead))
	}
	return all
}

// seconds tells how long a phase has taken.
func seconds(phase string, d time.Duration) attribute.KeyValue {
	return attribute.Float64("respgate."+phase+".duration", d.Seconds())
}

// operation is a command's name as people write it; what the table does not know is "other".
func operation(id command.ID) string {
	if id == command.Other {
		return id.Info().Name
	}
	return strings.ToUpper(strings.ReplaceAll(id.Info().Name, "|", " "))
}

// prefix is the first word of an error that is counted with that code: respgate's own codes
// are in lower case, and their replies begin with ERR; "other" is a word that nobody knows.
func prefix(code string) string {
	if code == strings.ToUpper(code) || code == "other" {
		return code
	}
	return "ERR"
}
