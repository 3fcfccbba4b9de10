package console

import (
	"cmp"
	"net/http"
	"path"
	"strings"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/tenant"
)

// themeSeconds is for how long a browser remembers light or dark.
const themeSeconds = 365 * 24 * 3600

func (v *visit) theme() string {
	if cookie, err := v.r.Cookie(themeCookie); err == nil && (cookie.Value == "light" || cookie.Value == "dark") {
		return cookie.Value
	}
	return ""
}

func (v *visit) setTheme() (*page, error) {
	switch theme := v.form("theme"); theme {
	case "light", "dark":
		v.setCookie(themeCookie, theme, themeSeconds)
	default:
		v.setCookie(themeCookie, "", -1)
	}
	return redirect(v.next()), nil
}

// next is the page that a form leads to: one of the console's, never another site's, as a
// backslash, which is a slash to browsers, would make it. A GET's body is not looked at.
func (v *visit) next() string {
	next := cmp.Or(v.form("next"), v.r.URL.Query().Get("next"))
	to, _, _ := strings.Cut(next, "?")
	if strings.HasPrefix(next, Prefix+"/") && strings.HasPrefix(path.Clean(to)+"/", Prefix+"/") && !strings.Contains(to, `\`) {
		return next
	}
	return Prefix + "/"
}

func (v *visit) signInPage() (*page, error) {
	if v.actor.Kind != tenant.ByNobody {
		return redirect(v.next()), nil
	}
	return &page{name: "sign-in", title: "Sign in", data: v.next()}, nil
}

func (v *visit) signIn() (*page, error) {
	made, err := v.control.SignIn(v.r.Context(), control.Actor{Address: v.address()}, control.Credentials{
		Email: v.form("email"), Password: tenant.Secret(v.r.PostForm.Get("password"))})
	if err != nil {
		return nil, err
	}
	return v.entered(made.Text.Reveal()), nil
}

func (v *visit) signInByToken() (*page, error) {
	token := tenant.Secret(v.form("token"))
	who, err := v.control.SignInByToken(v.r.Context(), control.Actor{Address: v.address()}, token)
	if err != nil {
		return nil, err
	}
	return v.entered(v.kept.keep(token, who.User.ID, v.cfg.Now())), nil
}

// entered has the browser keep a session's cookie, in place of any that it had.
func (v *visit) entered(cookie string) *page {
	v.setCookie(sessionCookie, cookie, 0)
	v.setCookie(visitorCookie, "", -1)
	return redirect(v.next())
}

func (v *visit) signOut() (*page, error) {
	if !v.kept.drop(v.secret) {
		if err := v.control.SignOut(v.r.Context(), v.actor); err != nil {
			return nil, err
		}
	}
	v.setCookie(sessionCookie, "", -1)
	return redirect(Prefix + "/sign-in?done=signed-out"), nil
}

func (v *visit) invitationPage() (*page, error) {
	return &page{name: "invitation", title: "Accept an invitation"}, nil
}

func (v *visit) acceptInvitation() (*page, error) {
	_, err := v.control.AcceptInvitation(v.r.Context(), control.Actor{Address: v.address()}, tenant.Secret(v.form("invitation")), tenant.Secret(v.r.PostForm.Get("new")))
	if err != nil {
		return nil, err
	}
	return redirect(Prefix + "/sign-in?done=invited"), nil
}

// secretPage shows what is shown once.
type secretPage struct {
	What   string // it is, with its name
	Secret tenant.Secret
	Use    []string // lines that show how it is used, without it
	For    string   // who it is for, and what they do with it
	Next   string   // the page to go on to
}

func (v *visit) told(title string, s secretPage) *page {
	return &page{name: "secret", title: title, data: s, status: http.StatusCreated}
}
