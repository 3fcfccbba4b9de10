// Package pool keeps the connections to the tenants' backends: it dials them,
// shares each among many clients, gives every reply to the client it belongs
// to, and reconnects by itself.
package pool

import (
	"errors"
	"fmt"
	"net"
	"net/url"
	"strconv"
	"strings"

	"github.com/respgate/respgate/tenant"
)

// Backend is one Redis server as an instance's URL describes it.
type Backend struct {
	Network  string // tcp or unix
	Addr     string // host:port, or the socket's path
	Username string // "" is Redis's default user
	Password tenant.Secret
	DB       int // the database that sessions begin in
	TLS      TLS
}

// ParseURL reads redis://[user][:password]@host[:port][/db], the same with rediss:// for
// TLS, whose options are those of TLS, or unix://[user][:password]@/path[?db=n]. Its errors
// never repeat a part of the URL: what looks like a host, an option or a number may be of
// a password that was not written as URLs want it.
func ParseURL(secret tenant.Secret) (Backend, error) {
	u, err := url.Parse(secret.Reveal())
	if err != nil {
		return Backend{}, errors.New("backend URL cannot be parsed: want redis://user:password@host:6379/0")
	}
	if u.Fragment != "" || u.Scheme != "unix" && u.User == nil && strings.Contains(u.Path+u.RawQuery, "@") {
		return Backend{}, errors.New("backend URL: a '/', '?' or '#' in the user's name or password has to be written as %2F, %3F or %23")
	}
	b := Backend{Network: "tcp", Username: u.User.Username()}
	password, _ := u.User.Password()
	b.Password = tenant.Secret(password)
	db := strings.TrimPrefix(u.Path, "/")
	switch u.Scheme {
	case "redis", "rediss":
		if u.Hostname() == "" {
			return Backend{}, fmt.Errorf("backend URL names no host: want %s://user:password@host:6379/0", u.Scheme)
		}
		port := u.Port()
		if port == "" {
			port = "6379"
		}
		b.Addr = net.JoinHostPort(u.Hostname(), port)
		if u.RawQuery != "" && u.Scheme == "redis" {
			return Backend{}, errors.New("backend URL: options after '?' are not supported for redis://")
		}
		if u.Scheme == "rediss" {
			if b.TLS, err = parseTLS(u); err != nil {
				return Backend{}, err
			}
		}
	case "unix":
		b.Network, b.Addr, db = "unix", u.Path, u.Query().Get("db")
		if b.Addr == "" {
			return Backend{}, errors.New("backend URL names no socket: want unix:///path/to/redis.sock")
		}
	case "redis-sentinel", "redis-cluster":
		return Backend{}, fmt.Errorf("backend URL: %s:// is not supported yet", u.Scheme)
	default:
		return Backend{}, errors.New("backend URL: its scheme is not known: want redis://, rediss:// or unix://")
	}
	if db != "" {
		if b.DB, err = strconv.Atoi(db); err != nil || b.DB < 0 {
			return Backend{}, errors.New("backend URL: its database is not a number: want 0 or more, as in redis://host:6379/0")
		}
	}
	return b, nil
}
