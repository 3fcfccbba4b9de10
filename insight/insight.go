// Package insight keeps what stands out among the commands of each instance at this
// proxy: the slow log, hot keys, busy clients, and what was big. It is told of few
// commands: of those that were slow or big, and of one in so many of the others.
//
// All of it is bounded. The slow log, which all loops share, has at most maxEntries
// entries of up to about a KiB: 32 MiB. What each loop has besides is at most maxSlots
// slots of up to about 300 bytes: 20 MiB a loop, and less where keys are short. An
// instance that nothing was seen of for two minutes has no slots.
package insight

import (
	"context"
	"crypto/rand"
	"fmt"
	"hash/maphash"
	"net/netip"
	"strconv"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// Config is what a Book is told.
type Config struct {
	Proxy    string // what the ids of this proxy's sessions begin with, before the '-'
	MaxLen   int    // entries of an instance's slow log, the newest; 0: none
	Sample   int    // one command in so many is seen with a weight; 0: none
	HashKeys bool   // keys and arguments are told as keyed hashes only
}

// Book is what a process keeps. Its methods may be called from any goroutine.
type Book struct {
	proxy  string
	sample atomic.Int64
	veil   veil
	slow   slowLog
	seed   maphash.Seed
	loops  []*Loop
}

// New returns a Book without loops. The error is that there is no randomness.
func New(cfg Config) (*Book, error) {
	b := &Book{proxy: cfg.Proxy, slow: newSlowLog(cfg.MaxLen), seed: maphash.MakeSeed()}
	b.sample.Store(int64(cfg.Sample))
	if cfg.HashKeys {
		b.veil = make(veil, 32)
		if _, err := rand.Read(b.veil); err != nil {
			return nil, fmt.Errorf("insight: %w", err)
		}
	}
	return b, nil
}

// SetConfig changes what can change while loops run: MaxLen and Sample.
func (b *Book) SetConfig(cfg Config) {
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

// Loop is what a Book keeps of what one event loop sees. Saw must be called on that loop's
// goroutine.
type Loop struct {
	book  *Book
	home  Home
	slots slots
	args  [maxLooked][]byte
	keys  []int
}

// AddLoop returns what is told of what one event loop sees. All loops must be added before
// any of them runs.
func (b *Book) AddLoop(home Home) *Loop {
	l := &Loop{book: b, home: home, slots: newSlots()}
	b.loops = append(b.loops, l)
	return l
}

// Client is who sent a command.
type Client struct {
	ID    int64 // its session's at this proxy
	Addr  netip.AddrPort
	Name  string // as of CLIENT SETNAME
	KeyID string
}

// Event is a command that is looked at, when its whole reply has come. Its bytes are valid
// during the call only.
type Event struct {
	Instance  string // its id
	Client    Client
	DB        int
	ID        command.ID
	Command   []byte // how it begins, as an array of bulk strings; nil: not known
	Size      int    // bytes of the whole command
	ReplySize int    // bytes of the whole reply
	Error     []byte // the reply's first word, of an error
	Now       int64  // nanoseconds of the loop's clock
	At        time.Time

	Weight int  // how many commands it stands for; 0: it was not picked at random
	Slow   bool // it belongs into the slow log: Waited, Ahead and Took are set, as of tenant.SlowEntry
	Big    bool // its bytes or its reply's are many

	Waited, Ahead, Took time.Duration
}

// Saw takes note of a command. It allocates for what is slow or seen for the first time only.
func (l *Loop) Saw(e *Event) {
	if e.Slow {
		l.book.slow.add(e.Instance, l.book.entry(e))
	}
	if e.Weight <= 0 && !e.Big {
		return
	}
	p := l.slots.period(e.Instance, e.Now)
	key := l.firstKey(e)
	if e.Weight > 0 {
		p.sample(&l.slots, e, key)
	}
	if e.Big {
		p.measure(&l.slots, e, key)
	}
	l.slots.shrink()
}

// firstKey is the first key that a command names, as far as it is known.
func (l *Loop) firstKey(e *Event) key {
	args := looked(l.args[:0], e.Command)
	l.keys, _ = e.ID.AppendKeys(l.keys[:0], args)
	if len(l.keys) == 0 || args[l.keys[0]] == nil {
		return key{}
	}
	first := l.keys[0]
	text := args[first][:min(len(args[first]), maxText)]
	k := key{db: e.DB, text: text, cut: fullLen(e.Command, first) > len(text), known: true}
	k.hash = maphash.Bytes(l.book.seed, text) ^ uint64(e.DB+1)*0x9e3779b97f4a7c15 //nolint:gosec // a hash
	return k
}

// entry is what the slow log keeps of a command.
func (b *Book) entry(e *Event) tenant.SlowEntry {
	return tenant.SlowEntry{
		At: e.At, Command: e.ID.Info().Name, Args: b.veil.args(e.ID, shownArgs(e.ID, e.Command)),
		Took: e.Took, Total: e.Waited + e.Ahead + e.Took, Waited: e.Waited, Ahead: e.Ahead,
		Address: e.Client.Addr.String(), Name: short(e.Client.Name), KeyID: e.Client.KeyID, SessionID: b.session(e.Client.ID),
		DB: e.DB, Size: e.Size, ReplySize: e.ReplySize, Error: string(e.Error[:min(len(e.Error), maxText)]),
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
