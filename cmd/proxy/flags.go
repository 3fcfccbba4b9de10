package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/tenant"
)

// pathWord is a flag's value that stands in a path of the API.
type pathWord string

var errPathWord = errors.New("want a name")

// Set implements pflag.Value.
func (w *pathWord) Set(value string) error {
	if !fitsPath(value) {
		return errPathWord
	}
	*w = pathWord(value)
	return nil
}

// String implements pflag.Value.
func (w *pathWord) String() string { return string(*w) }

// Type implements pflag.Value.
func (*pathWord) Type() string { return "string" }

// fitsPath reports whether a word stands for itself in a path.
func fitsPath(word string) bool { return word != "" && word != "." && word != ".." }

// nameFlag adds --name to a command, which needs it, for the name of an organization or an
// instance (what).
func (a *app) nameFlag(c *cobra.Command, to *string, what string) *cobra.Command {
	c.Flags().Var((*pathWord)(to), "name", "the "+what+"'s `NAME`")
	required(c, "name")
	if c.Name() != "create" {
		a.completes(c, "name", map[string]lister{"organization": a.orgNames, "instance": a.instanceNames}[what])
	}
	return c
}

// orgFlag adds --org to a command, which needs it.
func (a *app) orgFlag(c *cobra.Command, to *string) *cobra.Command {
	c.Flags().Var((*pathWord)(to), "org", "the `ORGANIZATION`'s name")
	required(c, "org")
	a.completes(c, "org", a.orgNames)
	return c
}

// onlyOrgFlag adds --org to a command that is about all organizations without.
func (a *app) onlyOrgFlag(c *cobra.Command, to *string) *cobra.Command {
	c.Flags().Var((*pathWord)(to), "org", "only the `ORGANIZATION`'s")
	a.completes(c, "org", a.orgNames)
	return c
}

// thing is what a command's one argument names.
type thing struct {
	want  string // what there must be, in an error
	offer lister // what there may be, for the shell's completion; nil: nobody knows
}

// check is the argument check of a command.
func (t thing) check(_ *cobra.Command, args []string) error {
	if len(args) != 1 || !fitsPath(args[0]) {
		return errors.New("want one " + t.want)
	}
	return nil
}

// referred follows a flag's value where it is "-", for a line of standard input, or env:NAME,
// for the environment: secrets are not to stand in the list of processes. Other values are
// themselves.
func (a *app) referred(flag, given string) (value tenant.Secret, followed bool, err error) {
	if name, ok := strings.CutPrefix(given, "env:"); ok {
		text := os.Getenv(name)
		if text == "" {
			return "", true, fmt.Errorf("--%s: the environment variable %s is not set", flag, name)
		}
		return tenant.Secret(text), true, nil
	}
	if given == "-" {
		line, err := bufio.NewReader(io.LimitReader(a.stdin, maxInput)).ReadString('\n')
		if err != nil && !errors.Is(err, io.EOF) {
			return "", true, fmt.Errorf("--%s: standard input: %w", flag, err)
		}
		return tenant.Secret(strings.TrimRight(line, "\r\n")), true, nil
	}
	return tenant.Secret(given), false, nil
}

// maxInput bounds what is read from standard input.
const maxInput = 64 << 10

// secretFlag reads a flag that must not have a secret itself.
func (a *app) secretFlag(flag, given string) (tenant.Secret, error) {
	secret, followed, err := a.referred(flag, given)
	switch {
	case err != nil:
		return "", err
	case !followed:
		return "", fmt.Errorf("--%s: want '-' for standard input, or env:NAME: an argument stands in the list of processes", flag)
	case secret == "":
		return "", fmt.Errorf("--%s: standard input is empty", flag)
	}
	return secret, nil
}

// moment reads a flag that is a point in time; nil is not given.
func moment(flag, value string, now time.Time) (*time.Time, error) {
	if value == "" {
		return nil, nil
	}
	if d, err := time.ParseDuration(value); err == nil && d >= 0 {
		return new(now.Add(-d)), nil
	}
	for _, layout := range []string{time.RFC3339, time.DateOnly} {
		if t, err := time.Parse(layout, value); err == nil {
			return &t, nil
		}
	}
	return nil, fmt.Errorf("--%s: want a time such as 2027-01-31T00:00:00Z, a day such as 2027-01-31, or how long ago, such as 24h, got %s", flag, shown(value))
}

// lister returns what a completion offers, each as "value" or "value\tdescription".
type lister func(ctx context.Context, c *client, cmd *cobra.Command) ([]string, error)
