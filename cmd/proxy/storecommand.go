package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// storeProgressEvery is how often long work on a whole store says how far it is.
const storeProgressEvery = 2 * time.Second

func (a *app) storeCommand() *cobra.Command {
	return group("store", "Move the whole store to another database, and back", a.storeExportCommand(), a.storeImportCommand())
}

func (a *app) storeExportCommand() *cobra.Command {
	var file string
	var o store.ExportOptions
	c := &cobra.Command{
		Use:   "export",
		Short: "Write all that the store has to a file",
		Long: "export writes organizations, instances, keys, users, members and tokens to a file, as they are\n" +
			"at one moment, beside running proxies. Backends' URLs stay sealed and keys hashed, but keep the\n" +
			"file as you keep the store. The audit log and usage are in it when asked for.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return a.withWholeStore(cmd.Context(), func(st *store.Store, audit shellAudit) error {
				o.Progress = a.storeProgress("exported")
				return a.exportStore(cmd.Context(), st, audit, file, o)
			})
		},
	}
	c.Flags().StringVarP(&file, "output", "o", "", "`FILE` to write, which is replaced when it is whole; - is standard output")
	c.Flags().BoolVar(&o.Audit, "audit", false, "with the audit log")
	c.Flags().BoolVar(&o.Usage, "usage", false, "with the keys' usage by the minute")
	required(c, "output")
	return c
}

func (a *app) storeImportCommand() *cobra.Command {
	var file, secretFile string
	var o store.ImportOptions
	c := &cobra.Command{
		Use:   "import",
		Short: "Read what export has written into the store",
		Long: "import reads a file of export's into the store that the configuration names: all of it, or\n" +
			"nothing when something is wrong. Keys, tokens and passwords go on being valid, and running\n" +
			"proxies follow. The store has to be empty, unless --replace.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) (err error) {
			if file == "-" {
				return errors.New("--input: want a file: all of it is read and checked before anything is written, and standard input can be read only once")
			}
			if o.Secrets, err = readSecrets(secretFile); err != nil {
				return err
			}
			return a.withWholeStore(cmd.Context(), func(st *store.Store, audit shellAudit) error {
				o.Progress = a.storeProgress("imported")
				return a.importStore(cmd.Context(), st, audit, file, o)
			})
		},
	}
	c.Flags().StringVarP(&file, "input", "i", "", "`FILE` to read")
	c.Flags().BoolVar(&o.Replace, "replace", false, "delete what is there before")
	c.Flags().StringVar(&secretFile, "secret-file", "", "`FILE` with the RESPGATE_SECRET_KEY of the store that the file is from, where it was another: its key file, for SQLite")
	required(c, "input")
	return c
}

// withWholeStore runs fn with the store that the configuration names, and its audit log. Where
// other commands would ask a server, it is that one's store which is meant, and not the one here.
func (a *app) withWholeStore(ctx context.Context, fn func(*store.Store, shellAudit) error) error {
	if server, from := a.serverURL(); server != "" {
		return fmt.Errorf("%s: a whole store is moved where it can be reached itself, not over the management API", from)
	}
	cfg, err := loadConfig(a.configFile)
	if err != nil {
		return err
	}
	return a.withStore(ctx, cfg, func(st *store.Store) error {
		return fn(st, shellAudit{st, cfg.Audit.File, a.stderr})
	})
}

func (a *app) exportStore(ctx context.Context, st *store.Store, audit shellAudit, file string, o store.ExportOptions) error {
	rows := map[string]int{}
	export := func(to io.Writer) (err error) {
		rows, err = st.Export(ctx, to, o)
		return err
	}
	var err error
	if file == "-" {
		err = export(a.stdout)
	} else if err = replaceFile(file, export); err != nil {
		err = fileError("--output", file, err)
	}
	if err == nil {
		err = noteStore(ctx, audit, "store.export", rows)
	}
	if err != nil || file == "-" {
		return err
	}
	return a.one(movedStore{File: file, Rows: rows})
}

func (a *app) importStore(ctx context.Context, st *store.Store, audit shellAudit, file string, o store.ImportOptions) error {
	f, err := os.Open(file) //nolint:gosec // the operator names it
	if err != nil {
		return fileError("--input", file, err)
	}
	defer func() { _ = f.Close() }()
	done, err := st.Import(ctx, f, o)
	if err == nil {
		// An attempt that failed has changed nothing, and is not noted: the store may be empty still.
		err = noteStore(ctx, audit, "store.import", done.Rows)
	}
	if err != nil {
		return fmt.Errorf("--input: %s: %w", file, err)
	}
	return a.one(movedStore{file, done.Rows, done.Replaced})
}

// noteStore keeps in the audit log what was done with the whole store.
func noteStore(ctx context.Context, audit shellAudit, action string, rows map[string]int) error {
	after, err := json.Marshal(rows)
	if err != nil {
		return err
	}
	return audit.AppendEvents(ctx, []tenant.Event{{
		Actor: tenant.ByShell, ActorName: shellUser(), Action: action, Target: "store", After: after, Outcome: tenant.Done,
	}})
}

// storeProgress says on stderr, now and then, how far long work is.
func (a *app) storeProgress(what string) store.Progress {
	last := time.Now()
	return func(table string, rows int) {
		if time.Since(last) >= storeProgressEvery {
			last = time.Now()
			a.note("%s %d rows of %s", what, rows, table)
		}
	}
}

// readSecrets returns what may be the secret in a file: as a key file has it, with its line's
// end, and as a variable of the environment has it, without. "" is none.
func readSecrets(file string) ([][]byte, error) {
	if file == "" {
		return nil, nil
	}
	text, err := os.ReadFile(file) //nolint:gosec // the operator names it
	if err != nil {
		return nil, fileError("--secret-file", file, err)
	}
	secrets := slices.CompactFunc([][]byte{text, bytes.TrimRight(text, "\r\n")}, bytes.Equal)
	if len(secrets[len(secrets)-1]) < store.MinSecret {
		return nil, fmt.Errorf("--secret-file: %s: want %d bytes or more", file, store.MinSecret)
	}
	return secrets, nil
}

// replaceFile has write write the file called name, which only its owner may read; what was
// there stays until the new one is whole.
func replaceFile(name string, write func(io.Writer) error) error {
	f, err := os.CreateTemp(filepath.Dir(name), "."+filepath.Base(name)+"-") // mode 0600
	if err != nil {
		return err
	}
	err = write(f)
	if err == nil {
		err = f.Sync()
	}
	if err = errors.Join(err, f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		_ = os.Remove(f.Name())
	}
	return err
}

// movedStore is what an export or an import has done, by table.
type movedStore struct {
	File     string         `json:"file"`
	Rows     map[string]int `json:"rows"`
	Replaced map[string]int `json:"replaced,omitempty"`
}

func (m movedStore) columns() []string {
	columns := []string{"file"}
	m.each(func(name string, _ int) { columns = append(columns, name) })
	return columns
}

func (m movedStore) cells() []string {
	cells := []string{m.File}
	m.each(func(_ string, rows int) { cells = append(cells, strconv.Itoa(rows)) })
	return cells
}

// each calls fn for each table that was moved, and for each that was replaced.
func (m movedStore) each(fn func(name string, rows int)) {
	for _, part := range []struct {
		prefix string
		tables map[string]int
	}{{"", m.Rows}, {"replaced ", m.Replaced}} {
		for _, table := range store.Tables() {
			if n, has := part.tables[table]; has {
				fn(part.prefix+table, n)
			}
		}
	}
}
