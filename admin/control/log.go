package control

import (
	"context"
	"log/slog"
	"strings"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// LogView is how much this proxy's log tells.
type LogView struct {
	Level string `json:"level"` // debug, info, warn or error
}

// LogLevel returns from which level on this proxy's log has lines, for operators.
// ErrUnavailable where this process serves no clients.
func (s *Service) LogLevel(_ context.Context, a Actor) (LogView, error) {
	if err := operator(a); err != nil {
		return LogView{}, err
	}
	if s.cfg.LogLevel == nil {
		return LogView{}, problem(ErrUnavailable, "this process serves no clients")
	}
	return LogView{strings.ToLower(s.cfg.LogLevel.Level().String())}, nil
}

// SetLogLevel has this proxy's log have lines from a level on, until its configuration is
// read again. For operators.
func (s *Service) SetLogLevel(ctx context.Context, a Actor, level string) (LogView, error) {
	e := tenant.Event{Action: "log.level", Target: "log", Name: "level"}
	return attempt(ctx, s, a, e, func(e *tenant.Event) (LogView, error) {
		was, err := s.LogLevel(ctx, a)
		if err != nil {
			return LogView{}, err
		}
		levels := map[string]slog.Level{"debug": slog.LevelDebug, "info": slog.LevelInfo, "warn": slog.LevelWarn, "error": slog.LevelError}
		wanted, ok := levels[level]
		if !ok {
			return LogView{}, problem(store.ErrInvalid, "level %q: want debug, info, warn or error", clip(level))
		}
		e.Before, e.After = noted(was), noted(LogView{level})
		s.cfg.LogLevel.Set(min(levels[was.Level], wanted)) // so that the log tells of it
		s.cfg.Log.Info("the log's level changes", "from", was.Level, "to", level)
		s.cfg.LogLevel.Set(wanted)
		return LogView{level}, nil
	})
}
