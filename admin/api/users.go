package api

import (
	"context"
	"net/http"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/tenant"
)

// own stands in a path for the id of the user who asks.
const own = "me"

// UserPath is a user's id in a path.
type UserPath struct {
	User string `path:"user" example:"me" doc:"the user's id; me is whose the token is"`
}

// id is the user's.
func (p UserPath) id(actor control.Actor) string {
	if p.User == own && actor.Kind == tenant.ByUser {
		return actor.User.ID
	}
	return p.User
}

// UserCreate is a user who is to be.
type UserCreate struct {
	Email    string `json:"email"`
	Name     string `json:"name,omitempty"`
	Operator bool   `json:"operator,omitempty"`
	Password string `json:"password,omitempty"`
}

// UserPatch is what is to change of a user.
type UserPatch struct {
	Email    Optional[string] `json:"email,omitempty"`
	Name     Optional[string] `json:"name,omitempty"`
	Operator Optional[bool]   `json:"operator,omitempty"`
	Disabled Optional[bool]   `json:"disabled,omitempty"`
}

func (p *UserPatch) apply(u *tenant.User, now time.Time) {
	p.Email.to(&u.Email)
	p.Name.to(&u.Name)
	p.Operator.to(&u.Operator)
	switch {
	case !p.Disabled.Sent:
	case !p.Disabled.Value:
		u.DisabledAt = time.Time{}
	case u.DisabledAt.IsZero():
		u.DisabledAt = now
	}
}

// PasswordSet is a user's password that is to be.
type PasswordSet struct {
	Old string `json:"old,omitempty"`
	New string `json:"new"`
}

// InvitationAccept is what an invited user sends.
type InvitationAccept struct {
	Invitation string `json:"invitation"`
	Password   string `json:"password"`
}

// Me is who asks.
type Me struct {
	Actor       tenant.ActorKind     `json:"actor"`
	Operator    bool                 `json:"operator"`
	User        *control.UserView    `json:"user,omitempty"`
	Token       *control.TokenView   `json:"token,omitempty"`
	Memberships []control.MemberView `json:"memberships"`
}

type (
	meSaid   struct{ Body Me }
	noInput  struct{}
	userList struct {
		PageQuery
		Email string `query:"email" maxLength:"254" example:"ann@example.com" doc:"only the user with this e-mail address"`
	}
	userGet struct {
		UserPath
		NoneMatching
	}
	userCreate struct{ Body UserCreate }
	userUpdate struct {
		UserPath
		Matching
		Body UserPatch
	}
	userDelete struct {
		UserPath
		Matching
	}
	passwordSet struct {
		UserPath
		Body PasswordSet
	}
	invitationAccept struct{ Body InvitationAccept }
	userFound        struct{ Body control.UserView }
)

func me(b *builder) {
	register(b, operation{method: http.MethodGet, path: "/me", id: "getMe", tag: "me", summary: "Show who asks", description: "Whose the token is, and what may be done with it."},
		func(ctx context.Context, actor control.Actor, _ *noInput) (*meSaid, error) {
			said := Me{Actor: actor.Kind, Operator: actor.Operator(), Memberships: []control.MemberView{}}
			if actor.Kind == tenant.ByUser {
				all, err := b.control.Memberships(ctx, actor, actor.User.ID)
				if err != nil {
					return nil, err
				}
				user, token := control.ViewUser(actor.User), control.ViewToken(actor.Token)
				said.User, said.Token, said.Memberships = &user, &token, control.Views(all, control.ViewMember)
			}
			return &meSaid{said}, nil
		})
}

func users(b *builder) {
	const tag = "users"
	register(b, operation{method: http.MethodGet, path: "/users", id: "listUsers", tag: tag, summary: "List users", description: "By e-mail address. For operators; others find themselves by e-mail address."},
		func(ctx context.Context, actor control.Actor, in *userList) (*listed[control.UserView], error) {
			byEmail := func(u tenant.User) string { return u.Email }
			if in.Email != "" {
				u, err := b.control.UserByEmail(ctx, actor, in.Email)
				return cut(in.PageQuery, []tenant.User{u}, byEmail, control.ViewUser), err
			}
			page, err := b.control.Users(ctx, actor, in.page())
			return pageOf(in.PageQuery, page, byEmail, control.ViewUser), err
		})
	register(b, operation{method: http.MethodPost, path: "/users", id: "createUser", tag: tag, summary: "Create a user", status: http.StatusCreated,
		description: "For operators. Without a password the user needs an invitation to sign in."},
		func(ctx context.Context, actor control.Actor, in *userCreate) (*made[control.UserView], error) {
			u, err := b.control.CreateUser(ctx, actor, control.NewUser{Email: in.Body.Email, Name: in.Body.Name, Operator: in.Body.Operator, Password: tenant.Secret(in.Body.Password)})
			return &made[control.UserView]{at("users", u.ID), etag(u.Version), control.ViewUser(u)}, err
		})
	register(b, operation{method: http.MethodGet, path: "/users/{user}", id: "getUser", tag: tag, summary: "Show a user", versioned: true},
		func(ctx context.Context, actor control.Actor, in *userGet) (*found[control.UserView], error) {
			return foundUser(b.control.User(ctx, actor, in.id(actor)))
		})
	register(b, operation{method: http.MethodPatch, path: "/users/{user}", id: "updateUser", tag: tag, summary: "Change a user", versioned: true,
		description: "Users change their own name, operators everything."},
		func(ctx context.Context, actor control.Actor, in *userUpdate) (*found[control.UserView], error) {
			version, err := in.version()
			if err != nil {
				return nil, err
			}
			now := b.now()
			return foundUser(b.control.UpdateUser(ctx, actor, in.id(actor), control.Change[tenant.User]{Version: version, Apply: func(u *tenant.User) error {
				in.Body.apply(u, now)
				return nil
			}}))
		})
	register(b, operation{method: http.MethodDelete, path: "/users/{user}", id: "deleteUser", tag: tag, summary: "Delete a user", status: http.StatusNoContent, versioned: true,
		description: "With the memberships and tokens. For operators."},
		func(ctx context.Context, actor control.Actor, in *userDelete) (*none, error) {
			version, err := in.version()
			if err != nil {
				return nil, err
			}
			return &none{}, b.control.DeleteUser(ctx, actor, in.id(actor), version)
		})
	passwords(b, tag)
}

func passwords(b *builder, tag string) {
	register(b, operation{method: http.MethodPut, path: "/users/{user}/password", id: "setPassword", tag: tag, summary: "Set a user's password", status: http.StatusNoContent,
		description: "Browsers that the user has signed in with are signed out. Users send their old one, where they have one."},
		func(ctx context.Context, actor control.Actor, in *passwordSet) (*none, error) {
			return &none{}, b.control.SetPassword(ctx, actor, control.NewPassword{UserID: in.id(actor), Old: tenant.Secret(in.Body.Old), New: tenant.Secret(in.Body.New)})
		})
	register(b, operation{method: http.MethodPost, path: "/users/{user}/invitations", id: "inviteUser", tag: tag, summary: "Invite a user", status: http.StatusCreated,
		description: "The invitation is told this once: who has it may set the user's password, once. For operators."},
		func(ctx context.Context, actor control.Actor, in *UserPath) (*made[control.NewTokenView], error) {
			t, err := b.control.Invite(ctx, actor, in.id(actor))
			return &made[control.NewTokenView]{Location: at("users", t.UserID, "tokens", t.ID), Body: control.ViewNewToken(t)}, err
		})
	register(b, operation{method: http.MethodPost, path: "/invitations/accept", id: "acceptInvitation", tag: tag, summary: "Accept an invitation", public: true,
		description: "Sets the invited user's password. The invitation ends. Needs no token."},
		func(ctx context.Context, actor control.Actor, in *invitationAccept) (*userFound, error) {
			u, err := b.control.AcceptInvitation(ctx, actor, tenant.Secret(in.Body.Invitation), tenant.Secret(in.Body.Password))
			return &userFound{control.ViewUser(u)}, err
		})
}

func foundUser(u tenant.User, err error) (*found[control.UserView], error) {
	return &found[control.UserView]{etag(u.Version), control.ViewUser(u)}, err
}
