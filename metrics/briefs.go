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

// Briefs returns what has been counted of all tenants, by label. Nobody waits for it but who
// opens or closes a link, while the tenants are listed.
func (m *Metrics) Briefs() map[string]*Brief {
	m.mu.Lock()
	accounts := maps.Clone(m.accounts)
	maps.DeleteFunc(accounts, func(_ string, a *account) bool { return a.gone })
	m.mu.Unlock()
	all := make(map[string]*Brief, len(accounts))
	var backend [numDuration]uint64
	for label, a := range accounts {
		b := &Brief{Links: a.links()}
		clear(backend[:])
		for i := range a.shards {
			if t := a.shards[i].Load(); t != nil {
				b.add(t)
				t.phases[PhaseBackend].addTo(backend[:])
			}
		}
		b.Backend = durationsOf(backend[:])
		all[label] = b
	}
	return all
}

// add adds what one loop has counted, but for the backend's phase.
func (b *Brief) add(shard *Tenant) {
	for i := range shard.commands {
		if p := shard.commands[i].Load(); p != nil {
			for j := range p {
				b.Commands += p[j].Load()
			}
		}
	}
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

// links are those that are open.
func (a *account) links() Links {
	open := func(t tally) int { return int(a.tallies[t].Load()) }
	return Links{Shared: open(tallyShared), Pinned: open(tallyPinned), Subscriber: open(tallySubscriber)}
}
