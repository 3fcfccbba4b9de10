package console

import (
	"net/url"

	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// perPage is how many items of a list are on a page.
const perPage = 50

// orgView is the organization that a page is of, and what who looks may do there.
type orgView struct {
	tenant.Organization
	Role tenant.Role // an operator may what an owner may
}

// Admin reports whether instances and keys are theirs to change.
func (o orgView) Admin() bool { return o.Role.Includes(tenant.Admin) }

// Owner reports whether members are.
func (o orgView) Owner() bool { return o.Role.Includes(tenant.Owner) }

// org looks an organization up for who acts.
func (v *visit) org(name string) (*orgView, error) {
	o, err := v.control.Organization(v.r.Context(), v.actor, name)
	if err != nil {
		return nil, err
	}
	roles, err := v.roles()
	if err != nil {
		return nil, err
	}
	return &orgView{o, roles(name)}, nil
}

// roles returns what who acts is in organizations.
func (v *visit) roles() (func(org string) tenant.Role, error) {
	if v.actor.Operator() {
		return func(string) tenant.Role { return tenant.Owner }, nil
	}
	all, err := v.control.Memberships(v.r.Context(), v.actor, v.actor.User.ID)
	if err != nil {
		return nil, err
	}
	of := map[string]tenant.Role{}
	for _, m := range all {
		of[m.Org] = m.Role
	}
	return func(org string) tenant.Role { return of[org] }, nil
}

// list is a page of a list.
type list[T any] struct {
	Items []T
	Next  string // the query of the next page; "": this is the last
	First bool   // it is the first page
}

// listOf asks for a page of a list, which begins after what the query's parameter says.
func listOf[T any](v *visit, parameter string, ask func(store.Page) ([]T, error), key func(T) string) (list[T], error) {
	after := v.r.URL.Query().Get(parameter)
	items, err := ask(store.Page{After: after, Limit: perPage + 1})
	if err != nil {
		return list[T]{}, err
	}
	l := list[T]{Items: items, First: after == ""}
	if len(items) > perPage {
		l.Items = items[:perPage]
		query := url.Values{}
		for name, values := range v.r.URL.Query() {
			if name != "done" {
				query[name] = values
			}
		}
		query.Set(parameter, key(l.Items[perPage-1]))
		l.Next = "?" + query.Encode()
	}
	return l, nil
}

func (v *visit) organizations() (*page, error) {
	orgs, err := listOf(v, "after", func(p store.Page) ([]tenant.Organization, error) {
		return v.control.Organizations(v.r.Context(), v.actor, p)
	}, func(o tenant.Organization) string { return o.Name })
	if err != nil {
		return nil, err
	}
	roles, err := v.roles()
	if err != nil {
		return nil, err
	}
	rows := list[orgView]{Next: orgs.Next, First: orgs.First}
	for _, o := range orgs.Items {
		rows.Items = append(rows.Items, orgView{o, roles(o.Name)})
	}
	return &page{name: "organizations", title: "Organizations", data: rows}, nil
}

func (v *visit) createOrganization() (*page, error) {
	o := tenant.Organization{Name: v.form("name")}
	for field, to := range map[string]*int{"max_instances": &o.MaxInstances, "max_keys": &o.MaxKeys, "max_members": &o.MaxMembers,
		"max_connections": &o.MaxConnections, "rate": &o.Rate, "burst": &o.Burst} {
		n, err := v.number(field)
		if err != nil {
			return nil, err
		}
		if n != nil {
			*to = *n
		}
	}
	byteRate, err := v.size("byte_rate")
	if err != nil {
		return nil, err
	}
	if byteRate != nil {
		o.ByteRate = *byteRate
	}
	if o.LimitMode, err = v.limitMode(); err != nil {
		return nil, err
	}
	made, err := v.control.CreateOrganization(v.r.Context(), v.actor, o)
	if err != nil {
		return nil, err
	}
	return redirect(orgPath(made.Name) + "?done=organization"), nil
}

func orgPath(name string) string { return Prefix + "/organizations/" + url.PathEscape(name) }

func instancePath(org, name string) string {
	return orgPath(org) + "/instances/" + url.PathEscape(name)
}

func keyPath(id string) string { return Prefix + "/keys/" + url.PathEscape(id) }

// orgPage is an organization's instances and keys.
type orgPage struct {
	Instances list[instanceRow]
	Keys      list[tenant.Key]
	Names     []string // of all instances, for a key to open
}

// instanceRow is an instance, and how it is.
type instanceRow struct {
	tenant.Instance
	Health string // reachable, unreachable, or "" is not known
}

func (v *visit) row(in tenant.Instance) instanceRow {
	row := instanceRow{Instance: in}
	if reachable, known := v.cfg.Reachable(in.ID); known {
		row.Health = health(reachable)
	}
	return row
}

func health(reachable bool) string {
	if reachable {
		return "reachable"
	}
	return "unreachable"
}

func (v *visit) organization() (*page, error) {
	ctx := v.r.Context()
	o, err := v.org(v.r.PathValue("org"))
	if err != nil {
		return nil, err
	}
	all, err := v.control.Instances(ctx, v.actor, o.Name, store.Page{})
	if err != nil {
		return nil, err
	}
	instances, err := listOf(v, "instances", func(p store.Page) ([]tenant.Instance, error) {
		return v.control.Instances(ctx, v.actor, o.Name, p)
	}, func(in tenant.Instance) string { return in.Name })
	if err != nil {
		return nil, err
	}
	keys, err := listOf(v, "keys", func(p store.Page) ([]tenant.Key, error) {
		return v.control.Keys(ctx, v.actor, o.Name, p)
	}, func(k tenant.Key) string { return k.ID })
	if err != nil {
		return nil, err
	}
	data := orgPage{Instances: list[instanceRow]{Next: instances.Next, First: instances.First}, Keys: keys}
	for _, in := range instances.Items {
		data.Instances.Items = append(data.Instances.Items, v.row(in))
	}
	for _, in := range all {
		data.Names = append(data.Names, in.Name)
	}
	return &page{name: "organization", title: o.Name, org: o, tab: "overview", data: data}, nil
}
