package api

import (
	"context"
	"net/http"

	"github.com/respgate/respgate/admin/control"
)

// LogChange is how much the log is to tell.
type LogChange struct {
	Level string `json:"level"`
}

type (
	logChange struct{ Body LogChange }
	logFound  struct{ Body control.LogView }
)

func logs(b *builder) {
	const tag = "log"
	register(b, operation{method: http.MethodGet, path: "/log", id: "getLog", tag: tag, summary: "Show the log's level", errors: []int{http.StatusNotImplemented},
		description: "That of the proxy that answers. For operators."},
		func(ctx context.Context, actor control.Actor, _ *struct{}) (*logFound, error) {
			v, err := b.control.LogLevel(ctx, actor)
			return &logFound{v}, err
		})
	register(b, operation{method: http.MethodPut, path: "/log", id: "setLog", tag: tag, summary: "Change the log's level", errors: []int{http.StatusNotImplemented},
		description: "That of the proxy that answers, at once, until it starts again or reads its configuration again. For operators."},
		func(ctx context.Context, actor control.Actor, in *logChange) (*logFound, error) {
			v, err := b.control.SetLogLevel(ctx, actor, in.Body.Level)
			return &logFound{v}, err
		})
}
