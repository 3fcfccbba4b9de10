package tenant

import "time"

// SlowEntry is a command of an instance that took long, as a proxy's slow log keeps it. No
// Redis is asked: the times are the proxy's own.
type SlowEntry struct {
	ID      int64     // grows by one with each entry of the instance at this proxy
	At      time.Time // when the reply had come
	Command string    // as the command table names it: "get", "config|get"; "other" is none of its names
	// Args are the command as the client sent it, for reading only: at most 32 arguments of
	// at most 128 bytes each, and no secrets.
	Args []string

	// Took is the command's own time, from when it was sent, or the reply to the one before it
	// on its connection to Redis had come, until its reply had come. Total is from when it was
	// to be sent: Limited + Waited + Ahead + Took.
	Took    time.Duration
	Total   time.Duration
	Limited time.Duration // that it waited for its limits
	Waited  time.Duration // for a connection
	Ahead   time.Duration // for the replies to earlier commands on the same connection

	Address   string // host:port of the client
	Name      string // as of CLIENT SETNAME; "" is none
	KeyID     string
	SessionID string // as in Session
	DB        int
	Size      int    // bytes of the command
	ReplySize int    // bytes of its reply
	Error     string // the first word of the error that it was answered; "" is none
}

// Top is what stands out among an instance's commands at a proxy of late. The lists are in
// order, what stands out most first.
type Top struct {
	// Window is the time until now that it is about: one to two minutes, less after a start,
	// but at least a second.
	Window time.Duration
	// Every is of how many commands one is looked at, at random, for HotKeys and Clients; 0 is
	// none: all lists are empty then.
	Every      int
	HotKeys    []HotKey     // at most TopLen
	Clients    []BusyClient // at most TopLen
	BigKeys    []BigCommand // the longest commands that write, one for each key; at most TopLen
	BigReplies []BigCommand // the longest replies, one for each command and key; at most TopLen
}

// TopLen is the most that a list of Top has.
const TopLen = 16

// HotKey is a key that many commands name as their first.
type HotKey struct {
	Key string // its first 128 bytes, or a keyed hash of them
	Cut bool   // the key is longer: those that begin like it are counted with it
	DB  int
	// Rate is an estimate, of commands per second over the window. The true rate is within
	// Error of it, for all but one in twenty.
	Rate, Error float64
}

// BusyClient is a client that sends many commands.
type BusyClient struct {
	SessionID   string // as in Session
	Address     string // host:port
	Name        string // as of CLIENT SETNAME; "" is none
	KeyID       string
	Rate, Error float64 // as of HotKey
}

// BigCommand is a command that was long itself, or had a long reply.
type BigCommand struct {
	Command   string // as of SlowEntry
	Key       string // the first that it names, as of HotKey; "" is none
	Cut       bool   // the key is longer
	DB        int
	Bytes     int64     // of the command or of its reply: what the list is about
	At        time.Time // when the reply had come
	SessionID string    // of the client, as in Session
	Address   string
	Name      string
	KeyID     string
}
