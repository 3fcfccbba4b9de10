// Package tracing makes OpenTelemetry spans of clients' commands, of requests to the
// management API and of queries to the store, and exports them over OTLP. It never blocks
// who hands them over: what cannot be exported is dropped and counted.
//
// A span never has an argument, a key, a reply or a secret of anybody's.
package tracing

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net/url"
	"os"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"golang.org/x/net/http/httpguts"
	"golang.org/x/time/rate"
)

// Config says where spans go, and of what they are made.
type Config struct {
	Endpoint string // see CheckEndpoint
	Protocol string // grpc or http
	Sampling Sampling
	Version  string // of this program
	Instance string // the proxy's id
	Store    string // the store's driver, sqlite or postgres
}

// Sampling says which commands are traced. Those that fail are, besides.
type Sampling struct {
	Ratio float64       // of all commands, 0 to 1
	Slow  time.Duration // those that took so long, or longer
}

// Observer counts spans. It is called from several goroutines.
type Observer interface {
	Traced(reason string)              // one of Reasons
	TraceDropped(reason string, n int) // one of DropReasons
}

// Why something is traced.
const (
	reasonRatio  = "ratio"
	reasonSlow   = "slow"
	reasonFailed = "failed"
	reasonHTTP   = "http"
)

// Why a span is dropped.
const (
	dropRate   = "rate"   // there have been too many in this second
	dropQueue  = "queue"  // too many wait to be exported
	dropExport = "export" // the receiver has not taken it
)

// Reasons returns why something may be traced.
func Reasons() []string { return []string{reasonRatio, reasonSlow, reasonFailed, reasonHTTP} }

// DropReasons returns why a span may be dropped.
func DropReasons() []string { return []string{dropRate, dropQueue, dropExport} }

const (
	// scope names the instrumentation.
	scope = "github.com/respgate/respgate"
	// perSecond is how many slow and failed commands of a loop, and how many requests, are
	// traced in a second.
	perSecond = 100
	// flushTimeout bounds how long Close waits for the receiver.
	flushTimeout = 2 * time.Second
	// maxDelay is the longest OTEL_BSP_SCHEDULE_DELAY, in milliseconds: an hour.
	maxDelay = 3_600_000
	// defaultService is the service's name where OTEL_SERVICE_NAME and
	// OTEL_RESOURCE_ATTRIBUTES have none.
	defaultService = "respgate"
)

// Tracer makes spans and exports them. It is safe for concurrent use.
type Tracer struct {
	provider *sdktrace.TracerProvider
	tracer   trace.Tracer
	queue    *queue
	proxy    string // its id
	obs      Observer
	requests *rate.Limiter
	store    attribute.KeyValue
	sampling atomic.Pointer[Sampling]
}

// CheckEndpoint says what is wrong with where spans are to go: a URL such as
// http://127.0.0.1:4317. With https it is over TLS; with protocol http the path /v1/traces
// is added, unless it is there.
func CheckEndpoint(endpoint, protocol string) error {
	u, err := url.Parse(endpoint)
	switch {
	case err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Hostname() == "" || u.RawQuery != "" || u.Fragment != "":
		return errors.New("want a URL such as http://127.0.0.1:4317 or https://collector:4318")
	case u.User != nil:
		return errors.New("want a URL without a user or password: OTEL_EXPORTER_OTLP_HEADERS is for these")
	case protocol == "grpc" && strings.Trim(u.Path, "/") != "":
		return errors.New("want a URL without a path: protocol grpc has none")
	}
	return nil
}

// tracesURL is where an endpoint takes spans over HTTP, as OTLP has it for base URLs.
func tracesURL(endpoint string) string {
	const path = "/v1/traces"
	return strings.TrimSuffix(strings.TrimRight(endpoint, "/"), path) + path
}

// New returns a tracer, which does not connect before there is something to export. Besides
// cfg it follows OpenTelemetry's environment: OTEL_EXPORTER_OTLP_HEADERS and _CERTIFICATE,
// OTEL_SERVICE_NAME, OTEL_RESOURCE_ATTRIBUTES, OTEL_BSP_SCHEDULE_DELAY. log is told, now and
// then, that spans cannot be exported.
func New(ctx context.Context, cfg Config, obs Observer, log *slog.Logger) (*Tracer, error) {
	if err := CheckEndpoint(cfg.Endpoint, cfg.Protocol); err != nil {
		return nil, err
	}
	if err := cmp.Or(checkHeaders(), checkDelay()); err != nil {
		return nil, err
	}
	about, err := about(ctx, cfg)
	if err != nil {
		return nil, err
	}
	var client otlptrace.Client
	if cfg.Protocol == "grpc" {
		client = otlptracegrpc.NewClient(otlptracegrpc.WithEndpointURL(cfg.Endpoint))
	} else {
		client = otlptracehttp.NewClient(otlptracehttp.WithEndpointURL(tracesURL(cfg.Endpoint)))
	}
	exporter, err := otlptrace.New(ctx, client)
	if err != nil {
		return nil, err
	}
	q := newQueue(exporter, obs, log)
	t := &Tracer{
		provider: sdktrace.NewTracerProvider(
			sdktrace.WithResource(about), sdktrace.WithSpanProcessor(q), sdktrace.WithSampler(sdktrace.AlwaysSample()), // who asks has decided
		),
		queue: q, proxy: cfg.Instance, obs: obs, requests: rate.NewLimiter(perSecond, perSecond), store: semconv.DBSystemNameSQLite,
	}
	if cfg.Store == "postgres" {
		t.store = semconv.DBSystemNamePostgreSQL
	}
	t.tracer = t.provider.Tracer(scope, trace.WithInstrumentationVersion(cfg.Version), trace.WithSchemaURL(semconv.SchemaURL))
	t.SetSampling(cfg.Sampling)
	return t, nil
}

// checkHeaders finds headers in the environment that are wrong: the exporter would print them,
// and there are tokens in them.
func checkHeaders() error {
	for _, name := range []string{"OTEL_EXPORTER_OTLP_HEADERS", "OTEL_EXPORTER_OTLP_TRACES_HEADERS"} {
		text := os.Getenv(name)
		if text == "" {
			continue
		}
		for pair := range strings.SplitSeq(text, ",") {
			field, value, _ := strings.Cut(pair, "=")
			plain, err := url.PathUnescape(value)
			if err != nil || !httpguts.ValidHeaderFieldName(strings.TrimSpace(field)) || !httpguts.ValidHeaderFieldValue(plain) || !strings.Contains(pair, "=") {
				return fmt.Errorf("%s: want name=value pairs with commas between them, and %%XX for characters that are neither letters nor digits", name)
			}
		}
	}
	return nil
}

// checkDelay refuses a delay without which the processor would do nothing but look for spans.
func checkDelay() error {
	const name = "OTEL_BSP_SCHEDULE_DELAY"
	if text := os.Getenv(name); text != "" {
		if n, err := strconv.Atoi(text); err != nil || n < 1 || n > maxDelay {
			return fmt.Errorf("%s: want milliseconds, a whole number from 1 to %d", name, maxDelay)
		}
	}
	return nil
}

// about says of what process the spans are. What the environment says counts more.
func about(ctx context.Context, cfg Config) (*resource.Resource, error) {
	about, err := resource.New(ctx, resource.WithTelemetrySDK(), resource.WithAttributes(
		semconv.ServiceName(defaultService), semconv.ServiceVersion(cfg.Version), semconv.ServiceInstanceID(cfg.Instance),
	), resource.WithFromEnv())
	if err != nil {
		return nil, fmt.Errorf("OTEL_RESOURCE_ATTRIBUTES: want key=value pairs with commas between them: %w", err)
	}
	return about, nil
}

// SetSampling changes which commands are traced.
func (t *Tracer) SetSampling(s Sampling) { t.sampling.Store(&s) }

// Close exports what waits, for two seconds at most, and ends.
func (t *Tracer) Close() {
	ctx, cancel := context.WithTimeout(context.Background(), flushTimeout)
	defer cancel()
	_ = t.provider.Shutdown(ctx) // what is lost is counted
	t.queue.end()
}

// every is a share of all events as one in so many, which is no less of them: 0 is none.
func (s Sampling) every() int {
	if s.Ratio <= 0 {
		return 0
	}
	return int(min(1/s.Ratio, math.MaxInt32))
}
