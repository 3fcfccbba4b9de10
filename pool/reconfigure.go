package pool

// SetConfig changes how the pool keeps its links from now on.
func (p *Pool) SetConfig(cfg Config) { p.cfg = cfg }

// SetConfig changes how the dialer tries from the next try on; breakers that there are keep
// their limits. It is safe for concurrent use.
func (d *Dialer) SetConfig(cfg DialConfig) {
	d.cfg.Store(&cfg)
	d.gates.cfg.Store(&cfg)
}

// SetConfig changes how groups are asked from the next look on. It is safe for concurrent
// use.
func (t *Topologies) SetConfig(cfg DialConfig) { t.dial.Store(&cfg) }

// SetMax changes the bounds. Links beyond them are not closed, but fewer are opened; who
// waits already goes on waiting for a link that comes back.
func (s *Slots) SetMax(pinned, subscribers int) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.max = [kinds]int{pinned, subscribers, maxTrackers}
}
