package proxy

import (
	"github.com/respgate/respgate/metrics"
	"github.com/respgate/respgate/pool"
)

// relayRun relays the commands that items begin with at one go, as far as there is nothing
// to say about any of them, which is nearly always: plain commands of a session in no
// special state. It returns how many they are; there may be no more than most. The others are for relay.
func (s *Session) relayRun(items []item, most int) int {
	if most == 0 || !plain(&items[0]) || !s.unencumbered() {
		return 0
	}
	l := s.shared(pool.Plain)
	if l == nil || s.owed() > 0 && l != s.link || l.Full() {
		return 0
	}
	if s.near.on {
		items = beforeKept(items)
	}
	most = min(most, len(items), maxOwed-int(s.owed())) //nolint:gosec // at most maxOwed
	if most <= 0 {
		return 0
	}
	raw := items[0].frame.Raw
	n := 1
	for n < most && plain(&items[n]) {
		more, ok := joined(raw, items[n].frame.Raw)
		if !ok || len(more) > largeCommand {
			break
		}
		raw = more
		n++
	}
	parts := s.core.parts[:n]
	for i := range parts {
		parts[i] = pool.Part{ID: items[i].id, Size: len(items[i].frame.Raw)}
	}
	pos, err := l.SendAll(s, raw, parts, s.core.Clock.Nanos())
	if err != nil {
		return 0 // relay says why
	}
	if s.waited > 0 {
		l.Limited(n, s.waited)
	}
	s.link, s.last = l, pos
	s.sent += uint64(n)
	s.current = parts[n-1].ID
	s.muteNow = false
	s.countRun(parts, l.Connected())
	if s.near.on {
		s.noteSent(items[:n])
	}
	return n
}

// plain reports whether nothing is to be done for a command but to relay it.
func plain(it *item) bool {
	return it.verdict == relayed && roles[it.id] == onShared && len(it.frame.Raw) <= largeCommand
}

// unencumbered reports whether nothing about the session concerns its plain commands.
func (s *Session) unencumbered() bool {
	return s.group.topology == nil && s.pin.link == nil && s.pin.tx == none && len(s.core.holds) == 0 && !s.off && !s.skip && !s.cut && len(s.mutes) == 0
}

// joined returns a and b as one slice when b lies right behind a.
func joined(a, b []byte) ([]byte, bool) {
	if n := len(a); n < cap(a) && &a[:n+1][n] == &b[0] {
		return a[:n+len(b)], true
	}
	return nil, false
}

// countRun counts commands that were relayed together, neighbours that are the same at
// one go.
func (s *Session) countRun(parts []pool.Part, atOnce bool) {
	t := s.meter.tenant
	s.usage.Commands += int64(len(parts))
	if atOnce {
		t.Phase(metrics.PhasePool, 0, len(parts))
	}
	for i := 0; i < len(parts); {
		id, n := parts[i].ID, 1
		for i+n < len(parts) && parts[i+n].ID == id {
			n++
		}
		t.Commands(id, n)
		i += n
	}
}
