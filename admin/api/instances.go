package api

import (
	"context"
	"net/http"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// InstanceCreate is an instance that is to be.
type InstanceCreate struct {
	Name       string `json:"name"`
	URL        string `json:"url"`
	Slowlog    *int64 `json:"slowlog_threshold_us,omitempty" nullable:"true" minimum:"-1" maximum:"86400000000"`
	CacheBytes int64  `json:"cache_bytes,omitempty" minimum:"0" maximum:"1099511627776"`
}

// InstancePatch is what is to change of an instance.
type InstancePatch struct {
	Name       Optional[string] `json:"name,omitempty"`
	URL        Optional[string] `json:"url,omitempty"`
	Slowlog    Optional[*int64] `json:"slowlog_threshold_us,omitempty" nullable:"true" minimum:"-1" maximum:"86400000000"`
	CacheBytes Optional[int64]  `json:"cache_bytes,omitempty" minimum:"0" maximum:"1099511627776"`
}

// URLGuess is what an instance's URL may be.
type URLGuess struct {
	URL string `json:"url"`
}

// URLVerdict says whether it is.
type URLVerdict struct {
	Same bool `json:"same"`
}

func (p *InstancePatch) apply(in *tenant.Instance) error {
	p.Name.to(&in.Name)
	if p.URL.Sent {
		in.URL = tenant.Secret(p.URL.Value)
	}
	if p.Slowlog.Sent {
		in.SlowlogThreshold = tenant.SlowlogThreshold(p.Slowlog.Value)
	}
	p.CacheBytes.to(&in.CacheBytes)
	return nil
}

type (
	// InstancePath is an instance's place in a path.
	InstancePath struct {
		OrgPath
		Instance string `path:"instance" example:"cache" doc:"the instance's name"`
	}
	instanceListAll struct{ PageQuery }
	instanceList    struct {
		OrgPath
		PageQuery
		Deleted bool `query:"deleted" doc:"those that are deleted and not purged yet"`
	}
	instanceGet struct {
		InstancePath
		NoneMatching
	}
	instanceCreate struct {
		OrgPath
		Body InstanceCreate
	}
	instanceUpdate struct {
		InstancePath
		Matching
		Body InstancePatch
	}
	instanceDelete struct {
		InstancePath
		Matching
		Force bool `query:"force" doc:"also with keys whose own instance it is: their clients are disconnected"`
	}
	instanceRestore struct {
		OrgPath
		ID string `path:"instance" example:"7fJ0aQx2LbWn" doc:"the deleted instance's id"`
	}
	probed          struct{ Body control.Probe }
	drawn           struct{ Body control.Picture }
	instanceCompare struct {
		InstancePath
		Body URLGuess
	}
	compared struct{ Body URLVerdict }
)

func instances(b *builder) {
	const tag = "instances"
	register(b, operation{method: http.MethodGet, path: "/instances", id: "listAllInstances", tag: tag, summary: "List all organizations' instances",
		description: "By the organizations' names and theirs. For operators."},
		func(ctx context.Context, actor control.Actor, in *instanceListAll) (*listed[control.InstanceView], error) {
			page, err := b.control.Instances(ctx, actor, "", in.page())
			return pageOf(in.PageQuery, page, tenant.Instance.Label, control.ViewInstance), err
		})
	register(b, operation{method: http.MethodGet, path: "/organizations/{org}/instances", id: "listInstances", tag: tag, summary: "List an organization's instances",
		description: "By name."},
		func(ctx context.Context, actor control.Actor, in *instanceList) (*listed[control.InstanceView], error) {
			if in.Deleted {
				page, err := b.control.DeletedInstances(ctx, actor, in.Org, in.page())
				return pageOf(in.PageQuery, page, func(i tenant.Instance) string { return i.Name + "/" + i.ID }, control.ViewInstance), err
			}
			page, err := b.control.Instances(ctx, actor, in.Org, in.page())
			return pageOf(in.PageQuery, page, func(i tenant.Instance) string { return i.Name }, control.ViewInstance), err
		})
	register(b, operation{method: http.MethodPost, path: "/organizations/{org}/instances", id: "createInstance", tag: tag, summary: "Create an instance", status: http.StatusCreated,
		description: "For admins. Sockets, and files of this machine, are for operators."},
		func(ctx context.Context, actor control.Actor, in *instanceCreate) (*made[control.InstanceView], error) {
			i, err := b.control.CreateInstance(ctx, actor, tenant.Instance{Org: in.Org, Name: in.Body.Name, URL: tenant.Secret(in.Body.URL),
				SlowlogThreshold: tenant.SlowlogThreshold(in.Body.Slowlog), CacheBytes: in.Body.CacheBytes})
			return &made[control.InstanceView]{at("organizations", i.Org, "instances", i.Name), etag(i.Version), control.ViewInstance(i)}, err
		})
	register(b, operation{method: http.MethodGet, path: "/organizations/{org}/instances/{instance}", id: "getInstance", tag: tag, summary: "Show an instance", versioned: true},
		func(ctx context.Context, actor control.Actor, in *instanceGet) (*found[control.InstanceView], error) {
			return foundInstance(b.control.Instance(ctx, actor, in.Org, in.Instance))
		})
	register(b, operation{method: http.MethodPatch, path: "/organizations/{org}/instances/{instance}", id: "updateInstance", tag: tag, summary: "Change an instance", versioned: true,
		description: "For admins. Its clients follow at once."},
		func(ctx context.Context, actor control.Actor, in *instanceUpdate) (*found[control.InstanceView], error) {
			version, err := in.version()
			if err != nil {
				return nil, err
			}
			return foundInstance(b.control.UpdateInstance(ctx, actor, in.Org, in.Instance, control.Change[tenant.Instance]{Version: version, Apply: in.Body.apply}))
		})
	register(b, operation{method: http.MethodDelete, path: "/organizations/{org}/instances/{instance}", id: "deleteInstance", tag: tag, summary: "Delete an instance", status: http.StatusNoContent, versioned: true,
		description: "For admins. The Redis itself is not touched; until it is purged, the instance can be restored."},
		func(ctx context.Context, actor control.Actor, in *instanceDelete) (*none, error) {
			version, err := in.version()
			if err != nil {
				return nil, err
			}
			return &none{}, b.control.DeleteInstance(ctx, actor, in.Org, in.Instance, store.Deletion{Version: version, Force: in.Force})
		})
	instanceActions(b, tag)
}

func instanceActions(b *builder, tag string) {
	register(b, operation{method: http.MethodPost, path: "/organizations/{org}/instances/{instance}/restore", id: "restoreInstance", tag: tag, summary: "Restore a deleted instance",
		description: "By its id, with its keys. For admins."},
		func(ctx context.Context, actor control.Actor, in *instanceRestore) (*found[control.InstanceView], error) {
			return foundInstance(b.control.RestoreInstance(ctx, actor, in.Org, in.ID))
		})
	register(b, operation{method: http.MethodPost, path: "/organizations/{org}/instances/{instance}/compare-url", id: "compareInstanceURL", tag: tag, summary: "Compare an instance's URL",
		description: "Tells whether it is that one, to the byte, since its password cannot be read. Wrong ones are in the audit log, and after ten in a row there is one each ten seconds. For admins."},
		func(ctx context.Context, actor control.Actor, in *instanceCompare) (*compared, error) {
			same, err := b.control.CompareURL(ctx, actor, in.Org, in.Instance, tenant.Secret(in.Body.URL))
			return &compared{URLVerdict{same}}, err
		})
	register(b, operation{method: http.MethodPost, path: "/organizations/{org}/instances/{instance}/test", id: "testInstance", tag: tag, summary: "Connect to an instance",
		description: "Tells whether it can be reached, how fast, and which Redis it is. For admins.", errors: []int{http.StatusNotImplemented}},
		func(ctx context.Context, actor control.Actor, in *InstancePath) (*probed, error) {
			p, err := b.control.TestInstance(ctx, actor, in.Org, in.Instance)
			p.Warnings = append([]string{}, p.Warnings...)
			return &probed{p}, err
		})
	register(b, operation{method: http.MethodGet, path: "/organizations/{org}/instances/{instance}/live", id: "getLivePicture", tag: tag, summary: "Show how an instance does",
		description: "What its clients do at the proxy that answers, for each of the last 120 seconds as far as somebody has asked within a minute before. The first answer comes after a second, with one point.",
		errors:      []int{http.StatusNotImplemented}},
		func(ctx context.Context, actor control.Actor, in *InstancePath) (*drawn, error) {
			p, err := b.control.Live(ctx, actor, in.Org, in.Instance)
			return &drawn{p}, err
		})
}

func foundInstance(i tenant.Instance, err error) (*found[control.InstanceView], error) {
	return &found[control.InstanceView]{etag(i.Version), control.ViewInstance(i)}, err
}
