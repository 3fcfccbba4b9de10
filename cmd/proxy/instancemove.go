package main

import (
	"bufio"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/spf13/cobra"

	"github.com/respgate/respgate/backup"
	"github.com/respgate/respgate/move"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// actionMove is the action of the event that a move leaves.
const actionMove = "instance.move"

// moveFlags are what `instance move` takes.
type moveFlags struct {
	org, name, url string
	holdTimeout    time.Duration
	answer         time.Duration
	rate           float64
	replace, keep  bool
	onlyDatabase   bool
	dryRun, yes    bool
	without        []string
}

func (a *app) instanceMove() *cobra.Command {
	var f moveFlags
	c := &cobra.Command{
		Use:   "move --org ORGANIZATION --name NAME --url URL",
		Short: "Move an instance to another backend while clients use it",
		Long: "move copies the instance's keys to another backend while clients are served, has all\n" +
			"proxies of the store hold writes for a moment, copies what has changed, and switches; if\n" +
			"anything goes wrong before, all is left as it was (docs/REGIONS.md). It works on the store\n" +
			"that the configuration names, not over a proxy's API.",
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error { return a.moveInstance(cmd.Context(), f) },
	}
	a.nameFlag(a.orgFlag(c, &f.org), &f.name, "instance")
	c.Flags().StringVar(&f.url, "url", "", "`URL` of the new backend, - to read it from standard input, env:NAME from the environment")
	c.Flags().DurationVar(&f.holdTimeout, "hold-timeout", 5*time.Second, "for how long writes may wait: else the move is rolled back")
	c.Flags().DurationVar(&f.answer, "answer-timeout", 10*time.Second, "for how long proxies may take to say that they know of the move, and of the switch")
	c.Flags().Float64Var(&f.rate, "rate", 0, "`KEYS` per second that are copied while clients are served; 0 is as fast as it goes")
	c.Flags().BoolVar(&f.replace, "replace", false, "delete what the new backend has")
	c.Flags().BoolVar(&f.keep, "keep", false, "leave what has been copied at the new backend when the move is rolled back")
	c.Flags().BoolVar(&f.onlyDatabase, "only-database", false, "move only the database that the URL names, not all of the server's")
	c.Flags().StringSliceVar(&f.without, "without", nil, "`ID` of a proxy that is known to have ended, though the store does not say so")
	c.Flags().BoolVar(&f.dryRun, "dry-run", false, "check both backends and change nothing")
	c.Flags().BoolVar(&f.yes, "yes", false, "do not ask")
	required(c, "url")
	return c
}

func (a *app) moveInstance(ctx context.Context, f moveFlags) error {
	if server, from := a.serverURL(); server != "" {
		return fmt.Errorf("instance move works on the store that the configuration names, and not over %s (%s): run it where the store can be reached", server, from)
	}
	if f.holdTimeout < 100*time.Millisecond || f.holdTimeout > 10*time.Minute {
		return errors.New("--hold-timeout: want 100ms to 10m")
	}
	if f.answer < 100*time.Millisecond {
		return errors.New("--answer-timeout: want 100ms or more")
	}
	if err := checkRate(f.rate); err != nil {
		return err
	}
	url, err := a.readURL(f.url)
	if err != nil {
		return err
	}
	cfg, err := loadConfig(a.configFile)
	if err != nil {
		return err
	}
	return a.withStore(ctx, cfg, func(st *store.Store) error {
		in, err := st.Instance(ctx, f.org, f.name)
		if err != nil {
			return err
		}
		from, to, err := movable(ctx, st, in, url, f.onlyDatabase)
		if err != nil {
			return err
		}
		if !f.dryRun && !f.yes {
			if err := a.confirm(f.url, fmt.Sprintf("Move %s from %s to %s?", in.Label(), pool.RedactURL(in.URL), pool.RedactURL(url))); err != nil {
				return err
			}
		}
		m := moving{app: a, cfg: cfg, store: st, flags: f, in: in, url: url, from: from, to: to}
		if err = m.run(ctx); ctx.Err() != nil && errors.Is(err, ctx.Err()) {
			return errors.New("stopped") // what has become of it stands above
		}
		return err
	})
}

// movable reads both URLs, and refuses what cannot work.
func movable(ctx context.Context, st *store.Store, in tenant.Instance, url tenant.Secret, onlyDatabase bool) (from, to pool.Backend, err error) {
	if from, err = pool.ParseURL(in.URL); err != nil {
		return from, to, fmt.Errorf("the instance: %w", err)
	}
	if to, err = pool.ParseURL(url); err != nil {
		return from, to, fmt.Errorf("--url: %w", err)
	}
	switch {
	case sameServer(from, to):
		return from, to, errors.New("--url: it is where the instance is: `instance set --url` changes how it is reached")
	case from.DB != to.DB:
		return from, to, fmt.Errorf("--url: database %d: clients begin in database %d, and their keys stay in the databases that they are in", to.DB, from.DB)
	}
	all, err := st.Instances(ctx, "", store.Page{})
	if err != nil {
		return from, to, err
	}
	for _, other := range all {
		b, err := pool.ParseURL(other.URL)
		if err != nil || other.ID == in.ID || onlyDatabase && b.DB != from.DB {
			continue
		}
		switch {
		case sameServer(b, to):
			return from, to, fmt.Errorf("--url: instance %s is on that server: what it has would be deleted", other.Label())
		case sameServer(b, from):
			return from, to, fmt.Errorf("instance %s is on the same server, and its writes would not wait: %s", other.Label(),
				map[bool]string{true: "its database is the same", false: "with --only-database only this one's database is moved"}[onlyDatabase])
		}
	}
	return from, to, nil
}

// sameServer reports whether two backends are the same one, as far as their URLs say.
func sameServer(a, b pool.Backend) bool {
	there := strings.Split(b.Addr, ",")
	return a.Master == b.Master && slices.ContainsFunc(strings.Split(a.Addr, ","), func(addr string) bool { return slices.Contains(there, addr) })
}

// confirm asks whoever has typed the command.
func (a *app) confirm(url, question string) error {
	if url == "-" {
		return errors.New("with --url - there is nobody to ask: want --yes")
	}
	_, _ = fmt.Fprint(a.stderr, question, " [yes/no] ")
	line, _ := bufio.NewReader(a.stdin).ReadString('\n')
	if strings.TrimSpace(line) != "yes" {
		return errors.New("not moved: want yes, or --yes")
	}
	return nil
}

// moving is one run of `instance move`.
type moving struct {
	*app
	cfg      Config
	store    *store.Store
	flags    moveFlags
	in       tenant.Instance
	url      tenant.Secret
	from, to pool.Backend

	mu   sync.Mutex
	step *keysProgress // the one under way, or the last one
}

func (m *moving) run(ctx context.Context) error {
	m.step = m.app.progress(false, "")
	if p := test(ctx, m.cfg, tenant.Instance{URL: m.url}); !p.Reachable {
		return errors.New("the new backend cannot be reached: " + p.Error)
	}
	old, err := openRedis(ctx, m.cfg, m.in.URL)
	if err != nil {
		return fmt.Errorf("the instance's backend: %w", err)
	}
	defer func() { _ = old.Close() }()
	fresh, err := openRedis(ctx, m.cfg, m.url)
	if err != nil {
		return fmt.Errorf("the new backend: %w", err)
	}
	defer func() { _ = fresh.Close() }()
	before, err := m.primaries(ctx)
	if err != nil {
		return err
	}
	o := move.Options{
		Org: m.flags.org, Name: m.flags.name, URL: m.url, Target: m.to.Master + " " + m.to.Addr, HoldTimeout: m.flags.holdTimeout, Answer: m.flags.answer, Rate: m.flags.rate,
		Replace: m.flags.replace, Keep: m.flags.keep, DryRun: m.flags.dryRun, Without: m.flags.without,
		Say: m.say, Progress: m.progress,
		Check: func(ctx context.Context) error {
			now, err := m.primaries(ctx)
			if err == nil && !slices.Equal(now, before) {
				err = errors.New("one of the backends has another primary than before: begin again")
			}
			return err
		},
	}
	if m.flags.onlyDatabase {
		o.Databases = []int{m.from.DB}
	}
	result, err := move.Run(ctx, m.store, move.Ends{Old: old, New: fresh}, o)
	m.step.end()
	if m.flags.dryRun {
		return err
	}
	if noted := m.note(context.WithoutCancel(ctx), result, err); noted != nil {
		m.say("warning: the audit log has no event of it: " + noted.Error())
	}
	if err != nil {
		return err
	}
	for _, id := range result.Behind {
		m.say("warning: proxy " + id + " has not said yet that it follows: it holds the instance's commands until it has heard of the switch, unless it has ended")
	}
	return m.done("moved", m.in.Label())
}

// primaries are the servers that keys are read from and written to, but for clusters, whose
// nodes send away what they do not serve.
func (m *moving) primaries(ctx context.Context) (all []string, err error) {
	dialer := pool.NewDialer(m.cfg.dial(), slog.New(slog.DiscardHandler), nil)
	for _, b := range []pool.Backend{m.from, m.to} {
		if b.Group == pool.Cluster {
			continue
		}
		layout, err := dialer.Find(ctx, b)
		if err != nil {
			return nil, errors.New(pool.Reason(err))
		}
		all = append(all, layout.Primaries[0].Addr)
	}
	return all, nil
}

func (m *moving) say(line string) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.step.say(line)
}

// progress says how far a step is.
func (m *moving) progress(step string, at backup.Progress) {
	m.mu.Lock()
	defer m.mu.Unlock()
	if m.step.verb != step {
		m.step.end()
		m.step = m.app.progress(false, step)
	}
	m.step.show(at)
}

// note leaves an event in the audit log, whatever came of it.
func (m *moving) note(ctx context.Context, r move.Result, failure error) error {
	urls := func(url tenant.Secret) json.RawMessage {
		text, _ := json.Marshal(map[string]string{"url": pool.RedactURL(url)}) // a string: it cannot fail
		return text
	}
	org, err := m.store.Organization(ctx, m.in.Org)
	if err != nil {
		return err
	}
	e := tenant.Event{
		At: time.Now(), Actor: tenant.ByShell, ActorName: shellUser(), Action: actionMove, OrgID: org.ID, Org: m.in.Org,
		Target: "instance", TargetID: m.in.ID, Name: m.in.Name, Before: urls(m.in.URL), After: urls(m.url), Outcome: tenant.Done,
		Detail: fmt.Sprintf("%d keys; writes were held for %v", r.Keys, r.Held.Round(time.Millisecond)),
	}
	if failure != nil {
		e.Outcome, e.Detail = tenant.Failed, failure.Error()
	}
	return shellAudit{m.store, m.cfg.Audit.File, m.stderr}.AppendEvents(ctx, []tenant.Event{e})
}
