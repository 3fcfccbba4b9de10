package tenant

import "time"

// Proxy is a proxy that runs on a store, as it has told there.
type Proxy struct {
	ID        string // 6 characters of base62, another one after each start
	Region    string // "" is none
	StartedAt time.Time
	SeenAt    time.Time // by its own clock: for people only
	// Beat grows each time that the proxy is heard of: who sees it grow knows that it lives,
	// whatever the clocks say.
	Beat    int64
	Applied int64 // the number of the last change that it has taken over
}

// Move is an instance that is on its way to another backend. Until it is over, proxies
// serve the instance only while they hear from the store.
type Move struct {
	InstanceID string
	Label      string
	Token      string // of who moves it
	Beat       int64  // grows each time that the mover is heard of
	Holding    bool   // writes are to wait
}

// MoveReports are what proxies have said of a move, as its mover sees it.
type MoveReports struct {
	Proxies []Proxy         // all that there are
	Holding map[string]bool // by the id of a proxy that knows of the move: its writes wait, and none is under way
}

// Moves are what a proxy is told of moves.
type Moves struct {
	All []Move
	Seq int64 // of the newest change: what has ended had its effect by then
}

// How proxies and movers trust each other, each by its own monotonic clock.
const (
	// MoveLease is for how long after it began to ask the store with success a proxy serves
	// an instance that is moved.
	MoveLease = 3 * time.Second
	// MoveGrace is how long after the end of its lease a proxy has ended what it had begun.
	MoveGrace = time.Second
	// MoverSilence is for how long a mover may not be heard of before proxies end its move.
	MoverSilence = 3 * time.Second
)
