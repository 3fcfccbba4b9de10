package control

import (
	"context"
	"time"

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
	return nil, errTodo
}

// Key returns the key with that id, for members.
func (s *Service) Key(ctx context.Context, a Actor, id string) (tenant.Key, error) {
	return tenant.Key{}, errTodo
}

// CreateKey makes a key of k; its id and secret are drawn. For admins. Rules with +proxy,
// and a certificate's name, which counts for all organizations, are for operators.
func (s *Service) CreateKey(ctx context.Context, a Actor, k tenant.Key) (NewKey, error) {
	return NewKey{}, errTodo
}

// UpdateKey changes what a key may: its name, limits, rules, instances, networks,
// connections, expiry, audit rules, and its certificate's name, as CreateKey may. For admins.
func (s *Service) UpdateKey(ctx context.Context, a Actor, id string, c Change[tenant.Key]) (tenant.Key, error) {
	return tenant.Key{}, errTodo
}

// RotateKey gives a key another secret; the old one is good for overlap from now on. For
// admins.
func (s *Service) RotateKey(ctx context.Context, a Actor, id string, overlap time.Duration) (NewKey, error) {
	return NewKey{}, errTodo
}

// RevokeKey ends a key for good, and its clients' sessions. For admins.
func (s *Service) RevokeKey(ctx context.Context, a Actor, id string) (tenant.Key, error) {
	return tenant.Key{}, errTodo
}

// DeleteKey ends a key and forgets it. For admins.
func (s *Service) DeleteKey(ctx context.Context, a Actor, id string) error {
	return errTodo
}

// ResetLimits refills the limit of a key, for admins, or with id "" of every key, for
// operators. It returns of how many.
func (s *Service) ResetLimits(ctx context.Context, a Actor, id string) (int, error) {
	return 0, errTodo
}
