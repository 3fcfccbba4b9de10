package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"os/user"
	"runtime"
	"runtime/debug"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// version and commit are set by the linker (see the Makefile).
var (
	version = "dev"
	commit  = ""
)

// app is one run of the command line.
type app struct {
	stdin          io.Reader
	stdout, stderr io.Writer
	configFile     string
	json           bool
}

func (a *app) root() *cobra.Command {
	root := &cobra.Command{
		Use:           "respgate",
		Short:         "A Redis-protocol proxy for many tenants",
		Long:          "respgate knows each client by its API key, holds it to its limits, relays its\ncommands to its tenant's Redis, and shows what every command cost.",
		SilenceErrors: true,
		SilenceUsage:  true,
	}
	root.SetIn(a.stdin)
	root.SetOut(a.stdout)
	root.SetErr(a.stderr)
	root.PersistentFlags().StringVar(&a.configFile, "config", "", "configuration `FILE` (default: $RESPGATE_CONFIG, else defaults and environment)")
	root.PersistentFlags().BoolVar(&a.json, "json", false, "print JSON")
	root.AddCommand(a.serveCommand(), a.devCommand(), a.checkConfigCommand(),
		a.orgCommand(), a.instanceCommand(), a.keyCommand(),
		a.healthcheckCommand(), a.versionCommand())
	return root
}

// group is a command that only has subcommands. cobra would print its help and
// exit 0 for a subcommand that does not exist.
func group(name, short string, sub ...*cobra.Command) *cobra.Command {
	names := make([]string, 0, len(sub))
	for _, c := range sub {
		names = append(names, c.Name())
	}
	g := &cobra.Command{Use: name, Short: short, RunE: func(_ *cobra.Command, args []string) error {
		want := strings.Join(names, ", ")
		if len(args) == 0 {
			return fmt.Errorf("%s: want one of %s", name, want)
		}
		return fmt.Errorf("%s: unknown command %q: want one of %s", name, args[0], want)
	}}
	g.AddCommand(sub...)
	return g
}

// oneID is the argument check of the commands that take a key's id.
func oneID(_ *cobra.Command, args []string) error {
	if len(args) != 1 {
		return errors.New("want one key ID, the 12 characters after rg_ (respgate key list shows them)")
	}
	return nil
}

// required marks flags that must be given.
func required(c *cobra.Command, names ...string) {
	for _, name := range names {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is not defined: a mistake in this package
		}
	}
}

// withStore runs fn with the store that the configuration names.
func (a *app) withStore(ctx context.Context, fn func(st *store.Store) error) error {
	cfg, err := loadConfig(a.configFile)
	if err != nil {
		return err
	}
	st, err := openStore(ctx, cfg, nil)
	if err != nil {
		return err
	}
	return errors.Join(fn(st), st.Close())
}

// withControl runs fn with the control plane over that store, and with who sits at the
// shell.
func (a *app) withControl(ctx context.Context, fn func(c *control.Service, who control.Actor) error) error {
	cfg, err := loadConfig(a.configFile)
	if err != nil {
		return err
	}
	return a.withStore(ctx, func(st *store.Store) error {
		var log bytes.Buffer
		err := fn(control.New(control.Config{
			Audit: shellAudit{st, cfg.Audit.File, a.stderr},
			Test:  func(ctx context.Context, in tenant.Instance) control.Probe { return control.Probe(test(ctx, cfg, in)) },
			Log:   slog.New(slog.NewTextHandler(&log, nil)),
		}, st), control.Actor{Kind: tenant.ByShell, Name: shellUser()})
		if err == nil { // else one line says why, and that nothing was noted has the same reason
			_, _ = a.stderr.Write(log.Bytes())
		}
		return err
	})
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

func openStore(ctx context.Context, cfg Config, obs store.Observer) (*store.Store, error) {
	return store.Open(ctx, store.Config{
		Driver: cfg.Store.Driver,
		DSN:    cfg.Store.DSN.Reveal(),
		Secret: cfg.SecretKey.Reveal(),
	}, obs)
}

func (a *app) checkConfigCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "check-config",
		Short: "Check the configuration: exit 0, or 1 naming the wrong key",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			cfg, err := loadConfig(a.configFile)
			if err != nil {
				return err
			}
			for _, files := range cfg.certificateFiles() {
				if _, err := files.load(); err != nil {
					return err
				}
			}
			for _, warning := range cfg.warnings() {
				_, _ = fmt.Fprintln(a.stderr, "warning:", warning)
			}
			return a.done("config", "ok")
		},
	}
}

func (a *app) versionCommand() *cobra.Command {
	return &cobra.Command{
		Use:   "version",
		Short: "Print the version",
		Args:  cobra.NoArgs,
		RunE: func(*cobra.Command, []string) error {
			return a.one(buildInfo())
		},
	}
}

type build struct {
	Version string `json:"version"`
	Commit  string `json:"commit"`
	Go      string `json:"go"`
}

func (build) columns() []string { return []string{"version", "commit", "go"} }
func (b build) cells() []string { return []string{b.Version, b.Commit, b.Go} }

// buildInfo is what the linker was told or, for `go install` and `go build`, what
// the toolchain recorded.
func buildInfo() build {
	b := build{Version: version, Commit: commit, Go: runtime.Version()}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return b
	}
	if v := info.Main.Version; b.Version == "dev" && v != "" && v != "(devel)" {
		b.Version = v
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && b.Commit == "" {
			b.Commit = s.Value
		}
	}
	return b
}
