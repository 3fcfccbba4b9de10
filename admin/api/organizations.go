package api

import (
	"context"
	"net/http"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// OrgPath is an organization's name in a path.
type OrgPath struct {
	Org string `path:"org" example:"acme" doc:"the organization's name"`
}

// QuotaBody is an organization's quota as it is set.
type QuotaBody struct {
	MaxInstances   int              `json:"max_instances,omitempty" minimum:"0"`
	MaxKeys        int              `json:"max_keys,omitempty" minimum:"0"`
	MaxMembers     int              `json:"max_members,omitempty" minimum:"0"`
	MaxConnections int              `json:"max_connections,omitempty" minimum:"0"`
	Rate           int              `json:"rate,omitempty" minimum:"0"`
	Burst          int              `json:"burst,omitempty" minimum:"0"`
	ByteRate       int64            `json:"byte_rate,omitempty" minimum:"0" maximum:"1099511627776"`
	LimitMode      tenant.LimitMode `json:"limit_mode,omitempty"`
}

// OrganizationCreate is an organization that is to be.
type OrganizationCreate struct {
	Name string `json:"name"`
	QuotaBody
}

// OrganizationPatch is what is to change of an organization.
type OrganizationPatch struct {
	Name           Optional[string]           `json:"name,omitempty"`
	MaxInstances   Optional[int]              `json:"max_instances,omitempty" minimum:"0"`
	MaxKeys        Optional[int]              `json:"max_keys,omitempty" minimum:"0"`
	MaxMembers     Optional[int]              `json:"max_members,omitempty" minimum:"0"`
	MaxConnections Optional[int]              `json:"max_connections,omitempty" minimum:"0"`
	Rate           Optional[int]              `json:"rate,omitempty" minimum:"0"`
	Burst          Optional[int]              `json:"burst,omitempty" minimum:"0"`
	ByteRate       Optional[int64]            `json:"byte_rate,omitempty" minimum:"0" maximum:"1099511627776"`
	LimitMode      Optional[tenant.LimitMode] `json:"limit_mode,omitempty"`
}

func (p *OrganizationPatch) apply(o *tenant.Organization) error {
	p.Name.to(&o.Name)
	p.MaxInstances.to(&o.MaxInstances)
	p.MaxKeys.to(&o.MaxKeys)
	p.MaxMembers.to(&o.MaxMembers)
	p.MaxConnections.to(&o.MaxConnections)
	p.Rate.to(&o.Rate)
	p.Burst.to(&o.Burst)
	p.ByteRate.to(&o.ByteRate)
	p.LimitMode.to(&o.LimitMode)
	return nil
}

type (
	orgList struct {
		PageQuery
		Deleted bool `query:"deleted" doc:"those that are deleted and not purged yet, for operators"`
	}
	orgGet struct {
		OrgPath
		NoneMatching
	}
	orgCreate struct{ Body OrganizationCreate }
	orgUpdate struct {
		OrgPath
		Matching
		Body OrganizationPatch
	}
	orgDelete struct {
		OrgPath
		Matching
		Force bool `query:"force" doc:"also while it has instances or keys: their clients are disconnected"`
	}
	orgRestore struct {
		ID string `path:"org" example:"2UzDGFq7ZTkB" doc:"the deleted organization's id"`
	}
)

func organizations(b *builder) {
	const tag = "organizations"
	byName := func(o tenant.Organization) string { return o.Name }
	register(b, operation{method: http.MethodGet, path: "/organizations", id: "listOrganizations", tag: tag, summary: "List organizations",
		description: "By name: those that the token's user is a member of; an operator sees all."},
		func(ctx context.Context, actor control.Actor, in *orgList) (*listed[control.OrganizationView], error) {
			if in.Deleted {
				page, err := b.control.DeletedOrganizations(ctx, actor, in.page())
				return pageOf(in.PageQuery, page, func(o tenant.Organization) string { return o.Name + "/" + o.ID }, control.ViewOrganization), err
			}
			page, err := b.control.Organizations(ctx, actor, in.page())
			return pageOf(in.PageQuery, page, byName, control.ViewOrganization), err
		})
	register(b, operation{method: http.MethodPost, path: "/organizations", id: "createOrganization", tag: tag, summary: "Create an organization", status: http.StatusCreated,
		description: "For operators."},
		func(ctx context.Context, actor control.Actor, in *orgCreate) (*made[control.OrganizationView], error) {
			q := in.Body.QuotaBody
			o, err := b.control.CreateOrganization(ctx, actor, tenant.Organization{Name: in.Body.Name, Quota: tenant.Quota(q)})
			return &made[control.OrganizationView]{at("organizations", o.Name), etag(o.Version), control.ViewOrganization(o)}, err
		})
	register(b, operation{method: http.MethodGet, path: "/organizations/{org}", id: "getOrganization", tag: tag, summary: "Show an organization", versioned: true},
		func(ctx context.Context, actor control.Actor, in *orgGet) (*found[control.OrganizationView], error) {
			return foundOrganization(b.control.Organization(ctx, actor, in.Org))
		})
	register(b, operation{method: http.MethodPatch, path: "/organizations/{org}", id: "updateOrganization", tag: tag, summary: "Change an organization", versioned: true,
		description: "Its owners change the name, operators the quota."},
		func(ctx context.Context, actor control.Actor, in *orgUpdate) (*found[control.OrganizationView], error) {
			version, err := in.version()
			if err != nil {
				return nil, err
			}
			return foundOrganization(b.control.UpdateOrganization(ctx, actor, in.Org, control.Change[tenant.Organization]{Version: version, Apply: in.Body.apply}))
		})
	register(b, operation{method: http.MethodDelete, path: "/organizations/{org}", id: "deleteOrganization", tag: tag, summary: "Delete an organization", status: http.StatusNoContent, versioned: true,
		description: "For its owners. Its clients are disconnected; until it is purged, an operator can restore it."},
		func(ctx context.Context, actor control.Actor, in *orgDelete) (*none, error) {
			version, err := in.version()
			if err != nil {
				return nil, err
			}
			return &none{}, b.control.DeleteOrganization(ctx, actor, in.Org, store.Deletion{Version: version, Force: in.Force})
		})
	register(b, operation{method: http.MethodPost, path: "/organizations/{org}/restore", id: "restoreOrganization", tag: tag, summary: "Restore a deleted organization",
		description: "By its id. For operators."},
		func(ctx context.Context, actor control.Actor, in *orgRestore) (*found[control.OrganizationView], error) {
			return foundOrganization(b.control.RestoreOrganization(ctx, actor, in.ID))
		})
}

func foundOrganization(o tenant.Organization, err error) (*found[control.OrganizationView], error) {
	return &found[control.OrganizationView]{etag(o.Version), control.ViewOrganization(o)}, err
}
