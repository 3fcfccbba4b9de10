package pool

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math/rand/v2"
	"net"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/loop"
	"github.com/respgate/respgate/resp"
)

// DialConfig bounds how a backend is dialled.
type DialConfig struct {
	Attempts   int           // how often a round tries
	RetryDelay time.Duration // between two tries, jittered by a fifth either way
	Timeout    time.Duration // for one try, handshake included
	Region     string        // where the proxy is; "" is not known
}

// Hello is what a backend says of itself.
type Hello struct {
	Version string // such as "7.0.15"; "" when it does not say
	Mode    string // standalone, sentinel or cluster
	Role    string // master or replica
	ID      int64  // the connection's number there; 0 when it does not say
}

// DialObserver hears how dialling goes, by the instance's label.
type DialObserver interface {
	// DialResult says how a try to connect ended: "ok", "refused", "timeout",
	// "auth" or "error"; or "breaker_open": it was not made.
	DialResult(label, result string)
	// DialDelayed says that a try waited for its turn among others.
	DialDelayed(label string)
	// BreakerState says how the instance's breaker is: 0 closed, 1 half-open,
	// 2 open; with several servers, the worst of theirs.
	BreakerState(label string, state int)
}

// Dialer connects to backends. What it knows of them, all that dial with it share:
// there is one in a process. It is safe for concurrent use.
type Dialer struct {
	cfg   atomic.Pointer[DialConfig]
	log   *slog.Logger
	obs   DialObserver
	gates *gates
}

// NewDialer returns a dialer that logs each failed try and reports all to obs,
// which may be nil.
func NewDialer(cfg DialConfig, log *slog.Logger, obs DialObserver) *Dialer {
	if obs == nil {
		obs = unobserved{}
	}
	d := &Dialer{log: log, obs: obs, gates: newGates(cfg, log, obs)}
	d.SetConfig(cfg)
	return d
}

// Dial makes one round of up to attempts tries. The connection it returns has
// answered a PING and speaks protocol proto in database db. A refusal by the
// backend's own words (ReplyError to SELECT or AUTH) ends the round at once.
//
// Failures are everybody's: while a backend fails, one dial at a time tries and the
// others wait for how that ends; when a whole round has failed they get the last error
// at once, but for one in each retry delay, the probe. Dials to one server are bounded
// in number and rate.
func (d *Dialer) Dial(ctx context.Context, label string, b Backend, db, proto, attempts int) (net.Conn, Hello, error) {
	return d.dial(ctx, label, b, db, proto, attempts, ordinary)
}

func (d *Dialer) dial(ctx context.Context, label string, b Backend, db, proto, attempts int, u urgency) (net.Conn, Hello, error) {
	for try := 1; ; try++ {
		pass, err := d.gates.enter(ctx, label, b, u)
		if err != nil {
			if try == 1 && ctx.Err() == nil {
				d.obs.DialResult(label, "breaker_open")
			}
			return nil, Hello{}, err
		}
		conn, hello, err := d.try(ctx, b, db, proto)
		if err != nil && ctx.Err() != nil {
			err = ctx.Err()
			pass.leave(err)
			return nil, Hello{}, err
		}
		pass.leave(err)
		d.obs.DialResult(label, result(err))
		if err == nil {
			return conn, hello, nil
		}
		d.log.Warn("backend connection failed", "tenant", label, "db", db, "attempt", try, "attempts", attempts, "reason", Reason(err))
		var refused ReplyError
		if try >= attempts || errors.As(err, &refused) && refused.Code() != "LOADING" {
			return nil, Hello{}, err
		}
	}
}

// Jitter returns d, longer or shorter by up to a fifth, so that many waiters do
// not come back together.
func Jitter(d time.Duration) time.Duration {
	return soonest(d) + time.Duration(0.4*float64(d)*rand.Float64()) //nolint:gosec // no secret
}

// soonest is the least that Jitter makes of d.
func soonest(d time.Duration) time.Duration { return d * 4 / 5 }

// unobserved is for nobody.
type unobserved struct{}

func (unobserved) DialResult(string, string) {}
func (unobserved) DialDelayed(string)        {}
func (unobserved) BreakerState(string, int)  {}

// LinkWaits and LinksExhausted implement WaitObserver.
func (unobserved) LinkWaits(string, string, int) {}
func (unobserved) LinksExhausted(string, string) {}

func result(err error) string {
	var reply ReplyError
	switch {
	case err == nil:
		return "ok"
	case errors.As(err, &reply) && reply.auth():
		return "auth"
	case Reason(err) == "connection refused":
		return "refused"
	case Reason(err) == "timed out":
		return "timeout"
	}
	return "error"
}

// A path may die so that this connection's packets vanish while new connections work: a
// firewall that has forgotten it. A backend that does not acknowledge for so long is given up
// by the kernel, whether the link owes something or nothing; one that is only slow, or
// stopped, acknowledges all the same.
const deadAfter = 30 * time.Second

var keepAlive = net.KeepAliveConfig{Enable: true, Idle: deadAfter / 2, Interval: deadAfter / 6, Count: 3}

// connect connects to the server, and does the TLS handshake where it speaks TLS.
func (b Backend) connect(ctx context.Context) (net.Conn, error) {
	conn, err := (&net.Dialer{KeepAliveConfig: keepAlive}).DialContext(ctx, b.Network, b.Addr)
	if err != nil {
		return nil, err
	}
	_ = loop.GiveUpAfter(conn, deadAfter) // without it the kernel takes longer
	return b.TLS.secure(ctx, conn)
}

func (d *Dialer) try(ctx context.Context, b Backend, db, proto int) (net.Conn, Hello, error) {
	if b.Group != Single {
		return nil, Hello{}, errNoPrimary
	}
	ctx, cancel := context.WithTimeout(ctx, d.cfg.Load().Timeout)
	defer cancel()
	conn, err := b.connect(ctx)
	if err != nil {
		return nil, Hello{}, err
	}
	deadline, _ := ctx.Deadline()
	_ = conn.SetDeadline(deadline)
	stop := context.AfterFunc(ctx, func() { _ = conn.SetDeadline(time.Unix(1, 0)) })
	hello, err := handshake(conn, b, db, proto)
	if err == nil && !stop() {
		err = ctx.Err()
	}
	if err == nil {
		err = conn.SetDeadline(time.Time{})
	}
	if err != nil {
		_ = conn.Close()
		return nil, Hello{}, err
	}
	return conn, hello, nil
}

// What is said in place of a server's own words, which may repeat the command that it does not
// know, and the password in it.
const (
	errProtocol ReplyError = "NOPROTO unsupported protocol version"
	errPassword ReplyError = "WRONGPASS invalid username-password pair or user is disabled."
)

// handshake authenticates, selects the protocol and the database, and ends with
// an answered PING. Servers before Redis 6 do not know HELLO.
func handshake(conn net.Conn, b Backend, db, proto int) (Hello, error) {
	reply, err := exchange(conn, helloCommand(b, proto)...)
	var refused ReplyError
	if errors.As(err, &refused) && refused.unknown() {
		if err = errProtocol; proto == 2 {
			err = logIn(conn, b)
		}
	}
	if err != nil {
		return Hello{}, err
	}
	if db != 0 {
		if _, err := exchange(conn, "SELECT", strconv.Itoa(db)); errors.As(err, &refused) {
			return Hello{}, &databaseError{refused}
		} else if err != nil {
			return Hello{}, err
		}
	}
	pong, err := exchange(conn, "PING")
	switch {
	case errors.As(err, &refused) && refused.atWork():
	case err != nil:
		return Hello{}, err
	case string(pong) != "+PONG\r\n":
		return Hello{}, errors.New("backend does not answer PING with PONG")
	}
	hello := parseHello(string(reply))
	return hello, takeRole(conn, b.Role, &hello)
}

// errNotPrimary says that a server that should be the primary is none, or not any more.
var errNotPrimary = errors.New("it is not the primary")

// takeRole has the server play its role in the group.
func takeRole(conn net.Conn, role Role, hello *Hello) error {
	switch role {
	case PrimaryRole:
		if hello.Role == "" { // before Redis 6
			reply, err := exchange(conn, "ROLE")
			if err != nil {
				return err
			}
			if !bytes.Contains(reply, []byte("\r\nmaster\r\n")) {
				return errNotPrimary
			}
		} else if hello.Role != "master" {
			return errNotPrimary
		}
	case ReaderRole:
		_, err := exchange(conn, "READONLY")
		var refused ReplyError
		if errors.As(err, &refused) && refused.Code() == "ERR" {
			return nil // it is in no cluster
		}
		return err
	}
	return nil
}

// helloCommand is HELLO with what authenticates.
func helloCommand(b Backend, proto int) []string {
	hello := []string{"HELLO", strconv.Itoa(proto)}
	if b.Password != "" {
		hello = append(hello, "AUTH", cmp.Or(b.Username, "default"), b.Password.Reveal())
	}
	return hello
}

// logIn authenticates where there is no HELLO.
func logIn(conn net.Conn, b Backend) error {
	auth := authCommand(b)
	if auth == nil {
		return nil
	}
	_, err := exchange(conn, auth...)
	var refused ReplyError
	if errors.As(err, &refused) && refused.unknown() {
		return errPassword
	}
	return err
}

// authCommand is what authenticates where there is no HELLO; nil: nothing does.
func authCommand(b Backend) []string {
	switch {
	case b.Password == "":
		return nil
	case b.Username == "":
		return []string{"AUTH", b.Password.Reveal()}
	}
	return []string{"AUTH", b.Username, b.Password.Reveal()}
}

// maxHandshakeReply bounds what a backend may answer during the handshake.
const maxHandshakeReply = 64 << 10

// exchange sends one command and reads its one reply, whole. An error reply is
// returned as a ReplyError.
func exchange(conn net.Conn, args ...string) ([]byte, error) {
	if _, err := conn.Write(resp.AppendCommand(nil, args...)); err != nil {
		return nil, err
	}
	var framer resp.ReplyFramer
	var reply []byte
	framed := 0
	buf := make([]byte, 4096)
	for {
		n, err := conn.Read(buf)
		reply = append(reply, buf[:n]...)
		if n == 0 && err != nil {
			return nil, err
		}
		used, done, err := framer.Next(reply[framed:])
		framed += used
		switch {
		case err != nil:
			return nil, fmt.Errorf("backend speaks no RESP: %w", err)
		case done && framed < len(reply):
			return nil, errors.New("backend sent more than one reply")
		case done && reply[0] == '-':
			return nil, ReplyError(strings.TrimSuffix(string(reply[1:]), "\r\n"))
		case done && (framer.Kind() == '-' || framer.Kind() == '!'):
			return nil, errors.New("backend sent an error of a kind that Redis does not use")
		case done:
			return reply, nil
		case len(reply) > maxHandshakeReply:
			return nil, errors.New("backend sent too long a reply")
		}
	}
}

// parseHello picks what it knows from the reply to HELLO, in which names and
// values follow each other, in RESP2 as well as in RESP3.
func parseHello(reply string) (h Hello) {
	lines := strings.Split(reply, "\r\n")
	for i := 0; i+2 < len(lines); i++ {
		switch lines[i] {
		case "version":
			h.Version = lines[i+2]
		case "mode":
			h.Mode = lines[i+2]
		case "role":
			h.Role = lines[i+2]
		case "id":
			h.ID, _ = strconv.ParseInt(strings.TrimPrefix(lines[i+1], ":"), 10, 64)
		}
	}
	return h
}
