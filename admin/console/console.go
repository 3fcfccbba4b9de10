// Package console is the web console under /console: pages for people over admin/control,
// which decides who may do what. All pages are made here and work without scripts, but for
// the live picture of an instance; scripts also copy secrets and open dialogs.
package console

import (
	"log/slog"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/respgate/respgate/admin/control"
)

// Prefix is what the paths of all pages begin with.
const Prefix = "/console"

// Config is what a Console needs besides the control plane. What is nil is left out.
type Config struct {
	// Reachable says whether the instance with that id could be connected to when that was
	// last tried; known is false where it was not.
	Reachable func(instanceID string) (reachable, known bool)
	// Strangers counts n requests, one or none, of who has not said truly who they are,
	// against where a request came from. It returns how long they have to wait.
	Strangers func(r *http.Request, n int) time.Duration
	Now       func() time.Time // time.Now
}

func (c *Config) setDefaults() {
	if c.Reachable == nil {
		c.Reachable = func(string) (bool, bool) { return false, false }
	}
	if c.Strangers == nil {
		c.Strangers = func(*http.Request, int) time.Duration { return 0 }
	}
	if c.Now == nil {
		c.Now = time.Now
	}
}

// Console serves the pages. It is safe for concurrent use.
type Console struct {
	cfg     Config
	control *control.Service
	log     *slog.Logger
	pages   pages
	static  static
	kept    *kept

	watchers *watchers
}

// New returns the console over a control plane.
func New(cfg Config, c *control.Service, log *slog.Logger) *Console {
	cfg.setDefaults()
	files := loadStatic()
	return &Console{cfg: cfg, control: c, log: log, static: files, pages: loadPages(cfg.Now, files), kept: newKept(), watchers: newWatchers()}
}

// route is what answers a method of a path.
type route struct {
	method, path string
	access       access
	do           func(*visit) (*page, error)
	back         func(*visit) (*page, error) // the page with the form that is shown again when do refuses what was sent; nil: none
}

// access is who a route is for.
type access uint8

const (
	signedIn access = iota
	anybody
)

// routes are all pages and what their forms do.
func routes() []route {
	const get, post = http.MethodGet, http.MethodPost
	const org, instance = Prefix + "/organizations/{org}", Prefix + "/organizations/{org}/instances/{instance}"
	const key = Prefix + "/keys/{key}"
	return []route{
		{get, Prefix + "/{$}", signedIn, (*visit).organizations, nil},
		{post, Prefix + "/theme", anybody, (*visit).setTheme, nil},
		{get, Prefix + "/sign-in", anybody, (*visit).signInPage, nil},
		{post, Prefix + "/sign-in", anybody, (*visit).signIn, (*visit).signInPage},
		{post, Prefix + "/sign-in/token", anybody, (*visit).signInByToken, (*visit).signInPage},
		{post, Prefix + "/sign-out", signedIn, (*visit).signOut, nil},
		{get, Prefix + "/invitation", anybody, (*visit).invitationPage, nil},
		{post, Prefix + "/invitation", anybody, (*visit).acceptInvitation, (*visit).invitationPage},
		{get, Prefix + "/account", signedIn, (*visit).account, nil},
		{post, Prefix + "/account/password", signedIn, (*visit).setPassword, (*visit).account},
		{post, Prefix + "/account/tokens", signedIn, (*visit).createToken, (*visit).account},
		{post, Prefix + "/account/tokens/{token}/revoke", signedIn, (*visit).revokeToken, (*visit).account},

		{post, Prefix + "/organizations", signedIn, (*visit).createOrganization, (*visit).organizations},
		{get, org, signedIn, (*visit).organization, nil},
		{post, org + "/instances", signedIn, (*visit).createInstance, (*visit).organization},
		{get, instance, signedIn, (*visit).instance, nil},
		{post, instance, signedIn, (*visit).changeInstance, (*visit).instance},
		{get, instance + "/events", signedIn, (*visit).events, nil},
		{post, instance + "/test", signedIn, (*visit).testInstance, (*visit).instance},
		{post, instance + "/delete", signedIn, (*visit).deleteInstance, (*visit).instance},
		{post, org + "/keys", signedIn, (*visit).createKey, (*visit).organization},
		{get, key, signedIn, (*visit).key, nil},
		{post, key, signedIn, (*visit).changeKey, (*visit).key},
		{post, key + "/rotate", signedIn, (*visit).rotateKey, (*visit).key},
		{post, key + "/revoke", signedIn, (*visit).revokeKey, (*visit).key},
		{get, org + "/members", signedIn, (*visit).members, nil},
		{post, org + "/members", signedIn, (*visit).setMember, (*visit).members},
		{post, org + "/members/{user}/remove", signedIn, (*visit).removeMember, (*visit).members},
		{get, org + "/sessions", signedIn, (*visit).sessions, nil},
		{post, org + "/sessions/{session}/kill", signedIn, (*visit).killSession, (*visit).sessions},
		{get, org + "/audit", signedIn, (*visit).audit, nil},

		{get, Prefix + "/users", signedIn, (*visit).users, nil},
		{post, Prefix + "/users", signedIn, (*visit).createUser, (*visit).users},
		{post, Prefix + "/users/{user}/invite", signedIn, (*visit).invite, (*visit).users},
		{post, Prefix + "/users/{user}/disable", signedIn, (*visit).disableUser, (*visit).users},
		{post, Prefix + "/users/{user}/enable", signedIn, (*visit).enableUser, (*visit).users},
		{get, Prefix + "/sessions", signedIn, (*visit).sessions, nil},
		{post, Prefix + "/sessions/{session}/kill", signedIn, (*visit).killSession, (*visit).sessions},
		{get, Prefix + "/audit", signedIn, (*visit).audit, nil},
	}
}

// Mount adds the console's paths to a mux.
func (c *Console) Mount(mux *http.ServeMux) {
	allowed := map[string][]string{}
	for _, r := range routes() {
		mux.Handle(r.method+" "+r.path, c.serve(r))
		allowed[r.path] = append(allowed[r.path], r.method)
	}
	for path, methods := range allowed {
		mux.Handle(path, c.serve(route{path: path, access: anybody, do: wrongMethod(methods)}))
	}
	mux.Handle("GET "+Prefix, http.RedirectHandler(Prefix+"/", http.StatusSeeOther))
	mux.Handle("GET "+staticPath+"{file}", c.static)
	mux.Handle(Prefix+"/", c.serve(route{path: Prefix + "/", access: anybody, do: nothing}))
}

// Paths returns what is served, as "METHOD /pattern", in order.
func Paths() []string {
	all := []string{"GET " + Prefix, "GET " + staticPath + "{file}"}
	for _, r := range routes() {
		all = append(all, r.method+" "+r.path)
	}
	slices.Sort(all)
	return all
}

func nothing(*visit) (*page, error) { return nil, errNothing }

func wrongMethod(methods []string) func(*visit) (*page, error) {
	if slices.Contains(methods, http.MethodGet) {
		methods = append(methods, http.MethodHead)
	}
	return func(v *visit) (*page, error) {
		v.w.Header().Set("Allow", strings.Join(methods, ", "))
		return nil, errMethod
	}
}
