package move

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/backup"
	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// keys is how many there are in TestHeld: go test ./move -run Held -v -move.keys 1000000
var keys = flag.Int("move.keys", 3000, "keys that TestHeld moves")

// scene is an instance at one Redis, which is to be moved to another one.
type scene struct {
	t        *testing.T
	store    *store.Store
	old, new *redis.Client
	fresh    *testbed.Server // the new one
	ends     Ends
	options  Options
	mu       sync.Mutex
	said     []string
}

func newScene(t *testing.T) *scene {
	t.Helper()
	s := &scene{t: t, store: stores.SQLite(t)(t)}
	a, b := testbed.Redis(t), testbed.Redis(t)
	s.old, s.new, s.fresh = a.Client(), b.Client(), b
	s.ends = Ends{Old: backup.Server(&redis.Options{Addr: a.Addr}), New: backup.Server(&redis.Options{Addr: b.Addr})}
	t.Cleanup(func() { _, _ = s.ends.Old.Close(), s.ends.New.Close() })
	if _, err := s.store.CreateOrganization(t.Context(), tenant.Organization{Name: "acme"}); err != nil {
		t.Fatal(err)
	}
	if _, err := s.store.CreateInstance(t.Context(), tenant.Instance{Org: "acme", Name: "cache", URL: tenant.Secret("redis://" + a.Addr)}); err != nil {
		t.Fatal(err)
	}
	s.options = Options{Org: "acme", Name: "cache", URL: tenant.Secret("redis://" + b.Addr), HoldTimeout: 10 * time.Second, Answer: 2 * time.Second, Say: s.say}
	return s
}

func (s *scene) say(line string) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.said = append(s.said, line)
}

// url is where the instance is.
func (s *scene) url() tenant.Secret {
	s.t.Helper()
	in, err := s.store.Instance(context.WithoutCancel(s.t.Context()), "acme", "cache")
	if err != nil {
		s.t.Fatal(err)
	}
	return in.URL
}

// proxy says what a proxy would that holds, until the test ends; holds is asked each time.
func (s *scene) proxy(id string, holds func(m tenant.Move) bool) {
	s.t.Helper()
	ctx, stop := context.WithCancel(context.Background())
	var running sync.WaitGroup
	s.t.Cleanup(func() { stop(); running.Wait() })
	says := map[string]bool{}
	report := func() {
		moves, err := s.store.ReportProxy(ctx, tenant.Proxy{ID: id, StartedAt: time.Now(), SeenAt: time.Now(), Applied: 1 << 40}, says)
		if err != nil && ctx.Err() == nil {
			s.t.Errorf("proxy %s: %v", id, err)
		}
		says = map[string]bool{}
		for _, m := range moves.All {
			says[m.Token] = m.Holding && holds(m)
		}
	}
	report()
	running.Go(func() {
		beat := time.NewTicker(100 * time.Millisecond)
		defer beat.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-beat.C:
				report()
			}
		}
	})
}

// TestHeld moves keys while nothing writes, and says for how long writes would have waited.
func TestHeld(t *testing.T) {
	s := newScene(t)
	s.options.HoldTimeout = time.Hour
	for i := 0; i < *keys; {
		p := s.old.Pipeline()
		for range min(1000, *keys-i) {
			p.Set(t.Context(), fmt.Sprint("key:", i), strings.Repeat("x", 100), time.Hour)
			i++
		}
		if _, err := p.Exec(t.Context()); err != nil {
			t.Fatal(err)
		}
	}
	s.proxy("proxy1", func(tenant.Move) bool { return true })
	r, err := Run(t.Context(), s.store, s.ends, s.options)
	if err != nil || r.Keys != int64(*keys) || len(r.Behind) > 0 {
		t.Fatalf("moved %+v, %v, want %d keys\n%s", r, err, *keys, strings.Join(s.said, "\n"))
	}
	if got := s.url(); got != s.options.URL {
		t.Errorf("the instance is at %q", got.Reveal())
	}
	t.Logf("%d keys: writes held for %v\n%s", *keys, r.Held, strings.Join(s.said, "\n"))
}

// TestWithout moves without a proxy that has ended, and says that another one is not known: that
// may be a slip.
func TestWithout(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	s.proxy("proxy1", func(tenant.Move) bool { return true })
	ended := tenant.Proxy{ID: "ended1", StartedAt: time.Now(), SeenAt: time.Now()}
	if _, err := s.store.ReportProxy(t.Context(), ended, nil); err != nil {
		t.Fatal(err)
	}
	s.options.Without = []string{"ended1", "nobody"}
	if _, err := Run(t.Context(), s.store, s.ends, s.options); err != nil {
		t.Fatalf("%v\n%s", err, strings.Join(s.said, "\n"))
	}
	var warnings []string
	for _, line := range s.said {
		if strings.HasPrefix(line, "warning: ") {
			warnings = append(warnings, line)
		}
	}
	if want := []string{"warning: --without nobody: the store knows no such proxy"}; !slices.Equal(warnings, want) {
		t.Errorf("got the warnings %q, want %q", warnings, want)
	}
}

// TestFunctions: libraries of functions that change while keys are copied are at the new backend as
// they are at the old one.
func TestFunctions(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	library := func(name string, answer int) string {
		return fmt.Sprintf("#!lua name=%s\nredis.register_function('%s', function() return %d end)", name, name, answer)
	}
	for _, name := range []string{"changed", "deleted"} {
		if err := s.old.FunctionLoad(t.Context(), library(name, 1)).Err(); err != nil {
			t.Fatal(err)
		}
	}
	s.options.Say = func(line string) {
		s.say(line)
		if strings.HasPrefix(line, "pass 1:") {
			for _, err := range []error{
				s.old.FunctionLoadReplace(t.Context(), library("changed", 2)).Err(), s.old.FunctionLoad(t.Context(), library("new", 3)).Err(),
				s.old.FunctionDelete(t.Context(), "deleted").Err(),
			} {
				if err != nil {
					t.Error(err)
				}
			}
		}
	}
	if r, err := Run(t.Context(), s.store, s.ends, s.options); err != nil {
		t.Fatalf("moved %+v, %v\n%s", r, err, strings.Join(s.said, "\n"))
	}
	for name, want := range map[string]int{"changed": 2, "new": 3} {
		if got, err := s.new.FCall(t.Context(), name, nil).Int(); err != nil || got != want {
			t.Errorf("%s() is %d, %v, want %d", name, got, err, want)
		}
	}
	if err := s.new.FCall(t.Context(), "deleted", nil).Err(); err == nil {
		t.Error("the library that was deleted is there")
	}
}

// TestRollBack: what goes wrong leaves the instance where it was, and nothing at the new one.
func TestRollBack(t *testing.T) {
	unwell := errors.New("another primary")
	for _, c := range []struct {
		name  string
		setup func(s *scene) context.Context
		want  string
	}{
		{"a proxy that cannot hold", func(s *scene) context.Context {
			s.options.HoldTimeout = 300 * time.Millisecond
			s.proxy("proxy1", func(tenant.Move) bool { return false })
			return s.t.Context()
		}, "longer than --hold-timeout"},
		{"a proxy that ends the move", func(s *scene) context.Context {
			s.proxy("proxy1", func(m tenant.Move) bool {
				_, _ = s.store.EndMove(context.Background(), m.Token, 0)
				return false
			})
			return s.t.Context()
		}, "was ended by a proxy"},
		{"an instance that is changed meanwhile", func(s *scene) context.Context {
			change := sync.OnceFunc(func() {
				threshold := time.Second
				_, _ = s.store.UpdateInstance(context.Background(), "acme", "cache", func(in *tenant.Instance) error {
					in.SlowlogThreshold = &threshold
					return nil
				})
			})
			s.proxy("proxy1", func(tenant.Move) bool { change(); return true })
			return s.t.Context()
		}, "it is version 2, not 1"},
		{"a backend that is another one by now", func(s *scene) context.Context {
			s.options.Check = func(context.Context) error { return unwell }
			return s.t.Context()
		}, unwell.Error()},
		{"a proxy that has come meanwhile and does not answer", func(s *scene) context.Context {
			s.options.Answer = 300 * time.Millisecond
			var once sync.Once
			s.options.Progress = func(string, Progress) {
				once.Do(func() {
					_, _ = s.store.ReportProxy(context.Background(), tenant.Proxy{ID: "late01", StartedAt: time.Now(), SeenAt: time.Now()}, nil)
				})
			}
			return s.t.Context()
		}, "late01"},
		{"a new backend that has been started again", func(s *scene) context.Context {
			s.options.Say = func(line string) {
				if s.say(line); strings.HasPrefix(line, "last pass:") {
					s.fresh.Kill()
					s.fresh.Start()
				}
			}
			return s.t.Context()
		}, "was started again"},
		{"Ctrl-C", func(s *scene) context.Context {
			ctx, stop := context.WithCancel(s.t.Context())
			s.options.Progress = func(string, Progress) { stop() }
			return ctx
		}, context.Canceled.Error()},
		{"a hold that would take too long", func(s *scene) context.Context {
			s.options.HoldTimeout = time.Nanosecond
			return s.t.Context()
		}, "have the new backend be a replica"},
	} {
		t.Run(c.name, func(t *testing.T) {
			t.Parallel()
			s := newScene(t)
			was := s.url()
			s.old.Set(t.Context(), "k", "v", 0)
			_, err := Run(c.setup(s), s.store, s.ends, s.options)
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want %q\n%s", err, c.want, strings.Join(s.said, "\n"))
			}
			if got := s.url(); got != was {
				t.Errorf("the instance is at %q", got.Reveal())
			}
			if moves, err := s.store.Moves(t.Context()); err != nil || len(moves) > 0 {
				t.Errorf("moves are left: %+v, %v", moves, err)
			}
			if n := s.new.DBSize(t.Context()).Val(); n != 0 && !strings.Contains(c.want, "version") {
				t.Errorf("%d keys are left at the new backend", n)
			}
		})
	}
}

// TestSilentProxy: one that knew of the move and is not heard of any more has stopped serving the
// instance, and the move goes on when that is certain.
func TestSilentProxy(t *testing.T) {
	t.Parallel()
	s := newScene(t)
	if _, err := s.store.ReportProxy(t.Context(), tenant.Proxy{ID: "silent", StartedAt: time.Now(), SeenAt: time.Now()}, nil); err != nil {
		t.Fatal(err)
	}
	var r Result
	var err error
	var running sync.WaitGroup
	running.Go(func() { r, err = Run(t.Context(), s.store, s.ends, s.options) })
	t.Cleanup(running.Wait)
	var moves []tenant.Move
	testbed.Eventually(t, "the move has begun", func() bool {
		moves, _ = s.store.Moves(t.Context())
		return len(moves) == 1
	})
	if _, err := s.store.ReportProxy(t.Context(), tenant.Proxy{ID: "silent", StartedAt: time.Now(), SeenAt: time.Now()}, map[string]bool{moves[0].Token: false}); err != nil {
		t.Fatal(err)
	}
	known := time.Now()
	running.Wait()
	if err != nil || len(r.Behind) != 1 {
		t.Fatalf("moved %+v, %v\n%s", r, err, strings.Join(s.said, "\n"))
	}
	if took := time.Since(known); took < tenant.MoveLease+tenant.MoveGrace {
		t.Errorf("the instance was switched %v after a silent proxy was heard of, and its lease is %v", took, tenant.MoveLease)
	}
}

// TestSwitchedIsNotHidden: whoever stops a move, or holds writes for too long, while the store is
// told of the switch, must hear that it may have been done.
func TestSwitchedIsNotHidden(t *testing.T) {
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errHoldTimeout)
	if err := because(ctx, fmt.Errorf("%w, or not", ErrSwitched)); !errors.Is(err, ErrSwitched) {
		t.Errorf("got %v, want %v", err, ErrSwitched)
	}
	if err := because(ctx, ctx.Err()); !errors.Is(err, errHoldTimeout) {
		t.Errorf("got %v, want %v", err, errHoldTimeout)
	}
}
