package control

import (
	"encoding/json"
	"strings"
	"time"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// OrganizationView is an organization as it is shown, as JSON by all who show one. As in
// all views, times are in UTC, and null is none.
type OrganizationView struct {
	ID             string           `json:"id"`
	Name           string           `json:"name"`
	MaxInstances   int              `json:"max_instances"` // 0 is unlimited, as for all that follow
	MaxKeys        int              `json:"max_keys"`
	MaxMembers     int              `json:"max_members"`
	MaxConnections int              `json:"max_connections"`
	Rate           int              `json:"rate"`
	Burst          int              `json:"burst"`
	ByteRate       int64            `json:"byte_rate"`  // per second
	LimitMode      tenant.LimitMode `json:"limit_mode"` // "" follows the proxy's
	Version        int64            `json:"version"`
	CreatedAt      time.Time        `json:"created_at"`
	DeletedAt      *time.Time       `json:"deleted_at"`
}

// ViewOrganization shows o.
func ViewOrganization(o tenant.Organization) OrganizationView {
	return OrganizationView{o.ID, o.Name, o.MaxInstances, o.MaxKeys, o.MaxMembers, o.MaxConnections, o.Rate, o.Burst, o.ByteRate, o.LimitMode,
		o.Version, o.CreatedAt.UTC(), optional(o.DeletedAt)}
}

// InstanceView is an instance as it is shown.
type InstanceView struct {
	ID         string     `json:"id"`
	Org        string     `json:"org"`
	Name       string     `json:"name"`
	URL        string     `json:"url"`                  // without its password
	Slowlog    *int64     `json:"slowlog_threshold_us"` // null follows the proxy's, 0 is every command, -1 none
	CacheBytes int64      `json:"cache_bytes"`          // 0 is no cache
	Version    int64      `json:"version"`
	CreatedAt  time.Time  `json:"created_at"`
	DeletedAt  *time.Time `json:"deleted_at"`
}

// ViewInstance shows in, without the URL's password.
func ViewInstance(in tenant.Instance) InstanceView {
	return InstanceView{in.ID, in.Org, in.Name, pool.RedactURL(in.URL), tenant.SlowlogMicroseconds(in.SlowlogThreshold), in.CacheBytes, in.Version, in.CreatedAt.UTC(), optional(in.DeletedAt)}
}

// KeyView is a key as it is shown, without its secret.
type KeyView struct {
	ID              string           `json:"id"`
	Org             string           `json:"org"`
	Instances       []string         `json:"instances"` // the first is the key's own
	Name            string           `json:"name"`
	Rate            *int             `json:"rate"` // null follows the default, 0 is unlimited
	Burst           *int             `json:"burst"`
	ByteRate        *int64           `json:"byte_rate"`  // per second; null and 0 as of the rate
	LimitMode       tenant.LimitMode `json:"limit_mode"` // "" follows the proxy's
	Commands        string           `json:"commands"`   // the rules in force
	AllowFrom       []string         `json:"allow_from"` // empty: from anywhere
	MaxConnections  int              `json:"max_connections"`
	CertificateName string           `json:"certificate_name"` // "" is none
	Audit           string           `json:"audit"`            // rules of the commands that are noted; "" is none
	Version         int64            `json:"version"`
	CreatedAt       time.Time        `json:"created_at"`
	ExpiresAt       *time.Time       `json:"expires_at"`
	RevokedAt       *time.Time       `json:"revoked_at"`
	PreviousUntil   *time.Time       `json:"previous_until"` // until when the secret before the last rotation is good
	LastUsedAt      *time.Time       `json:"last_used_at"`   // to the minute, or a little more
}

// ViewKey shows k.
func ViewKey(k tenant.Key) KeyView {
	v := KeyView{k.ID, k.Org, k.Instances, k.Name, k.Limits.Rate, k.Limits.Burst, k.Limits.ByteRate, k.Limits.Mode, k.Commands, k.AllowFrom.Strings(), k.MaxConnections, k.CertificateName, k.Audit,
		k.Version, k.CreatedAt.UTC(), optional(k.ExpiresAt), optional(k.RevokedAt), optional(k.PreviousUntil), optional(k.LastUsedAt)}
	if v.Commands == "" {
		v.Commands = auth.DefaultRules
	}
	return v
}

// NewKeyView is a key at the one time when its secret is shown.
type NewKeyView struct {
	KeyView
	Key string `json:"key"` // what a client sends
}

// ViewNewKey shows k with its secret.
func ViewNewKey(k NewKey) NewKeyView { return NewKeyView{ViewKey(k.Key), k.Text.Reveal()} }

// MemberView is a membership as it is shown.
type MemberView struct {
	Org       string      `json:"org"`
	UserID    string      `json:"user_id"`
	Email     string      `json:"email"`
	Role      tenant.Role `json:"role"`
	CreatedAt time.Time   `json:"created_at"`
}

// ViewMember shows m.
func ViewMember(m tenant.Membership) MemberView {
	return MemberView{m.Org, m.UserID, m.Email, m.Role, m.CreatedAt.UTC()}
}

// UserView is a user as it is shown.
type UserView struct {
	ID         string     `json:"id"`
	Email      string     `json:"email"`
	Name       string     `json:"name"`
	Operator   bool       `json:"operator"`
	Version    int64      `json:"version"`
	CreatedAt  time.Time  `json:"created_at"`
	DisabledAt *time.Time `json:"disabled_at"`
}

// ViewUser shows u.
func ViewUser(u tenant.User) UserView {
	return UserView{u.ID, u.Email, u.Name, u.Operator, u.Version, u.CreatedAt.UTC(), optional(u.DisabledAt)}
}

// TokenView is a token as it is shown, without its secret.
type TokenView struct {
	ID         string           `json:"id"`
	UserID     string           `json:"user_id"`
	Kind       tenant.TokenKind `json:"kind"`
	Name       string           `json:"name"`
	Rate       int              `json:"rate"` // requests per second; 0 follows the default
	Burst      int              `json:"burst"`
	CreatedAt  time.Time        `json:"created_at"`
	ExpiresAt  *time.Time       `json:"expires_at"`
	RevokedAt  *time.Time       `json:"revoked_at"`
	LastUsedAt *time.Time       `json:"last_used_at"`
}

// ViewToken shows t.
func ViewToken(t tenant.Token) TokenView {
	return TokenView{t.ID, t.UserID, t.Kind, t.Name, t.Rate, t.Burst, t.CreatedAt.UTC(), optional(t.ExpiresAt), optional(t.RevokedAt), optional(t.LastUsedAt)}
}

// NewTokenView is a token at the one time when its secret is shown.
type NewTokenView struct {
	TokenView
	Token string `json:"token"` // what its bearer sends
}

// ViewNewToken shows t with its secret.
func ViewNewToken(t NewToken) NewTokenView { return NewTokenView{ViewToken(t.Token), t.Text.Reveal()} }

// Probe is what a connection test finds out.
type Probe struct {
	Org       string   `json:"org"`
	Name      string   `json:"name"`
	Reachable bool     `json:"reachable"`
	Error     string   `json:"error,omitempty"`
	Version   string   `json:"version,omitempty"`
	Mode      string   `json:"mode,omitempty"`
	Role      string   `json:"role,omitempty"`
	Primaries int      `json:"primaries,omitempty"`  // of several servers; all were connected to
	ConnectMS float64  `json:"connect_ms,omitempty"` // dial, authenticate and PING
	PingMS    float64  `json:"ping_ms,omitempty"`    // the median of several
	Warnings  []string `json:"warnings"`
}

// UsageView is usage as it is shown.
type UsageView struct {
	At         *time.Time `json:"at"` // when the step of time begins; null: all is one
	KeyID      string     `json:"key_id"`
	Key        string     `json:"key"` // its name
	InstanceID string     `json:"instance_id"`
	Instance   string     `json:"instance"` // its name
	Commands   int64      `json:"commands"`
	Errors     int64      `json:"errors"`  // commands answered with an error, refused ones too
	Limited    int64      `json:"limited"` // of these, the ones refused by a limit
	BytesIn    int64      `json:"bytes_in"`
	BytesOut   int64      `json:"bytes_out"`
}

// ViewUsage shows u.
func ViewUsage(u UsageSum) UsageView {
	return UsageView{optional(u.At), u.KeyID, u.Key, u.InstanceID, u.Instance, u.Commands, u.Errors, u.Limited, u.BytesIn, u.BytesOut}
}

// EventView is an event as it is shown.
type EventView struct {
	Seq       int64            `json:"seq"`
	At        time.Time        `json:"at"`
	Actor     tenant.ActorKind `json:"actor"`
	ActorID   string           `json:"actor_id"`
	ActorName string           `json:"actor_name"`
	TokenID   string           `json:"token_id"`
	Address   string           `json:"address"`
	Action    string           `json:"action"`
	OrgID     string           `json:"org_id"`
	Org       string           `json:"org"`
	Target    string           `json:"target"`
	TargetID  string           `json:"target_id"`
	Name      string           `json:"name"`
	Before    json.RawMessage  `json:"before"`
	After     json.RawMessage  `json:"after"`
	Outcome   tenant.Outcome   `json:"outcome"`
	Detail    string           `json:"detail"`
}

// ViewEvent shows e.
func ViewEvent(e tenant.Event) EventView {
	e.At = e.At.UTC()
	return EventView(e)
}

// Views shows all of a list; no list is an empty one.
func Views[T, V any](all []T, view func(T) V) []V {
	views := make([]V, 0, len(all))
	for _, v := range all {
		views = append(views, view(v))
	}
	return views
}

// optional is nil for the zero time, which would be the year 1 in JSON.
func optional(t time.Time) *time.Time {
	if t.IsZero() {
		return nil
	}
	t = t.UTC()
	return &t
}

// SessionView is a client's session as it is shown.
type SessionView struct {
	ID          string    `json:"id"`
	Proxy       string    `json:"proxy"` // the part of the id that says whose it is
	KeyID       string    `json:"key_id"`
	Key         string    `json:"key"` // its name
	Org         string    `json:"org"`
	Instance    string    `json:"instance"`
	Address     string    `json:"address"`
	TLS         bool      `json:"tls"`
	Name        string    `json:"name"` // as of CLIENT SETNAME; "" is none, as for the library
	LibName     string    `json:"lib_name"`
	LibVersion  string    `json:"lib_version"`
	Protocol    int       `json:"protocol"`
	DB          int       `json:"db"`
	ConnectedAt time.Time `json:"connected_at"`
	ActiveAt    time.Time `json:"active_at"` // when it last sent something
	Command     string    `json:"command"`   // its last
	Unsent      int       `json:"unsent_bytes"`
	State       []string  `json:"state"` // what it is in: subscribed, multi, blocked, tracking, monitor, delayed
}

// ViewSession shows c.
func ViewSession(c tenant.Session) SessionView {
	proxy, _, _ := strings.Cut(c.ID, "-")
	return SessionView{c.ID, proxy, c.KeyID, c.KeyName, c.Org, c.Instance, c.Address, c.TLS, c.Name, c.LibName, c.LibVersion, c.Protocol, c.DB,
		c.ConnectedAt.UTC(), c.ActiveAt.UTC(), c.Command, c.Unsent, append([]string{}, c.State...)}
}
