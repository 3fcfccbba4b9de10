package main

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"os/user"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin/api"
	"github.com/respgate/respgate/admin/control"
	respgate "github.com/respgate/respgate/clients/go"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// client asks the management API: a proxy's, or this process's own.
type client = respgate.ClientWithResponses

// managing has a command, and those below it, ask the management API.
func (a *app) managing(c *cobra.Command) *cobra.Command {
	c.PersistentFlags().StringVar(&a.server, "server", "", "`URL` of a proxy to ask, such as https://respgate.example.com:3000, with the token in $RESPGATE_TOKEN (default: $RESPGATE_SERVER, else the configuration's store)")
	c.PersistentFlags().StringVar(&a.tokenFile, "token-file", "", "`FILE` with the token, instead of $RESPGATE_TOKEN")
	return c
}

// onAPI is a command that asks the management API and takes flags only.
func (a *app) onAPI(use, short string, run func(ctx context.Context, c *client) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: cobra.NoArgs, RunE: func(cmd *cobra.Command, _ []string) error {
		return a.withAPI(cmd.Context(), func(c *client) error { return run(cmd.Context(), c) })
	}}
}

// onOne is a command that asks the management API about one thing, its one argument.
func (a *app) onOne(use, short string, one thing, run func(ctx context.Context, c *client, id string) error) *cobra.Command {
	return &cobra.Command{Use: use, Short: short, Args: one.check, ValidArgsFunction: a.offering(one.offer), RunE: func(cmd *cobra.Command, args []string) error {
		return a.withAPI(cmd.Context(), func(c *client) error { return run(cmd.Context(), c, args[0]) })
	}}
}

// withAPI runs fn with a client of the management API: of the proxy that --server names,
// else of this process's own, over the store that the configuration names, for who sits at
// the shell.
func (a *app) withAPI(ctx context.Context, fn func(c *client) error) error {
	if server, from := a.serverURL(); server != "" {
		c, err := a.remote(server, from)
		if err != nil {
			return err
		}
		return explained(fn(c))
	}
	cfg, err := loadConfig(a.configFile)
	if err != nil {
		return err
	}
	return a.withStore(ctx, cfg, func(st *store.Store) error {
		var log bytes.Buffer
		c, err := a.local(cfg, st, slog.New(slog.NewTextHandler(&log, nil)))
		if err != nil {
			return err
		}
		err = explained(fn(c))
		// Else one line says why, and that nothing was noted has the same reason.
		if err == nil || refusedWith(err, http.StatusInternalServerError) {
			_, _ = a.stderr.Write(log.Bytes())
		}
		return err
	})
}

// serverURL is the proxy whose management API is asked, "" for none, and what says so.
func (a *app) serverURL() (server, from string) {
	if a.server != "" {
		return a.server, "--server"
	}
	return os.Getenv(serverVariable), serverVariable
}

// withStore runs fn with the store that the configuration names.
func (a *app) withStore(ctx context.Context, cfg Config, fn func(st *store.Store) error) error {
	st, err := openStore(ctx, cfg, nil)
	if err != nil {
		return err
	}
	return errors.Join(fn(st), st.Close())
}

// local is a client of this process's own management API, over st.
func (a *app) local(cfg Config, st *store.Store, log *slog.Logger) (*client, error) {
	plane := control.New(control.Config{
		Audit: shellAudit{st, cfg.Audit.File, a.stderr},
		Test:  func(ctx context.Context, in tenant.Instance) control.Probe { return control.Probe(test(ctx, cfg, in)) },
		Log:   log,
	}, st)
	who := control.Actor{Kind: tenant.ByShell, Name: shellUser()}
	return respgate.NewClientWithResponses("http://in-process", respgate.WithHTTPClient(inProcess{api.For(who, plane, st, log)}))
}

// inProcess has a handler answer requests without a connection.
type inProcess struct{ handler http.Handler }

// Do implements respgate.HttpRequestDoer.
func (p inProcess) Do(r *http.Request) (*http.Response, error) {
	if r.Body == nil {
		r.Body = http.NoBody
	}
	w := &written{header: http.Header{}, status: http.StatusOK}
	p.handler.ServeHTTP(w, r)
	return &http.Response{
		Status: strconv.Itoa(w.status) + " " + http.StatusText(w.status), StatusCode: w.status,
		Header: w.header, Body: io.NopCloser(&w.body), Request: r,
	}, nil
}

// written is what a handler has answered.
type written struct {
	header http.Header
	status int
	body   bytes.Buffer
}

// Header implements http.ResponseWriter.
func (w *written) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *written) WriteHeader(status int) { w.status = status }

// Write implements http.ResponseWriter.
func (w *written) Write(b []byte) (int, error) { return w.body.Write(b) }

// explained is an error of the API's in words for who has typed a command: a field that is
// wrong is named as the flag that it comes from.
func explained(err error) error {
	var e *respgate.Error
	if !errors.As(err, &e) || len(e.Fields()) == 0 {
		return err
	}
	var all []string
	for _, f := range e.Fields() {
		_, name, _ := strings.Cut(f.Location, ".")
		all = append(all, "--"+strings.ReplaceAll(cmp.Or(name, f.Location), "_", "-")+": "+f.Message)
	}
	return errors.New(strings.Join(all, "; "))
}

// answered is what the management API has answered with.
func answered[T any](answer respgate.Answer, err error) (v T, _ error) {
	if err := respgate.Check(answer, err); err != nil {
		return v, err
	}
	return v, json.Unmarshal(answer.Bytes(), &v)
}

// remade is v as another type that has the fields of its JSON: what a thing is created with
// is what may be changed of it.
func remade[T any](v any) (made T, _ error) {
	text, err := json.Marshal(v)
	if err != nil {
		return made, err
	}
	return made, json.Unmarshal(text, &made)
}

// pageSize is how many items of a list are asked for at once: the most that may be.
func pageSize() *int64 { return new(int64(1000)) }

// refusedWith reports whether err is an answer of the API's with that status.
func refusedWith(err error, status int) bool {
	var e *respgate.Error
	return errors.As(err, &e) && e.Status == status
}

// shellAudit keeps what is done at the shell where serve keeps events: in the store, and in
// the file that audit.file names. "-" is serve's own output, and not a command's.
type shellAudit struct {
	store  eventStore
	file   string
	stderr io.Writer
}

// AppendEvents implements control.Audit.
func (s shellAudit) AppendEvents(ctx context.Context, events []tenant.Event) error {
	if err := s.store.AppendEvents(ctx, events); err != nil || s.file == "-" {
		return err
	}
	file, err := openAuditFile(s.file, nil)
	if err == nil {
		err = errors.Join(file.write(events), file.close())
	}
	if err != nil {
		_, _ = fmt.Fprintln(s.stderr, "warning: the event is in the store only:", err)
	}
	return nil
}

// shellUser is the operating system's name of who runs this process, or the number.
func shellUser() string {
	u, err := user.Current()
	if err != nil {
		return strconv.Itoa(os.Getuid())
	}
	return u.Username
}
