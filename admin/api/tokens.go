package api

import (
	"context"
	"fmt"
	"net/http"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// TokenCreate is a token that is to be.
type TokenCreate struct {
	Name      string     `json:"name,omitempty"`
	ExpiresAt *time.Time `json:"expires_at,omitempty" nullable:"true"`
	Rate      int        `json:"rate,omitempty" minimum:"0"`
	Burst     int        `json:"burst,omitempty" minimum:"0"`
}

// TokenPath is a token's id in a path.
type TokenPath struct {
	UserPath
	Token string `path:"token" example:"4sV9cW1tXq0a" doc:"the token's id: the 12 characters after rgt_"`
}

type (
	tokenList struct {
		UserPath
		PageQuery
		Kind tenant.TokenKind `query:"kind" enum:"api,session,invite" doc:"only tokens of this kind"`
	}
	tokenCreate struct {
		UserPath
		Body TokenCreate
	}
	tokenFound struct{ Body control.TokenView }
)

func tokens(b *builder) {
	const tag = "tokens"
	register(b, operation{method: http.MethodGet, path: "/users/{user}/tokens", id: "listTokens", tag: tag, summary: "List a user's tokens", description: "The oldest first, ended ones too. For that user and operators."},
		func(ctx context.Context, actor control.Actor, in *tokenList) (*listed[control.TokenView], error) {
			page, err := b.control.Tokens(ctx, actor, in.id(actor), in.Kind, in.page())
			return pageOf(in.PageQuery, page, store.TokenPlace, control.ViewToken), err
		})
	register(b, operation{method: http.MethodPost, path: "/users/{user}/tokens", id: "createToken", tag: tag, summary: "Create a token", status: http.StatusCreated,
		description: "For this API. The token is told this once. For that user and operators; limits of its own are for operators."},
		func(ctx context.Context, actor control.Actor, in *tokenCreate) (*made[control.NewTokenView], error) {
			t, err := b.control.CreateToken(ctx, actor, tenant.Token{UserID: in.id(actor), Name: in.Body.Name, ExpiresAt: timeOf(in.Body.ExpiresAt), Rate: in.Body.Rate, Burst: in.Body.Burst})
			return &made[control.NewTokenView]{Location: at("users", t.UserID, "tokens", t.ID), Body: control.ViewNewToken(t)}, err
		})
	register(b, operation{method: http.MethodGet, path: "/users/{user}/tokens/{token}", id: "getToken", tag: tag, summary: "Show a token"},
		func(ctx context.Context, actor control.Actor, in *TokenPath) (*tokenFound, error) {
			t, err := b.token(ctx, actor, *in)
			return &tokenFound{control.ViewToken(t)}, err
		})
	register(b, operation{method: http.MethodDelete, path: "/users/{user}/tokens/{token}", id: "revokeToken", tag: tag, summary: "Revoke a token", status: http.StatusNoContent,
		description: "For good. For its user and operators."},
		func(ctx context.Context, actor control.Actor, in *TokenPath) (*none, error) {
			return &none{}, b.control.RevokeToken(ctx, actor, in.id(actor), in.Token)
		})
}

// token finds a user's token.
func (b *builder) token(ctx context.Context, actor control.Actor, in TokenPath) (tenant.Token, error) {
	all, err := b.control.Tokens(ctx, actor, in.id(actor), "", store.Page{})
	if err != nil {
		return tenant.Token{}, err
	}
	for _, t := range all {
		if t.ID == in.Token {
			return t, nil
		}
	}
	return tenant.Token{}, refuse(http.StatusNotFound, fmt.Sprintf("token %q not found", in.Token))
}
