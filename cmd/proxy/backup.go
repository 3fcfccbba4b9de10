package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/backup"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// keysOf says of which instance's keys a command is, and how it goes about them.
type keysOf struct {
	org, instance string
	databases     []string
	rate          float64
	quiet         bool
	writes        bool // not while the instance is moved
}

// keysFlags adds what backup and restore share.
func (a *app) keysFlags(c *cobra.Command, k *keysOf, needed bool) *cobra.Command {
	c.Flags().Var((*pathWord)(&k.org), "org", "the `ORGANIZATION`'s name")
	c.Flags().Var((*pathWord)(&k.instance), "instance", "the instance's `NAME`")
	if needed {
		required(c, "org", "instance")
	}
	a.completes(c, "org", a.orgNames)
	a.completes(c, "instance", a.instanceNames)
	c.Flags().Float64Var(&k.rate, "rate", 0, "at most so many `KEYS` a second (default: unlimited)")
	c.Flags().BoolVar(&k.quiet, "quiet", false, "do not say how far it is")
	return c
}

// backupFlags are those of `respgate backup`.
type backupFlags struct {
	keysOf
	file       string
	match      string
	compress   string
	recipients []string
	passphrase string
	resume     bool
}

const backupLong = `backup writes the keys of an instance to a file: of all types, with the times at
which they expire, from all databases, or from all nodes of a cluster. It reads
with SCAN and DUMP, a few keys at a time, while clients go on. Each key is as it
was at some time during the backup; the backup is not of one moment.

It works on the store that the configuration names, not over --server: the
management API never shows an instance's password.

Until it is whole the file is called FILE.partial. One that has been stopped is
gone on with by --resume. '-o -' writes to standard output.`

func (a *app) backupCommand() *cobra.Command {
	var f backupFlags
	c := &cobra.Command{
		Use: "backup --org ORGANIZATION --instance NAME --output FILE", Args: cobra.NoArgs,
		Short: "Back up an instance's keys to a file", Long: backupLong,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.backUp(cmd.Context(), f) },
	}
	a.keysFlags(c, &f.keysOf, true)
	c.Flags().StringVarP(&f.file, "output", "o", "", "the `FILE` to write, which must not be there; '-' is standard output")
	c.Flags().StringVar(&f.match, "match", "", "only keys that match the `PATTERN`, as of KEYS")
	c.Flags().StringSliceVar(&f.databases, "database", nil, "only the `NUMBER`'s; may be repeated (default: all)")
	c.Flags().StringVar(&f.compress, "compress", backup.Zstd, "`HOW` the file is compressed: zstd or none")
	c.Flags().StringArrayVar(&f.recipients, "recipient", nil, "encrypt for the age `RECIPIENT`, such as age1…; may be repeated")
	c.Flags().StringVar(&f.passphrase, "passphrase-file", "", "encrypt with the passphrase in the first line of `FILE`")
	c.Flags().BoolVar(&f.resume, "resume", false, "go on with FILE.partial")
	required(c, "output")
	c.AddCommand(a.backupVerify())
	return c
}

// saved is what `backup` has done.
type saved struct {
	File      string  `json:"file"`
	Org       string  `json:"org"`
	Instance  string  `json:"instance"`
	Keys      int64   `json:"keys"`
	Resumed   int64   `json:"resumed_keys"`
	Bytes     int64   `json:"bytes"`
	FileBytes int64   `json:"file_bytes"`
	Seconds   float64 `json:"seconds"`
}

func (saved) columns() []string { return []string{"file", "keys", "bytes", "file bytes", "seconds"} }
func (v saved) cells() []string {
	return []string{v.File, strconv.FormatInt(v.Keys, 10), strconv.FormatInt(v.Bytes, 10), strconv.FormatInt(v.FileBytes, 10), fmt.Sprintf("%.1f", v.Seconds)}
}

func (a *app) backUp(ctx context.Context, f backupFlags) error {
	h := backup.Header{Org: f.org, Instance: f.instance, Match: f.match, Compress: f.compress}
	if f.compress != backup.Zstd && f.compress != backup.None {
		return fmt.Errorf("--compress: want zstd or none, got %s", shown(f.compress))
	}
	mapping, err := f.mapping(false)
	if err != nil {
		return err
	}
	h.Databases = slices.Sorted(maps.Keys(mapping))
	if h.Seal, err = sealFlags(f.recipients, f.passphrase); err != nil {
		return err
	}
	if f.file == "-" && f.resume {
		return errors.New("--resume: standard output cannot be gone on with")
	}
	return a.onKeys(ctx, f.keysOf, (*control.Service).BackUpInstance, func(ctx context.Context, r *backup.Redis) (any, error) {
		p := a.progress(f.quiet, "backed up")
		o := backup.Options{Rate: f.rate, Progress: p.show}
		var done backup.Saved
		if f.file == "-" {
			done, err = backup.Save(ctx, r, a.stdout, h, o)
		} else {
			done, err = backup.SaveFile(ctx, r, f.file, f.resume, h, o)
		}
		p.end()
		if errors.Is(err, context.Canceled) && f.file != "-" {
			err = fmt.Errorf("stopped: the same command with --resume goes on from %d keys", done.Keys)
		}
		v := saved{f.file, f.org, f.instance, done.Keys, done.Resumed, done.Bytes, done.FileBytes, p.seconds()}
		if f.file == "-" && err == nil {
			a.note("%d keys in %d bytes", v.Keys, v.FileBytes)
			return v, nil
		}
		return v, a.shown(v, err)
	})
}

// shown shows what was done, unless it has failed for more than some keys.
func (a *app) shown(r record, err error) error {
	var large *backup.TooLargeError
	if err != nil && !errors.As(err, &large) {
		return err
	}
	return errors.Join(err, a.one(r))
}

// checkRate refuses what is no number of keys per second.
func checkRate(rate float64) error {
	if rate < 0 || math.IsNaN(rate) {
		return fmt.Errorf("--rate: want a number of keys per second, or 0 for as many as it goes, got %v", rate)
	}
	return nil
}

// onKeys opens the Redis of an instance of the store's, and has an operation of the control
// plane's do something with it.
func (a *app) onKeys(ctx context.Context, k keysOf, op func(*control.Service, context.Context, control.Actor, string, string, func(context.Context, tenant.Instance) (any, error)) error, do func(ctx context.Context, r *backup.Redis) (any, error)) error {
	if err := checkRate(k.rate); err != nil {
		return err
	}
	if server, from := a.serverURL(); server != "" {
		return fmt.Errorf("%s: keys are read and written where the store is: the management API shows no instance's password", from)
	}
	cfg, err := loadConfig(a.configFile)
	if err != nil {
		return err
	}
	return a.withStore(ctx, cfg, func(st *store.Store) error {
		if k.writes {
			moves, err := st.Moves(ctx)
			if err != nil {
				return err
			}
			if label := k.org + "/" + k.instance; slices.ContainsFunc(moves, func(m tenant.Move) bool { return m.Label == label }) {
				return fmt.Errorf("instance %s is being moved: what is written to its backend now may be lost: wait until that is over", label)
			}
		}
		plane := control.New(control.Config{Audit: shellAudit{st, cfg.Audit.File, a.stderr}, Log: slog.New(slog.NewTextHandler(a.stderr, nil))}, st)
		return op(plane, ctx, control.Actor{Kind: tenant.ByShell, Name: shellUser()}, k.org, k.instance, func(ctx context.Context, in tenant.Instance) (any, error) {
			r, err := openRedis(ctx, cfg, in.URL)
			if err != nil {
				return nil, fmt.Errorf("instance %s cannot be reached: %w", in.Label(), err)
			}
			v, err := do(ctx, r)
			return v, errors.Join(err, r.Close())
		})
	})
}

// mapping reads --database: numbers, or where it is allowed also FROM:TO.
func (k keysOf) mapping(pairs bool) (backup.Mapping, error) {
	if len(k.databases) == 0 {
		return nil, nil
	}
	m := backup.Mapping{}
	for _, text := range k.databases {
		from, to, isPair := strings.Cut(text, ":")
		if !isPair {
			to = from
		}
		f, err := strconv.Atoi(from)
		t, toErr := strconv.Atoi(to)
		if err != nil || toErr != nil || f < 0 || t < 0 || isPair && !pairs {
			want := "a number such as 3"
			if pairs {
				want += ", or FROM:TO such as 3:0"
			}
			return nil, fmt.Errorf("--database: want %s, got %s", want, shown(text))
		}
		m[f] = t
	}
	return m, nil
}

// sealFlags reads whom a file is encrypted for; nil is that it is not.
func sealFlags(recipients []string, passphraseFile string) (*backup.Seal, error) {
	switch {
	case passphraseFile != "" && len(recipients) > 0:
		return nil, errors.New("--passphrase-file: want it, or --recipient")
	case passphraseFile != "":
		passphrase, err := readPassphrase(passphraseFile)
		if err != nil {
			return nil, err
		}
		return backup.NewSeal(nil, passphrase)
	case len(recipients) == 0:
		return nil, nil
	}
	var all []age.Recipient
	for _, text := range recipients {
		r, err := age.ParseRecipients(strings.NewReader(text))
		if err != nil {
			return nil, fmt.Errorf("--recipient: want one of age's such as age1…, got %s", shown(text))
		}
		all = append(all, r...)
	}
	return backup.NewSeal(all, "")
}

// identityFlags reads what a file is opened with.
func identityFlags(files []string, passphraseFile string) (all []age.Identity, _ error) {
	for _, name := range files {
		f, err := os.Open(name) //nolint:gosec // the operator names it
		if err != nil {
			return nil, fileError("--identity", name, err)
		}
		some, err := age.ParseIdentities(io.LimitReader(f, maxInput))
		_ = f.Close()
		if err != nil {
			return nil, fmt.Errorf("--identity: %s has no identities of age's in it, such as AGE-SECRET-KEY-1…", name) // what it has is a secret
		}
		all = append(all, some...)
	}
	if passphraseFile == "" {
		return all, nil
	}
	passphrase, err := readPassphrase(passphraseFile)
	if err != nil {
		return nil, err
	}
	id, err := age.NewScryptIdentity(passphrase)
	return append(all, id), err
}

func readPassphrase(name string) (string, error) {
	text, err := readTokenFile(name)
	if err != nil {
		return "", fileError("--passphrase-file", name, err)
	}
	line, _, _ := strings.Cut(text, "\n")
	if line = strings.TrimSuffix(line, "\r"); line == "" {
		return "", fmt.Errorf("--passphrase-file: the first line of %s is empty", name)
	}
	return line, nil
}
