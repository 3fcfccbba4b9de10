package pool

import (
	"context"
	"errors"
	"log/slog"
	"net"
	"time"

	"github.com/respgate/respgate/loop"
)

// Lane keeps commands apart that must not wait for each other.
type Lane uint8

// The lanes of shared links.
const (
	Plain   Lane = iota
	Scripts      // a script may run for long, and is killed from elsewhere
)

// Key names a link: links of equal keys are the same link.
type Key struct {
	Instance string // the instance's id
	Label    string // its name in metrics and logs
	Backend  Backend
	DB       int
	Proto    int // 2 or 3
	Lane     Lane
	Group    *Topology // of the backend, where that is a member of one
}

// LinkObserver counts open links.
type LinkObserver interface {
	LinkOpened(label, kind string)
	LinkClosed(label, kind string)
}

// Config is how a pool keeps its links.
type Config struct {
	Dial         DialConfig
	IdleTimeout  time.Duration // an unused link is closed after this
	StallTimeout time.Duration // a link that owes and moves nothing for this long is suspected
	PinnedWait   time.Duration // how long a client waits for a link of its own
}

// Pool owns the links of one event loop. Its methods must be called on the
// loop's goroutine.
type Pool struct {
	ctx    context.Context // ends dialling
	cfg    Config
	loop   *loop.Loop
	dialer *Dialer
	obs    LinkObserver
	meter  func(label string) Meter
	log    *slog.Logger
	links  map[Key]*Link

	slots   *Slots
	pinned  map[*Link]struct{}  // all pinned links that are up
	kept    map[freeKey][]*Link // those that nobody holds, the one used last at the end
	waiting map[slot][]*borrow
	dialled map[*borrow]struct{} // wishes whose links are being made
	handed  int                  // how many came back
}

// New returns the pool of loop l. Dialling ends with ctx. meter returns where
// an instance's replies are counted. The pools of all loops have the same slots.
func New(ctx context.Context, cfg Config, l *loop.Loop, slots *Slots, dialer *Dialer, obs LinkObserver, meter func(label string) Meter, log *slog.Logger) *Pool {
	p := &Pool{
		ctx: ctx, cfg: cfg, loop: l, dialer: dialer, obs: obs, meter: meter, log: log, links: map[Key]*Link{},
		slots: slots, pinned: map[*Link]struct{}{}, kept: map[freeKey][]*Link{}, waiting: map[slot][]*borrow{}, dialled: map[*borrow]struct{}{},
	}
	slots.join(p)
	dialer.gates.onRecovery(func(tenants map[string]time.Time) {
		l.Post(func() { p.recovered(tenants) })
	})
	return p
}

// Start begins the pool's watch over idle and stalled links.
func (p *Pool) Start() { p.watch() }

// maxShared bounds the shared links to one server of an instance on one loop: there may be
// one for each database, protocol version and lane.
const maxShared = 64

// Shared returns the link for key, which connects when it is first used; nil when there
// are too many others to its server.
func (p *Pool) Shared(key Key) *Link {
	if l := p.links[key]; l != nil {
		return l
	}
	if !p.room(key) {
		return nil
	}
	l := p.newLink(key)
	l.redial = p.redial
	p.links[key] = l
	return l
}

func (p *Pool) newLink(key Key) *Link {
	l := &Link{key: key, nanos: p.loop.Nanos, onIdle: func(*Link) {}, memory: p.loop}
	l.count(p.meter(key.Label))
	return l
}

// room reports whether there may be one more link like another; where there are many, those
// that nobody uses make room.
func (p *Pool) room(like Key) bool {
	if len(p.links) < maxShared {
		return true
	}
	n := 0
	for key, l := range p.links {
		switch {
		case key.Instance != like.Instance || key.Backend != like.Backend:
		case l.clients == 0 && l.q.len() == 0 && l.state != dialing:
			delete(p.links, key)
			l.retire(errGivenBack)
		default:
			n++
		}
	}
	return n < maxShared
}

// Connected reports whether the link for key is up. Unlike Shared it makes none.
func (p *Pool) Connected(key Key) bool {
	l := p.links[key]
	return l != nil && l.state == up
}

// Forget closes the links of the instance called label, which is gone.
func (p *Pool) Forget(label string) {
	for key, l := range p.links {
		if key.Label == label {
			p.retire(l, errGone)
		}
	}
	for _, list := range p.kept {
		for _, l := range list {
			if l.key.Label == label {
				l.conn.Close(errGone)
			}
		}
	}
}

// retire has a shared link come to its end.
func (p *Pool) retire(l *Link, cause error) {
	if p.links[l.key] == l {
		delete(p.links, l.key)
	}
	l.retire(cause)
}

var errGone = errors.New("the instance was deleted")

// redial runs a round of dialling; while the backend is away that is a probe, or is
// refused. It goes on as long as the link has clients.
func (p *Pool) redial(l *Link) {
	go func() {
		nc, hello, err := p.dialer.dial(p.ctx, l.key.Label, l.key.Backend, l.key.DB, l.key.Proto, p.cfg.Dial.Attempts, interactive)
		posted := p.loop.Post(func() { p.redialled(l, nc, hello, err) })
		if !posted && nc != nil {
			_ = nc.Close()
		}
	}()
}

// redialled runs on the loop when a round has ended.
func (p *Pool) redialled(l *Link, nc net.Conn, hello Hello, err error) {
	if p.links[l.key] != l {
		if nc != nil {
			_ = nc.Close()
		}
		l.Down(errGone)
		return
	}
	if err == nil {
		err = p.adopt(l, nc, hello, "shared")
	}
	if err == nil {
		return
	}
	l.Down(err)
	var refused ReplyError
	if errors.As(err, &refused) && l.clients == 0 {
		delete(p.links, l.key)
		return
	}
	l.retry = p.loop.After(Jitter(p.cfg.Dial.RetryDelay), func() { p.probe(l) })
}

// recovered has the broken links of tenants whose backend is back connect now, each on its
// turn, rather than when their timers run out.
func (p *Pool) recovered(tenants map[string]time.Time) {
	for _, l := range p.links {
		if _, back := tenants[l.key.Label]; back && l.retry != nil {
			l.retry.Stop()
			p.probe(l)
		}
	}
}

func (p *Pool) probe(l *Link) {
	l.retry = nil
	switch {
	case l.state != broken:
	case l.clients > 0:
		p.redial(l)
	default:
		l.state = idle // the next client dials
	}
}

func (p *Pool) adopt(l *Link, nc net.Conn, hello Hello, kind string) error {
	var conn *loop.Conn
	err := p.loop.Adopt(nc, true, func(c *loop.Conn) loop.Handler {
		conn = c
		return &tenure{Link: l, conn: c, obs: p.obs, kind: kind}
	})
	if err != nil {
		return err
	}
	p.obs.LinkOpened(l.key.Label, kind)
	l.Up(conn, hello)
	return nil
}

// tenure is a link for as long as it has one connection.
type tenure struct {
	*Link
	conn *loop.Conn
	obs  LinkObserver
	kind string
}

// Closed implements loop.Handler.
func (t *tenure) Closed(err error) {
	t.obs.LinkClosed(t.key.Label, t.kind)
	if t.Link.conn == Conn(t.conn) {
		t.Link.Closed(err)
	}
}

// watch looks after the links once a second.
func (p *Pool) watch() {
	now := p.loop.Nanos()
	quiet := func(l *Link) time.Duration { return time.Duration(now - l.moved) }
	silent := map[Backend][]*Link{}
	stalls := func(l *Link) {
		if l.state == up && l.q.len() > 0 && quiet(l) > p.cfg.StallTimeout {
			l.moved = now
			silent[l.key.Backend] = append(silent[l.key.Backend], l)
		}
	}
	for key, l := range p.links {
		stalls(l)
		l.rest(now)
		if key.Group != nil && p.silent(l) {
			key.Group.Refresh() // it may have been replaced
		}
		switch {
		case l.state == up && l.q.len() == 0 && quiet(l) > p.cfg.IdleTimeout:
			conn := l.conn
			l.conn, l.state = nil, idle
			conn.Close(nil)
		case l.state == idle && l.clients == 0 && quiet(l) > p.cfg.IdleTimeout:
			delete(p.links, key)
		}
	}
	for l := range p.pinned {
		stalls(l)
		l.rest(now)
	}
	for backend, links := range silent {
		p.suspect(backend, links, p.cfg.StallTimeout+p.cfg.Dial.Timeout, false)
	}
	p.watchKept(now)
	p.loop.After(time.Second, p.watch)
}

// silence is how long the server of a group may owe replies and say nothing before it is
// asked whether it has been replaced.
const silence = time.Second

// silent reports whether a link's server may have gone without a word.
func (p *Pool) silent(l *Link) bool {
	if l.state != up && l.state != dialing || l.q.len() == 0 {
		return false
	}
	return time.Duration(p.loop.Nanos()-l.q.at(l.q.head).at) >= silence
}

// suspect closes silent links, or those whose commands wait, if their backend does not
// answer elsewhere either, within the time that dialling may take, or patience where that is
// less. Where it has left its group, they do not connect again.
func (p *Pool) suspect(backend Backend, links []*Link, patience time.Duration, left bool) {
	conns := make([]Conn, 0, len(links))
	for _, l := range links {
		conns = append(conns, l.conn)
	}
	go func() {
		ctx, cancel := context.WithTimeout(p.ctx, patience)
		defer cancel()
		nc, _, err := p.dialer.Dial(ctx, links[0].key.Label, backend, 0, 2, 1)
		var alive ReplyError // BUSY and LOADING are signs of life
		if err == nil {
			_ = nc.Close()
		}
		if err == nil || errors.As(err, &alive) {
			return
		}
		p.loop.Post(func() {
			for i, l := range links {
				conns[i].Close(err)
				if left && l.pin == nil && (l.state != up || l.conn == conns[i]) {
					p.retire(l, errLeftGroup)
				}
			}
		})
	}()
}
