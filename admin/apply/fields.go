package apply

import (
	"errors"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// What a plan calls the defaults.
const (
	byDefault = "default"
	unlimited = "unlimited"
	asRate    = "as rate"
	anywhere  = "any"
	never     = "never"
	nothing   = "none"
)

func documentFields() []field[[]Organization] {
	return []field[[]Organization]{{name: "organizations", needed: true, read: func(r *reader, n *yaml.Node, at string, v *[]Organization) {
		*v = append(*v, list(r, n, at, organizationFields(), func(o *Organization) string { return o.Name }, r.organizations)...)
	}}}
}

func organizationFields() []field[Organization] {
	return []field[Organization]{
		nameField("organization", func(o *Organization) *string { return &o.Name }),
		{name: "quotas", read: func(r *reader, n *yaml.Node, at string, o *Organization) {
			o.HasQuota = true
			fill(r, n, at, quotaFields(), &o.Quota)
		}},
		{name: "instances", read: func(r *reader, n *yaml.Node, at string, o *Organization) {
			o.Instances = list(r, n, at, instanceFields(), instanceName, map[string]int{})
		}},
		{name: "keys", read: func(r *reader, n *yaml.Node, at string, o *Organization) {
			o.Keys = list(r, n, at, keyFields(), keyName, map[string]int{})
		}},
	}
}

func quotaFields() []field[tenant.Quota] {
	type quota = tenant.Quota
	return []field[quota]{
		numberField("max_instances", unlimited, store.MaxQuota, func(q *quota) *int { return &q.MaxInstances }),
		numberField("max_keys", unlimited, store.MaxQuota, func(q *quota) *int { return &q.MaxKeys }),
		numberField("max_members", unlimited, store.MaxQuota, func(q *quota) *int { return &q.MaxMembers }),
		numberField("max_connections", unlimited, store.MaxConnections, func(q *quota) *int { return &q.MaxConnections }),
		numberField("rate", unlimited, store.MaxRate, func(q *quota) *int { return &q.Rate }),
		numberField("burst", asRate, store.MaxRate, func(q *quota) *int { return &q.Burst }),
		sizeField("byte_rate", "", unlimited, func(q *quota) *int64 { return &q.ByteRate }),
		modeField(func(q *quota) *tenant.LimitMode { return &q.LimitMode }),
	}
}

func instanceFields() []field[Instance] {
	return []field[Instance]{
		nameField("instance", func(in *Instance) *string { return &in.Name }),
		{name: "url", initial: nothing, needed: true, value: func(in *Instance) any { return in.URL }, read: readURL},
		{name: "slowlog_threshold", api: "slowlog_threshold_us", initial: byDefault, value: func(in *Instance) any {
			if in.Slowlog == nil {
				return nil
			}
			return threshold(*in.Slowlog)
		}, read: func(r *reader, n *yaml.Node, at string, in *Instance) { slowlogThreshold(r, n, at, &in.Slowlog) }},
		sizeField("cache", "cache_bytes", nothing, func(in *Instance) *int64 { return &in.CacheBytes }),
	}
}

func keyFields() []field[Key] {
	return []field[Key]{
		nameField("key", func(k *Key) *string { return &k.Name }),
		{name: "instances", initial: nothing, needed: true, value: func(k *Key) any { return append([]string{}, k.Instances...) }, read: readInstances},
		limitField("rate", byDefault, func(k *Key) **int { return &k.Limits.Rate }),
		limitField("burst", asRate, func(k *Key) **int { return &k.Limits.Burst }),
		{name: "byte_rate", initial: byDefault, value: func(k *Key) any {
			if k.Limits.ByteRate == nil {
				return nil
			}
			return size(*k.Limits.ByteRate)
		}, read: func(r *reader, n *yaml.Node, at string, k *Key) {
			var limit int64
			if sized(r, n, at, &limit) {
				k.Limits.ByteRate = &limit
			}
		}},
		modeField(func(k *Key) *tenant.LimitMode { return &k.Limits.Mode }),
		rulesField("commands", auth.DefaultRules, byDefault, func(k *Key) *string { return &k.Commands }, func(rules string) error {
			_, err := auth.ParseRules(rules)
			return err
		}),
		{name: "allow_from", initial: anywhere, value: func(k *Key) any { return k.AllowFrom.Strings() }, read: readNetworks},
		numberField("max_connections", unlimited, store.MaxConnections, func(k *Key) *int { return &k.MaxConnections }),
		{name: "expires", api: "expires_at", initial: never, value: expiry, read: func(r *reader, n *yaml.Node, at string, k *Key) { moment(r, n, at, &k.ExpiresAt) }},
		{name: "certificate_name", initial: nothing, value: func(k *Key) any { return optional(k.CertificateName) }, read: readCertificate},
		rulesField("audit", "", nothing, func(k *Key) *string { return &k.Audit }, func(rules string) error {
			_, err := auth.ParseAudit(rules)
			return err
		}),
	}
}

// nameField is the name of what.
func nameField[T any](what string, of func(*T) *string) field[T] {
	return field[T]{name: "name", needed: true, read: func(r *reader, n *yaml.Node, at string, v *T) {
		var name string
		if !text(r, n, at, &name) {
			return
		}
		if err := tenant.ValidateName(what, name); err != nil {
			r.wrong(n, at, "%v", err)
			return
		}
		*of(v) = name
	}}
}

func numberField[T any](name, initial string, most int, of func(*T) *int) field[T] {
	return field[T]{name: name, initial: initial, value: func(v *T) any { return *of(v) },
		read: func(r *reader, n *yaml.Node, at string, v *T) { whole(r, n, at, most, of(v)) }}
}

// sizeField is a number of bytes, which the API calls api, or "" for the same name.
func sizeField[T any](name, api, initial string, of func(*T) *int64) field[T] {
	return field[T]{name: name, api: api, initial: initial, value: func(v *T) any { return size(*of(v)) },
		read: func(r *reader, n *yaml.Node, at string, v *T) { sized(r, n, at, of(v)) }}
}

// modeField says what happens beyond limits.
func modeField[T any](of func(*T) *tenant.LimitMode) field[T] {
	return field[T]{name: "limit_mode", initial: byDefault, value: func(v *T) any { return *of(v) },
		read: func(r *reader, n *yaml.Node, at string, v *T) {
			var name string
			if !text(r, n, at, &name) {
				return
			}
			mode, err := tenant.ParseLimitMode(name)
			if err != nil {
				r.wrong(n, at, "%v", err)
				return
			}
			*of(v) = mode
		}}
}

// limitField is one that follows a default of the proxies.
func limitField(name, initial string, of func(*Key) **int) field[Key] {
	return field[Key]{name: name, initial: initial,
		value: func(k *Key) any {
			if limit := *of(k); limit != nil {
				return *limit
			}
			return nil
		},
		read: func(r *reader, n *yaml.Node, at string, k *Key) {
			var limit int
			if whole(r, n, at, store.MaxRate, &limit) {
				*of(k) = &limit
			}
		}}
}

// rulesField is command rules; standard ones are the same as none.
func rulesField(name, standard, initial string, of func(*Key) *string, check func(string) error) field[Key] {
	return field[Key]{name: name, initial: initial,
		value: func(k *Key) any {
			rules := strings.Join(strings.Fields(*of(k)), " ")
			if rules == standard {
				rules = ""
			}
			return optional(rules)
		},
		read: func(r *reader, n *yaml.Node, at string, k *Key) {
			var given string
			if !text(r, n, at, &given) {
				return
			}
			rules := strings.Join(strings.Fields(given), " ")
			switch err := check(rules); {
			case len(rules) > store.MaxRules:
				r.wrong(n, at, "%d bytes: want at most %d", len(rules), store.MaxRules)
			case err != nil:
				r.wrong(n, at, "%v", err)
			default:
				*of(k) = rules
			}
		}}
}

// optional is nil for no text.
func optional(text string) any {
	if text == "" {
		return nil
	}
	return text
}

func expiry(k *Key) any {
	if k.ExpiresAt.IsZero() {
		return nil
	}
	return k.ExpiresAt.UTC().Truncate(time.Millisecond).Format(time.RFC3339Nano)
}

func readInstances(r *reader, n *yaml.Node, at string, k *Key) {
	k.at = r.place(n, at)
	names, ok := texts(r, n, at, store.MaxInstances)
	switch {
	case !ok:
	case len(names) == 0:
		r.wrong(n, at, "want one at least")
	case len(slices.Compact(slices.Sorted(slices.Values(names)))) < len(names):
		r.wrong(n, at, "the same instance twice")
	}
	k.Instances = names
}

func readNetworks(r *reader, n *yaml.Node, at string, k *Key) {
	words, ok := texts(r, n, at, tenant.MaxNetworks)
	if !ok {
		return
	}
	networks, err := tenant.ParseNetworks(strings.Join(words, ","))
	if err != nil {
		r.wrong(n, at, "%v", err)
	}
	k.AllowFrom = networks
}

func readCertificate(r *reader, n *yaml.Node, at string, k *Key) {
	if !text(r, n, at, &k.CertificateName) {
		return
	}
	if err := store.CheckCertificateName(k.CertificateName); err != nil {
		r.wrong(n, at, "%v", err)
	}
	if line, twice := r.certificates[k.CertificateName]; twice && k.CertificateName != "" {
		r.wrong(n, at, "that is of the key in line %d already: it opens one", line)
	}
	r.certificates[k.CertificateName] = n.Line
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// readURL reads a URL without a password, or one that is somewhere else. Nothing of it is
// told that may be of a password.
func readURL(r *reader, n *yaml.Node, at string, in *Instance) {
	var given string
	if !text(r, n, at, &given) {
		return
	}
	found, elsewhere, err := follow(r.refs, given)
	if err != nil {
		r.wrong(n, at, "%v", err)
		return
	}
	url := tenant.Secret(strings.TrimSpace(found))
	_, err = pool.ParseURL(url)
	switch {
	case len(url) > store.MaxURL:
		r.wrong(n, at, "a URL of %d bytes: want at most %d", len(url), store.MaxURL)
	case err != nil:
		r.wrong(n, at, "%v", err)
	case hasPassword(url) && !elsewhere:
		r.wrong(n, at, "it has a password in clear: write env:NAME or file:/path here, and the URL with its password there")
	case hasPassword(url) && pool.RedactURL(url) == url.Reveal():
		r.wrong(n, at, "its password is the xxxxx that is shown instead of one: want the password itself")
	default:
		in.URL = url
	}
}

// follow returns what env:NAME or file:/path stands for, which is elsewhere, or the text
// itself.
func follow(refs References, given string) (text string, elsewhere bool, err error) {
	if name, ok := strings.CutPrefix(given, "env:"); ok {
		if !envName.MatchString(name) {
			return "", false, errors.New("want env:NAME, with the name of an environment variable")
		}
		value, _ := refs.Env(name)
		if value == "" {
			return "", false, fmt.Errorf("the environment variable %s is not set", name)
		}
		return value, true, nil
	}
	path, ok := strings.CutPrefix(given, "file:")
	switch {
	case !ok:
		return given, false, nil
	case !filepath.IsAbs(path):
		return "", false, errors.New("want file:/path, from the root on")
	}
	value, err := refs.File(path)
	if err != nil {
		return "", false, fmt.Errorf("file %s: %w", path, err)
	}
	return string(value), true, nil
}
