package control

import (
	"context"
	"errors"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// rename changes something's name.
func renamed[T any](to string, name func(*T) *string) Change[T] {
	return Change[T]{Apply: func(v *T) error { *name(v) = to; return nil }}
}

func orgName(o *tenant.Organization) *string  { return &o.Name }
func instanceName(i *tenant.Instance) *string { return &i.Name }
func keyName(k *tenant.Key) *string           { return &k.Name }
func userName(u *tenant.User) *string         { return &u.Name }

// counted is work on an instance's keys.
func counted(context.Context, tenant.Instance) (any, error) { return map[string]int{"keys": 3}, nil }

// permissions is what each actor, by columns, is answered: yes, no where it sees and may
// not, none where it does not see, who where it must sign in first. All that changes
// something has an action: that is in its event.
var permissions = []struct {
	method string
	action string
	//       nobody key  stranger viewer admin owner operator token shell
	want string
	// try prepares what is acted on, by the store, and acts.
	try func(t *testing.T, w *world, a Actor) (any, error)
}{
	{"Organizations", "", "who who yes yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.Organizations(t.Context(), a, store.Page{})
		return Views(all, ViewOrganization), err
	}},
	{"Organization", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		o, err := w.Organization(t.Context(), a, w.org(t).Name)
		return ViewOrganization(o), err
	}},
	{"CreateOrganization", "organization.create", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		o, err := w.CreateOrganization(t.Context(), a, tenant.Organization{Name: w.name()})
		return ViewOrganization(o), err
	}},
	{"UpdateOrganization: name", "organization.update", "who who none no no yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		o, err := w.UpdateOrganization(t.Context(), a, w.org(t).Name, renamed(w.name(), orgName))
		return ViewOrganization(o), err
	}},
	{"UpdateOrganization: quota", "organization.update", "who who none no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.UpdateOrganization(t.Context(), a, w.org(t).Name, Change[tenant.Organization]{Apply: func(o *tenant.Organization) error { o.MaxKeys = 5; return nil }})
	}},
	{"DeleteOrganization", "organization.delete", "who who none no no yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return nil, w.DeleteOrganization(t.Context(), a, w.org(t).Name, store.Deletion{})
	}},
	{"DeletedOrganizations", "", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.DeletedOrganizations(t.Context(), a, store.Page{})
		return Views(all, ViewOrganization), err
	}},
	{"RestoreOrganization", "organization.restore", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		o := w.org(t)
		must[none](t)(none{}, w.store.DeleteOrganization(t.Context(), o.Name, store.Deletion{Force: true}))
		o, err := w.RestoreOrganization(t.Context(), a, o.ID)
		return ViewOrganization(o), err
	}},
	{"Instances", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.Instances(t.Context(), a, w.instance(t).Org, store.Page{})
		return Views(all, ViewInstance), err
	}},
	{"Instances: all", "", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.Instances(t.Context(), a, "", store.Page{})
		return Views(all, ViewInstance), err
	}},
	{"Instance", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		in, err := w.Instance(t.Context(), a, in.Org, in.Name)
		return ViewInstance(in), err
	}},
	{"CreateInstance", "instance.create", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in, err := w.CreateInstance(t.Context(), a, tenant.Instance{Org: w.org(t).Name, Name: w.name(), URL: testURL})
		return ViewInstance(in), err
	}},
	{"CreateInstance: a socket", "instance.create", "who who none no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.CreateInstance(t.Context(), a, tenant.Instance{Org: w.org(t).Name, Name: w.name(), URL: "unix:///run/redis.sock"})
	}},
	{"UpdateInstance", "instance.update", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return w.UpdateInstance(t.Context(), a, in.Org, in.Name, Change[tenant.Instance]{Apply: func(in *tenant.Instance) error { in.URL += "?read_from=nearest"; return nil }})
	}},
	{"UpdateInstance: the machine's files", "instance.update", "who who none no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return w.UpdateInstance(t.Context(), a, in.Org, in.Name, Change[tenant.Instance]{Apply: func(in *tenant.Instance) error {
			in.URL = "rediss://10.0.0.5/0?cert_file=/etc/a.pem&key_file=/etc/a.key"
			return nil
		}})
	}},
	{"CompareURL: another", "instance.compare_url", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return w.CompareURL(t.Context(), a, in.Org, in.Name, testURL+"?read_from=nearest")
	}},
	{"DeleteInstance", "instance.delete", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return nil, w.DeleteInstance(t.Context(), a, in.Org, in.Name, store.Deletion{})
	}},
	{"DeletedInstances", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.DeletedInstances(t.Context(), a, w.org(t).Name, store.Page{})
		return Views(all, ViewInstance), err
	}},
	{"RestoreInstance", "instance.restore", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		must[none](t)(none{}, w.store.DeleteInstance(t.Context(), in.Org, in.Name, store.Deletion{Force: true}))
		in, err := w.RestoreInstance(t.Context(), a, in.Org, in.ID)
		return ViewInstance(in), err
	}},
	{"TestInstance", "instance.test", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return w.TestInstance(t.Context(), a, in.Org, in.Name)
	}},
	{"BackUpInstance", "instance.backup", "who who none no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return nil, w.BackUpInstance(t.Context(), a, in.Org, in.Name, counted)
	}},
	{"LoadInstance", "instance.load", "who who none no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return nil, w.LoadInstance(t.Context(), a, in.Org, in.Name, counted)
	}},
	{"Keys", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.Keys(t.Context(), a, w.key(t).Org, store.Page{})
		return Views(all, ViewKey), err
	}},
	{"Keys: all", "", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.Keys(t.Context(), a, "", store.Page{})
		return Views(all, ViewKey), err
	}},
	{"Key", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		k, err := w.Key(t.Context(), a, w.key(t).ID)
		return ViewKey(k), err
	}},
	{"CreateKey", "key.create", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		k, err := w.CreateKey(t.Context(), a, tenant.Key{Org: in.Org, Instances: []string{in.Name}, Name: w.name()})
		w.hide(k.Text, k.SecretHash)
		return ViewKey(k.Key), err
	}},
	{"CreateKey: a certificate", "key.create", "who who none no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return w.CreateKey(t.Context(), a, tenant.Key{Org: in.Org, Instances: []string{in.Name}, Name: w.name(), CertificateName: "spiffe://corp/" + w.name()})
	}},
	{"UpdateKey", "key.update", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		k, err := w.UpdateKey(t.Context(), a, w.key(t).ID, renamed(w.name(), keyName))
		return ViewKey(k), err
	}},
	{"UpdateKey: a certificate", "key.update", "who who none no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.UpdateKey(t.Context(), a, w.key(t).ID, renamed("spiffe://corp/"+w.name(), func(k *tenant.Key) *string { return &k.CertificateName }))
	}},
	{"RotateKey", "key.rotate", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		k, err := w.RotateKey(t.Context(), a, w.key(t).ID, time.Hour, 0)
		w.hide(k.Text, k.SecretHash)
		return ViewKey(k.Key), err
	}},
	{"RevokeKey", "key.revoke", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		k, err := w.RevokeKey(t.Context(), a, w.key(t).ID, 0)
		return ViewKey(k), err
	}},
	{"DeleteKey", "key.delete", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return nil, w.DeleteKey(t.Context(), a, w.key(t).ID, 0)
	}},
	{"ResetLimits", "key.reset_limit", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.ResetLimits(t.Context(), a, w.key(t).ID)
	}},
	{"ResetLimits: all", "key.reset_limit", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.ResetLimits(t.Context(), a, "")
	}},
	{"Members", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.Members(t.Context(), a, w.org(t).Name, store.Page{})
		return Views(all, ViewMember), err
	}},
	{"Memberships: the viewer's", "", "who who none yes none none yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.Memberships(t.Context(), a, w.actors["viewer"].User.ID)
		return Views(all, ViewMember), err
	}},
	{"SetMember", "member.set", "who who none no no yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.SetMember(t.Context(), a, Member{Org: w.org(t).Name, Email: w.user(t).Email, Role: tenant.Admin})
	}},
	{"RemoveMember: the viewer", "member.remove", "who who none yes no yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return nil, w.RemoveMember(t.Context(), a, w.org(t).Name, w.actors["viewer"].User.ID)
	}},
	{"Users", "", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		w.user(t)
		return w.Users(t.Context(), a, store.Page{})
	}},
	{"User: the viewer", "", "who who none yes none none yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.User(t.Context(), a, w.actors["viewer"].User.ID)
	}},
	{"UserByEmail: the viewer", "", "who who none yes none none yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.UserByEmail(t.Context(), a, "Viewer@example.com")
	}},
	{"CreateUser", "user.create", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.CreateUser(t.Context(), a, NewUser{Email: w.name() + "@example.com", Password: userPassword})
	}},
	{"UpdateUser: the viewer's name", "user.update", "who who none yes none none yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.UpdateUser(t.Context(), a, w.actors["viewer"].User.ID, renamed("Vera", userName))
	}},
	{"UpdateUser: the viewer an operator", "user.update", "who who none no none none yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.UpdateUser(t.Context(), a, w.actors["viewer"].User.ID, Change[tenant.User]{Apply: func(u *tenant.User) error { u.Operator = true; return nil }})
	}},
	{"SetPassword: the viewer's first", "user.set_password", "who who none yes none none yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		id := w.actors["viewer"].User.ID
		must[tenant.User](t)(w.store.UpdateUser(t.Context(), id, func(u *tenant.User) error { u.PasswordHash = ""; return nil }))
		return nil, w.SetPassword(t.Context(), a, NewPassword{UserID: id, New: nextPassword})
	}},
	{"DeleteUser: the viewer", "user.delete", "who who none no none none yes none none", func(t *testing.T, w *world, a Actor) (any, error) {
		return nil, w.DeleteUser(t.Context(), a, w.actors["viewer"].User.ID, 0) // once: then there is none
	}},
	{"Tokens: the viewer's", "", "who who none yes none none yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		w.token(t, w.actors["viewer"].User, tenant.APIToken)
		return w.Tokens(t.Context(), a, w.actors["viewer"].User.ID, "", store.Page{})
	}},
	{"CreateToken: the viewer's", "token.create", "who who none yes none none yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		made, err := w.CreateToken(t.Context(), a, tenant.Token{UserID: w.actors["viewer"].User.ID, Name: "ci"})
		w.hide(made.Text, made.SecretHash)
		return ViewToken(made.Token), err
	}},
	{"CreateToken: the viewer's, without limits", "token.create", "who who none no none none yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		made, err := w.CreateToken(t.Context(), a, tenant.Token{UserID: w.actors["viewer"].User.ID, Rate: 1e6})
		w.hide(made.Text, made.SecretHash)
		return ViewToken(made.Token), err
	}},
	{"Invite: the viewer", "token.create", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		made, err := w.Invite(t.Context(), a, w.actors["viewer"].User.ID)
		w.hide(made.Text, made.SecretHash)
		return ViewToken(made.Token), err
	}},
	{"AcceptInvitation", "user.set_password", "yes yes yes yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.AcceptInvitation(t.Context(), a, w.token(t, w.user(t), tenant.Invitation).Text, nextPassword)
	}},
	{"RevokeToken: the viewer's", "token.revoke", "who who none yes none none yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return nil, w.RevokeToken(t.Context(), a, "", w.token(t, w.actors["viewer"].User, tenant.APIToken).ID)
	}},
	{"SignIn", "session.sign_in", "yes yes yes yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		made, err := w.SignIn(t.Context(), a, Credentials{w.user(t).Email, userPassword})
		w.hide(made.Text, made.SecretHash)
		return ViewToken(made.Token), err
	}},
	{"SignInByToken", "session.sign_in", "yes yes yes yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		_, err := w.SignInByToken(t.Context(), a, adminToken)
		return nil, err
	}},
	{"SignOut: without having signed in", "session.sign_out", "who who no no no no no no no", func(t *testing.T, w *world, a Actor) (any, error) {
		return nil, w.SignOut(t.Context(), a)
	}},
	{"Usage", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.Usage(t.Context(), a, UsageQuery{Org: w.org(t).Name})
		return Views(all, ViewUsage), err
	}},
	{"Usage: all", "", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.Usage(t.Context(), a, UsageQuery{})
	}},
	{"Sessions", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.Sessions(t.Context(), a, w.org(t).Name)
		return Views(all, ViewSession), err
	}},
	{"Sessions: all", "", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.Sessions(t.Context(), a, "")
	}},
	{"Live", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return w.Live(t.Context(), a, in.Org, in.Name)
	}},
	{"Top", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.Top(t.Context(), a, w.org(t).Name, ByRate, 10)
	}},
	{"Top: all", "", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.Top(t.Context(), a, "", ByRate, 10)
	}},
	{"InstanceTop", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return w.InstanceTop(t.Context(), a, in.Org, in.Name)
	}},
	{"SlowLog", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return w.SlowLog(t.Context(), a, in.Org, in.Name, 10)
	}},
	{"ResetSlowLog", "slowlog.reset", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		return nil, w.ResetSlowLog(t.Context(), a, in.Org, in.Name)
	}},
	{"Watch", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		in := w.instance(t)
		for p, err := range w.Watch(t.Context(), a, in.Org, in.Name) {
			return p, err
		}
		return nil, errors.New("it says nothing")
	}},
	{"KillSession", "session.kill", "who who none no yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		o := w.org(t)
		w.live.All = []tenant.Session{{ID: "proxy1-7", OrgID: o.ID}}
		return nil, w.KillSession(t.Context(), a, o.Name, "proxy1-7")
	}},
	{"KillSession: of any", "session.kill", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return nil, w.KillSession(t.Context(), a, "", "proxy2-7")
	}},
	{"LogLevel", "", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.LogLevel(t.Context(), a)
	}},
	{"SetLogLevel", "log.level", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.SetLogLevel(t.Context(), a, "debug")
	}},
	{"Events", "", "who who none yes yes yes yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		all, err := w.Events(t.Context(), a, EventQuery{Org: w.org(t).Name}, store.Page{})
		return Views(all, ViewEvent), err
	}},
	{"Events: all", "", "who who no no no no yes yes yes", func(t *testing.T, w *world, a Actor) (any, error) {
		return w.Events(t.Context(), a, EventQuery{}, store.Page{Limit: 10})
	}},
}

// testPermissions has every actor try everything: what each is answered, that what changes
// something leaves exactly one event that says who and how it ended, that reading leaves
// none, and that no secret is seen.
func testPermissions(t *testing.T, open stores.Opener) {
	outcomes := map[string]tenant.Outcome{"yes": tenant.Done, "no": tenant.Denied, "who": tenant.Denied, "none": tenant.Denied}
	for _, tt := range permissions {
		t.Run(tt.method, func(t *testing.T) {
			t.Parallel()
			w := newWorld(t, open)
			for i, want := range strings.Fields(tt.want) {
				who := columns[i]
				before := len(w.events(t))
				shown, err := tt.try(t, w, w.actors[who])
				if got := answer(err); got != want {
					t.Errorf("%s is answered %s (%v), want %s", who, got, err, want)
				}
				events := w.events(t)[before:]
				w.checkSecrets(t, shown)
				if tt.action == "" {
					if len(events) > 0 {
						t.Errorf("%s: reading leaves %d events, want none", who, len(events))
					}
					continue
				}
				if len(events) != 1 {
					t.Errorf("%s: %d events are left, want 1: %+v", who, len(events), events)
					continue
				}
				checkEvent(t, events[0], who, tt.action, w.actors[who])
				outcome := outcomes[want]
				if want == "none" && w.actors[who].Operator() { // it is not there any more
					outcome = tenant.Failed
				}
				if e := events[0]; e.Outcome != outcome {
					t.Errorf("%s: outcome %q, want %q", who, e.Outcome, outcome)
				}
			}
		})
	}
}

func checkEvent(t *testing.T, e tenant.Event, who, action string, a Actor) {
	t.Helper()
	switch {
	case e.Action != action, e.Target == "", time.Since(e.At).Abs() > time.Minute:
		t.Errorf("%s: event %+v, want action %s on something, now", who, e, action)
	case action == "session.sign_in", action == "user.set_password" && e.TokenID != "": // who they say they are
	case a.Kind == "" && e.Actor != tenant.ByNobody, a.Kind != "" && e.Actor != a.Kind, e.Address != a.Address, e.ActorID != a.User.ID, a.Kind == tenant.ByShell && e.ActorName != "root":
		t.Errorf("event %+v, want it to name %s", e, who)
	}
}

// TestPermissionsAreComplete: every method of the service that an actor calls is in the
// table.
func TestPermissionsAreComplete(t *testing.T) {
	without := []string{"Authenticate", "SetAdminToken"} // make one, or are the configuration's
	known := map[string]bool{}
	for _, tt := range permissions {
		method, _, _ := strings.Cut(tt.method, ":")
		known[method] = true
		if len(strings.Fields(tt.want)) != len(columns) {
			t.Errorf("%s: %q, want %d answers", tt.method, tt.want, len(columns))
		}
	}
	service := reflect.TypeFor[*Service]()
	for i := range service.NumMethod() {
		m := service.Method(i)
		if slices.Contains(without, m.Name) {
			continue
		}
		if !known[m.Name] {
			t.Errorf("%s is not in the table", m.Name)
		}
		if m.Type.In(1) != reflect.TypeFor[context.Context]() || m.Type.In(2) != reflect.TypeFor[Actor]() {
			t.Errorf("%s: want a context and an Actor first", m.Name)
		}
	}
}
