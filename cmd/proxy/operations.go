package main

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/respgate/respgate/proxy"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// operate has operators served over RESP too, by PROXY.
func (s *server) operate(st *store.Store, data *dataPlane) {
	b := buildInfo()
	ops := &proxy.Operations{
		Version:   strings.TrimSpace(fmt.Sprintf("%s %s %s", b.Version, b.Commit, b.Go)),
		Directory: directory{st},
		Pauses:    proxy.NewPauses(s.metrics.Paused),
		Config:    func() []proxy.Setting { return shownConfig(*s.config.Load()) },
		Troubles:  data.dialer.Troubles,
		Answered:  s.checks.answered,
		Patience:  func() time.Duration { return s.config.Load().Pool.StallTimeout },
	}
	s.sampled = &proxy.Sampled{Proxy: data.id, Log: s.log}
	s.sampled.SetRatio(s.cfg.Log.SampleRatio)
	for _, l := range data.lanes {
		l.core.Operations = ops
		l.core.Observers = append(l.core.Observers, s.sampled)
	}
}

// directory is the store's instances.
type directory struct{ *store.Store }

// Instances implements proxy.Directory.
func (d directory) Instances(ctx context.Context) ([]tenant.Instance, error) {
	return d.Store.Instances(ctx, "", store.Page{})
}

// shownConfig is a configuration for people to look at, without its secrets.
func shownConfig(c Config) (all []proxy.Setting) {
	var fresh Config
	defaults := fresh.settings()
	for i, s := range c.settings() {
		_ = defaults[i].set(s.fallback) // a default is valid
		shown := proxy.Setting{Key: s.key, Value: shownValue(s), Default: shownValue(defaults[i]), Live: s.live}
		if s.secret {
			shown.Default = oneLine(fmt.Sprint(s.fallback))
		}
		all = append(all, shown)
	}
	return all
}

// shownValue is a setting's value on one line.
func shownValue(s setting) string {
	switch v := s.value().(type) {
	case time.Duration:
		return shortDuration(v)
	case string:
		if s.secret && v != "" {
			return "(hidden)"
		}
		return oneLine(v)
	default:
		return fmt.Sprint(v)
	}
}

// shortDuration writes 5m for what Go writes as 5m0s.
func shortDuration(d time.Duration) string {
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}
