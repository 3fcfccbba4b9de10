// Package apply reads from YAML which organizations, instances and keys there are to be, and
// plans how to get there from those that there are. It changes nothing itself.
//
// A plan is a pure function of what is wanted and what there is. What a file names has
// everything as the file says, and the default where it says nothing; what it does not name
// stays, unless it is to be pruned.
package apply

import (
	"context"
	"fmt"
	"time"

	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// Organization is an organization with what it has: as a file wants it, or as it is.
type Organization struct {
	Name      string
	Quota     tenant.Quota
	HasQuota  bool // false, of one that is wanted: its quota stays as it is
	Instances []Instance
	Keys      []Key // of one that there is, revoked ones too
	Version   int64 // of one that there is
}

// Instance is one of an organization's.
type Instance struct {
	Name string
	// URL is that which is wanted. Of an instance that there is it is the same where that
	// is so, else the one without its passwords.
	URL        tenant.Secret
	Slowlog    *time.Duration // its slow log's threshold: see tenant.Instance
	CacheBytes int64          // its near cache's size
	Version    int64          // of one that there is
}

// Key is one of an organization's: its name, Instances, Limits, Commands, AllowFrom,
// MaxConnections, CertificateName, Audit and ExpiresAt; of one that there is, its ID, Version
// and RevokedAt too.
type Key struct {
	tenant.Key
	at string // where a file has its instances
}

// Source tells what there is.
type Source interface {
	// Organization returns the one with that name and what it has, with instances' URLs
	// without their passwords, or false where there is none.
	Organization(ctx context.Context, name string) (Organization, bool, error)
	// SameURL reports whether an instance's URL is that one.
	SameURL(ctx context.Context, org, instance string, url tenant.Secret) (bool, error)
}

// Current returns what there is of the wanted organizations.
func Current(ctx context.Context, source Source, wanted []Organization) ([]Organization, error) {
	var all []Organization
	for _, w := range wanted {
		has, found, err := source.Organization(ctx, w.Name)
		if err != nil {
			return nil, fmt.Errorf("organization %s: %w", w.Name, err)
		}
		if !found {
			continue
		}
		for _, in := range w.Instances {
			if err := recognize(ctx, source, has, in); err != nil {
				return nil, fmt.Errorf("instance %s/%s: %w", w.Name, in.Name, err)
			}
		}
		all = append(all, has)
	}
	return all, nil
}

// recognize has the instance that is wanted to be in have that one's URL where it is the
// same. Only what cannot be told from what is shown is asked for.
func recognize(ctx context.Context, source Source, has Organization, in Instance) error {
	i := find(has.Instances, in.Name, instanceName)
	if i < 0 || has.Instances[i].URL.Reveal() != pool.RedactURL(in.URL) {
		return nil
	}
	same := !hasPassword(in.URL)
	if !same {
		var err error
		if same, err = source.SameURL(ctx, has.Name, in.Name, in.URL); err != nil {
			return err
		}
	}
	if same {
		has.Instances[i].URL = in.URL
	}
	return nil
}

// hasPassword reports whether a URL has one, of servers or of sentinels.
func hasPassword(url tenant.Secret) bool {
	b, err := pool.ParseURL(url)
	return err != nil || b.Password != "" || b.SentinelPassword != ""
}

func instanceName(in *Instance) string { return in.Name }
func keyName(k *Key) string            { return k.Name }

// find returns where in all the one with that name is, or -1.
func find[T any](all []T, name string, nameOf func(*T) string) int {
	for i := range all {
		if nameOf(&all[i]) == name {
			return i
		}
	}
	return -1
}
