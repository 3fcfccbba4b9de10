package pool

import (
	"context"
	"errors"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/redis/go-redis/v9"
)

// maxSentinels bounds how many sentinels are asked: those of the URL and those that they
// know.
const maxSentinels = 16

var (
	errNoSentinel = errors.New("no sentinel answers")
	errNoPrimary  = errors.New("its sentinels know no such primary")
)

// sentinels look at a primary that sentinels watch, as
// https://redis.io/docs/latest/develop/reference/sentinel-clients/ says, but that all
// sentinels are asked, and the one believed that knows of the last failover.
type sentinels struct {
	asker
	ctx     context.Context // ends listening
	stop    context.CancelFunc
	refresh func() // something has happened
	own     bool   // they accept the servers' password, where they have none of their own
	known   map[string]*sentinel
	hearing sync.WaitGroup
	epoch   int64 // of the opinion that was believed last
}

type sentinel struct {
	client *redis.SentinelClient
	events *redis.PubSub
}

func newSentinels(ctx context.Context, a asker, refresh func()) *sentinels {
	s := &sentinels{asker: a, refresh: refresh, known: map[string]*sentinel{}}
	s.ctx, s.stop = context.WithCancel(ctx)
	for addr := range strings.SplitSeq(a.backend.Addr, ",") {
		s.meet(addr)
	}
	return s
}

// meet makes a sentinel known. It is listened to from then on.
func (s *sentinels) meet(addr string) {
	if s.known[addr] != nil || len(s.known) >= maxSentinels {
		return
	}
	user, password := s.backend.SentinelUsername, s.backend.SentinelPassword
	if s.own {
		user, password = s.backend.Username, s.backend.Password
	}
	k := &sentinel{client: redis.NewSentinelClient(s.options(addr, user, password.Reveal()))}
	k.events = k.client.Subscribe(s.ctx)
	s.known[addr] = k
	s.hearing.Go(func() { s.hear(k.events) })
}

// hear looks at the group whenever a sentinel tells of something.
func (s *sentinels) hear(events *redis.PubSub) {
	// When this fails, Receive tries it again.
	_ = events.Subscribe(s.ctx, "+switch-master", "+sdown", "-sdown", "+odown", "-odown", "+slave", "+reboot")
	for {
		switch message, err := events.Receive(s.ctx); m := message.(type) {
		case nil:
			if errors.Is(err, redis.ErrClosed) || s.ctx.Err() != nil {
				return
			}
			select {
			case <-s.ctx.Done():
				return
			case <-time.After(Jitter(topologyBackoff)):
			}
		case *redis.Message:
			if concerns(m.Channel, m.Payload, s.backend.Master) {
				s.refresh()
			}
		}
	}
}

// concerns reports whether an event is about the primary called name: its payload is
// "name oldhost oldport …", or "type its-name host port @ name host port".
func concerns(channel, payload, name string) bool {
	words := strings.Fields(payload)
	if channel == "+switch-master" {
		return len(words) > 0 && words[0] == name
	}
	return len(words) > 1 && (words[1] == name || len(words) > 5 && words[5] == name)
}

// opinion is what a sentinel says.
type opinion struct {
	epoch    int64 // of the failover that made the primary one
	primary  string
	replicas []string
	others   []string // sentinels
	err      error
}

// find implements finder.
func (s *sentinels) find(ctx context.Context, last *Layout) (*Layout, error) {
	best := s.ask(ctx)
	if best.err != nil && isNoAuth(best.err) && s.backend.SentinelPassword == "" && s.backend.Password != "" {
		s.own = !s.own
		s.forget()
		for addr := range strings.SplitSeq(s.backend.Addr, ",") {
			s.meet(addr)
		}
		best = s.ask(ctx)
	}
	if best.err != nil {
		return nil, best.err
	}
	for _, addr := range best.others {
		s.meet(addr)
	}
	primary := s.backend.member(best.primary, PrimaryRole)
	layout := &Layout{Primaries: []Backend{primary}, Readers: [][]Backend{nil}}
	var before []Backend
	if last != nil {
		before = last.Readers[0]
	}
	layout.Readers[0] = s.readers(ctx, primary, best.replicas, before)
	known := map[string]bool{best.primary: true}
	for _, addr := range best.replicas {
		known[addr] = true
	}
	s.keep(known)
	return layout, nil
}

func isNoAuth(err error) bool {
	var reply redis.Error
	return errors.As(err, &reply) && ReplyError(reply.Error()).auth()
}

// ask asks all sentinels at once.
func (s *sentinels) ask(ctx context.Context) opinion {
	all := slices.Collect(maps.Values(s.known))
	best := opinion{err: errNoSentinel}
	for _, o := range gather(ctx, s.asking, all, func(k *sentinel) opinion { return s.opinion(ctx, k.client) }, s.recent) {
		switch {
		case o.err == nil && (best.err != nil || o.epoch > best.epoch):
			best = o
		case o.err != nil && best.err != nil && !isTimeout(o.err):
			best.err = o.err
		}
	}
	if best.err == nil {
		s.epoch = best.epoch
	}
	return best
}

// recent reports whether an opinion is of no earlier failover than what was believed last.
func (s *sentinels) recent(o opinion) bool { return o.err == nil && o.epoch >= s.epoch }

func (s *sentinels) opinion(ctx context.Context, c *redis.SentinelClient) opinion {
	name := s.backend.Master
	m, err := c.Master(ctx, name).Result()
	if err != nil {
		var reply redis.Error
		if errors.As(err, &reply) && strings.Contains(reply.Error(), "No such master") {
			err = errNoPrimary
		}
		return opinion{err: err}
	}
	o := opinion{primary: net.JoinHostPort(m["ip"], m["port"])}
	o.epoch, _ = strconv.ParseInt(m["config-epoch"], 10, 64)
	if s.backend.ReadFrom != Primary {
		list, err := c.Replicas(ctx, name).Result()
		if err != nil {
			return opinion{err: err}
		}
		for _, r := range list {
			if !strings.Contains(r["flags"], "down") && !strings.Contains(r["flags"], "disconnected") {
				o.replicas = append(o.replicas, net.JoinHostPort(r["ip"], r["port"]))
			}
		}
	}
	list, err := c.Sentinels(ctx, name).Result()
	if err != nil {
		return opinion{err: err}
	}
	for _, other := range list {
		o.others = append(o.others, net.JoinHostPort(other["ip"], other["port"]))
	}
	return o
}

// forget ends what is known.
func (s *sentinels) forget() {
	for _, k := range s.known {
		_ = k.events.Close()
		_ = k.client.Close()
	}
	clear(s.known)
	s.hearing.Wait()
}

func (s *sentinels) close() {
	s.stop()
	s.forget()
	s.asker.close()
}
