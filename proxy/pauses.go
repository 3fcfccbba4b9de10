package proxy

import (
	"maps"
	"sync"
	"time"
)

// Pauses are the instances whose commands this proxy holds up for an operator, by PROXY
// PAUSE or KILL. All loops share them; they are safe for concurrent use.
type Pauses struct {
	observe func(label string, paused bool)

	mu    sync.Mutex
	all   map[string]pause // by instance id
	round uint64
}

// pause is one of them.
type pause struct {
	label string
	until time.Time
	round uint64 // tells it from a later one of the same instance
}

// NewPauses returns none yet. observe is told when an instance's pause begins or ends; it
// must not block.
func NewPauses(observe func(label string, paused bool)) *Pauses {
	return &Pauses{observe: observe, all: map[string]pause{}}
}

// begin notes that an instance is paused from now on, in place of an earlier pause.
func (p *Pauses) begin(in target, until time.Time) (round uint64) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.round++
	p.all[in.id] = pause{in.label, until, p.round}
	p.observe(in.label, true)
	return p.round
}

// end notes that a pause is over: the one that begin numbered so, or any with 0. False is
// that there is none such.
func (p *Pauses) end(instance string, round uint64) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	was, ok := p.all[instance]
	if !ok || round != 0 && was.round != round {
		return false
	}
	delete(p.all, instance)
	p.observe(was.label, false)
	return true
}

// list returns all of them.
func (p *Pauses) list() map[string]pause {
	p.mu.Lock()
	defer p.mu.Unlock()
	return maps.Clone(p.all)
}

// labelled returns the id of the paused instance that is called so.
func (p *Pauses) labelled(label string) (instance string, ok bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	for id, one := range p.all {
		if one.label == label {
			return id, true
		}
	}
	return "", false
}
