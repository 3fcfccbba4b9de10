// Package insight keeps what stands out among the commands of each instance at this
// proxy: the slow log, hot keys, busy clients, and what was big. It is told of few
// commands: of those that were slow or big, and of one in so many of the others.
//
// All of it is bounded. The slow log, which all loops share, has at most maxEntries
// entries of up to about a KiB: 32 MiB; where keys are hashed, of up to 1.75 KiB: 56 MiB.
// What each loop has besides is at most maxSlots slots of up to about 300 bytes: 20 MiB a
// loop, and less where keys are short. An instance that nothing was seen of for two minutes
// has no slots.
package insight

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/maphash"
	"math"
	mathrand "math/rand/v2"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// Config is what a Book is told.
type Config struct {
	Proxy     string        // what the ids of this proxy's sessions begin with, before the '-'
	Threshold time.Duration // commands of their own time or longer are slow, where their instance says nothing else; negative: none
	MaxLen    int           // entries of an instance's slow log, the newest; 0: none
	Sample    int           // one command in so many is looked at for hot keys and busy clients; 0: none, and what is big neither
	HashKeys  bool          // keys and arguments are told as keyed hashes only
}

// Book is what a process keeps. Its methods may be called from any goroutine.
type Book struct {
	proxy     string
	threshold atomic.Int64 // nanoseconds
	sample    atomic.Int64
	veil      veil
	slow      slowLog
	seed      maphash.Seed
	loops     []*Loop
}

// New returns a Book without loops. The error is that there is no randomness.
func New(cfg Config) (*Book, error) {
	b := &Book{proxy: cfg.Proxy, slow: newSlowLog(), seed: maphash.MakeSeed()}
	b.SetConfig(cfg)
	if cfg.HashKeys {
		b.veil = make(veil, 32)
		if _, err := rand.Read(b.veil); err != nil {
			return nil, fmt.Errorf("insight: %w", err)
		}
	}
	return b, nil
}

// SetConfig changes Threshold, MaxLen and Sample. What the loops want to watch changes too.
func (b *Book) SetConfig(cfg Config) {
	if cfg.MaxLen == 0 {
		cfg.Threshold = off
	}
	b.threshold.Store(int64(cfg.Threshold))
	b.sample.Store(int64(cfg.Sample))
	b.slow.setMax(cfg.MaxLen)
}

// Home is an event loop; *loop.Loop is one.
type Home interface {
	// Post has fn called on the loop's goroutine; false: never, it has ended.
	Post(fn func()) bool
	// Nanos is the loop's clock: nanoseconds since about the process's start.
	Nanos() int64
}

// Loop is what a Book keeps of what one event loop sees: an observer of its sessions, to be
// used on that loop's goroutine.
type Loop struct {
	book   *Book
	home   Home
	logged func(label string)
	slots  slots
	args   [maxLooked][]byte
	keys   []int
}

// AddLoop returns what observes the sessions of one event loop. logged is called on it with
// the label of an instance whose slow log gets an entry. All loops must be added before any
// of them runs.
func (b *Book) AddLoop(home Home, logged func(label string)) *Loop {
	l := &Loop{book: b, home: home, logged: logged, slots: newSlots()}
	b.loops = append(b.loops, l)
	return l
}

// Big is from how many bytes on a command or a reply is big.
const Big = 16 << 10

// Watch says which commands of an instance are looked at.
func (l *Loop) Watch(r *tenant.Route) tenant.Watch {
	w := tenant.Watch{Every: int(l.book.sample.Load()), Slow: l.book.slowFrom(r)}
	if w.Every > 0 {
		w.Big = Big
	}
	return w
}

// off is the threshold where there is no slow log, whatever an instance says.
const off = time.Duration(math.MinInt64)

// slowFrom is from how long on an instance's commands are slow; negative: none is.
func (b *Book) slowFrom(r *tenant.Route) time.Duration {
	set := time.Duration(b.threshold.Load())
	if r.SlowlogThreshold != nil && set != off {
		return *r.SlowlogThreshold
	}
	return set
}

// Saw takes note of a command. It allocates for what is slow or seen for the first time only.
func (l *Loop) Saw(o *tenant.Observed) (written func(at time.Time)) {
	route := &o.Principal.Route
	if from := l.book.slowFrom(route); o.Why&tenant.WhySlow != 0 && from >= 0 && o.Own() >= from {
		l.book.slow.add(route.InstanceID, l.book.entry(o))
		l.logged(route.Label)
	}
	every := int(l.book.sample.Load())
	weight, big := weight(o, every), o.Why&tenant.WhyBig != 0
	if every == 0 || weight == 0 && !big {
		return nil
	}
	p := l.slots.period(route.InstanceID, l.home.Nanos())
	key := l.firstKey(o)
	if weight > 0 {
		p.sample(&l.slots, o, key, weight)
	}
	if big {
		p.measure(&l.slots, o, key)
	}
	l.slots.shrink()
	return nil
}

// weight is for how many commands one stands that was picked at random, where one in every
// is wanted; 0: it is not to be counted. Others may want to see more: of those some are left out.
func weight(o *tenant.Observed, every int) uint64 {
	switch {
	case o.Why&tenant.WhySampled == 0:
		return 0
	case o.Every < every && mathrand.IntN(every) >= o.Every: //nolint:gosec // no secret
		return 0
	}
	return uint64(max(every, o.Every)) //nolint:gosec // above 0
}

// firstKey is the first key that a command names, as far as it is known.
func (l *Loop) firstKey(o *tenant.Observed) key {
	args := looked(l.args[:0], o.Begins)
	l.keys, _ = command.ID(o.Command).AppendKeys(l.keys[:0], args)
	if len(l.keys) == 0 || args[l.keys[0]] == nil {
		return key{}
	}
	first := l.keys[0]
	text := args[first][:min(len(args[first]), maxText)]
	k := key{db: o.DB, text: text, cut: fullLen(o.Begins, first) > len(text), known: true}
	k.hash = maphash.Bytes(l.book.seed, text) ^ uint64(o.DB+1)*0x9e3779b97f4a7c15 //nolint:gosec // a hash
	return k
}

// entry is what the slow log keeps of a command.
func (b *Book) entry(o *tenant.Observed) tenant.SlowEntry {
	id := command.ID(o.Command)
	return tenant.SlowEntry{
		At: o.At, Command: id.Info().Name, Args: b.veil.args(id, shownArgs(id, o.Begins)),
		Took: o.Own(), Total: o.Limited + o.Waited + o.Took, Limited: o.Limited, Waited: o.Waited, Ahead: o.Ahead,
		Address: o.Client.String(), Name: short(o.Name), KeyID: o.Principal.KeyID, SessionID: b.session(o.Session),
		DB: o.DB, Size: o.Size, ReplySize: o.ReplySize, Error: o.Code,
	}
}

// session is a client's session's id, as tenant.Session has it.
func (b *Book) session(id int64) string { return b.proxy + "-" + strconv.FormatInt(id, 10) }

// Run drops what is kept of instances of which nothing is seen any more, until ctx ends.
func (b *Book) Run(ctx context.Context) {
	tick := time.NewTicker(time.Duration(minute))
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			for _, l := range b.loops {
				l.home.Post(func() { l.slots.expire(l.home.Nanos()) })
			}
		}
	}
}
