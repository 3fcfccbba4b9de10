// Package pool keeps the connections to the tenants' backends: it dials them,
// shares each among many clients, gives every reply to the client it belongs
// to, reconnects by itself, and finds the servers of those that are several.
package pool

import (
	"net"

	"github.com/respgate/respgate/tenant"
)

// Group says how many servers a backend is, and who knows them.
type Group uint8

// The groups.
const (
	Single     Group = iota // one server
	Replicated              // a primary, which knows its replicas
	Sentinel                // a primary and replicas, which sentinels know
	Cluster                 // a Redis Cluster, whose nodes know each other
)

// ReadFrom says who of a group is asked what a command reads that writes nothing.
type ReadFrom uint8

// The choices. Replicas lag behind: a client may not see there what it has just written.
const (
	Primary       ReadFrom = iota
	PreferReplica          // a replica while one is fit, else the primary
	Nearest                // whichever answers soonest
)

var readFrom = map[string]ReadFrom{"": Primary, "primary": Primary, "prefer_replica": PreferReplica, "nearest": Nearest}

// Role is what a member of a group must be.
type Role uint8

// The roles.
const (
	AnyRole     Role = iota
	PrimaryRole      // a connection to a server that is a replica is refused
	ReaderRole       // a cluster's replica is told that it will be read from
)

// Backend is one Redis server, or a group of them, as an instance's URL describes it.
// Equal values are the same backend.
type Backend struct {
	Network  string // tcp or unix
	Addr     string // host:port, or the socket's path; of a group those who know it, with commas between
	Username string // "" is Redis's default user
	Password tenant.Secret
	DB       int // the database that sessions begin in
	TLS      TLS

	Group            Group
	Secure           bool   // a group's members are reached over TLS
	Master           string // what sentinels call the primary
	SentinelUsername string
	SentinelPassword tenant.Secret // "" is as the servers'
	ReadFrom         ReadFrom
	Regions          Regions // where the servers are

	Role Role // of a member
}

// member is the server of b, a group, at addr.
func (b Backend) member(addr string, role Role) Backend {
	m := Backend{Network: "tcp", Addr: addr, Username: b.Username, Password: b.Password, DB: b.DB, TLS: b.TLS, Role: role}
	if b.Secure && m.TLS.ServerName == "" {
		m.TLS.ServerName, _, _ = net.SplitHostPort(addr)
	}
	return m
}
