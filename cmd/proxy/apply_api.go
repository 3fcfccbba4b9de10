package main

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"strconv"
	"strings"

	"github.com/respgate/respgate/admin/apply"
	"github.com/respgate/respgate/admin/control"
	respgate "github.com/respgate/respgate/clients/go"
	"github.com/respgate/respgate/tenant"
)

// there is what there is, as the management API tells it and changes it.
type there struct{ *client }

// Organization implements apply.Source.
func (t there) Organization(ctx context.Context, name string) (apply.Organization, bool, error) {
	v, err := answered[control.OrganizationView](t.GetOrganizationWithResponse(ctx, name, nil))
	if err != nil {
		if refusedWith(err, http.StatusNotFound) {
			err = nil
		}
		return apply.Organization{}, false, err
	}
	o := apply.Organization{Name: v.Name, Version: v.Version, Quota: tenant.Quota{
		MaxInstances: v.MaxInstances, MaxKeys: v.MaxKeys, MaxMembers: v.MaxMembers, MaxConnections: v.MaxConnections,
		Rate: v.Rate, Burst: v.Burst, ByteRate: v.ByteRate, LimitMode: v.LimitMode}}
	for in, err := range respgate.All[control.InstanceView](func(cursor *string) (respgate.Answer, error) {
		return t.ListInstancesWithResponse(ctx, name, &respgate.ListInstancesParams{Limit: pageSize(), Cursor: cursor})
	}) {
		if err != nil {
			return o, false, err
		}
		o.Instances = append(o.Instances, apply.Instance{Name: in.Name, URL: tenant.Secret(in.URL), Slowlog: tenant.SlowlogThreshold(in.Slowlog), CacheBytes: in.CacheBytes, Version: in.Version})
	}
	for k, err := range respgate.All[control.KeyView](func(cursor *string) (respgate.Answer, error) {
		return t.ListKeysWithResponse(ctx, name, &respgate.ListKeysParams{Limit: pageSize(), Cursor: cursor})
	}) {
		var key apply.Key
		if err == nil {
			key, err = viewedKey(k)
		}
		if err != nil {
			return o, false, err
		}
		o.Keys = append(o.Keys, key)
	}
	return o, true, nil
}

// viewedKey is the key that a view shows.
func viewedKey(v control.KeyView) (apply.Key, error) {
	networks, err := tenant.ParseNetworks(strings.Join(v.AllowFrom, ","))
	k := tenant.Key{ID: v.ID, Name: v.Name, Instances: v.Instances, Limits: tenant.Limits{Rate: v.Rate, Burst: v.Burst, ByteRate: v.ByteRate, Mode: v.LimitMode},
		Commands: v.Commands, AllowFrom: networks,
		MaxConnections: v.MaxConnections, CertificateName: v.CertificateName, Audit: v.Audit, Version: v.Version}
	if v.ExpiresAt != nil {
		k.ExpiresAt = *v.ExpiresAt
	}
	if v.RevokedAt != nil {
		k.RevokedAt = *v.RevokedAt
	}
	return apply.Key{Key: k}, err
}

// SameURL implements apply.Source.
func (t there) SameURL(ctx context.Context, org, instance string, url tenant.Secret) (bool, error) {
	v, err := answered[respgate.URLVerdict](t.CompareInstanceURLWithResponse(ctx, org, instance, nil, respgate.URLGuess{URL: url.Reveal()}))
	return v.Same, err
}

// do does a step, unless what there is was changed since it was planned.
func (t there) do(ctx context.Context, s apply.Step) (respgate.Answer, error) {
	body, err := s.Body()
	if err != nil {
		return nil, err
	}
	version := `"` + strconv.FormatInt(s.Version, 10) + `"`
	answer, err := t.operations()[string(s.Action)+" "+string(s.Kind)](ctx, s, &version, bytes.NewReader(body))
	return answer, respgate.Check(answer, err)
}

// operation does a step to what has the version, with a body.
type operation func(ctx context.Context, s apply.Step, version *string, body *bytes.Reader) (respgate.Answer, error)

// operations are those of all steps that there are.
func (t there) operations() map[string]operation {
	const media = "application/json"
	return map[string]operation{
		"create organization": func(ctx context.Context, _ apply.Step, _ *string, body *bytes.Reader) (respgate.Answer, error) {
			return t.CreateOrganizationWithBodyWithResponse(ctx, nil, media, body)
		},
		"update organization": func(ctx context.Context, s apply.Step, version *string, body *bytes.Reader) (respgate.Answer, error) {
			return t.UpdateOrganizationWithBodyWithResponse(ctx, s.Org, &respgate.UpdateOrganizationParams{IfMatch: version}, media, body)
		},
		"create instance": func(ctx context.Context, s apply.Step, _ *string, body *bytes.Reader) (respgate.Answer, error) {
			return t.CreateInstanceWithBodyWithResponse(ctx, s.Org, nil, media, body)
		},
		"update instance": func(ctx context.Context, s apply.Step, version *string, body *bytes.Reader) (respgate.Answer, error) {
			return t.UpdateInstanceWithBodyWithResponse(ctx, s.Org, s.Name, &respgate.UpdateInstanceParams{IfMatch: version}, media, body)
		},
		"delete instance": func(ctx context.Context, s apply.Step, version *string, _ *bytes.Reader) (respgate.Answer, error) {
			return t.DeleteInstanceWithResponse(ctx, s.Org, s.Name, &respgate.DeleteInstanceParams{IfMatch: version, Force: &s.Force})
		},
		"create key": func(ctx context.Context, s apply.Step, _ *string, body *bytes.Reader) (respgate.Answer, error) {
			return t.CreateKeyWithBodyWithResponse(ctx, s.Org, nil, media, body)
		},
		"update key": func(ctx context.Context, s apply.Step, version *string, body *bytes.Reader) (respgate.Answer, error) {
			return t.UpdateKeyWithBodyWithResponse(ctx, s.ID, &respgate.UpdateKeyParams{IfMatch: version}, media, body)
		},
		"delete key": func(ctx context.Context, s apply.Step, version *string, _ *bytes.Reader) (respgate.Answer, error) {
			return t.DeleteKeyWithResponse(ctx, s.ID, &respgate.DeleteKeyParams{IfMatch: version})
		},
	}
}

// plainly is an error in the words of the API, which are of fields and not of flags.
func plainly(err error) error { return errors.New(err.Error()) }
