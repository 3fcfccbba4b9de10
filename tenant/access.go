package tenant

import (
	"encoding/json"
	"time"
)

// Role is what a user may do in an organization. Each role may what those before it may.
type Role string

// The roles. A viewer sees, an admin changes instances and keys, an owner also members,
// and the organization itself.
const (
	Viewer Role = "viewer"
	Admin  Role = "admin"
	Owner  Role = "owner"
)

// Roles returns all roles, the least first.
func Roles() []Role { return []Role{Viewer, Admin, Owner} }

// rank is 0 for what is no role.
func (r Role) rank() int {
	for i, role := range Roles() {
		if r == role {
			return i + 1
		}
	}
	return 0
}

// Valid reports whether r is one of Roles.
func (r Role) Valid() bool { return r.rank() > 0 }

// Includes reports whether r may all that least may.
func (r Role) Includes(least Role) bool { return least.Valid() && r.rank() >= least.rank() }

// User is a person, or a program, who manages organizations.
type User struct {
	ID           string // 12 characters of base62
	Email        string // in lower case
	Name         string // for people; may be ""
	Operator     bool   // may do everything in all organizations
	PasswordHash Secret // argon2id in PHC form; "" is none: only tokens let the user in
	Version      int64  // grows by one with each change
	CreatedAt    time.Time
	DisabledAt   time.Time // zero: the user may sign in
}

// Membership is a user's role in an organization.
type Membership struct {
	OrgID     string
	Org       string // the organization's name
	UserID    string
	Email     string
	Role      Role
	CreatedAt time.Time
}

// TokenKind is what a token is for.
type TokenKind string

// The kinds of tokens.
const (
	APIToken    TokenKind = "api"     // a bearer token for the management API
	BrowserSign TokenKind = "session" // a browser that has signed in
	Invitation  TokenKind = "invite"  // whoever has it may set the user's password, once
)

// Token lets in who has its secret, as its user. It is stored with the secret's hash
// only.
type Token struct {
	ID         string // 12 characters of base62
	UserID     string
	Kind       TokenKind
	Name       string // for people
	SecretHash [32]byte
	Rate       int // requests per second; 0 follows the default
	Burst      int // requests at once; 0 follows the default
	CreatedAt  time.Time
	ExpiresAt  time.Time // zero: never
	RevokedAt  time.Time // zero: live
	LastUsedAt time.Time // to the minute, or a little more; zero: never
}

// ActorKind is what kind of somebody did something.
type ActorKind string

// The kinds of actors.
const (
	ByOperator ActorKind = "operator" // with http.admin_token
	ByShell    ActorKind = "shell"    // who has the store's file or password
	ByUser     ActorKind = "user"
	ByKey      ActorKind = "key"    // a Redis client
	BySystem   ActorKind = "system" // respgate itself
	ByNobody   ActorKind = "nobody" // who could not say who they are
)

// Outcome is how what somebody tried ended.
type Outcome string

// The outcomes.
const (
	Done   Outcome = "ok"
	Denied Outcome = "denied" // it was not theirs to do
	Failed Outcome = "failed"
)

// Event is an entry of the audit log: who did what, from where, on what, and what came
// of it. It has no secrets: Before and After are without URLs' passwords, hashes and
// arguments of commands other than the names of keys.
type Event struct {
	Seq       int64 // its place in the log; 0 until it is stored
	At        time.Time
	Actor     ActorKind
	ActorID   string // the user's or the key's; "" for others
	ActorName string // the user's e-mail, the key's name, the shell's user
	TokenID   string // the token that a user used; "" is none
	Address   string // where from; "" is not known
	Action    string // such as key.create, session.sign_in, command.denied
	OrgID     string // "" concerns none
	Org       string // its name then
	Target    string // the kind of what it was done to: organization, instance, key, user, …
	TargetID  string
	Name      string // the target's name then
	Before    json.RawMessage
	After     json.RawMessage
	Outcome   Outcome
	Detail    string // why it was denied or failed; or how many events a sampled one stands for
}

// Usage is what was done with a key on an instance in a span of time that begins at At.
type Usage struct {
	KeyID      string
	InstanceID string
	At         time.Time
	Commands   int64
	Errors     int64 // commands answered with an error, refused ones too
	Limited    int64 // of these, the ones refused by a limit
	BytesIn    int64 // from clients
	BytesOut   int64 // to clients
}
