package control

import (
	"context"
	"slices"
	"strings"
	"time"

	"github.com/respgate/respgate/auth"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// NewKey is a key at the one time when its secret is known.
type NewKey struct {
	tenant.Key
	Text tenant.Secret // what a client sends: rg_<id>_<secret>
}

// Keys returns an organization's keys, for its members, revoked ones too; with org "",
// all, for operators. See store.Keys.
func (s *Service) Keys(ctx context.Context, a Actor, org string, p store.Page) ([]tenant.Key, error) {
	ctx, _, err := s.scope(ctx, a, org)
	if err != nil {
		return nil, err
	}
	return s.store.Keys(ctx, org, p)
}

// Key returns the key with that id, for members.
func (s *Service) Key(ctx context.Context, a Actor, id string) (tenant.Key, error) {
	return s.key(ctx, a, id, tenant.Viewer, &tenant.Event{})
}

// CreateKey makes a key of k; its id and secret are drawn. For admins. Rules with +proxy,
// and a certificate's name, which counts for all organizations, are for operators.
func (s *Service) CreateKey(ctx context.Context, a Actor, k tenant.Key) (NewKey, error) {
	made := auth.Generate()
	k.ID, k.SecretHash, k.RevokedAt = made.ID, made.Hash, time.Time{}
	e := tenant.Event{Action: "key.create", Target: "key", Name: k.Name}
	return attempt(ctx, s, a, e, func(e *tenant.Event) (NewKey, error) {
		ctx, _, err := s.organization(ctx, a, k.Org, tenant.Admin, e)
		if err != nil {
			return NewKey{}, err
		}
		if err := checkKey(a, tenant.Key{}, k); err != nil {
			return NewKey{}, err
		}
		k, err := s.store.CreateKey(ctx, k)
		if err != nil {
			return NewKey{}, err
		}
		e.TargetID, e.After = k.ID, noted(ViewKey(k))
		return NewKey{k, made.Text}, nil
	})
}

// checkKey refuses what only operators may grant, and rules that nobody understands.
func checkKey(a Actor, was, k tenant.Key) error {
	if err := grantable(a, was, k); err != nil {
		return err
	}
	if _, err := auth.ParseRules(k.Commands); err != nil {
		return problem(store.ErrInvalid, "commands: %v", err)
	}
	if _, err := auth.ParseAudit(k.Audit); err != nil {
		return problem(store.ErrInvalid, "audit: %v", err)
	}
	return nil
}

// grantable refuses what reaches beyond the organization to all but operators.
func grantable(a Actor, was, k tenant.Key) error {
	switch {
	case a.Operator():
		return nil
	case k.CertificateName != was.CertificateName:
		return forbidden("a key's certificate name, which counts for all organizations, is for operators to set")
	}
	if rule := proxyRule(k.Commands); rule != "" {
		return forbidden("commands: %q: a key with +proxy is for operators to make, change and rotate", rule)
	}
	return nil
}

// proxyRule returns the first of the rules that grants the operator's command, or may; "" is
// none.
func proxyRule(rules string) string {
	words := strings.Fields(rules)
	i := slices.IndexFunc(words, func(word string) bool {
		name, _, _ := strings.Cut(word, "|")
		return strings.EqualFold(name, "+proxy")
	})
	if i < 0 {
		return ""
	}
	return words[i]
}

// onKey attempts something with a key, for admins. do is given the event and the key as it
// was.
func onKey[T any](ctx context.Context, s *Service, a Actor, action, id string, do func(e *tenant.Event, was tenant.Key) (T, error)) (T, error) {
	e := tenant.Event{Action: "key." + action, Target: "key", TargetID: id}
	return attempt(ctx, s, a, e, func(e *tenant.Event) (v T, err error) {
		was, err := s.key(ctx, a, id, tenant.Admin, e)
		if err != nil {
			return v, err
		}
		e.Before = noted(ViewKey(was))
		return do(e, was)
	})
}

// UpdateKey changes what a key may: its name, limits, rules, instances, networks,
// connections, expiry, audit rules, and its certificate's name, as CreateKey may. For admins.
func (s *Service) UpdateKey(ctx context.Context, a Actor, id string, c Change[tenant.Key]) (tenant.Key, error) {
	return onKey(ctx, s, a, "update", id, func(e *tenant.Event, _ tenant.Key) (tenant.Key, error) {
		k, err := s.store.UpdateKey(ctx, id, func(k *tenant.Key) error {
			was := *k
			e.Before = noted(ViewKey(was))
			if err := grantable(a, was, was); err != nil {
				return err
			}
			if err := c.apply(was.Version, k); err != nil {
				return err
			}
			return checkKey(a, was, *k)
		})
		e.After = noted(ViewKey(k))
		return k, err
	})
}

// RotateKey gives a key another secret; the old one is good for overlap from now on. For
// admins. version is as in Change.
func (s *Service) RotateKey(ctx context.Context, a Actor, id string, overlap time.Duration, version int64) (NewKey, error) {
	return onKey(ctx, s, a, "rotate", id, func(e *tenant.Event, was tenant.Key) (NewKey, error) {
		if err := grantable(a, was, was); err != nil {
			return NewKey{}, err
		}
		made := auth.GenerateFor(id)
		k, err := s.store.RotateKey(ctx, id, made.Hash, overlap, version)
		if err != nil {
			return NewKey{}, err
		}
		e.After = noted(ViewKey(k))
		return NewKey{k, made.Text}, nil
	})
}

// RevokeKey ends a key for good, and its clients' sessions. For admins. version is as in
// Change.
func (s *Service) RevokeKey(ctx context.Context, a Actor, id string, version int64) (tenant.Key, error) {
	return onKey(ctx, s, a, "revoke", id, func(e *tenant.Event, _ tenant.Key) (tenant.Key, error) {
		k, err := s.store.RevokeKey(ctx, id, version)
		e.After = noted(ViewKey(k))
		return k, err
	})
}

// DeleteKey ends a key and forgets it. For admins. version is as in Change.
func (s *Service) DeleteKey(ctx context.Context, a Actor, id string, version int64) error {
	_, err := onKey(ctx, s, a, "delete", id, func(*tenant.Event, tenant.Key) (none, error) {
		return none{}, s.store.DeleteKey(ctx, id, version)
	})
	return err
}

// ResetLimits refills the limit of a key, for admins, or with id "" of every key, for
// operators. It returns of how many.
func (s *Service) ResetLimits(ctx context.Context, a Actor, id string) (int, error) {
	if id != "" {
		return onKey(ctx, s, a, "reset_limit", id, func(*tenant.Event, tenant.Key) (int, error) { return s.store.ResetLimits(ctx, id) })
	}
	return attempt(ctx, s, a, tenant.Event{Action: "key.reset_limit", Target: "key"}, func(*tenant.Event) (int, error) {
		if err := operator(a); err != nil {
			return 0, err
		}
		return s.store.ResetLimits(ctx, "")
	})
}
