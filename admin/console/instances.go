package console

import (
	"cmp"
	"slices"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// instanceForm reads what the fields of an instance say beside its name and URL, and returns
// what applies it.
func (v *visit) instanceForm() (func(*tenant.Instance) error, error) {
	cache, err := v.size("near_cache")
	if err != nil {
		return nil, err
	}
	text := cmp.Or(v.form("slow_log"), tenant.FormatSlowlogThreshold(nil))
	threshold, err := tenant.ParseSlowlogThreshold(text)
	if err != nil {
		return nil, wrong("slow log: %v, got %q", err, text)
	}
	return func(in *tenant.Instance) error {
		in.SlowlogThreshold, in.CacheBytes = threshold, 0
		if cache != nil {
			in.CacheBytes = *cache
		}
		return nil
	}, nil
}

func (v *visit) createInstance() (*page, error) {
	in := tenant.Instance{Org: v.r.PathValue("org"), Name: v.form("name"), URL: tenant.Secret(v.form("url"))}
	apply, err := v.instanceForm()
	if err != nil {
		return nil, err
	}
	_ = apply(&in) // never fails
	if in, err = v.control.CreateInstance(v.r.Context(), v.actor, in); err != nil {
		return nil, err
	}
	return redirect(instancePath(in.Org, in.Name) + "?done=instance"), nil
}

// instancePage is one instance.
type instancePage struct {
	instanceRow
	Shown   control.InstanceView
	Regions []string     // in which its URL says that it has servers
	Keys    []tenant.Key // that open it, and are not revoked
	Probe   *control.Probe
	Now     *control.Picture // its figures, for who has no scripts
}

// instance shows an instance; its figures come as events, or with ?figures=now.
func (v *visit) instance() (*page, error) { return v.instanceWith(nil) }

func (v *visit) instanceWith(found *control.Probe) (*page, error) {
	ctx := v.r.Context()
	o, err := v.org(v.r.PathValue("org"))
	if err != nil {
		return nil, err
	}
	in, err := v.control.Instance(ctx, v.actor, o.Name, v.r.PathValue("instance"))
	if err != nil {
		return nil, err
	}
	keys, err := v.control.Keys(ctx, v.actor, o.Name, store.Page{})
	if err != nil {
		return nil, err
	}
	keys = slices.DeleteFunc(keys, func(k tenant.Key) bool { return !k.RevokedAt.IsZero() || !slices.Contains(k.Instances, in.Name) })
	data := instancePage{instanceRow: v.row(in), Shown: control.ViewInstance(in), Regions: control.Regions(in), Keys: keys, Probe: found}
	if found != nil {
		data.Health = health(found.Reachable)
	}
	if v.r.URL.Query().Get("figures") == "now" {
		p, err := v.control.Live(ctx, v.actor, o.Name, in.Name)
		if err != nil {
			return nil, err
		}
		data.Now = &p
	}
	return &page{name: "instance", title: in.Name, org: o, tab: "overview", data: data}, nil
}

// Last is the newest point of the figures.
func (p instancePage) Last() control.Point { return p.Now.Points[len(p.Now.Points)-1] }

func (v *visit) changeInstance() (*page, error) {
	version, err := v.version()
	if err != nil {
		return nil, err
	}
	apply, err := v.instanceForm()
	if err != nil {
		return nil, err
	}
	in, err := v.control.UpdateInstance(v.r.Context(), v.actor, v.r.PathValue("org"), v.r.PathValue("instance"), control.Change[tenant.Instance]{Version: version, Apply: apply})
	if err != nil {
		return nil, err
	}
	return redirect(instancePath(in.Org, in.Name) + "?done=instance-changed"), nil
}

func (v *visit) testInstance() (*page, error) {
	found, err := v.control.TestInstance(v.r.Context(), v.actor, v.r.PathValue("org"), v.r.PathValue("instance"))
	if err != nil {
		return nil, err
	}
	return v.instanceWith(&found)
}

func (v *visit) deleteInstance() (*page, error) {
	org := v.r.PathValue("org")
	version, err := v.version()
	if err != nil {
		return nil, err
	}
	d := store.Deletion{Version: version, Force: v.form("force") == "yes"}
	if err := v.control.DeleteInstance(v.r.Context(), v.actor, org, v.r.PathValue("instance"), d); err != nil {
		return nil, err
	}
	return redirect(orgPath(org) + "?done=no-instance"), nil
}
