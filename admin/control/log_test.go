package control

import (
	"bytes"
	"log/slog"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed/stores"
)

// testLogLevel: the log tells of a change of its level, unless neither level has such lines.
func testLogLevel(t *testing.T, open stores.Opener) {
	level := new(slog.LevelVar)
	var log bytes.Buffer
	w := newWorld(t, open, func(c *Config) {
		c.LogLevel, c.Log = level, slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: level}))
	})
	for _, step := range []struct {
		to   string
		told bool
	}{{"error", true}, {"debug", true}, {"warn", true}, {"error", false}, {"info", true}} {
		log.Reset()
		must[LogView](t)(w.SetLogLevel(t.Context(), w.actors["operator"], step.to))
		if told := strings.Contains(log.String(), "to="+step.to); told != step.told || strings.ToLower(level.Level().String()) != step.to {
			t.Errorf("to %s: told %t, want %t, and the level is %v:\n%s", step.to, told, step.told, level.Level(), &log)
		}
	}
}
