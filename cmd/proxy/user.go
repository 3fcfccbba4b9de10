package main

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/spf13/cobra"

	respgate "github.com/respgate/respgate/clients/go"
	"github.com/respgate/respgate/tenant"
)

type userView struct{ respgate.User }

func (userView) columns() []string {
	return []string{"email", "id", "name", "operator", "created", "state"}
}
func (v userView) cells() []string {
	state := "active"
	if since := given(v.DisabledAt); since != nil {
		state = "disabled " + shownTime(since)
	}
	return []string{v.Email, v.ID, v.Name, shownBool(v.Operator), shownTime(&v.CreatedAt), state}
}

func shownBool(b bool) string { return map[bool]string{true: "yes", false: "no"}[b] }

func (a *app) userCommand() *cobra.Command {
	return group("user", "Manage users: who may manage organizations over HTTP",
		a.userCreate(), a.userList(), a.userShow(), a.userSet(), a.userDelete(), a.userInvite(), a.userSetPassword())
}

// aUser is the argument of the commands that take a user.
func (a *app) aUser() thing {
	return thing{want: "user's ID or e-mail address (respgate user list shows them)", offer: a.emails}
}

// ownID stands for the user whose token it is.
const ownID = "me"

// userID is the id of a user, told by id or e-mail address.
func userID(ctx context.Context, c *client, who string) (string, error) {
	if !strings.Contains(who, "@") {
		return who, nil
	}
	found, err := answered[respgate.ListUser](c.ListUsersWithResponse(ctx, &respgate.ListUsersParams{Email: &who}))
	if err == nil && len(found.Items) == 0 {
		err = fmt.Errorf("user %q not found", who)
	}
	if err != nil {
		return "", err
	}
	return found.Items[0].ID, nil
}

// onUser is a command about one user.
func (a *app) onUser(use, short string, run func(ctx context.Context, c *client, id string) error) *cobra.Command {
	return a.onOne(use+" USER", short, a.aUser(), func(ctx context.Context, c *client, who string) error {
		id, err := userID(ctx, c, who)
		if err != nil {
			return err
		}
		return run(ctx, c, id)
	})
}

// userFlags are what `user create` and `user set` may say of a user.
func userFlags(c *cobra.Command) func() respgate.UserPatch {
	email := c.Flags().String("email", "", "the user's e-mail `ADDRESS`, to sign in with")
	name := c.Flags().String("name", "", "the user's `NAME`, for people")
	operator := c.Flags().Bool("operator", false, "may do everything, in all organizations")
	return func() (p respgate.UserPatch) {
		if c.Flags().Changed("email") {
			p.Email = email
		}
		if c.Flags().Changed("name") {
			p.Name = name
		}
		if c.Flags().Changed("operator") {
			p.Operator = operator
		}
		return p
	}
}

const passwordHelp = ": '-' reads it from standard input and `env:NAME` from the environment" //nolint:gosec // none is in it

func (a *app) userCreate() *cobra.Command {
	var password string
	var read func() respgate.UserPatch
	c := a.onAPI("create --email ADDRESS", "Create a user, who signs in with a password, or sets one when invited", func(ctx context.Context, c *client) error {
		body, err := remade[respgate.UserCreate](read())
		if err != nil {
			return err
		}
		if password != "" {
			secret, err := a.secretFlag("password", password)
			if err != nil {
				return err
			}
			body.Password = new(secret.Reveal())
		}
		return show[userView](a)(c.CreateUserWithResponse(ctx, nil, body))
	})
	read = userFlags(c)
	required(c, "email")
	c.Flags().StringVar(&password, "password", "", "the user's password"+passwordHelp)
	return c
}

func (a *app) userList() *cobra.Command {
	return a.onAPI("list", "List users", func(ctx context.Context, c *client) error {
		return showAll[userView](a, 0, func(cursor *string) (respgate.Answer, error) {
			return c.ListUsersWithResponse(ctx, &respgate.ListUsersParams{Limit: pageSize(), Cursor: cursor})
		})
	})
}

func (a *app) userShow() *cobra.Command {
	return a.onUser("show", "Show a user", func(ctx context.Context, c *client, id string) error {
		return show[userView](a)(c.GetUserWithResponse(ctx, id, nil))
	})
}

func (a *app) userSet() *cobra.Command {
	var disabled bool
	var read func() respgate.UserPatch
	var c *cobra.Command
	c = a.onUser("set", "Change a user, or disable one: the user's tokens are no longer good", func(ctx context.Context, api *client, id string) error {
		p := read()
		if c.Flags().Changed("disabled") {
			p.Disabled = &disabled
		}
		if p == (respgate.UserPatch{}) {
			return errors.New("nothing to change: see respgate user set --help")
		}
		return show[userView](a)(api.UpdateUserWithResponse(ctx, id, nil, p))
	})
	read = userFlags(c)
	c.Flags().BoolVar(&disabled, "disabled", false, "lets the user in nowhere; --disabled=false does again")
	return c
}

func (a *app) userDelete() *cobra.Command {
	return a.onOne("delete USER", "Delete a user, with memberships and tokens", a.aUser(), func(ctx context.Context, c *client, who string) error {
		id, err := userID(ctx, c, who)
		if err != nil {
			return err
		}
		if err := respgate.Check(c.DeleteUserWithResponse(ctx, id, nil)); err != nil {
			return err
		}
		return a.done("deleted", who)
	})
}

func (a *app) userInvite() *cobra.Command {
	return a.onUser("invite", "Make an invitation and print it, this once: who has it may set the user's password, once", func(ctx context.Context, c *client, id string) error {
		return show[newTokenView](a)(c.InviteUserWithResponse(ctx, id, nil))
	})
}

func (a *app) userSetPassword() *cobra.Command {
	var password, old string
	c := a.onOne("set-password USER", "Set a user's password: the user is signed out everywhere", a.aUser(), func(ctx context.Context, c *client, who string) error {
		if password == "-" && old == "-" {
			return errors.New("--old-password: standard input has the new one: want env:NAME")
		}
		secret, err := a.secretFlag("password", password)
		if err != nil {
			return err
		}
		body := respgate.PasswordSet{New: secret.Reveal()}
		if old != "" {
			var was tenant.Secret
			if was, err = a.secretFlag("old-password", old); err != nil {
				return err
			}
			body.Old = new(was.Reveal())
		}
		id, err := userID(ctx, c, who)
		if err != nil {
			return err
		}
		if err := respgate.Check(c.SetPasswordWithResponse(ctx, id, body)); err != nil {
			return err
		}
		return a.done("changed", who)
	})
	c.Flags().StringVar(&password, "password", "-", "the new password"+passwordHelp)
	c.Flags().StringVar(&old, "old-password", "", "the old one, which users need for their own"+passwordHelp)
	return c
}
