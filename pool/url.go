package pool

import (
	"errors"
	"fmt"
	"maps"
	"net"
	"net/url"
	"slices"
	"strconv"
	"strings"

	"github.com/respgate/respgate/tenant"
)

// scheme is what the first word of a backend's URL means.
type scheme struct {
	group   Group
	secure  bool
	port    string // of a host that names none
	options string // those that it takes, besides TLS's where it is secure
	want    string // an example
}

var schemes = map[string]scheme{
	"redis":           {Single, false, "6379", "read_from", "redis://user:password@host:6379/0"},
	"rediss":          {Single, true, "6379", "read_from", "rediss://user:password@host:6379/0"},
	"unix":            {Single, false, "", "db", "unix:///path/to/redis.sock"},
	"redis-sentinel":  {Sentinel, false, "26379", "read_from sentinel_username sentinel_password", "redis-sentinel://user:password@h1:26379,h2:26379/mymaster/0"},
	"rediss-sentinel": {Sentinel, true, "26379", "read_from sentinel_username sentinel_password", "rediss-sentinel://user:password@h1:26379,h2:26379/mymaster/0"},
	"redis-cluster":   {Cluster, false, "6379", "read_from", "redis-cluster://user:password@h1:7000,h2:7000"},
	"rediss-cluster":  {Cluster, true, "6379", "read_from", "rediss-cluster://user:password@h1:7000,h2:7000"},
}

var errURL = errors.New("backend URL cannot be parsed: want redis://user:password@host:6379/0")

// ParseURL reads an instance's URL:
//
//	redis://[user][:password]@host[:port][/db]
//	unix://[user][:password]@/path[?db=n]
//	redis-sentinel://[user][:password]@host[:port],…/primary[/db]
//	redis-cluster://[user][:password]@host[:port],…
//
// With rediss instead of redis it is over TLS, whose options are those of TLS. The user and
// the password are the Redis servers'; sentinels may have their own (sentinel_username,
// sentinel_password), and are told the servers' where they ask for some and these are not
// set. read_from is primary, prefer_replica or nearest; region.NAME says which servers, by
// address, are in a region: see Regions. Errors never repeat a part of
// the URL: what looks like a host, an option or a number may be of a password that was not
// written as URLs want it.
func ParseURL(secret tenant.Secret) (Backend, error) {
	name, rest, ok := strings.Cut(secret.Reveal(), "://")
	if !ok {
		return Backend{}, errURL
	}
	name = strings.ToLower(name)
	s, known := schemes[name]
	if !known {
		return Backend{}, fmt.Errorf("backend URL: its scheme is not known: want one of %s", strings.Join(slices.Sorted(maps.Keys(schemes)), ", "))
	}
	hosts, u, err := splitHosts(name, rest)
	if err != nil {
		return Backend{}, err
	}
	b := Backend{Network: "tcp", Username: u.User.Username(), Group: s.group, Secure: s.secure}
	password, _ := u.User.Password()
	b.Password = tenant.Secret(password)
	query, err := url.ParseQuery(u.RawQuery)
	if err != nil {
		return Backend{}, errors.New("backend URL: the options after '?' cannot be parsed")
	}
	if err := b.options(s, query); err != nil {
		return Backend{}, err
	}
	if err := b.where(name, s, hosts, u, query.Get("db")); err != nil {
		return Backend{}, err
	}
	return b, nil
}

// splitHosts parses a URL that may have several hosts: u has none of them.
func splitHosts(name, rest string) (hosts string, u *url.URL, err error) {
	end := strings.IndexAny(rest, "/?#")
	if end < 0 {
		end = len(rest)
	}
	at := strings.LastIndexByte(rest[:end], '@') + 1
	if strings.Contains(rest, "#") || at == 0 && name != "unix" && strings.Contains(rest[end:], "@") {
		return "", nil, errors.New("backend URL: a '/', '?' or '#' in the user's name or password has to be written as %2F, %3F or %23")
	}
	hosts = rest[at:end]
	u, err = url.Parse(name + "://" + rest[:at] + rest[end:])
	if err != nil {
		return "", nil, errURL
	}
	return hosts, u, nil
}

// options reads what follows the question mark.
func (b *Backend) options(s scheme, query url.Values) error {
	from := ""
	user, password := "", ""
	known := map[string]*string{"db": new(string), "read_from": &from, "sentinel_username": &user, "sentinel_password": &password}
	maps.DeleteFunc(known, func(name string, _ *string) bool { return !slices.Contains(strings.Fields(s.options), name) })
	if s.secure {
		maps.Copy(known, b.TLS.options())
	}
	for name, values := range query {
		if region, ok := strings.CutPrefix(name, regionOption); ok && known["read_from"] != nil {
			if len(values) != 1 {
				return errRegion
			}
			if err := b.Regions.add(region, values[0]); err != nil {
				return err
			}
			continue
		}
		to := known[name]
		if to == nil {
			want := slices.Sorted(maps.Keys(known))
			if known["read_from"] != nil {
				want = append(want, regionOption+"NAME")
			}
			return fmt.Errorf("backend URL: an option after '?' is not known: want some of %s", strings.Join(want, ", "))
		}
		if len(values) != 1 || values[0] == "" {
			return fmt.Errorf("backend URL: option %s: want one value", name)
		}
		*to = values[0]
	}
	b.SentinelUsername, b.SentinelPassword = user, tenant.Secret(password)
	if user != "" && password == "" {
		return errors.New("backend URL: option sentinel_username: want sentinel_password too")
	}
	read, ok := readFrom[from]
	if !ok {
		return errors.New("backend URL: option read_from: want primary, prefer_replica or nearest")
	}
	b.ReadFrom = read
	if b.ReadFrom != Primary && b.Group == Single {
		b.Group = Replicated
	}
	return b.TLS.check()
}

// where reads the hosts and the path.
func (b *Backend) where(name string, s scheme, hosts string, u *url.URL, db string) error {
	if name == "unix" {
		b.Network, b.Addr = "unix", u.Path
		if b.Addr == "" || hosts != "" {
			return errors.New("backend URL names no socket: want " + s.want)
		}
		return b.database(db)
	}
	var addrs []string
	for host := range strings.SplitSeq(hosts, ",") {
		addr, err := hostPort(host, s)
		if err != nil {
			return err
		}
		addrs = append(addrs, addr)
	}
	if len(addrs) > 1 && s.group == Single {
		return errors.New("backend URL names several hosts: want " + s.want)
	}
	b.Addr = strings.Join(addrs, ",")
	if s.secure && s.group == Single && b.TLS.ServerName == "" {
		b.TLS.ServerName, _, _ = net.SplitHostPort(b.Addr)
	}
	path := strings.TrimPrefix(u.Path, "/")
	if s.group == Sentinel {
		b.Master, path, _ = strings.Cut(path, "/")
		if b.Master == "" {
			return errors.New("backend URL names no primary: want " + s.want)
		}
	}
	if err := b.database(path); err != nil {
		return err
	}
	if s.group == Cluster && b.DB != 0 {
		return errors.New("backend URL: a cluster has database 0 only")
	}
	return nil
}

func (b *Backend) database(text string) (err error) {
	if text == "" {
		return nil
	}
	if b.DB, err = strconv.Atoi(text); err != nil || b.DB < 0 {
		return errors.New("backend URL: its database is not a number: want 0 or more, as in redis://host:6379/0")
	}
	return nil
}

// hostPort completes and checks host[:port].
func hostPort(text string, s scheme) (string, error) {
	u, err := url.Parse("//" + text)
	if err != nil || u.User != nil || u.Path != "" {
		return "", errURL
	}
	if u.Hostname() == "" {
		return "", errors.New("backend URL names no host: want " + s.want)
	}
	port := u.Port()
	if port == "" {
		port = s.port
	}
	if n, err := strconv.Atoi(port); err != nil || n < 1 || n > 65535 {
		return "", errors.New("backend URL: its port: want 1 to 65535")
	}
	addr := net.JoinHostPort(u.Hostname(), port)
	if host, _, err := net.SplitHostPort(addr); err != nil || host != u.Hostname() {
		return "", errURL // such as "a]"
	}
	return addr, nil
}

// RedactURL is an instance's URL without its passwords; of one that is not understood
// nothing is shown.
func RedactURL(secret tenant.Secret) string {
	b, err := ParseURL(secret)
	if err != nil {
		return secret.String()
	}
	text := secret.Reveal()
	name, rest, _ := strings.Cut(text, "://")
	hosts, u, err := splitHosts(name, rest)
	if err != nil {
		return secret.String()
	}
	user := ""
	switch {
	case b.Password != "":
		user = url.UserPassword(b.Username, "xxxxx").String() + "@"
	case u.User != nil:
		user = url.User(b.Username).String() + "@"
	}
	if query := u.Query(); query.Has("sentinel_password") {
		query.Set("sentinel_password", "xxxxx")
		u.RawQuery = query.Encode()
	}
	shown := name + "://" + user + hosts + u.EscapedPath()
	if u.RawQuery != "" {
		shown += "?" + u.RawQuery
	}
	return shown
}
