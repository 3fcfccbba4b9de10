package api

import (
	"context"
	"fmt"
	"net/http"
	"strings"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// MemberSet is what a user is to be in an organization.
type MemberSet struct {
	Role tenant.Role `json:"role"`
}

type (
	memberList struct {
		OrgPath
		PageQuery
	}
	// MemberPath is a member's place in a path.
	MemberPath struct {
		OrgPath
		User string `path:"user" example:"ann@example.com" doc:"the user's id or e-mail address"`
	}
	memberSet struct {
		MemberPath
		Body MemberSet
	}
	memberSaid struct {
		Status   int
		Location string `header:"Location" doc:"where it is, when it is new"`
		Body     control.MemberView
	}
	memberFound struct{ Body control.MemberView }
)

func members(b *builder) {
	const tag = "members"
	register(b, operation{method: http.MethodGet, path: "/organizations/{org}/members", id: "listMembers", tag: tag, summary: "List an organization's members",
		description: "By e-mail address."},
		func(ctx context.Context, actor control.Actor, in *memberList) (*listed[control.MemberView], error) {
			page, err := b.control.Members(ctx, actor, in.Org, in.page())
			return pageOf(in.PageQuery, page, func(m tenant.Membership) string { return m.Email }, control.ViewMember), err
		})
	register(b, operation{method: http.MethodGet, path: "/organizations/{org}/members/{user}", id: "getMember", tag: tag, summary: "Show a member"},
		func(ctx context.Context, actor control.Actor, in *MemberPath) (*memberFound, error) {
			m, err := b.member(ctx, actor, *in)
			return &memberFound{control.ViewMember(m)}, err
		})
	register(b, operation{method: http.MethodPut, path: "/organizations/{org}/members/{user}", id: "setMember", tag: tag, summary: "Add a member, or change a member's role", creates: true,
		description: "For owners. The user must exist: operators create users. Answers 201 when the user was no member before."},
		func(ctx context.Context, actor control.Actor, in *memberSet) (*memberSaid, error) {
			_, before := b.member(ctx, actor, in.MemberPath)
			m := control.Member{Org: in.Org, UserID: in.User, Role: in.Body.Role}
			if strings.Contains(in.User, "@") {
				m.UserID, m.Email = "", in.User
			}
			now, err := b.control.SetMember(ctx, actor, m)
			out := &memberSaid{Status: http.StatusOK, Body: control.ViewMember(now)}
			if before != nil {
				out.Status, out.Location = http.StatusCreated, at("organizations", in.Org, "members", now.UserID)
			}
			return out, err
		})
	register(b, operation{method: http.MethodDelete, path: "/organizations/{org}/members/{user}", id: "removeMember", tag: tag, summary: "Remove a member", status: http.StatusNoContent,
		description: "For owners, and members who leave. The last owner stays."},
		func(ctx context.Context, actor control.Actor, in *MemberPath) (*none, error) {
			return &none{}, b.control.RemoveMember(ctx, actor, in.Org, in.User)
		})
}

// member finds a member by the user's id or e-mail address.
func (b *builder) member(ctx context.Context, actor control.Actor, in MemberPath) (tenant.Membership, error) {
	all, err := b.control.Members(ctx, actor, in.Org, store.Page{})
	if err != nil {
		return tenant.Membership{}, err
	}
	for _, m := range all {
		if m.UserID == in.User || strings.EqualFold(m.Email, in.User) {
			return m, nil
		}
	}
	return tenant.Membership{}, refuse(http.StatusNotFound, fmt.Sprintf("member %q of organization %q not found", in.User, in.Org))
}
