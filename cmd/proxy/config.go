package main

import (
	"errors"
	"fmt"
	"log/slog"
	"os"
	"runtime"
	"slices"
	"strings"
	"time"

	"github.com/spf13/viper"

	"github.com/respgate/respgate/cache"
	"github.com/respgate/respgate/insight"
	"github.com/respgate/respgate/ratelimit"
	"github.com/respgate/respgate/tenant"
)

// Config is everything that configs/respgate.yaml and the environment can set.
// A Config that loadConfig returned is valid.
type Config struct {
	Listen    string // host:port
	Region    string // where the proxy is; "" is not told
	ReusePort bool
	Loops     int // 0: see EventLoops
	TLS       TLSConfig
	HTTP      HTTPConfig
	Store     StoreConfig
	RateLimit RateLimitConfig
	Pool      PoolConfig
	Limits    LimitsConfig
	Shutdown  ShutdownConfig
	Log       LogConfig
	Audit     AuditConfig
	Usage     UsageConfig
	Metrics   MetricsConfig
	SlowLog   SlowLogConfig
	Insight   InsightConfig
	Cache     CacheConfig
	Tracing   TracingConfig
	SecretKey tenant.Secret // RESPGATE_SECRET_KEY; "" or at least 32 bytes

	given int // how many keys the file has
}

// minToken is how many bytes make a bearer token that cannot be guessed, in hexadecimal.
const minToken = 32

// warnings are what is allowed and better not done.
func (c Config) warnings() (all []string) {
	for key, token := range map[string]tenant.Secret{"http.admin_token": c.HTTP.AdminToken, "http.metrics_token": c.HTTP.MetricsToken} {
		if token != "" && len(token) < minToken {
			all = append(all, fmt.Sprintf("%s has %d bytes and may be guessed: use %d or more at random, such as openssl rand -hex 32 gives", key, len(token), minToken))
		}
	}
	slices.Sort(all)
	return all
}

// TLSConfig is the listener for clients that speak TLS: off while Listen is "".
// The files are read by whoever needs them: a health check must not fail for one that is
// being replaced.
type TLSConfig struct {
	Listen       string
	CertFile     string
	KeyFile      string
	Certificates []CertificateConfig // further ones, chosen by the name that a client asks for
	ClientCAFile string              // set: a client certificate is required
}

// CertificateConfig is one of tls.certificates.
type CertificateConfig struct {
	CertFile string `yaml:"cert_file"`
	KeyFile  string `yaml:"key_file"`
}

// HTTPConfig is the listener for health, metrics and management; it speaks TLS where
// CertFile is set.
type HTTPConfig struct {
	Listen       string
	CertFile     string
	KeyFile      string
	AdminToken   tenant.Secret
	MetricsToken tenant.Secret
	Pprof        bool
	Rate         int // requests per second that a token may make; 0 is unlimited
	Burst        int // requests at once; 0 is as many as Rate
}

// StoreConfig says where organizations, instances and keys are kept.
type StoreConfig struct {
	Driver   string // sqlite or postgres
	DSN      tenant.Secret
	MaxStale time.Duration // see auth.Service.SetMaxStale
	Grace    time.Duration // for how long what was deleted can be restored
}

// RateLimitConfig holds for keys without limits of their own, and Mode for organizations
// without one too. Shared… is for all.
type RateLimitConfig struct {
	DefaultRPS      int   // commands per second; 0 is unlimited
	DefaultBurst    int   // 0: as DefaultRPS
	DefaultByteRate int64 // bytes per second; 0 is unlimited
	Mode            tenant.LimitMode
	MaxDelay        time.Duration // in the mode delay: what would have to wait longer is refused
	SharedURL       tenant.Secret // of the Redis that proxies share; "": each proxy limits by itself
	SharedLease     time.Duration // for how long the tokens last that a proxy takes there ahead
}

func (c RateLimitConfig) defaults() ratelimit.Defaults {
	return ratelimit.Defaults{RPS: c.DefaultRPS, Burst: c.DefaultBurst, ByteRate: c.DefaultByteRate, Mode: c.Mode, MaxDelay: c.MaxDelay}
}

// PoolConfig bounds the connections to one instance, over all loops.
type PoolConfig struct {
	DialAttempts   int
	DialRetryDelay time.Duration
	DialTimeout    time.Duration
	IdleTimeout    time.Duration
	PinnedMax      int
	PinnedWait     time.Duration
	SubscribersMax int
	StallTimeout   time.Duration
}

// LimitsConfig bounds what clients can make the proxy hold, in bytes.
type LimitsConfig struct {
	MaxClients        int
	MaxCommandBytes   int64
	ClientOutputBytes int64
	MemoryBytes       int64 // everything in flight; 0: see memoryBound
	AuthTimeout       time.Duration
}

// ShutdownConfig says what happens after SIGTERM: for how long clients are still accepted,
// so that load balancers notice that the proxy is not ready, and how long clients may then
// finish.
type ShutdownConfig struct {
	Delay        time.Duration
	DrainTimeout time.Duration
}

// LogConfig is the log's level (debug, info, warn, error) and format (text, json), and which
// share of the commands has a line of its own.
type LogConfig struct {
	Level       string
	Format      string
	SampleRatio float64 // 0 to 1
}

// slogLevel is the level as slog has it.
func (c LogConfig) slogLevel() (level slog.Level) {
	if err := level.UnmarshalText([]byte(c.Level)); err != nil {
		panic(fmt.Sprintf("log.level was not checked: %v", err))
	}
	return level
}

// AuditConfig is where the audit log goes besides the store: nowhere, or as JSON lines to a
// file, "-" being stdout.
type AuditConfig struct {
	File string
	Keep time.Duration // for how long events stay in the store; 0 is for ever
}

// UsageConfig says how long it stays known what keys have done.
type UsageConfig struct {
	Keep time.Duration // 0 is for ever
}

// MetricsConfig bounds what /metrics has.
type MetricsConfig struct {
	MaxTenants int // instances with series of their own; 0: all
}

// SlowLogConfig says which commands are slow and how many of each instance are kept.
type SlowLogConfig struct {
	Threshold time.Duration // those that took their backend so long, or longer; negative: none
	MaxLen    int           // the newest of an instance; 0: none
}

// InsightConfig says how hot keys and busy clients are looked for.
type InsightConfig struct {
	Sample   int  // one command in so many is looked at, besides the big ones; 0: none at all
	HashKeys bool // keys and arguments are told as keyed hashes only
}

// CacheConfig bounds the near caches of all instances that have one.
type CacheConfig struct {
	MaxBytes      int64 // of all of them together
	MaxEntryBytes int64 // of one reply
}

func (c CacheConfig) limits() cache.Limits {
	return cache.Limits{Bytes: c.MaxBytes, EntryBytes: c.MaxEntryBytes}
}

// insight is what a proxy with that id keeps of what stands out.
func (c Config) insight(proxy string) insight.Config {
	return insight.Config{Proxy: proxy, Threshold: c.SlowLog.Threshold, MaxLen: c.SlowLog.MaxLen, Sample: c.Insight.Sample, HashKeys: c.Insight.HashKeys}
}

// EventLoops is the number of event loops to run: Loops or, when that is 0, half
// of the usable cores and at least one, since the kernel's network work needs the
// rest.
func (c Config) EventLoops() int {
	if c.Loops > 0 {
		return c.Loops
	}
	return max(1, runtime.GOMAXPROCS(0)/2)
}

// loadConfig reads the file (RESPGATE_CONFIG when file is "", and no file when
// that is unset too), lets the environment override it and checks every value.
// The error names the first wrong key in the order of the example file.
func loadConfig(file string) (Config, error) {
	v := viper.New()
	if file == "" {
		file = os.Getenv("RESPGATE_CONFIG")
	}
	if file != "" {
		v.SetConfigFile(file)
		v.SetConfigType("yaml")
		if err := v.ReadInConfig(); err != nil {
			return Config{}, fmt.Errorf("config file %s: %w", file, err)
		}
	}
	var c Config
	settings := c.settings()
	given := v.AllKeys()
	c.given = len(given)
	if err := checkNames(given, settings); err != nil {
		return Config{}, fmt.Errorf("config file %s: %w", file, err)
	}
	if err := checkEnvironment(os.Environ(), settings); err != nil {
		return Config{}, err
	}
	for _, s := range settings {
		v.SetDefault(s.key, s.fallback)
		if err := v.BindEnv(append([]string{s.key}, s.environment()...)...); err != nil {
			return Config{}, err
		}
		if err := s.set(v.Get(s.key)); err != nil {
			return Config{}, fmt.Errorf("%s: %w", s.source(), err)
		}
	}
	c.SecretKey = tenant.Secret(os.Getenv(secretKeyVariable))
	return c, c.validate()
}

// leastMemory is the least limits.memory_bytes: below, a few ordinary clients fill it.
const leastMemory = 16 << 20

// mostCommand is the most limits.max_command_bytes: links count a command's bytes in 32 bits.
const mostCommand = 2 << 30

const secretKeyVariable = "RESPGATE_SECRET_KEY" //nolint:gosec // a name

// environment returns the variables that override the setting, the strongest first.
func (s setting) environment() []string {
	names := []string{"RESPGATE_" + strings.ToUpper(strings.ReplaceAll(s.key, ".", "_"))}
	if s.key == "rate_limit.default_rps" {
		names = append(names, "RATE_LIMIT_DEFAULT_RPS")
	}
	return names
}

// source names the setting as the operator wrote it: by its key or, when the
// environment sets it, by its variable too.
func (s setting) source() string {
	for _, name := range s.environment() {
		if os.Getenv(name) != "" {
			return fmt.Sprintf("%s (from %s)", s.key, name)
		}
	}
	return s.key
}

// checkNames refuses keys that no setting has.
func checkNames(given []string, settings []setting) error {
	known := make([]string, 0, len(settings))
	for _, s := range settings {
		known = append(known, s.key)
	}
	slices.Sort(given)
	for _, key := range given {
		if slices.Contains(known, key) {
			continue
		}
		section := key + "."
		if i := slices.IndexFunc(known, func(k string) bool { return strings.HasPrefix(k, section) }); i >= 0 {
			return fmt.Errorf("%s: want a section with keys such as %s", key, known[i])
		}
		if near := nearest(key, known); near != "" {
			return fmt.Errorf("unknown key %q: did you mean %q?", key, near)
		}
		return fmt.Errorf("unknown key %q", key)
	}
	return nil
}

// checkEnvironment refuses misspelt variables. Others that begin with RESPGATE_
// are let be: Kubernetes sets RESPGATE_PORT and the like for a service named
// respgate.
func checkEnvironment(environ []string, settings []setting) error {
	known := []string{secretKeyVariable, "RESPGATE_CONFIG", serverVariable, tokenVariable}
	for _, s := range settings {
		known = append(known, s.environment()...)
	}
	for _, entry := range environ {
		name, _, _ := strings.Cut(entry, "=")
		if !strings.HasPrefix(name, "RESPGATE_") || slices.Contains(known, name) {
			continue
		}
		if near := nearest(name, known); near != "" {
			return fmt.Errorf("unknown environment variable %s: did you mean %s?", name, near)
		}
	}
	return nil
}

// validate checks what one value alone cannot tell.
func (c Config) validate() error {
	if n := len(c.SecretKey); n > 0 && n < 32 {
		return fmt.Errorf("%s: want 32 bytes or more, got %d", secretKeyVariable, n)
	}
	if c.Store.Driver == "sqlite" && c.Store.DSN == "" {
		return errors.New("store.dsn: want a file such as file:var/respgate.db")
	}
	if c.Store.Driver == "postgres" && c.SecretKey == "" {
		return fmt.Errorf("%s: store.driver postgres needs it: 32 bytes or more, the same for all proxies", secretKeyVariable)
	}
	if n := c.Limits.MemoryBytes; n > 0 && n < leastMemory {
		return fmt.Errorf("limits.memory_bytes: want 0, or 16MiB or more, got %d bytes", n)
	}
	if n := c.Limits.MaxCommandBytes; n > mostCommand {
		return fmt.Errorf("limits.max_command_bytes: want 2GiB or less, got %d bytes", n)
	}
	if c.HTTP.Listen == c.Listen && !strings.HasSuffix(c.Listen, ":0") {
		return fmt.Errorf("http.listen: %s is taken by listen already", c.Listen)
	}
	if err := c.Tracing.check(); err != nil {
		return err
	}
	for _, files := range c.certificateFiles() {
		if err := files.check(); err != nil {
			return err
		}
	}
	return nil
}
