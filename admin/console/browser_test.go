package console

import (
	"fmt"
	"io"
	"net/http"
	"net/http/cookiejar"
	"net/url"
	"strings"
	"testing"

	"golang.org/x/net/html"
)

// browser goes from page to page as one without scripts does: it sends the forms that the
// pages have, with what is in them.
type browser struct {
	t      testing.TB
	client *http.Client
	base   string
}

// seen is a page that a browser has got, after redirects.
type seen struct {
	t      testing.TB
	status int
	path   string
	header http.Header
	text   string
	root   *html.Node
}

func (w *world) browser(t testing.TB) *browser {
	jar, err := cookiejar.New(nil)
	if err != nil {
		t.Fatal(err)
	}
	transport := &http.Transport{}
	t.Cleanup(transport.CloseIdleConnections)
	return &browser{t, &http.Client{Jar: jar, Transport: transport}, w.server.URL}
}

// as is a browser in which one of the world's users has signed in, "operator" with the
// operator's token, or "nobody".
func (w *world) as(t testing.TB, who string) *browser {
	t.Helper()
	b := w.browser(t)
	switch who {
	case "nobody":
	case "operator":
		b.get("/console/sign-in").send("/console/sign-in/token", b, "token", adminToken.Reveal()).want(200)
	default:
		b.get("/console/sign-in").send("/console/sign-in", b, "email", who+"@example.com", "password", password).want(200)
	}
	return b
}

func (b *browser) do(r *http.Request) *seen {
	b.t.Helper()
	res, err := b.client.Do(r)
	if err != nil {
		b.t.Fatal(err)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		b.t.Fatal(err)
	}
	s := &seen{t: b.t, status: res.StatusCode, path: res.Request.URL.RequestURI(), header: res.Header, text: string(text)}
	if strings.HasPrefix(res.Header.Get("Content-Type"), "text/html") {
		if s.root, err = html.Parse(strings.NewReader(s.text)); err != nil {
			b.t.Fatal(err)
		}
		checkPage(b.t, r.Method+" "+r.URL.Path, s)
	}
	return s
}

func (b *browser) get(path string) *seen {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodGet, b.base+path, nil)
	if err != nil {
		b.t.Fatal(err)
	}
	return b.do(r)
}

// post sends what no form of a page has.
func (b *browser) post(path string, fields url.Values, header ...string) *seen {
	b.t.Helper()
	return b.send(path, fields.Encode(), header...)
}

// send sends a form that is in text already.
func (b *browser) send(path, text string, header ...string) *seen {
	b.t.Helper()
	r, err := http.NewRequestWithContext(b.t.Context(), http.MethodPost, b.base+path, strings.NewReader(text))
	if err != nil {
		b.t.Fatal(err)
	}
	r.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	for i := 0; i+1 < len(header); i += 2 {
		r.Header.Set(header[i], header[i+1])
	}
	return b.do(r)
}

// csrf is the token of the session's forms.
func (b *browser) csrf() string {
	b.t.Helper()
	form := find(b.get("/console/").root, func(n *html.Node) bool { return attr(n, "action") == "/console/sign-out" })
	if form == nil {
		return ""
	}
	return fieldsOf(form).Get(csrfField)
}

// send sends the page's form for that path, with other values in some fields: names and
// values in turn.
func (s *seen) send(action string, b *browser, values ...string) *seen {
	s.t.Helper()
	form := find(s.root, func(n *html.Node) bool {
		return n.Data == "form" && attr(n, "action") == action && attr(n, "method") == "post"
	})
	if form == nil {
		s.t.Fatalf("%s has no form for %s", s.path, action)
	}
	fields := fieldsOf(form)
	for i := 0; i+1 < len(values); i += 2 {
		if _, ok := fields[values[i]]; !ok {
			s.t.Fatalf("the form for %s has no field %s", action, values[i])
		}
		fields.Set(values[i], values[i+1])
	}
	return b.post(action, fields)
}

// fieldsOf is what a browser would send of a form: of what is to be ticked, nothing.
func fieldsOf(form *html.Node) url.Values {
	fields := url.Values{}
	for n := range form.Descendants() {
		name := attr(n, "name")
		switch {
		case n.Data == "input" && attr(n, "type") == "checkbox":
			fields[name] = nil
		case n.Data == "input":
			fields.Set(name, attr(n, "value"))
		case n.Data == "select":
			for option := range n.Descendants() {
				if option.Data != "option" {
					continue
				}
				value := text(option)
				if has(option, "value") {
					value = attr(option, "value")
				}
				if _, chosen := fields[name]; !chosen || has(option, "selected") {
					fields.Set(name, value)
				}
			}
		case n.Data == "button" && name != "":
			fields[name] = nil
		}
	}
	return fields
}

// want checks the status and that some words are on the page.
func (s *seen) want(status int, words ...string) *seen {
	s.t.Helper()
	if s.status != status {
		s.t.Fatalf("%s: got %d, want %d:\n%s", s.path, s.status, status, s.words())
	}
	for _, w := range words {
		if !strings.Contains(s.words(), w) {
			s.t.Errorf("%s: want the words %q in\n%s", s.path, w, s.words())
		}
	}
	return s
}

// words are what a page says to people.
func (s *seen) words() string {
	if s.root == nil {
		return s.text
	}
	return text(s.root)
}

// forms are the actions of a page's forms, but for those that all have.
func (s *seen) forms() (all []string) {
	for n := range s.root.Descendants() {
		if a := attr(n, "action"); n.Data == "form" && attr(n, "method") == "post" && a != "/console/theme" && a != "/console/sign-out" {
			all = append(all, a)
		}
	}
	return all
}

func text(n *html.Node) string {
	var words []string
	for d := range n.Descendants() {
		if d.Type == html.TextNode && d.Parent.Data != "script" && d.Parent.Data != "style" {
			words = append(words, strings.Fields(d.Data)...)
		}
	}
	return strings.Join(words, " ")
}

func find(n *html.Node, is func(*html.Node) bool) *html.Node {
	for d := range n.Descendants() {
		if d.Type == html.ElementNode && is(d) {
			return d
		}
	}
	return nil
}

func attr(n *html.Node, name string) string {
	for _, a := range n.Attr {
		if a.Key == name {
			return a.Val
		}
	}
	return ""
}

func has(n *html.Node, name string) bool {
	for _, a := range n.Attr {
		if a.Key == name {
			return true
		}
	}
	return false
}

// checkPage checks what holds for every page: its header fields, that its HTML is well
// formed and has nothing inline, and what those need who do not see it or have no mouse.
func checkPage(t testing.TB, name string, s *seen) {
	t.Helper()
	for field, want := range map[string]string{
		"Cache-Control":           "no-store",
		"Content-Security-Policy": "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self' data:; connect-src 'self'; form-action 'self'; frame-ancestors 'none'; base-uri 'none'",
		"Referrer-Policy":         "same-origin",
		"X-Content-Type-Options":  "nosniff",
		"X-Frame-Options":         "DENY",
	} {
		if got := s.header.Get(field); got != want {
			t.Errorf("%s: %s is %q, want %q", name, field, got, want)
		}
	}
	if err := wellFormed(s.text); err != nil {
		t.Errorf("%s: %v", name, err)
	}
	ids, labelled, headings := map[string]bool{}, map[string]bool{}, 0
	for n := range s.root.Descendants() {
		if id := attr(n, "id"); id != "" {
			if ids[id] {
				t.Errorf("%s: two elements have the id %q", name, id)
			}
			ids[id] = true
		}
		if n.Data == "label" {
			labelled[attr(n, "for")] = true
		}
		if n.Type == html.ElementNode && n.Data == "h1" {
			headings++
		}
	}
	if headings != 1 {
		t.Errorf("%s: %d h1, want one", name, headings)
	}
	if page := find(s.root, func(n *html.Node) bool { return n.Data == "html" }); attr(page, "lang") == "" {
		t.Errorf("%s: no language", name)
	}
	for n := range s.root.Descendants() {
		if n.Type == html.ElementNode {
			checkElement(t, name, n, ids, labelled)
		}
	}
	if strings.Contains(s.text, urlPassword) {
		t.Errorf("%s shows the password of an instance's URL", name)
	}
}

func checkElement(t testing.TB, name string, n *html.Node, ids, labelled map[string]bool) {
	t.Helper()
	for _, a := range n.Attr {
		switch {
		case strings.HasPrefix(a.Key, "on"), a.Key == "style":
			t.Errorf("%s: <%s> has %s inline", name, n.Data, a.Key)
		case a.Key == "for", a.Key == "aria-labelledby", a.Key == "aria-describedby", a.Key == "data-dialog", a.Key == "data-copy", a.Key == "list":
			if !ids[a.Val] {
				t.Errorf("%s: %s=%q names nothing", name, a.Key, a.Val)
			}
		case (a.Key == "href" || a.Key == "src" || a.Key == "action") && !local(a.Val, ids):
			t.Errorf("%s: %s=%q leads nowhere or elsewhere", name, a.Key, a.Val)
		}
	}
	switch n.Data {
	case "script":
		if text(n) != "" || attr(n, "src") == "" {
			t.Errorf("%s: a script is inline", name)
		}
	case "style":
		t.Errorf("%s: a style is inline", name)
	case "img":
		if !has(n, "alt") {
			t.Errorf("%s: an image has no alt", name)
		}
	case "input", "select":
		wrapped := n.Parent.Data == "label"
		if attr(n, "type") != "hidden" && !wrapped && !labelled[attr(n, "id")] {
			t.Errorf("%s: the field %q has no label", name, attr(n, "name"))
		}
	case "form":
		if attr(n, "method") == "post" && attr(n, "action") != "" && fieldsOf(n).Get(csrfField) == "" {
			t.Errorf("%s: the form for %s has no CSRF token", name, attr(n, "action"))
		}
	case "button", "a", "summary", "th":
		if text(n) == "" {
			t.Errorf("%s: a <%s> says nothing", name, n.Data)
		}
	}
}

func local(link string, ids map[string]bool) bool {
	if fragment, ok := strings.CutPrefix(link, "#"); ok {
		return ids[fragment]
	}
	for _, prefix := range []string{"/console", "/api/v1/docs", "?"} {
		if strings.HasPrefix(link, prefix) {
			return true
		}
	}
	return false
}

// void are the elements that have no end (https://html.spec.whatwg.org/#void-elements).
const void = " area base br col embed hr img input link meta source track wbr "

// wellFormed reports where elements do not end in the order in which they began. A parser
// would mend it.
func wellFormed(page string) error {
	var open []string
	for z := html.NewTokenizer(strings.NewReader(page)); ; {
		switch z.Next() {
		case html.ErrorToken:
			if len(open) > 0 {
				return fmt.Errorf("<%s> does not end", open[len(open)-1])
			}
			return nil
		case html.StartTagToken:
			if name, _ := z.TagName(); !strings.Contains(void, " "+string(name)+" ") {
				open = append(open, string(name))
			}
		case html.EndTagToken:
			name, _ := z.TagName()
			if len(open) == 0 || open[len(open)-1] != string(name) {
				return fmt.Errorf("</%s> ends what has not begun, in %v", name, open)
			}
			open = open[:len(open)-1]
		}
	}
}
