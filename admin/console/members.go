package console

import (
	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

func (v *visit) members() (*page, error) {
	o, err := v.org(v.r.PathValue("org"))
	if err != nil {
		return nil, err
	}
	all, err := listOf(v, "after", func(p store.Page) ([]tenant.Membership, error) {
		return v.control.Members(v.r.Context(), v.actor, o.Name, p)
	}, func(m tenant.Membership) string { return m.Email })
	if err != nil {
		return nil, err
	}
	return &page{name: "members", title: "Members of " + o.Name, org: o, tab: "members", data: all}, nil
}

func (v *visit) setMember() (*page, error) {
	m := control.Member{Org: v.r.PathValue("org"), Email: v.form("email"), Role: tenant.Role(v.form("role"))}
	if _, err := v.control.SetMember(v.r.Context(), v.actor, m); err != nil {
		return nil, err
	}
	return redirect(orgPath(m.Org) + "/members?done=member"), nil
}

func (v *visit) removeMember() (*page, error) {
	org, user := v.r.PathValue("org"), v.r.PathValue("user")
	if err := v.control.RemoveMember(v.r.Context(), v.actor, org, user); err != nil {
		return nil, err
	}
	if !v.actor.Operator() && v.actor.User.ID == user {
		return redirect(Prefix + "/"), nil
	}
	return redirect(orgPath(org) + "/members?done=no-member"), nil
}
