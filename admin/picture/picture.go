// Package picture draws the pictures of how instances do at this proxy, second by second, from
// what its loops count anyway: nothing is added to a command's way. Only instances that
// somebody looks at are sampled.
package picture

import (
	"context"
	"fmt"
	"sync"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/tenant"
)

const (
	interval = time.Second
	// keep is for how long an instance is sampled after somebody has looked at it.
	keep = time.Minute
	// maxInstances bounds how many are sampled at once, at about 22 KB each and 5 µs a
	// second. Beyond it the one goes that nobody has looked at for longest.
	maxInstances = 1024
)

// Sampler implements control.Pictures and control.Rates. It is safe for concurrent use.
type Sampler struct {
	metrics *metrics.Metrics
	proxy   string
	wake    chan struct{} // there is something to sample

	mu     sync.Mutex
	of     map[string]*instance // by id: another may get the name
	table  table
	taken  metrics.Totals // of the instance that is being sampled
	points chan struct{}  // closed when there are new ones
	ended  bool
}

// New returns a sampler of what m counts, for the proxy with that id; Run runs it.
func New(m *metrics.Metrics, proxy string) *Sampler {
	return &Sampler{metrics: m, proxy: proxy, wake: make(chan struct{}, 1), of: map[string]*instance{}, points: make(chan struct{})}
}

// Run samples until ctx ends. Then there are no more pictures.
func (s *Sampler) Run(ctx context.Context) {
	defer s.end()
	for {
		select {
		case <-ctx.Done():
			return
		case <-s.wake:
			s.follow(ctx)
		}
	}
}

// follow samples once a second until there is nothing to sample or ctx ends.
func (s *Sampler) follow(ctx context.Context) {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			if !s.sample(time.Now()) {
				return
			}
		}
	}
}

// sample gives each instance its next point, and reports whether there is any.
func (s *Sampler) sample(now time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	for id, i := range s.of {
		switch {
		case now.Sub(i.asked) >= keep:
			delete(s.of, id)
		case now.Sub(i.at) >= interval/2: // of less time a rate says little
			s.metrics.Totals(i.label, &s.taken)
			i.add(now, &s.taken)
		}
	}
	s.table.sample(now, s.metrics, s.proxy)
	close(s.points)
	s.points = make(chan struct{})
	return len(s.of) > 0 || s.table.before != nil
}

func (s *Sampler) end() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ended, s.of, s.table = true, nil, table{}
	close(s.points)
}

var errEnds = fmt.Errorf("live picture: the proxy ends: %w", control.ErrUnavailable)

// await asks look until it is ready, each time that there is more.
func await[T any](ctx context.Context, look func(now time.Time) (v T, ready bool, more <-chan struct{}, err error)) (T, error) {
	for {
		v, ready, more, err := look(time.Now())
		if err != nil || ready {
			return v, err
		}
		select {
		case <-ctx.Done():
			return v, fmt.Errorf("live picture: %w", ctx.Err())
		case <-more:
		}
	}
}

// Picture implements control.Pictures. The instance is sampled from then on, for a minute.
func (s *Sampler) Picture(ctx context.Context, in tenant.Instance, after time.Time) (control.Picture, error) {
	return await(ctx, func(now time.Time) (p control.Picture, ready bool, more <-chan struct{}, err error) {
		p, more, err = s.look(in, after, now)
		return p, len(p.Points) > 0, more, err
	})
}

// look returns what there is, and what is closed when there is more.
func (s *Sampler) look(in tenant.Instance, after, now time.Time) (p control.Picture, more <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.find(in, now)
	if err != nil {
		return p, nil, err
	}
	return control.Picture{Proxy: s.proxy, Hot: i.hot[:min(len(i.hot), control.MaxHotCommands)], Points: i.from(after)}, s.points, nil
}

// Commands implements control.Rates, as Picture does.
func (s *Sampler) Commands(ctx context.Context, in tenant.Instance) ([]control.HotCommand, error) {
	return await(ctx, func(now time.Time) (hot []control.HotCommand, ready bool, more <-chan struct{}, err error) {
		s.mu.Lock()
		defer s.mu.Unlock()
		i, err := s.find(in, now)
		if err != nil {
			return nil, false, nil, err
		}
		return i.hot, len(i.points) > 0, s.points, nil
	})
}

// find returns an instance, which somebody looks at now. It wants the lock, as begin.
func (s *Sampler) find(in tenant.Instance, now time.Time) (*instance, error) {
	if s.ended {
		return nil, errEnds
	}
	i := s.of[in.ID]
	if i == nil || i.label != in.Label() { // it has another name now
		i = s.begin(in, now)
	}
	i.asked = now
	return i, nil
}

// begin has an instance sampled.
func (s *Sampler) begin(in tenant.Instance, now time.Time) *instance {
	delete(s.of, in.ID)
	if len(s.of) >= maxInstances {
		oldest, first := "", now
		for id, i := range s.of {
			if !i.asked.After(first) {
				oldest, first = id, i.asked
			}
		}
		delete(s.of, oldest)
	}
	i := &instance{label: in.Label(), at: now, hot: []control.HotCommand{}}
	s.metrics.Totals(i.label, &i.before)
	s.of[in.ID] = i
	s.stir()
	return i
}

// stir wakes who samples.
func (s *Sampler) stir() {
	select {
	case s.wake <- struct{}{}:
	default: // it is awake
	}
}
