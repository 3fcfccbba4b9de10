package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/admin/apply"
	respgate "github.com/respgate/respgate/clients/go"
)

// applyFlags are what `apply` is told.
type applyFlags struct {
	file, keysTo  string
	dryRun, prune bool
}

func (a *app) applyCommand() *cobra.Command {
	var f applyFlags
	c := &cobra.Command{Use: "apply -f FILE", Short: "Create and change organizations, instances and keys as a YAML file says; the same file again changes nothing", Args: cobra.NoArgs}
	c.RunE = func(cmd *cobra.Command, _ []string) error {
		wanted, err := a.readWanted(f.file)
		if err != nil {
			return err
		}
		return a.withAPI(cmd.Context(), func(c *client) error { return a.apply(cmd.Context(), there{c}, f, wanted) })
	}
	c.Flags().StringVarP(&f.file, "file", "f", "", "the `FILE`, or '-' for standard input; docs/APPLY.md says what is in it")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "tell what would be done, and do nothing")
	c.Flags().BoolVar(&f.prune, "prune", false, "delete the instances and keys of the file's organizations that are not in it")
	c.Flags().StringVar(&f.keysTo, "keys-to", "", "put new keys, which are told once, into a new `FILE` as lines of JSON instead of printing them")
	required(c, "file")
	return c
}

// readWanted reads a file, and what it refers to on this machine.
func (a *app) readWanted(name string) ([]apply.Organization, error) {
	read := func() ([]byte, error) { return readBounded(name, apply.MaxSize) }
	shown := name
	if name == "-" {
		shown = "standard input"
		read = func() ([]byte, error) { return io.ReadAll(io.LimitReader(a.stdin, apply.MaxSize+1)) }
	}
	text, err := read()
	if err != nil {
		return nil, fileError("--file", shown, err)
	}
	return apply.Read(shown, text, apply.References{Env: os.LookupEnv, File: func(path string) ([]byte, error) {
		text, err := readBounded(path, maxInput)
		return text, pathless(err)
	}})
}

// readBounded reads a file, a byte more than most at most.
func readBounded(name string, most int64) ([]byte, error) {
	f, err := os.Open(name) //nolint:gosec // the operator names it
	if err != nil {
		return nil, err
	}
	text, err := io.ReadAll(io.LimitReader(f, most+1))
	return text, errors.Join(err, f.Close())
}

// pathless is a file's error without the operation and the path, which the caller names.
func pathless(err error) error {
	var path *os.PathError
	if errors.As(err, &path) {
		return path.Err
	}
	return err
}

// applied is a plan and what has become of it, as programs read it.
type applied struct {
	DryRun    bool          `json:"dry_run"`
	Steps     []appliedStep `json:"steps"`
	Unchanged int           `json:"unchanged"`
}

type appliedStep struct {
	apply.Step
	Done bool        `json:"done"`
	Key  *newKeyView `json:"key,omitempty"` // a new key with its secret, unless that is in a file
}

// newKey reports whether the step makes a key.
func (s *appliedStep) newKey() bool { return s.Kind == apply.OfKey && s.Action == apply.Create }

// apply plans what it takes to get what is wanted, and does it.
func (a *app) apply(ctx context.Context, t there, f applyFlags, wanted []apply.Organization) error {
	current, err := apply.Current(ctx, t, wanted)
	if err != nil {
		return plainly(err)
	}
	plan, err := apply.New(wanted, current, f.prune)
	if err != nil {
		return errors.New(strings.ReplaceAll(err.Error(), "\n", "; "))
	}
	for _, s := range plan.Steps {
		if s.Expired(time.Now()) {
			a.note("warning: %s expires in the past: nobody will be able to use it", s.Thing())
		}
	}
	result := applied{DryRun: f.dryRun, Steps: make([]appliedStep, len(plan.Steps)), Unchanged: plan.Unchanged}
	for i, s := range plan.Steps {
		result.Steps[i].Step = s
	}
	if !f.dryRun && len(plan.Steps) > 0 {
		err = a.doSteps(ctx, t, f.keysTo, result.Steps)
	}
	if a.json {
		return errors.Join(err, a.encode(result))
	}
	return errors.Join(err, a.tellApplied(result))
}

// doSteps does steps until one fails, and tells of each.
func (a *app) doSteps(ctx context.Context, t there, keysTo string, steps []appliedStep) (err error) {
	view, err := a.newKeys()
	if err != nil {
		return err
	}
	keys, err := newKeyFile(keysTo, steps)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, keys.close()) }()
	for i := range steps {
		s := &steps[i]
		answer, err := t.do(ctx, s.Step)
		if err != nil && ctx.Err() != nil {
			err = errors.New("interrupted")
		}
		if err != nil {
			return fmt.Errorf("%s %s: %w: %d of %d steps are done, run it again to go on", s.Action, s.Thing(), plainly(err), i, len(steps))
		}
		s.Done = true
		if s.newKey() {
			if s.Key, err = view(answered[respgate.NewKey](answer, nil)); err != nil {
				return err
			}
		}
		if err := a.told(i, len(steps), s, keys); err != nil {
			return err
		}
	}
	return nil
}

// told tells that a step is done, and keeps the new key that came of it in the file.
func (a *app) told(i, of int, s *appliedStep, keys *keyFile) error {
	kept, err := keys.keep(s.Key)
	if err == nil && !a.json {
		_, err = fmt.Fprintf(a.stdout, "[%d/%d] %s\n", i+1, of, s.Step)
	}
	switch {
	case kept:
		s.Key = nil
	case s.Key != nil && !a.json: // also where it could not be kept: nobody will be told again
		err = errors.Join(err, a.one(*s.Key))
	}
	return err
}

// tellApplied tells people of a plan that is not to be done, of what is not done yet, and
// how many steps there are.
func (a *app) tellApplied(r applied) error {
	if len(r.Steps) == 0 {
		_, err := fmt.Fprintln(a.stdout, "nothing to do")
		return err
	}
	counts, left := map[apply.Action]int{}, "not done: "
	if r.DryRun {
		left = ""
	}
	for _, s := range r.Steps {
		if s.Done != r.DryRun {
			counts[s.Action]++
		}
		if s.Done {
			continue
		}
		if _, err := fmt.Fprintf(a.stdout, "%s%s\n", left, s.Step); err != nil {
			return err
		}
	}
	words := "%d created, %d updated, %d deleted, %d unchanged\n"
	if r.DryRun {
		words = "%d to create, %d to update, %d to delete, %d unchanged\n"
	}
	_, err := fmt.Fprintf(a.stdout, words, counts[apply.Create], counts[apply.Update], counts[apply.Delete], r.Unchanged)
	return err
}
