package api

import (
	"context"
	"net/http"
	"strings"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/tenant"
)

// KeyCreate is a key that is to be.
type KeyCreate struct {
	Name            string           `json:"name"`
	Instances       []string         `json:"instances" minItems:"1" maxItems:"64"`
	Rate            *int             `json:"rate,omitempty" nullable:"true" minimum:"0"`
	Burst           *int             `json:"burst,omitempty" nullable:"true" minimum:"0"`
	ByteRate        *int64           `json:"byte_rate,omitempty" nullable:"true" minimum:"0" maximum:"1099511627776"`
	LimitMode       tenant.LimitMode `json:"limit_mode,omitempty"`
	Commands        string           `json:"commands,omitempty"`
	AllowFrom       []string         `json:"allow_from,omitempty" maxItems:"64"`
	MaxConnections  int              `json:"max_connections,omitempty" minimum:"0"`
	CertificateName string           `json:"certificate_name,omitempty"`
	Audit           string           `json:"audit,omitempty"`
	ExpiresAt       *time.Time       `json:"expires_at,omitempty" nullable:"true"`
}

func (k KeyCreate) key(org string) (tenant.Key, error) {
	networks, err := networksOf(k.AllowFrom)
	return tenant.Key{Org: org, Name: k.Name, Instances: k.Instances, Limits: tenant.Limits{Rate: k.Rate, Burst: k.Burst, ByteRate: k.ByteRate, Mode: k.LimitMode}, Commands: k.Commands, AllowFrom: networks,
		MaxConnections: k.MaxConnections, CertificateName: k.CertificateName, Audit: k.Audit, ExpiresAt: timeOf(k.ExpiresAt)}, err
}

// KeyPatch is what is to change of a key.
type KeyPatch struct {
	Name            Optional[string]           `json:"name,omitempty"`
	Instances       Optional[[]string]         `json:"instances,omitempty" minItems:"1" maxItems:"64"`
	Rate            Optional[*int]             `json:"rate,omitempty" nullable:"true" minimum:"0"`
	Burst           Optional[*int]             `json:"burst,omitempty" nullable:"true" minimum:"0"`
	ByteRate        Optional[*int64]           `json:"byte_rate,omitempty" nullable:"true" minimum:"0" maximum:"1099511627776"`
	LimitMode       Optional[tenant.LimitMode] `json:"limit_mode,omitempty"`
	Commands        Optional[string]           `json:"commands,omitempty" nullable:"true"`
	AllowFrom       Optional[[]string]         `json:"allow_from,omitempty" maxItems:"64"`
	MaxConnections  Optional[int]              `json:"max_connections,omitempty" minimum:"0"`
	CertificateName Optional[string]           `json:"certificate_name,omitempty" nullable:"true"`
	Audit           Optional[string]           `json:"audit,omitempty" nullable:"true"`
	ExpiresAt       Optional[*time.Time]       `json:"expires_at,omitempty" nullable:"true"`
}

// change returns what applies the patch.
func (p *KeyPatch) change() (func(*tenant.Key) error, error) {
	networks, err := networksOf(p.AllowFrom.Value)
	return func(k *tenant.Key) error {
		p.Name.to(&k.Name)
		p.Instances.to(&k.Instances)
		p.Rate.to(&k.Limits.Rate)
		p.Burst.to(&k.Limits.Burst)
		p.ByteRate.to(&k.Limits.ByteRate)
		p.LimitMode.to(&k.Limits.Mode)
		p.Commands.to(&k.Commands)
		p.MaxConnections.to(&k.MaxConnections)
		p.CertificateName.to(&k.CertificateName)
		p.Audit.to(&k.Audit)
		if p.AllowFrom.Sent {
			k.AllowFrom = networks
		}
		if p.ExpiresAt.Sent {
			k.ExpiresAt = timeOf(p.ExpiresAt.Value)
		}
		return nil
	}, err
}

func networksOf(words []string) (tenant.Networks, error) {
	networks, err := tenant.ParseNetworks(strings.Join(words, ","))
	if err != nil {
		return nil, invalid("body.allow_from", err.Error())
	}
	return networks, nil
}

func timeOf(t *time.Time) time.Time {
	if t == nil {
		return time.Time{}
	}
	return *t
}

// invalid refuses what is at location.
func invalid(location, why string) error {
	return refuse(http.StatusUnprocessableEntity, "validation failed").at(location, why)
}

// KeyRotate is how a key's secret is replaced.
type KeyRotate struct {
	OverlapSeconds int64 `json:"overlap_seconds" minimum:"0" maximum:"2592000"`
}

// LimitReset says how many keys' limits were refilled.
type LimitReset struct {
	Keys int `json:"keys"`
}

type (
	// KeyPath is a key's id in a path.
	KeyPath struct {
		Key string `path:"key" example:"5jX0sYq1Zb7K" doc:"the key's id: the 12 characters after rg_"`
	}
	keyListAll struct{ PageQuery }
	keyList    struct {
		OrgPath
		PageQuery
	}
	keyCreate struct {
		OrgPath
		Body KeyCreate
	}
	keyGet struct {
		KeyPath
		NoneMatching
	}
	keyUpdate struct {
		KeyPath
		Matching
		Body KeyPatch
	}
	keyEnd struct {
		KeyPath
		Matching
	}
	keyRotate struct {
		KeyPath
		Matching
		Body KeyRotate
	}
	resetAll  struct{}
	resetSaid struct{ Body LimitReset }
)

func keys(b *builder) {
	const tag = "keys"
	byID := func(k tenant.Key) string { return k.ID }
	register(b, operation{method: http.MethodGet, path: "/keys", id: "listAllKeys", tag: tag, summary: "List all organizations' keys", description: "By id. For operators."},
		func(ctx context.Context, actor control.Actor, in *keyListAll) (*listed[control.KeyView], error) {
			page, err := b.control.Keys(ctx, actor, "", in.page())
			return pageOf(in.PageQuery, page, byID, control.ViewKey), err
		})
	register(b, operation{method: http.MethodGet, path: "/organizations/{org}/keys", id: "listKeys", tag: tag, summary: "List an organization's keys", description: "By id, revoked ones too."},
		func(ctx context.Context, actor control.Actor, in *keyList) (*listed[control.KeyView], error) {
			page, err := b.control.Keys(ctx, actor, in.Org, in.page())
			return pageOf(in.PageQuery, page, byID, control.ViewKey), err
		})
	register(b, operation{method: http.MethodPost, path: "/organizations/{org}/keys", id: "createKey", tag: tag, summary: "Create a key", status: http.StatusCreated,
		description: "For admins. The key itself is told this once. Rules with `+proxy`, and certificates' names, are for operators."},
		func(ctx context.Context, actor control.Actor, in *keyCreate) (*made[control.NewKeyView], error) {
			k, err := in.Body.key(in.Org)
			if err != nil {
				return nil, err
			}
			key, err := b.control.CreateKey(ctx, actor, k)
			return &made[control.NewKeyView]{at("keys", key.ID), etag(key.Version), control.ViewNewKey(key)}, err
		})
	register(b, operation{method: http.MethodGet, path: "/keys/{key}", id: "getKey", tag: tag, summary: "Show a key", versioned: true},
		func(ctx context.Context, actor control.Actor, in *keyGet) (*found[control.KeyView], error) {
			return foundKey(b.control.Key(ctx, actor, in.Key))
		})
	register(b, operation{method: http.MethodPatch, path: "/keys/{key}", id: "updateKey", tag: tag, summary: "Change what a key may", versioned: true,
		description: "For admins. Its clients are held to it at once."},
		func(ctx context.Context, actor control.Actor, in *keyUpdate) (*found[control.KeyView], error) {
			version, err := in.version()
			if err != nil {
				return nil, err
			}
			apply, err := in.Body.change()
			if err != nil {
				return nil, err
			}
			return foundKey(b.control.UpdateKey(ctx, actor, in.Key, control.Change[tenant.Key]{Version: version, Apply: apply}))
		})
	keyEnds(b, tag)
	keyActions(b, tag)
}

func keyEnds(b *builder, tag string) {
	register(b, operation{method: http.MethodPost, path: "/keys/{key}/revoke", id: "revokeKey", tag: tag, summary: "Revoke a key", versioned: true,
		description: "For good: its clients are disconnected. For admins."},
		func(ctx context.Context, actor control.Actor, in *keyEnd) (*found[control.KeyView], error) {
			version, err := in.version()
			if err != nil {
				return nil, err
			}
			return foundKey(b.control.RevokeKey(ctx, actor, in.Key, version))
		})
	register(b, operation{method: http.MethodDelete, path: "/keys/{key}", id: "deleteKey", tag: tag, summary: "Delete a key", status: http.StatusNoContent, versioned: true,
		description: "Ends it and forgets it. For admins."},
		func(ctx context.Context, actor control.Actor, in *keyEnd) (*none, error) {
			version, err := in.version()
			if err != nil {
				return nil, err
			}
			return &none{}, b.control.DeleteKey(ctx, actor, in.Key, version)
		})
}

func keyActions(b *builder, tag string) {
	register(b, operation{method: http.MethodPost, path: "/keys/{key}/rotate", id: "rotateKey", tag: tag, summary: "Replace a key's secret", versioned: true,
		description: "For admins. The key is told this once; the old one is good for overlap_seconds more."},
		func(ctx context.Context, actor control.Actor, in *keyRotate) (*found[control.NewKeyView], error) {
			version, err := in.version()
			if err != nil {
				return nil, err
			}
			k, err := b.control.RotateKey(ctx, actor, in.Key, time.Duration(in.Body.OverlapSeconds)*time.Second, version)
			return &found[control.NewKeyView]{etag(k.Version), control.ViewNewKey(k)}, err
		})
	register(b, operation{method: http.MethodPost, path: "/keys/{key}/reset-limit", id: "resetLimit", tag: tag, summary: "Refill a key's limit", description: "For admins."},
		func(ctx context.Context, actor control.Actor, in *KeyPath) (*resetSaid, error) {
			n, err := b.control.ResetLimits(ctx, actor, in.Key)
			return &resetSaid{LimitReset{n}}, err
		})
	register(b, operation{method: http.MethodPost, path: "/reset-limits", id: "resetAllLimits", tag: tag, summary: "Refill all keys' limits", description: "For operators."},
		func(ctx context.Context, actor control.Actor, _ *resetAll) (*resetSaid, error) {
			n, err := b.control.ResetLimits(ctx, actor, "")
			return &resetSaid{LimitReset{n}}, err
		})
}

func foundKey(k tenant.Key, err error) (*found[control.KeyView], error) {
	return &found[control.KeyView]{etag(k.Version), control.ViewKey(k)}, err
}
