package console

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// maxSessions is how many sessions are shown, those that came first.
const maxSessions = 500

// sessionsPage is the clients of an organization's, or of all.
type sessionsPage struct {
	Items []tenant.Session
	More  int    // that are not shown
	Base  string // path of what ends one of them
	May   bool   // end them
}

// of is the organization that a page is of, if it is one's, and the path of its pages.
func (v *visit) of() (o *orgView, name, base string, err error) {
	name = v.r.PathValue("org")
	if name == "" {
		return nil, "", Prefix, nil
	}
	o, err = v.org(name)
	return o, name, orgPath(name), err
}

func (v *visit) sessions() (*page, error) {
	o, name, base, err := v.of()
	if err != nil {
		return nil, err
	}
	all, err := v.control.Sessions(v.r.Context(), v.actor, name)
	if err != nil {
		return nil, err
	}
	slices.SortFunc(all, func(a, b tenant.Session) int { return a.ConnectedAt.Compare(b.ConnectedAt) })
	data := sessionsPage{Items: all[:min(len(all), maxSessions)], More: max(0, len(all)-maxSessions), Base: base + "/sessions", May: o == nil || o.Admin()}
	title := "Sessions"
	if o != nil {
		title = "Sessions of " + name
	}
	return &page{name: "sessions", title: title, org: o, tab: "sessions", data: data}, nil
}

func (v *visit) killSession() (*page, error) {
	name := v.r.PathValue("org")
	if err := v.control.KillSession(v.r.Context(), v.actor, name, v.r.PathValue("session")); err != nil {
		return nil, err
	}
	base := Prefix
	if name != "" {
		base = orgPath(name)
	}
	return redirect(base + "/sessions?done=killed"), nil
}

// actions and targets are what the audit log can be asked for: control's, and those of the
// clients' commands and keys.
var (
	actions = []string{
		"command.audited", "command.denied", "instance.backup", "instance.compare_url", "instance.create", "instance.delete", "instance.load", "instance.move", "instance.restore", "instance.test", "instance.update",
		"key.bad", "key.create", "key.delete", "key.reset_limit", "key.revoke", "key.rotate", "key.update", "log.level", "member.remove", "member.set",
		"organization.create", "organization.delete", "organization.restore", "organization.update", "proxy.kill", "proxy.pause", "proxy.reconnect", "proxy.resume", "session.kill", "session.sign_in", "session.sign_out", "slowlog.reset", "store.export", "store.import",
		"token.create", "token.revoke", "user.create", "user.delete", "user.set_password", "user.update",
	}
	targets = []string{"command", "instance", "key", "log", "member", "organization", "session", "store", "token", "user"}
)

// auditPage is events, the newest first.
type auditPage struct {
	list[control.EventView]
	Filter func(name string) string // what the events were asked for by
	Base   string                   // the page's path
	Clear  bool                     // there is something to be cleared
}

// day is how a filter's days are written.
const day = "2006-01-02"

func (v *visit) audit() (*page, error) {
	o, name, base, err := v.of()
	if err != nil {
		return nil, err
	}
	query := v.r.URL.Query()
	get := func(name string) string { return strings.TrimSpace(query.Get(name)) }
	q := control.EventQuery{Org: name, Action: get("action"), ActorID: get("actor"), Target: get("target"), TargetID: get("id")}
	if q.From, err = dayOf(get("from"), 0); err != nil {
		return nil, err
	}
	if q.To, err = dayOf(get("to"), 1); err != nil {
		return nil, err
	}
	events, err := listOf(v, "after", func(p store.Page) ([]control.EventView, error) {
		if _, err := strconv.ParseUint(p.After, 10, 63); p.After != "" && err != nil {
			return nil, errNothing
		}
		found, err := v.control.Events(v.r.Context(), v.actor, q, p)
		return control.Views(found, control.ViewEvent), err
	}, func(e control.EventView) string { return strconv.FormatInt(e.Seq, 10) })
	if err != nil {
		return nil, err
	}
	title := "Audit log"
	if o != nil {
		title = "Audit log of " + name
	}
	filtered := slices.ContainsFunc([]string{"action", "actor", "target", "id", "from", "to"}, func(name string) bool { return get(name) != "" })
	return &page{name: "audit", title: title, org: o, tab: "audit", data: auditPage{events, get, base + "/audit", filtered}}, nil
}

// dayOf reads a day, in UTC, and adds some to it; nothing is the zero time.
func dayOf(text string, add int) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	t, err := time.Parse(day, text)
	if err != nil {
		return t, wrong("days: want one such as 2026-01-31, got %q", text)
	}
	return t.AddDate(0, 0, add), nil
}
