package console

import (
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

func (v *visit) users() (*page, error) {
	all, err := listOf(v, "after", func(p store.Page) ([]tenant.User, error) {
		return v.control.Users(v.r.Context(), v.actor, p)
	}, func(u tenant.User) string { return u.Email })
	if err != nil {
		return nil, err
	}
	return &page{name: "users", title: "Users", data: all}, nil
}

// createUser makes a user, and the invitation with which the user sets a password.
func (v *visit) createUser() (*page, error) {
	u, err := v.control.CreateUser(v.r.Context(), v.actor, control.NewUser{Email: v.form("email"), Name: v.form("name"), Operator: v.form("operator") == "yes"})
	if err != nil {
		return nil, err
	}
	return v.invited("User created", u)
}

func (v *visit) invite() (*page, error) {
	u, err := v.control.User(v.r.Context(), v.actor, v.r.PathValue("user"))
	if err != nil {
		return nil, err
	}
	return v.invited("User invited", u)
}

func (v *visit) invited(title string, u tenant.User) (*page, error) {
	made, err := v.control.Invite(v.r.Context(), v.actor, u.ID)
	if err != nil {
		return nil, err
	}
	return v.told(title, secretPage{
		What: "the invitation for " + u.Email, Secret: made.Text, Next: Prefix + "/users",
		For: "Send it to " + u.Email + " in a way that only they can read. They enter it at " + Prefix + "/invitation and choose a password. It is good once, until " +
			made.ExpiresAt.UTC().Format("2006-01-02 15:04") + " UTC.",
	}), nil
}

func (v *visit) disableUser() (*page, error) { return v.setDisabled("disabled", v.cfg.Now()) }

func (v *visit) enableUser() (*page, error) { return v.setDisabled("enabled", time.Time{}) }

func (v *visit) setDisabled(done string, at time.Time) (*page, error) {
	_, err := v.control.UpdateUser(v.r.Context(), v.actor, v.r.PathValue("user"), control.Change[tenant.User]{Apply: func(u *tenant.User) error {
		u.DisabledAt = at
		return nil
	}})
	if err != nil {
		return nil, err
	}
	return redirect(Prefix + "/users?done=" + done), nil
}

// accountPage is what is a user's own.
type accountPage struct {
	User        tenant.User
	Memberships []tenant.Membership
	Tokens      []tenant.Token // for the API, that are good
}

func (v *visit) account() (*page, error) {
	if v.actor.Kind != tenant.ByUser {
		return nil, errNothing // the operator's token is nobody's
	}
	ctx, id := v.r.Context(), v.actor.User.ID
	memberships, err := v.control.Memberships(ctx, v.actor, id)
	if err != nil {
		return nil, err
	}
	tokens, err := v.control.Tokens(ctx, v.actor, id, tenant.APIToken, store.Page{})
	if err != nil {
		return nil, err
	}
	data := accountPage{User: v.actor.User, Memberships: memberships}
	for _, t := range tokens {
		if t.RevokedAt.IsZero() && v.cfg.Now().Before(t.ExpiresAt) {
			data.Tokens = append(data.Tokens, t)
		}
	}
	return &page{name: "account", title: "Your account", data: data}, nil
}

func (v *visit) setPassword() (*page, error) {
	err := v.control.SetPassword(v.r.Context(), v.actor, control.NewPassword{UserID: v.actor.User.ID,
		Old: tenant.Secret(v.r.PostForm.Get("old")), New: tenant.Secret(v.r.PostForm.Get("new"))})
	if err != nil {
		return nil, err
	}
	return redirect(Prefix + "/account?done=password"), nil
}

func (v *visit) createToken() (*page, error) {
	t := tenant.Token{UserID: v.actor.User.ID, Name: v.form("name")}
	days, err := v.number("days")
	if err != nil {
		return nil, err
	}
	if days != nil {
		if *days < 1 || *days > int(control.MaxTokenTTL/(24*time.Hour)) {
			return nil, wrong("days: want 1 to %d, got %d", int(control.MaxTokenTTL/(24*time.Hour)), *days)
		}
		t.ExpiresAt = v.cfg.Now().Add(time.Duration(*days) * 24 * time.Hour)
	}
	made, err := v.control.CreateToken(v.r.Context(), v.actor, t)
	if err != nil {
		return nil, err
	}
	return v.told("Token created", secretPage{
		What: "the token " + made.Name, Secret: made.Text, Next: Prefix + "/account",
		For: "Programs send it to the management API. It may do what you may, until " + made.ExpiresAt.UTC().Format("2006-01-02 15:04") + " UTC.",
		Use: []string{"Authorization: Bearer TOKEN"},
	}), nil
}

func (v *visit) revokeToken() (*page, error) {
	if err := v.control.RevokeToken(v.r.Context(), v.actor, v.actor.User.ID, v.r.PathValue("token")); err != nil {
		return nil, err
	}
	return redirect(Prefix + "/account?done=token-revoked"), nil
}
