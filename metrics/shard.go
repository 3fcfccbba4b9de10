package metrics

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/bare"
)

// Phase is a part of a command's time.
type Phase uint8

// The phases, in the order in which a command goes through them.
const (
	PhaseLimit   Phase = iota // waited for its key's limit
	PhasePool                 // waited for a link
	PhaseBackend              // sent and not answered
	PhaseWrite                // answered and not yet taken by the client's socket
	numPhases
)

var phaseNames = [numPhases]string{"limit", "pool", "backend", "write"}

// Loop is what one event loop counts. Its methods are called on that loop's
// goroutine; scrapes read beside it.
type Loop struct {
	all       *Metrics
	index     int
	durations [command.NumTop]atomic.Pointer[histogram]
	exemplars [command.NumTop]atomic.Pointer[exemplars]
	cacheAge  histogram
}

// Tenant is what one loop counts for one tenant. Its methods are called on that
// loop's goroutine. It takes about 1 KiB, and 128 bytes for each sixteen
// neighbours in the alphabet of which a command was used, and for each sixteen neighbouring
// cells in which a phase's durations are: docs/METRICS.md says what 10,000 tenants take.
type Tenant struct {
	commands [(command.NumTop + pageSize - 1) / pageSize]atomic.Pointer[page]
	phases   [numPhases]histogram
	clients  atomic.Int64
	in, out  atomic.Uint64
	limited  atomic.Uint64
	delayed  atomic.Uint64
	dryRun   atomic.Uint64
	slow     atomic.Uint64
	cache    atomic.Pointer[cached] // nil: it has had none

	mu      sync.Mutex
	errors  map[errorKey]uint64
	retries [numRetries]uint64
}

// Retry is why a command is sent again.
type Retry uint8

// The reasons. In none of them has the command been executed, or it only reads.
const (
	RetryMoved     Retry = iota // its slot is another node's
	RetryAsk                    // its slot is being moved
	RetryNotServed              // the server does not serve it for now: TRYAGAIN, LOADING …
	RetryUnsent                 // it could not be sent
	RetryLostRead               // the connection was lost, and it only reads
	RetryDenied                 // it is not: there have been too many
	numRetries
)

var retryNames = [numRetries]string{"moved", "ask", "not_served", "unsent", "lost_read", "denied"}

type errorKey struct {
	command command.ID
	code    string
}

// Tenant returns the loop's counters for the tenant called label ("org/instance").
func (l *Loop) Tenant(label string) *Tenant {
	l.all.mu.Lock()
	defer l.all.mu.Unlock()
	slot := &l.all.account(label).shards[l.index]
	if t := slot.Load(); t != nil {
		return t
	}
	t := &Tenant{errors: map[errorKey]uint64{}}
	for _, code := range []string{"RATELIMIT", "NOPERM", "backend_unavailable", "backend_lost"} {
		t.errors[errorKey{command.Other, code}] = 0 // what alerts look for
	}
	slot.Store(t)
	return t
}

// top returns the top-level command by which id is counted.
func top(id command.ID) command.ID { return id.Info().Top }

// Duration counts n commands that their backend took d to answer each.
func (l *Loop) Duration(id command.ID, d time.Duration, n int) {
	slot := &l.durations[top(id)]
	h := slot.Load()
	if h == nil {
		h = new(histogram)
		slot.Store(h)
	}
	h.observe(d, n)
}

// Commands counts n commands of the client's.
func (t *Tenant) Commands(id command.ID, n int) {
	if bare.On {
		return
	}
	id = top(id)
	pageAt(&t.commands[id/pageSize])[id%pageSize].Add(uint64(n)) //nolint:gosec // n counts
}

// Error counts a command that was answered with an error, by its first word or,
// for respgate's own, by its code. Words that are not known count as "other":
// scripts invent them.
func (t *Tenant) Error(id command.ID, code string) {
	known, ok := knownCodes[code]
	if !ok {
		known = "other"
	}
	t.count(id, known)
}

// ErrorReply is Error for the first word of a reply, which is valid during the call only.
func (t *Tenant) ErrorReply(id command.ID, code []byte) {
	t.count(id, Code(code))
}

// Code is the label code of an error whose first word is given.
func Code(word []byte) string {
	if known, ok := knownCodes[string(word)]; ok { // does not allocate
		return known
	}
	return "other"
}

func (t *Tenant) count(id command.ID, code string) {
	t.mu.Lock()
	t.errors[errorKey{top(id), code}]++
	t.mu.Unlock()
}

// Phase counts n commands that spent d in a phase.
func (t *Tenant) Phase(p Phase, d time.Duration, n int) { t.phases[p].observe(d, n) }

// Bytes counts bytes from and to clients.
func (t *Tenant) Bytes(in, out int) {
	if bare.On {
		return
	}
	if in > 0 {
		t.in.Add(uint64(in))
	}
	if out > 0 {
		t.out.Add(uint64(out))
	}
}

// Retry counts a command that is sent again, or might have been.
func (t *Tenant) Retry(r Retry) {
	t.mu.Lock()
	t.retries[r]++
	t.mu.Unlock()
}

// Clients counts clients that come (1) and go (-1).
func (t *Tenant) Clients(delta int) { t.clients.Add(int64(delta)) }

// SlowLogged counts a command that is put into the tenant's slow log.
func (t *Tenant) SlowLogged() { t.slow.Add(1) }

// RateLimited counts n commands refused by the limit.
func (t *Tenant) RateLimited(n int) { t.limited.Add(uint64(n)) } //nolint:gosec // n counts

// RateDelayed counts n commands that have waited for a limit.
func (t *Tenant) RateDelayed(n int) { t.delayed.Add(uint64(n)) } //nolint:gosec // n counts

// RateDryRun counts n commands that a limit would have refused if it were in force.
func (t *Tenant) RateDryRun(n int) { t.dryRun.Add(uint64(n)) } //nolint:gosec // n counts

// knownCodes are the values of the label code, by themselves.
var knownCodes = func() map[string]string {
	known := map[string]string{}
	for _, c := range []string{
		// Redis's own.
		"ERR", "WRONGTYPE", "NOAUTH", "WRONGPASS", "NOPERM", "NOSCRIPT", "BUSY", "BUSYKEY", "BUSYGROUP", "NOGROUP", "LOADING",
		"READONLY", "MASTERDOWN", "MISCONF", "NOREPLICAS", "OOM", "EXECABORT", "UNKILLABLE", "NOTBUSY", "UNBLOCKED", "INPROG",
		"NOPROTO", "CROSSSLOT", "CLUSTERDOWN", "TRYAGAIN", "MOVED", "ASK", "IOERR", "NOKEY", "BADTYPE", "NOTREADY",
		// respgate's.
		"RATELIMIT", "auth_unavailable", "max_clients", "backend_unavailable", "backend_lost", "protocol_error", "unsupported",
	} {
		known[c] = c
	}
	return known
}()
