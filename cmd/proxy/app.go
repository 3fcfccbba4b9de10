package main

import (
	"context"
	"fmt"
	"io"
	"runtime"
	"runtime/debug"
	"strings"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/store"
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

	server, tokenFile string // see managing
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
	root.AddCommand(a.serveCommand(), a.devCommand(), a.checkConfigCommand(), a.healthcheckCommand(), a.storeCommand(), a.manCommand(), a.versionCommand())
	for _, c := range []*cobra.Command{
		a.orgCommand(), a.instanceCommand(), a.keyCommand(), a.userCommand(), a.memberCommand(), a.tokenCommand(),
		a.auditCommand(), a.usageCommand(), a.sessionCommand(), a.slowlogCommand(), a.topCommand(), a.logCommand(), a.applyCommand(), a.backupCommand(), a.restoreCommand(),
	} {
		root.AddCommand(a.managing(c))
	}
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

// required marks flags that must be given.
func required(c *cobra.Command, names ...string) {
	for _, name := range names {
		if err := c.MarkFlagRequired(name); err != nil {
			panic(err) // the flag is not defined: a mistake in this package
		}
	}
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
