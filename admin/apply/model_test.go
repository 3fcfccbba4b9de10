package apply

import (
	"context"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// model is what there is, kept by the rules of the management API.
type model struct {
	all  []Organization // with URLs' passwords
	made int            // ids given
}

// Organization implements Source.
func (m *model) Organization(_ context.Context, name string) (Organization, bool, error) {
	i := slices.IndexFunc(m.all, func(o Organization) bool { return o.Name == name })
	if i < 0 {
		return Organization{}, false, nil
	}
	o := m.all[i]
	o.Instances, o.Keys = slices.Clone(o.Instances), slices.Clone(o.Keys)
	for i := range o.Instances {
		o.Instances[i].URL = tenant.Secret(pool.RedactURL(o.Instances[i].URL))
	}
	return o, true, nil
}

// SameURL implements Source.
func (m *model) SameURL(_ context.Context, org, instance string, url tenant.Secret) (bool, error) {
	o, err := m.organization(org)
	if err != nil {
		return false, err
	}
	in, err := found(o.Instances, instance, func(in Instance) string { return in.Name })
	return err == nil && in.URL == url, err
}

func (m *model) organization(name string) (*Organization, error) {
	return found(m.all, name, func(o Organization) string { return o.Name })
}

func found[T any](all []T, name string, nameOf func(T) string) (*T, error) {
	i := slices.IndexFunc(all, func(v T) bool { return nameOf(v) == name })
	if i < 0 {
		return nil, fmt.Errorf("%q is not there", name)
	}
	return &all[i], nil
}

// do does a step by what its body says.
func (m *model) do(s Step) error {
	raw, err := s.Body()
	if err != nil {
		return err
	}
	var body map[string]json.RawMessage
	if err := json.Unmarshal(raw, &body); err != nil {
		return err
	}
	o, err := m.organization(s.Org)
	if s.Kind == OfOrganization {
		if s.Action == Create {
			if err == nil {
				return fmt.Errorf("%s: there is one", s)
			}
			m.all = append(m.all, Organization{Version: 1})
			o = &m.all[len(m.all)-1]
		}
		return settle(s, &o.Version, body, map[string]any{"name": &o.Name, "max_instances": &o.Quota.MaxInstances, "max_keys": &o.Quota.MaxKeys, "max_members": &o.Quota.MaxMembers,
			"max_connections": &o.Quota.MaxConnections, "rate": &o.Quota.Rate, "burst": &o.Quota.Burst, "byte_rate": &o.Quota.ByteRate, "limit_mode": &o.Quota.LimitMode})
	}
	if err != nil {
		return err
	}
	if s.Kind == OfInstance {
		return m.doInstance(o, s, body)
	}
	return m.doKey(o, s, body)
}

// settle sets fields as a merge patch says; all that is sent must be one of them.
func settle(s Step, version *int64, body map[string]json.RawMessage, fields map[string]any) error {
	if s.Action == Update {
		if s.Version != *version {
			return fmt.Errorf("%s: it is version %d, not %d", s, *version, s.Version)
		}
		*version++
	}
	for name, value := range body {
		if fields[name] == nil {
			return fmt.Errorf("%s: there is no field %s", s, name)
		}
		if err := json.Unmarshal(value, fields[name]); err != nil {
			return fmt.Errorf("%s: %s: %w", s, name, err)
		}
		if text, ok := fields[name].(*string); ok && string(value) == "null" {
			*text = ""
		}
	}
	return nil
}

func (m *model) doInstance(o *Organization, s Step, body map[string]json.RawMessage) error {
	i := slices.IndexFunc(o.Instances, func(in Instance) bool { return in.Name == s.Name })
	switch {
	case s.Action == Create && i >= 0, s.Action != Create && i < 0:
		return fmt.Errorf("%s: it is in place %d", s, i)
	case s.Action == Create && o.Quota.MaxInstances > 0 && len(o.Instances) >= o.Quota.MaxInstances:
		return fmt.Errorf("%s: there is no room", s)
	case s.Action == Create:
		o.Instances, i = append(o.Instances, Instance{Version: 1}), len(o.Instances)
	case s.Action == Delete:
		for _, k := range o.Keys {
			if slices.Contains(k.Instances, s.Name) && (k.RevokedAt.IsZero() || !s.Force) {
				return fmt.Errorf("%s: key %s opens it", s, k.Name)
			}
		}
		if o.Instances[i].Version != s.Version {
			return fmt.Errorf("%s: it is version %d", s, o.Instances[i].Version)
		}
		o.Instances = slices.Delete(slices.Clone(o.Instances), i, i+1)
		o.Keys = slices.DeleteFunc(slices.Clone(o.Keys), func(k Key) bool { return k.Instances[0] == s.Name })
		return nil
	}
	in := &o.Instances[i]
	url, us := in.URL.Reveal(), tenant.SlowlogMicroseconds(in.Slowlog)
	err := settle(s, &in.Version, body, map[string]any{"name": &in.Name, "url": &url, "slowlog_threshold_us": &us, "cache_bytes": &in.CacheBytes})
	in.URL, in.Slowlog = tenant.Secret(url), tenant.SlowlogThreshold(us)
	return err
}

func (m *model) doKey(o *Organization, s Step, body map[string]json.RawMessage) error {
	i := slices.IndexFunc(o.Keys, func(k Key) bool { return k.ID == s.ID })
	switch {
	case s.Action != Create && (i < 0 || !o.Keys[i].RevokedAt.IsZero()):
		return fmt.Errorf("%s: it is not there", s)
	case s.Action == Delete && o.Keys[i].Version != s.Version:
		return fmt.Errorf("%s: it is version %d", s, o.Keys[i].Version)
	case s.Action == Delete:
		o.Keys = slices.Delete(slices.Clone(o.Keys), i, i+1)
		return nil
	}
	k := Key{Key: tenant.Key{ID: fmt.Sprint("id", m.made), Version: 1}}
	if s.Action == Update {
		k = o.Keys[i]
	}
	var networks []string
	for _, n := range k.AllowFrom {
		networks = append(networks, n.String())
	}
	var expires *time.Time
	if was := k.ExpiresAt; !was.IsZero() {
		expires = &was
	}
	if err := settle(s, &k.Version, body, map[string]any{"name": &k.Name, "instances": &k.Instances, "rate": &k.Limits.Rate, "burst": &k.Limits.Burst, "byte_rate": &k.Limits.ByteRate, "limit_mode": &k.Limits.Mode, "commands": &k.Commands, "allow_from": &networks,
		"max_connections": &k.MaxConnections, "expires_at": &expires, "certificate_name": &k.CertificateName, "audit": &k.Audit}); err != nil {
		return err
	}
	k.ExpiresAt = time.Time{}
	if expires != nil {
		k.ExpiresAt = *expires
	}
	var err error
	if k.AllowFrom, err = tenant.ParseNetworks(strings.Join(networks, ",")); err != nil {
		return err
	}
	if s.Action == Update {
		o.Keys[i] = k
		return m.check(o, k)
	}
	m.made++
	o.Keys = append(o.Keys, k)
	if live := len(slices.DeleteFunc(slices.Clone(o.Keys), func(k Key) bool { return !k.RevokedAt.IsZero() })); o.Quota.MaxKeys > 0 && live > o.Quota.MaxKeys {
		return fmt.Errorf("%s: there is no room", s)
	}
	return m.check(o, k)
}

// check refuses a key that opens what is not there, or has a certificate's name of another.
func (m *model) check(o *Organization, k Key) error {
	for _, name := range k.Instances {
		if _, err := found(o.Instances, name, func(in Instance) string { return in.Name }); err != nil {
			return fmt.Errorf("key %s: %w", k.Name, err)
		}
	}
	for _, other := range o.Keys {
		if k.CertificateName != "" && other.CertificateName == k.CertificateName && other.RevokedAt.IsZero() && other.ID != k.ID {
			return fmt.Errorf("key %s: its certificate's name is that of key %s", k.Name, other.Name)
		}
	}
	return nil
}

// apply does all that it takes to get what is wanted.
func (m *model) apply(wanted []Organization, prune bool) (Plan, error) {
	current, err := Current(context.Background(), m, wanted)
	if err != nil {
		return Plan{}, err
	}
	plan, err := New(wanted, current, prune)
	if err != nil {
		return plan, err
	}
	for i, s := range plan.Steps {
		if err := m.do(s); err != nil {
			return plan, fmt.Errorf("step %d: %w", i, err)
		}
	}
	return plan, nil
}
