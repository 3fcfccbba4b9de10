package metrics

import "maps"

// Brief is what has been counted of a tenant as Totals has it, without the commands' names
// and but for the backend's phase: some 250 bytes.
type Brief struct {
	Commands, Errors, Limited uint64
	In, Out                   uint64
	Backend                   Durations
	Clients                   int64
	Links                     Links
}

// Briefs returns what has been counted of all tenants, by label. Loops wait for it as for a
// scrape: not while it adds up.
func (m *Metrics) Briefs() map[string]*Brief {
	all := map[string]*Brief{}
	brief := func(label string) *Brief {
		b := all[label]
		if b == nil {
			b = new(Brief)
			all[label] = b
		}
		return b
	}
	for _, l := range m.loops {
		for label, shard := range l.copied() {
			brief(label).add(shard)
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for open, n := range m.open {
		if m.gone[open.label] {
			continue
		}
		switch links := &brief(open.label).Links; open.kind {
		case "shared":
			links.Shared = n
		case "pinned":
			links.Pinned = n
		case "subscriber":
			links.Subscriber = n
		}
	}
	return all
}

// add adds what one loop has counted.
func (b *Brief) add(shard *Tenant) {
	for i := range shard.commands {
		if p := shard.commands[i].Load(); p != nil {
			for j := range p {
				b.Commands += p[j].Load()
			}
		}
	}
	b.Backend.add(&shard.phases[PhaseBackend])
	b.Clients += shard.clients.Load()
	b.In += shard.in.Load()
	b.Out += shard.out.Load()
	b.Limited += shard.limited.Load()
	shard.mu.Lock()
	defer shard.mu.Unlock()
	for _, n := range shard.errors {
		b.Errors += n
	}
}

// copied returns the loop's tenants.
func (l *Loop) copied() map[string]*Tenant {
	l.mu.Lock()
	defer l.mu.Unlock()
	return maps.Clone(l.tenants)
}
