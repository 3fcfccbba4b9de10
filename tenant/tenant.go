// Package tenant holds the immutable values that the other packages pass round:
// who a client is, what it may do and where its commands go. It imports the
// standard library only, so that every floor above can name these values.
package tenant

import (
	"errors"
	"time"
)

// ErrNotFound says that the store was asked and has no such thing. It is the
// one store error that authentication must tell from "the store is away".
var ErrNotFound = errors.New("not found")

// Organization is a customer: it owns instances and keys.
type Organization struct {
	ID   string // 12 characters of base62
	Name string // see ValidateName
	Quota
	Version   int64 // grows by one with each change
	CreatedAt time.Time
	DeletedAt time.Time // zero: it is there; else it is until it is purged
}

// Quota bounds what an organization may have and do. 0 is unlimited, everywhere.
type Quota struct {
	MaxInstances   int
	MaxKeys        int // that are not revoked
	MaxMembers     int
	MaxConnections int       // at once to a proxy, with any of its keys
	Rate           int       // commands per second to a proxy, with any of its keys
	Burst          int       // commands at once; 0 is as many as Rate
	ByteRate       int64     // bytes per second through a proxy, with any of its keys
	LimitMode      LimitMode // what happens beyond Rate and ByteRate
}

// Pace is the part of it that says how fast its keys may go.
func (q Quota) Pace() Pace { return Pace{q.Rate, q.Burst, q.ByteRate, q.LimitMode} }

// Instance is one Redis that an organization's clients reach through respgate.
type Instance struct {
	ID   string // 12 characters of base62
	Org  string // the organization's name
	Name string // see ValidateName
	URL  Secret // redis://user:password@host:port/db
	// SlowlogThreshold is how long a command takes, or longer, that its slow log keeps; nil
	// follows the proxy's setting, 0 keeps every command, and below 0 is none.
	SlowlogThreshold *time.Duration
	CacheBytes       int64 // what each proxy may keep of it in a near cache; 0 is no cache
	Version          int64 // grows by one with each change
	CreatedAt        time.Time
	DeletedAt        time.Time // zero: it is there; else it is until it is purged
}

// Label is the instance's name in metrics and logs: "org/instance".
func (i Instance) Label() string { return i.Org + "/" + i.Name }

// Limits bound how fast a key may send commands. The zero value follows the
// proxy's defaults.
type Limits struct {
	Rate     *int      // commands per second; nil follows the default, 0 is unlimited
	Burst    *int      // commands at once; nil is as many as Rate
	ByteRate *int64    // bytes of commands and replies per second; nil follows the default, 0 is unlimited
	Mode     LimitMode // what happens beyond them
	Reset    int64     // grows by one with each request to refill the key's bucket
}

// Key is an API key as it is stored: never with its secret.
type Key struct {
	ID         string // the 12 characters between rg_ and the secret
	SecretHash [32]byte
	Org        string
	Instances  []string // names; the first is the key's own, never empty
	Name       string
	Limits     Limits
	Commands   string // Redis ACL rules; "" is the default set
	AllowFrom  Networks
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	RevokedAt  time.Time // zero: live

	MaxConnections int // at once; 0 is unlimited
	// CertificateName is what a client's certificate must be named to open the key
	// without its secret; "" is none.
	CertificateName string

	// PreviousHash is the secret's that the last rotation replaced: it is good until
	// PreviousUntil, which is zero when it ended at once.
	PreviousHash  [32]byte
	PreviousUntil time.Time

	Audit      string    // rules of the commands that are noted in the audit log; "" is none
	LastUsedAt time.Time // to the minute, or a little more; zero: never
	Version    int64     // grows by one with each change, but for LastUsedAt
}

// Route says where a client's commands go.
type Route struct {
	InstanceID string
	Label      string // "org/instance"
	Instance   string // the name that AUTH's user name selects
	URL        Secret

	SlowlogThreshold *time.Duration // the instance's
	CacheBytes       int64          // the instance's
}

// Grant is everything authentication needs to know about one key: the key and
// the instances it opens, in the order of Key.Instances.
type Grant struct {
	Key    Key
	Routes []Route
	Seats  Seats
	Quota  Quota // the organization's
}

// Seats say how many connections there may be at once, to a proxy; 0 is unlimited.
type Seats struct {
	OrgID string // stays when the organization is renamed
	Key   int    // with the key
	Org   int    // with any key of the organization
}

// Changes lists what a store changed after a given sequence number.
type Changes struct {
	Seq      int64    // ask for the changes after this one next time
	Keys     []string // ids of keys that changed themselves or by an instance they open
	Deleted  []string // labels of instances that are gone
	Sessions []string // ids of clients' sessions that are to end
	Moves    int      // how many instances are on their way to another backend now
	Complete bool     // false: history was cut short, everything cached is suspect
}

// Counts are the totals shown as gauges.
type Counts struct {
	Organizations, Users, Instances, Keys int
}

// Connections are a process's connections to the store's database, and since it opened
// how often one was waited for, and how long in all.
type Connections struct {
	InUse, Idle int
	Waits       int64
	Waited      time.Duration
}

// Principal is an authenticated client: one key on one of its instances.
// Principals are never changed; a changed key makes a new one.
type Principal struct {
	KeyID     string
	KeyName   string
	Org       string
	Route     Route
	Limits    Limits
	Pace      Pace
	Commands  *CommandSet
	Audit     *CommandSet // the commands that are noted in the audit log; nil is none
	AllowFrom Networks
	Seats     Seats
}

// Pace is how fast all keys of an organization together may send commands to a proxy; the
// zero one is without limit.
type Pace struct {
	Rate     int       // commands per second; 0 is unlimited
	Burst    int       // commands at once; 0 is as many as Rate
	ByteRate int64     // bytes of commands and replies per second; 0 is unlimited
	Mode     LimitMode // what happens beyond them
}
