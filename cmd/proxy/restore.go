package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strconv"
	"strings"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/backup"
)

// fileFlags say which file is read, and how it is opened.
type fileFlags struct {
	file       string
	identities []string
	passphrase string
}

func (f *fileFlags) add(c *cobra.Command) {
	c.Flags().StringVarP(&f.file, "input", "i", "", "the `FILE` to read; '-' is standard input")
	c.Flags().StringArrayVar(&f.identities, "identity", nil, "open what is encrypted with the age identities in `FILE`; may be repeated")
	c.Flags().StringVar(&f.passphrase, "passphrase-file", "", "open what is encrypted with the passphrase in the first line of `FILE`")
	required(c, "input")
}

// source is the file, with what opens it.
func (a *app) source(f fileFlags) (s backup.Source, err error) {
	if s.Identities, err = identityFlags(f.identities, f.passphrase); err != nil {
		return s, err
	}
	if f.file == "-" {
		s.Once, s.Open = true, func() (io.ReadCloser, error) { return io.NopCloser(a.stdin), nil }
		return s, nil
	}
	s.Open = func() (io.ReadCloser, error) {
		file, err := os.Open(f.file)
		if err != nil {
			return nil, fileError("--input", f.file, err)
		}
		return file, nil
	}
	return s, nil
}

const restoreLong = `restore writes the keys of a backup to an instance: the one that they are of, or
another one, of a server or of a cluster. All of the file is read and checked
before the first key is written.

Where the instance has one of the keys, nothing is written, unless --replace or
--skip-existing says what becomes of those. So a restore that has been stopped
goes on: the same command with --skip-existing keeps what it has written.

The Redis has to be at least as new as the one that the backup is of. From a
cluster to a server and back works; a cluster has database 0 only, and
--database FROM:TO says which becomes that.`

func (a *app) restoreCommand() *cobra.Command {
	var k keysOf
	var f fileFlags
	var replace, skip bool
	c := &cobra.Command{
		Use: "restore --org ORGANIZATION --instance NAME --input FILE", Args: cobra.NoArgs,
		Short: "Restore an instance's keys from a backup", Long: restoreLong,
		RunE: func(cmd *cobra.Command, _ []string) error {
			existing := backup.Refuse
			switch {
			case replace && skip:
				return errors.New("--skip-existing: want it, or --replace")
			case replace:
				existing = backup.Replace
			case skip:
				existing = backup.Skip
			}
			return a.restore(cmd.Context(), k, f, existing)
		},
	}
	a.keysFlags(c, &k, true)
	f.add(c)
	c.Flags().BoolVar(&replace, "replace", false, "keys that are there are replaced")
	c.Flags().BoolVar(&skip, "skip-existing", false, "keys that are there stay as they are")
	c.Flags().StringSliceVar(&k.databases, "database", nil, "only the `NUMBER`'s keys, or FROM:TO for another database; may be repeated (default: all)")
	return c
}

// restored is what `restore` has done.
type restored struct {
	File     string  `json:"file"`
	Org      string  `json:"org"`
	Instance string  `json:"instance"`
	Keys     int64   `json:"keys"`
	Skipped  int64   `json:"skipped_keys"`
	Bytes    int64   `json:"bytes"`
	Seconds  float64 `json:"seconds"`
}

func (restored) columns() []string { return []string{"file", "keys", "skipped", "bytes", "seconds"} }
func (v restored) cells() []string {
	return []string{v.File, strconv.FormatInt(v.Keys, 10), strconv.FormatInt(v.Skipped, 10), strconv.FormatInt(v.Bytes, 10), fmt.Sprintf("%.1f", v.Seconds)}
}

func (a *app) restore(ctx context.Context, k keysOf, f fileFlags, existing backup.Existing) error {
	source, err := a.source(f)
	if err != nil {
		return err
	}
	if source.Databases, err = k.mapping(true); err != nil {
		return err
	}
	k.writes = true
	return a.onKeys(ctx, k, (*control.Service).LoadInstance, func(ctx context.Context, r *backup.Redis) (any, error) {
		p := a.progress(k.quiet, "restored")
		done, err := backup.Load(ctx, source, r, backup.Options{Rate: k.rate, Existing: existing, Progress: p.show})
		p.end()
		var there *backup.ExistsError
		switch {
		case errors.Is(err, context.Canceled):
			err = fmt.Errorf("stopped after %d keys: the same command with --skip-existing goes on", done.Keys)
		case errors.As(err, &there) && done.Keys == 0:
			err = fmt.Errorf("nothing is written: %w: want --replace or --skip-existing", err)
		case errors.As(err, &there):
			err = fmt.Errorf("%d keys are written; others came into being meanwhile and stay: %w", done.Keys, err)
		}
		v := restored{f.file, k.org, k.instance, done.Keys, done.Skipped, done.Bytes, p.seconds()}
		return v, a.shown(v, err)
	})
}

const verifyLong = `verify reads all of a backup and checks that it is as it was written. With --org
and --instance it compares each of its keys with what that has: what clients
have changed since differs, of course. Without a passphrase or an identity it
checks the checksums of an encrypted file.`

func (a *app) backupVerify() *cobra.Command {
	var k keysOf
	var f fileFlags
	c := &cobra.Command{
		Use: "verify --input FILE [--org ORGANIZATION --instance NAME]", Args: cobra.NoArgs,
		Short: "Check a backup, and compare it with an instance", Long: verifyLong,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.verify(cmd.Context(), k, f) },
	}
	a.keysFlags(c, &k, false)
	f.add(c)
	c.Flags().StringSliceVar(&k.databases, "database", nil, "only the `NUMBER`'s keys, or FROM:TO where they are in another database; may be repeated (default: all)")
	c.MarkFlagsRequiredTogether("org", "instance")
	return c
}

// verified is what `backup verify` has found.
type verified struct {
	File      string        `json:"file"`
	Org       string        `json:"org"`
	Instance  string        `json:"instance"`
	Redis     string        `json:"redis"`
	Begun     string        `json:"begun"`
	Keys      int64         `json:"keys"`
	Bytes     int64         `json:"bytes"`
	Databases map[int]int64 `json:"databases"`
	TooLarge  int64         `json:"too_large_keys"`
	Encrypted bool          `json:"encrypted"`
	Opened    bool          `json:"opened"`
	Compared  *int64        `json:"compared_keys"`
	Differing *int64        `json:"differing_keys"`
}

func (verified) columns() []string {
	return []string{"file", "of", "redis", "begun", "keys", "bytes", "checked", "compared"}
}
func (v verified) cells() []string {
	checked, compared := "all", "no"
	if !v.Opened {
		checked = "its checksums: it is encrypted"
	}
	if v.Compared != nil {
		compared = fmt.Sprintf("%d keys, %d differ", *v.Compared, *v.Differing)
	}
	return []string{v.File, v.Org + "/" + v.Instance, v.Redis, v.Begun, strconv.FormatInt(v.Keys, 10), strconv.FormatInt(v.Bytes, 10), checked, compared}
}

func (a *app) verify(ctx context.Context, k keysOf, f fileFlags) error {
	source, err := a.source(f)
	if err != nil {
		return err
	}
	if source.Databases, err = k.mapping(true); err != nil {
		return err
	}
	check := func(ctx context.Context, r *backup.Redis) (any, error) {
		p := a.progress(k.quiet, "checked")
		found, err := backup.Verify(ctx, source, r, backup.Options{Rate: k.rate, Progress: p.show})
		p.end()
		if err != nil {
			return nil, err
		}
		h, t := found.Header, found.Trailer
		v := verified{
			File: f.file, Org: h.Org, Instance: h.Instance, Redis: h.Redis, Begun: h.Begun.Format("2006-01-02T15:04:05Z"),
			Keys: t.Tally.Keys, Bytes: t.Tally.Bytes, Databases: t.Tally.Databases, TooLarge: t.Left, Encrypted: h.Seal != nil, Opened: found.Opened,
		}
		if r != nil {
			v.Compared, v.Differing = &found.Against.Keys, &found.Against.Differences
		}
		if err := a.one(v); err != nil {
			return v, err
		}
		if r != nil && !found.Against.Same() {
			return v, errors.New(strings.TrimSuffix(found.Against.String(), ":"))
		}
		return v, nil
	}
	if k.org == "" {
		_, err := check(ctx, nil)
		return err
	}
	return a.onKeys(ctx, k, (*control.Service).BackUpInstance, check)
}
