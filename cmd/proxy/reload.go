package main

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"time"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/ratelimit"
)

// configInterval is how often the configuration file is looked at. A change is taken up
// when two looks in a row have found the same: editors write in several steps.
const configInterval = time.Second

// origin is where a proxy's configuration came from and may be read again.
type origin struct {
	file    string           // "" when there is none
	version string           // of the file when it was read: see fileVersion
	hup     <-chan os.Signal // asks for the configuration to be read again
}

// stage has one part of the proxy get ready for a configuration. What it returns puts that
// into effect, and cannot fail; until then, and when there is an error, all is as before.
type stage func(next Config) (commit func(), err error)

// always is a stage that cannot fail.
func always(commit func(next Config)) stage {
	return func(next Config) (func(), error) { return func() { commit(next) }, nil }
}

// stages are the parts that follow a change of the configuration.
func (s *server) stages(data *dataPlane, service *auth.Service, limiters *ratelimit.Registry) []stage {
	return []stage{
		always(func(next Config) { s.level.Set(next.Log.slogLevel()) }),
		always(func(next Config) { s.sampled.SetRatio(next.Log.SampleRatio) }),
		always(func(next Config) { limiters.SetDefaults(next.RateLimit.defaults()) }),
		always(func(next Config) { service.SetMaxStale(next.Store.MaxStale) }),
		always(s.retrace), // the data plane asks the tracer
		always(data.reconfigure),
		always(s.remanage),
		always(func(Config) { _ = s.certs.Reload() }), // it has its own log and metrics
	}
}

// followConfig reads the configuration again on SIGHUP and when the file has changed, until
// ctx ends.
func (s *server) followConfig(ctx context.Context, from *origin, stages []stage) {
	tick := time.NewTicker(configInterval)
	defer tick.Stop()
	taken, last := from.version, from.version
	for {
		select {
		case <-ctx.Done():
			return
		case <-from.hup:
			taken = fileVersion(from.file)
			s.reload(from.file, "SIGHUP", stages)
		case <-tick.C:
			now := fileVersion(from.file)
			settled := now == last
			last = now
			if settled && now != taken {
				taken = now
				s.reload(from.file, "file changed", stages)
			}
		}
	}
}

// fileVersion tells versions of a regular file apart by what is in them, whichever way they
// got there: written, renamed, or by a link that now points elsewhere, as in Kubernetes.
func fileVersion(file string) string {
	info, err := os.Stat(file) //nolint:gosec // the operator's file
	if file == "" || err == nil && !info.Mode().IsRegular() {
		return "" // what is no file cannot be read twice
	}
	text, err := os.ReadFile(file) //nolint:gosec // the operator's file
	if err != nil {
		return "unreadable"
	}
	sum := sha256.Sum256(text)
	return hex.EncodeToString(sum[:])
}

// reload reads the configuration again. One that is wrong, or that a part refuses, leaves
// the last good one in effect.
func (s *server) reload(file, why string, stages []stage) {
	changed, waiting, err := s.tryReload(file, stages)
	defer func() { s.metrics.ConfigReloaded(time.Now(), err) }() // whoever sees it finds why in the log
	if err != nil {
		s.log.Error("configuration not reloaded: the last good one stays in effect", "because", why, "error", oneLine(err.Error()))
		return
	}
	if len(waiting) > 0 {
		s.log.Warn("changed in the configuration, and needs a restart", "keys", strings.Join(waiting, ", "))
	}
	s.log.Info("configuration reloaded", "because", why, "changed", strings.Join(changed, ", "))
}

// tryReload returns the keys whose values have changed, and those that wait for a restart.
func (s *server) tryReload(file string, stages []stage) (changed, waiting []string, err error) {
	loaded, err := loadConfig(file)
	if err != nil {
		return nil, nil, err
	}
	next, changed, waiting, err := s.config.Load().follow(loaded)
	if err != nil {
		return nil, nil, err
	}
	var commits []func()
	for _, stage := range stages {
		commit, err := stage(next)
		if err != nil {
			return nil, nil, err
		}
		commits = append(commits, commit)
	}
	for _, commit := range commits {
		commit()
	}
	s.config.Store(&next)
	for _, warning := range next.warnings() {
		s.log.Warn(warning)
	}
	return changed, waiting, nil
}

// errEmptied is for a file that an editor, or a full disk, has left empty: it would be a
// configuration, that of all defaults.
var errEmptied = errors.New("the config file sets nothing any more: it may be half written; to go without it, restart")

// follow returns the configuration with those values of loaded that can change while the
// proxy runs, the keys that they change, and those whose change waits for a restart.
func (c Config) follow(loaded Config) (next Config, changed, waiting []string, err error) {
	if loaded.given == 0 && c.given > 0 {
		return c, nil, nil, errEmptied
	}
	next = c
	next.given = loaded.given
	wanted := loaded.settings()
	for i, s := range next.settings() {
		value := wanted[i].value()
		switch {
		case s.value() == value:
		case !s.live:
			waiting = append(waiting, s.key)
		default:
			changed = append(changed, s.key)
			if err := s.set(value); err != nil {
				return c, nil, nil, err
			}
		}
	}
	return next, changed, waiting, nil
}
