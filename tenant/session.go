package tenant

import "time"

// Session is a client's connection to a proxy, as it is while it is looked at.
type Session struct {
	ID          string // the proxy's id, '-', and the client's, which CLIENT ID says
	KeyID       string
	KeyName     string
	OrgID       string
	Org         string
	InstanceID  string
	Instance    string // its name
	Address     string // host:port of the client
	TLS         bool
	Name        string // as of CLIENT SETNAME; "" is none, as for the library
	LibName     string
	LibVersion  string
	Protocol    int // of RESP: 2 or 3
	DB          int
	ConnectedAt time.Time
	ActiveAt    time.Time // when it last sent something
	Command     string    // its last command, in lower case
	Unsent      int       // bytes of replies that it has not taken
	State       []string  // what it is in: subscribed, multi, blocked, tracking, monitor, delayed; often nothing
}
