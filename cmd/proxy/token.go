package main

import (
	"context"
	"errors"
	"net/http"

	"github.com/spf13/cobra"

	respgate "github.com/respgate/respgate/clients/go"
)

type tokenView struct{ respgate.Token }

func (tokenView) columns() []string {
	return []string{"id", "kind", "name", "rate", "burst", "created", "used", "state"}
}

func (v tokenView) cells() []string {
	rate, burst := "default", "default"
	if v.Rate != 0 {
		rate = shownRate(&v.Rate)
	}
	if v.Burst != 0 {
		burst = shownBurst(&v.Burst)
	}
	return []string{v.ID, string(v.Kind), v.Name, rate, burst, shownTime(&v.CreatedAt), shownTime(given(v.LastUsedAt)), shownState(given(v.RevokedAt), given(v.ExpiresAt))}
}

// newTokenView is a token or an invitation at the one time when its secret is shown.
type newTokenView struct{ respgate.NewToken }

func (newTokenView) columns() []string {
	return []string{"token", "id", "user", "kind", "name", "expires"}
}
func (v newTokenView) cells() []string {
	return []string{v.Token + "   (shown this once)", v.ID, v.UserID, string(v.Kind), v.Name, shownTime(given(v.ExpiresAt))}
}

func (a *app) tokenCommand() *cobra.Command {
	return group("token", "Manage tokens: what users' programs send to the management API",
		a.tokenCreate(), a.tokenList(), a.tokenRevoke())
}

// ownerFlag adds --user to a command about a user's tokens, and returns what finds the id.
func (a *app) ownerFlag(c *cobra.Command) func(ctx context.Context, c *client) (string, error) {
	user := ownID
	c.Flags().Var((*pathWord)(&user), "user", "the `USER` whose token it is, by ID or e-mail address; me is who asks")
	a.completes(c, "user", a.emails)
	return func(ctx context.Context, api *client) (string, error) {
		id, err := userID(ctx, api, user)
		if err != nil || id != ownID {
			return id, err
		}
		if err := respgate.Check(api.GetUserWithResponse(ctx, id, nil)); refusedWith(err, http.StatusNotFound) {
			return "", errors.New("--user: want whose token it is: who asks is no user")
		}
		return id, nil
	}
}

func (a *app) tokenCreate() *cobra.Command {
	var name, expires, rate, burst string
	var owner func(ctx context.Context, c *client) (string, error)
	c := a.onAPI("create [--user USER]", "Create a token and print it, this once", func(ctx context.Context, c *client) error {
		body := respgate.TokenCreate{Name: &name}
		var err error
		if expires != "" {
			if body.ExpiresAt, err = expiry(expires); err == nil && body.ExpiresAt.IsNull() {
				err = errors.New("--expires: want a duration such as 720h or a time to come: every token ends")
			}
		}
		if err != nil {
			return err
		}
		for _, limit := range []struct {
			flag, value string
			to          **int64
		}{{"rate", rate, &body.Rate}, {"burst", burst, &body.Burst}} {
			if limit.value == "default" {
				continue
			}
			n, err := amount(limit.flag, limit.value, maxRate)
			if err != nil {
				return err
			}
			*limit.to = &n
		}
		user, err := owner(ctx, c)
		if err != nil {
			return err
		}
		return show[newTokenView](a)(c.CreateTokenWithResponse(ctx, user, nil, body))
	})
	owner = a.ownerFlag(c)
	c.Flags().StringVar(&name, "name", "", "its `NAME`, for people")
	c.Flags().StringVar(&expires, "expires", "", "`WHEN` it ends: a duration such as 720h or a time such as 2027-01-31T00:00:00Z; in 90 days if left out")
	c.Flags().StringVar(&rate, "rate", "default", "requests per second: a `NUMBER`, or 'default'")
	c.Flags().StringVar(&burst, "burst", "default", "requests at once: a `NUMBER`, or 'default'")
	return c
}

func (a *app) tokenList() *cobra.Command {
	var owner func(ctx context.Context, c *client) (string, error)
	c := a.onAPI("list [--user USER]", "List a user's tokens, those of browsers and invitations too", func(ctx context.Context, c *client) error {
		user, err := owner(ctx, c)
		if err != nil {
			return err
		}
		return showAll[tokenView](a, 0, func(cursor *string) (respgate.Answer, error) {
			return c.ListTokensWithResponse(ctx, user, &respgate.ListTokensParams{Limit: pageSize(), Cursor: cursor})
		})
	})
	owner = a.ownerFlag(c)
	return c
}

func (a *app) tokenRevoke() *cobra.Command {
	var owner func(ctx context.Context, c *client) (string, error)
	one := thing{want: "token ID, the 12 characters after rgt_ (respgate token list shows them)"}
	c := a.onOne("revoke [--user USER] ID", "Revoke a token for good", one, func(ctx context.Context, c *client, id string) error {
		user, err := owner(ctx, c)
		if err != nil {
			return err
		}
		if err := respgate.Check(c.RevokeTokenWithResponse(ctx, user, id)); err != nil {
			return err
		}
		return a.done("revoked", id)
	})
	owner = a.ownerFlag(c)
	return c
}
