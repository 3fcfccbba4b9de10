package main

import (
	"errors"
	"fmt"
	"math"
	"net"
	"os"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/respgate/respgate/insight"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
	"github.com/respgate/respgate/tracing"
)

// setting is one key of the configuration.
type setting struct {
	key      string
	fallback any
	set      func(value any) error // value is what YAML, the environment or fallback gave
	value    func() any            // what it is set to, in a form that set takes
	live     bool                  // it can change while the proxy runs
	secret   bool                  // it is shown to nobody
}

// live is a setting that can change while the proxy runs. The others need a restart.
func live(s setting) setting {
	s.live = true
	return s
}

const (
	// maxRate is the largest rate and burst, in commands per second: far above
	// what one proxy can serve, and far from overflow.
	maxRate = 1_000_000_000
	// maxSample is the largest insight.sample: one in more commands tells nothing.
	maxSample = 1_000_000
	maxDay    = 24 * time.Hour
	maxYear   = 365 * maxDay
	kib       = int64(1) << 10
	tib       = int64(1) << 40
)

// settings lists every key, in the order of configs/respgate.yaml, each set into c.
func (c *Config) settings() []setting {
	return []setting{
		text("listen", &c.Listen, "127.0.0.1:6380", address),
		text("region", &c.Region, "", optional(pool.CheckRegion)),
		flag("reuse_port", &c.ReusePort, false, linuxOnly),
		integer("loops", &c.Loops, 0, 0, 1024),

		text("tls.listen", &c.TLS.Listen, "", optional(address)),
		text("tls.cert_file", &c.TLS.CertFile, "", anything),
		text("tls.key_file", &c.TLS.KeyFile, "", anything),
		certificateList("tls.certificates", &c.TLS.Certificates),
		text("tls.client_ca_file", &c.TLS.ClientCAFile, "", anything),

		text("http.listen", &c.HTTP.Listen, "127.0.0.1:3000", address),
		text("http.cert_file", &c.HTTP.CertFile, "", anything),
		text("http.key_file", &c.HTTP.KeyFile, "", anything),
		live(text("http.admin_token", &c.HTTP.AdminToken, "", anything)),
		live(text("http.metrics_token", &c.HTTP.MetricsToken, "", anything)),
		live(flag("http.pprof", &c.HTTP.Pprof, false, nil)),
		live(integer("http.rate", &c.HTTP.Rate, 100, 0, maxRate)),
		live(integer("http.burst", &c.HTTP.Burst, 100, 0, maxRate)),

		text("store.driver", &c.Store.Driver, "sqlite", oneOf([]string{"sqlite", "postgres"})),
		text("store.dsn", &c.Store.DSN, "file:var/respgate.db", anything),
		live(duration("store.max_stale", &c.Store.MaxStale, "24h", 0, maxYear)),
		live(duration("store.grace", &c.Store.Grace, "168h", 0, maxYear)),

		live(integer("rate_limit.default_rps", &c.RateLimit.DefaultRPS, 100, 0, maxRate)),
		live(integer("rate_limit.default_burst", &c.RateLimit.DefaultBurst, 0, 0, maxRate)),
		text("rate_limit.mode", &c.RateLimit.Mode, "reject", oneOf([]string{"reject"}, "delay")),

		live(integer("pool.dial_attempts", &c.Pool.DialAttempts, 3, 1, 100)),
		live(duration("pool.dial_retry_delay", &c.Pool.DialRetryDelay, "1s", time.Millisecond, time.Hour)),
		live(duration("pool.dial_timeout", &c.Pool.DialTimeout, "2s", time.Millisecond, time.Hour)),
		live(duration("pool.idle_timeout", &c.Pool.IdleTimeout, "5m", time.Second, maxDay)),
		live(integer("pool.pinned_max", &c.Pool.PinnedMax, 256, 1, 1_000_000)),
		live(duration("pool.pinned_wait", &c.Pool.PinnedWait, "1s", 0, time.Hour)),
		live(integer("pool.subscribers_max", &c.Pool.SubscribersMax, 10_000, 1, 1_000_000)),
		live(duration("pool.stall_timeout", &c.Pool.StallTimeout, "10s", 100*time.Millisecond, time.Hour)),

		live(integer("limits.max_clients", &c.Limits.MaxClients, 10_000, 1, 10_000_000)),
		live(size("limits.max_command_bytes", &c.Limits.MaxCommandBytes, "1GiB", 16*kib)),
		live(size("limits.client_output_bytes", &c.Limits.ClientOutputBytes, "1GiB", 16*kib)),
		size("limits.memory_bytes", &c.Limits.MemoryBytes, "0", 0),
		live(duration("limits.auth_timeout", &c.Limits.AuthTimeout, "10s", 100*time.Millisecond, time.Hour)),

		live(duration("shutdown.delay", &c.Shutdown.Delay, "0s", 0, time.Hour)),
		live(duration("shutdown.drain_timeout", &c.Shutdown.DrainTimeout, "30s", 0, maxDay)),

		live(text("log.level", &c.Log.Level, "info", oneOf([]string{"debug", "info", "warn", "error"}))),
		text("log.format", &c.Log.Format, "text", oneOf([]string{"text", "json"})),
		live(ratio("log.sample_ratio", &c.Log.SampleRatio, 0)),

		text("audit.file", &c.Audit.File, "", anything),
		live(duration("audit.keep", &c.Audit.Keep, "2160h", 0, 10*maxYear)),

		live(duration("usage.keep", &c.Usage.Keep, "768h", 0, 10*maxYear)),

		integer("metrics.max_tenants", &c.Metrics.MaxTenants, 1000, 0, 1_000_000),
		live(duration("slowlog.threshold", &c.SlowLog.Threshold, "10ms", -maxDay, maxDay)),
		live(integer("slowlog.max_len", &c.SlowLog.MaxLen, 128, 0, insight.MaxLen)),

		live(integer("insight.sample", &c.Insight.Sample, 32, 0, maxSample)),
		flag("insight.hash_keys", &c.Insight.HashKeys, false, nil),

		text("tracing.endpoint", &c.Tracing.Endpoint, "", optional(func(s string) error { return tracing.CheckEndpoint(s, "") })),
		text("tracing.protocol", &c.Tracing.Protocol, "grpc", oneOf([]string{"grpc", "http"})),
		live(ratio("tracing.sample_ratio", &c.Tracing.SampleRatio, 0.01)),
		live(duration("tracing.slow", &c.Tracing.Slow, "100ms", 0, time.Hour)),
	}
}

func text[T string | tenant.Secret](key string, p *T, fallback string, check func(string) error) setting {
	_, secret := any(*p).(tenant.Secret)
	return setting{key: key, fallback: fallback, secret: secret, set: func(value any) error {
		s, ok := value.(string)
		if !ok {
			return errors.New("want text: put it in quotes")
		}
		*p = T(s)
		return check(s)
	}, value: func() any { return string(*p) }}
}

// flag is a switch; check, when there is one, is asked about true only.
func flag(key string, p *bool, fallback bool, check func(bool) error) setting {
	return setting{key: key, fallback: fallback, set: func(value any) error {
		b, err := strconv.ParseBool(fmt.Sprint(value))
		if err != nil {
			return fmt.Errorf("want true or false, got %s", shown(value))
		}
		*p = b
		if b && check != nil {
			return check(b)
		}
		return nil
	}, value: func() any { return *p }}
}

func integer(key string, p *int, fallback, least, most int) setting {
	return setting{key: key, fallback: fallback, set: func(value any) error {
		n, err := strconv.Atoi(fmt.Sprint(value))
		if err != nil || n < least || n > most {
			return fmt.Errorf("want a whole number from %d to %d, got %s", least, most, shown(value))
		}
		*p = n
		return nil
	}, value: func() any { return *p }}
}

func ratio(key string, p *float64, fallback float64) setting {
	return setting{key: key, fallback: fallback, set: func(value any) error {
		f, err := strconv.ParseFloat(fmt.Sprint(value), 64)
		if err != nil || math.IsNaN(f) || f < 0 || f > 1 {
			return fmt.Errorf("want a number from 0 to 1, got %s", shown(value))
		}
		*p = f
		return nil
	}, value: func() any { return *p }}
}

func duration(key string, p *time.Duration, fallback string, least, most time.Duration) setting {
	return setting{key: key, fallback: fallback, set: func(value any) error {
		d, err := time.ParseDuration(fmt.Sprint(value))
		if err != nil || d < least || d > most {
			return fmt.Errorf("want a duration such as 500ms, 10s or 5m, from %v to %v, got %s", least, most, shown(value))
		}
		*p = d
		return nil
	}, value: func() any { return *p }}
}

func size(key string, p *int64, fallback string, least int64) setting {
	return setting{key: key, fallback: fallback, set: func(value any) error {
		n, err := tenant.ParseSize(fmt.Sprint(value))
		if err != nil || n < least || n > tib {
			return fmt.Errorf("want a size such as 64KiB, 512MiB or 1GiB, from %d bytes to 1TiB, got %s", least, shown(value))
		}
		*p = n
		return nil
	}, value: func() any { return *p }}
}

// certificateList is a list of {cert_file, key_file}; the environment gives it as YAML.
func certificateList(key string, p *[]CertificateConfig) setting {
	return setting{key: key, fallback: []any{}, set: func(value any) error {
		wrong := errors.New("want a list such as [{cert_file: a.pem, key_file: a.key}]")
		text, ok := value.(string)
		if !ok {
			b, err := yaml.Marshal(value)
			if err != nil {
				return wrong
			}
			text = string(b)
		}
		var list []CertificateConfig
		d := yaml.NewDecoder(strings.NewReader(text))
		d.KnownFields(true)
		if err := d.Decode(&list); err != nil {
			return wrong
		}
		for _, pair := range list {
			if pair.CertFile == "" || pair.KeyFile == "" {
				return wrong
			}
		}
		*p = list
		return nil
	}, value: func() any {
		text, _ := yaml.Marshal(*p) // of two strings each
		return string(text)
	}}
}

// shown quotes a value for an error, on one line and not without end.
func shown(value any) string {
	switch value.(type) {
	case []any, map[string]any:
		return "a list or section"
	}
	s := fmt.Sprint(value)
	if len(s) > 40 {
		s = s[:40] + "…"
	}
	return strconv.Quote(s)
}

func anything(string) error { return nil }

func optional(check func(string) error) func(string) error {
	return func(s string) error {
		if s == "" {
			return nil
		}
		return check(s)
	}
}

// notBuilt refuses a value whose feature this version does not have: ignoring it
// would let the operator believe that it works.
func notBuilt[T any](value T) error {
	return fmt.Errorf("%v is not supported by this version of respgate", value)
}

// linuxOnly refuses what rests on Linux's abstract sockets elsewhere.
func linuxOnly(bool) error {
	if runtime.GOOS != "linux" {
		return errors.New("a successor can take over on Linux only: want false")
	}
	return nil
}

// oneOf allows the values of allowed; those of later are known, but not built yet.
func oneOf(allowed []string, later ...string) func(string) error {
	return func(s string) error {
		switch {
		case slices.Contains(allowed, s):
			return nil
		case slices.Contains(later, s):
			return notBuilt(s)
		}
		return fmt.Errorf("want %s, got %s", strings.Join(allowed, ", "), shown(s))
	}
}

// address wants host:port with a numeric port. An empty host listens everywhere.
func address(s string) error {
	_, port, err := net.SplitHostPort(s)
	if err == nil {
		_, err = strconv.ParseUint(port, 10, 16)
	}
	if err != nil {
		return fmt.Errorf("want host:port such as 127.0.0.1:6380, got %s", shown(s))
	}
	return nil
}

// fileError is a file problem without the operation, which helps nobody.
func fileError(key, file string, err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		err = path.Err
	}
	return fmt.Errorf("%s: %s: %w", key, file, err)
}
