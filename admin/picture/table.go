package picture

import (
	"context"
	"strings"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/metrics"
)

// table is how all tenants do, while somebody looks. What is counted of a tenant and its row
// take some 600 bytes, of which there are two generations for a moment: 12 MB with 10,000
// tenants. A second's work for these, all of them active on two loops, takes some 40 ms.
type table struct {
	asked  time.Time
	at     time.Time                 // when before was counted
	before map[string]*metrics.Brief // nil: nobody looks
	last   *control.Tenants          // replaced, never changed; nil: there is none yet
}

// sample adds the rows of what has come since before.
func (t *table) sample(now time.Time, m *metrics.Metrics, proxy string) {
	switch {
	case t.before == nil:
		return
	case now.Sub(t.asked) >= keep:
		*t = table{}
		return
	case now.Sub(t.at) < interval/2:
		return
	}
	counted := m.Briefs()
	rows := make([]control.TenantRow, 0, len(counted))
	for label, b := range counted {
		org, name, _ := strings.Cut(label, "/")
		before := t.before[label]
		if before == nil {
			before = &metrics.Brief{} // it is new
		}
		rows = append(rows, control.TenantRow{Org: org, Instance: name, Point: point(now, now.Sub(t.at), before, b)})
	}
	t.at, t.before = now, counted
	t.last = &control.Tenants{Proxy: proxy, At: now.UTC(), Rows: rows}
}

// Tenants implements control.Rates. All tenants are sampled from then on, for a minute.
func (s *Sampler) Tenants(ctx context.Context) (control.Tenants, error) {
	last, err := await(ctx, s.lookAtAll)
	if err != nil {
		return control.Tenants{}, err
	}
	return *last, nil
}

// lookAtAll returns what there is, and what is closed when there is more.
func (s *Sampler) lookAtAll(now time.Time) (last *control.Tenants, ready bool, more <-chan struct{}, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.ended {
		return nil, false, nil, errEnds
	}
	if s.table.before == nil {
		s.table = table{at: now, before: s.metrics.Briefs()}
		s.stir()
	}
	s.table.asked = now
	return s.table.last, s.table.last != nil, s.points, nil
}
