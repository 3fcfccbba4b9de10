package console

import (
	"bytes"
	"embed"
	"encoding/json"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"
	"path"
	"strconv"
	"strings"
	"time"

	"github.com/respgate/respgate/tenant"
)

//go:embed templates
var templateFiles embed.FS

// pages are the templates by name, each with the layout around it.
type pages map[string]*template.Template

// loadPages parses the templates, which are part of the program: it panics where one is not
// good.
func loadPages(now func() time.Time, files static) pages {
	layout := template.Must(template.New("layout.html").Funcs(template.FuncMap{
		"actions":        func() []string { return actions },
		"targets":        func() []string { return targets },
		"duration":       duration,
		"ago":            func(t time.Time) string { return ago(t, now()) },
		"args":           args,
		"file":           files.url,
		"indent":         indent,
		"join":           strings.Join,
		"bytes":          sizeWords,
		"limit":          limitWords,
		"limitModes":     tenant.LimitModes,
		"limitModeWords": limitModeWords,
		"number":         number,
		"roles":          tenant.Roles,
		"slowlog":        slowlogWords,
		"threshold":      tenant.FormatSlowlogThreshold,
		"stamp":          func(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05") },
		"iso":            func(t time.Time) string { return t.UTC().Format(time.RFC3339) },
		"upper":          sentenceCase,
	}).ParseFS(templateFiles, "templates/layout.html", "templates/parts.html"))
	all := pages{}
	names, err := fs.Glob(templateFiles, "templates/*.html")
	if err != nil {
		panic(err)
	}
	for _, file := range names {
		name := strings.TrimSuffix(path.Base(file), ".html")
		all[name] = template.Must(template.Must(layout.Clone()).ParseFS(templateFiles, file))
	}
	return all
}

// view is what the templates are given.
type view struct {
	Title    string
	Name     string // of who has signed in; "": nobody has
	Me       string // the user's id; "" is no user, who has no account
	Operator bool
	Theme    string // light, dark, or "" as the browser wants it
	CSRF     string
	Here     string // the page's own path with its query; "" for what a form has made, which is not there again
	Section  string // the first part of the path after the prefix
	Notice   string
	Problem  string
	Org      *orgView
	Tab      string
	Form     func(name string) string             // what was sent and is to be corrected
	Kept     func(name string, stored any) string // the same of what is there already, and else what is stored
	Data     any
}

// render answers with a page; nil has been answered.
func (v *visit) render(p *page) {
	switch {
	case p == nil:
		return
	case p.redirect != "":
		http.Redirect(v.w, v.r, p.redirect, http.StatusSeeOther)
		return
	case p.status == 0:
		p.status = http.StatusOK
	}
	var text bytes.Buffer
	if err := v.pages[p.name].ExecuteTemplate(&text, "layout.html", v.view(p)); err != nil {
		panic(err) // serve has it written to the log
	}
	v.w.Header().Set("Content-Type", "text/html; charset=utf-8")
	v.w.WriteHeader(p.status)
	_, _ = v.w.Write(text.Bytes()) // the client has gone: nobody to tell
}

func (v *visit) view(p *page) view {
	section, _, _ := strings.Cut(strings.TrimPrefix(v.r.URL.Path, Prefix+"/"), "/")
	out := view{Title: p.title, Theme: v.theme(), CSRF: v.csrf(), Section: section, Problem: v.problem, Org: p.org, Tab: p.tab, Data: p.data,
		Form: func(string) string { return "" }, Kept: func(_ string, stored any) string { return fmt.Sprint(stored) }, Me: v.actor.User.ID, Operator: v.actor.Operator()}
	switch v.actor.Kind {
	case tenant.ByUser:
		out.Name = v.actor.User.Email
	case tenant.ByOperator:
		out.Name = "operator"
	}
	if v.r.Method != http.MethodPost {
		out.Here = v.r.URL.RequestURI()
		out.Notice = notices[v.r.URL.Query().Get("done")]
	} else if v.problem != "" {
		out.Form = v.again
		if !v.stale {
			out.Kept = v.sent
		}
	}
	return out
}

// again is what was sent in a field, for it to be corrected. Secrets are not sent back, and
// an instance's URL has one.
func (v *visit) again(name string) string {
	switch name {
	case "url", "password", "old", "new", "token", "invitation":
		return ""
	}
	return v.r.PostForm.Get(name)
}

// sent is what was sent in a field, and stored where the form that was sent has no such field.
func (v *visit) sent(name string, stored any) string {
	if v.r.PostForm.Has(name) {
		return v.again(name)
	}
	return fmt.Sprint(stored)
}

// notices say what a form has done, by a word in the address of the page that follows.
var notices = map[string]string{ //nolint:gosec // words
	"instance-changed": "The instance is changed. Running proxies follow at once.",
	"organization":     "The organization is there.",
	"instance":         "The instance is there. Test the connection, then make a key for it.",
	"no-instance":      "The instance is deleted. The Redis itself was not touched.",
	"key":              "The key is changed. Its clients are held to it at once.",
	"revoked":          "The key is revoked. Its clients are disconnected within a second.",
	"member":           "The member's role is set.",
	"no-member":        "The member is removed.",
	"killed":           "The session is ended.",
	"disabled":         "The user is disabled and cannot sign in.",
	"enabled":          "The user is enabled.",
	"password":         "The password is changed, and other browsers are signed out.",
	"invited":          "The password is set. Sign in with it.",
	"token-revoked":    "The token is revoked.",
	"signed-out":       "You are signed out.",
}

// args makes a map of names and values, for templates that take several.
func args(pairs ...any) (map[string]any, error) {
	if len(pairs)%2 != 0 {
		return nil, fmt.Errorf("args: want pairs, got %d values", len(pairs))
	}
	all := map[string]any{}
	for i := 0; i < len(pairs); i += 2 {
		name, ok := pairs[i].(string)
		if !ok {
			return nil, fmt.Errorf("args: want a name, got %v", pairs[i])
		}
		all[name] = pairs[i+1]
	}
	return all, nil
}

// ago says how long before now a time was.
func ago(t, now time.Time) string {
	past, in := now.Sub(t), ""
	if past < 0 {
		past, in = -past, "in "
	}
	amount, unit := int64(past/time.Second), "s"
	switch {
	case past >= 48*time.Hour:
		amount, unit = int64(past/(24*time.Hour)), "days"
	case past >= 2*time.Hour:
		amount, unit = int64(past/time.Hour), "h"
	case past >= 2*time.Minute:
		amount, unit = int64(past/time.Minute), "min"
	}
	if in != "" {
		return fmt.Sprintf("%s%d %s", in, amount, unit)
	}
	return fmt.Sprintf("%d %s ago", amount, unit)
}

// limitWords says a key's limits.
func limitWords(l tenant.Limits) string {
	switch {
	case l.Rate == nil:
		return "default"
	case *l.Rate == 0:
		return "unlimited"
	case l.Burst == nil:
		return number(*l.Rate) + "/s"
	}
	return number(*l.Rate) + "/s, burst " + number(*l.Burst)
}

// limitModeWords says what happens beyond limits.
func limitModeWords(mode string) string {
	return map[string]string{"reject": "commands are refused", "delay": "commands wait", "dry_run": "commands are counted only"}[mode]
}

// sizeWords is a number of bytes as a field takes it; of a nil pointer it is "".
func sizeWords(n any) string {
	switch n := n.(type) {
	case int64:
		return tenant.FormatSize(n)
	case *int64:
		if n != nil {
			return tenant.FormatSize(*n)
		}
	}
	return ""
}

// slowlogWords says what an instance's slow log keeps.
func slowlogWords(threshold *time.Duration) string {
	switch {
	case threshold == nil:
		return "as the proxy is set"
	case *threshold < 0:
		return "off"
	case *threshold == 0:
		return "every command"
	}
	return "commands of " + threshold.String() + " or longer"
}

// number is n with its digits in groups of three; nil is nothing.
func number(n any) string {
	var text string
	switch n := n.(type) {
	case int:
		text = strconv.Itoa(n)
	case int64:
		text = strconv.FormatInt(n, 10)
	case *int:
		if n == nil {
			return ""
		}
		return strconv.Itoa(*n)
	}
	for i := len(text) - 3; i > 0 && text[i-1] != '-'; i -= 3 {
		text = text[:i] + "," + text[i:]
	}
	return text
}

// duration says seconds in a unit that fits; nil is none.
func duration(seconds *float64) string {
	switch {
	case seconds == nil:
		return "–"
	case *seconds < 0.001:
		return fmt.Sprintf("%.0f µs", *seconds*1e6)
	case *seconds < 1:
		return fmt.Sprintf("%.1f ms", *seconds*1e3)
	}
	return fmt.Sprintf("%.1f s", *seconds)
}

// indent lays JSON out for people.
func indent(raw json.RawMessage) string {
	var out bytes.Buffer
	if err := json.Indent(&out, raw, "", "  "); err != nil {
		return string(raw)
	}
	return out.String()
}

func sentenceCase(s any) string {
	text := fmt.Sprint(s)
	if text == "" {
		return ""
	}
	return strings.ToUpper(text[:1]) + text[1:]
}
