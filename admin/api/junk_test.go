package api

import (
	"bytes"
	"cmp"
	"encoding/json"
	"flag"
	"fmt"
	"maps"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/danielgtaylor/huma/v2"

	"github.com/respgate/respgate/internal/testbed/stores"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

var (
	junkRounds = flag.Int("junk", 1, "how often each kind of actor sends junk to each operation")
	junkSeed   = flag.Uint64("junk-seed", 0, "have the junk of a run that failed again")
)

// actors of the property test; "" sends no token.
func actors() []string {
	return []string{"", "expired", "revoked", "viewer", "admin", "owner", "stranger", "root", "operator"}
}

// testJunk: whatever is sent to whichever operation by whomever, the answer is one that the
// description has, in its form, and shows nothing of another organization.
func testJunk(t *testing.T, open stores.Opener) {
	seed := cmp.Or(*junkSeed, rand.Uint64())
	t.Logf("-junk-seed %d", seed)
	g := &junk{Rand: rand.New(rand.NewPCG(seed, 0)), world: newWorld(t, open, Config{Rate: 1 << 20, Burst: 1 << 20})}
	spec := g.api.build().spec
	g.registry = spec.Components.Schemas
	seen := map[int]int{}
	for _, op := range operationsOf(spec) {
		for _, who := range actors() {
			g.refresh(t)
			for range *junkRounds {
				r := g.request(op, who)
				rec := httptest.NewRecorder()
				g.handler.ServeHTTP(rec, r)
				seen[rec.Code]++
				g.check(t, op, who, rec)
				if t.Failed() {
					t.Fatalf("%s %s by %q, header %v, body %.300q\nwas answered %d %v %s", r.Method, r.URL, who, r.Header, g.body, rec.Code, rec.Header(), rec.Body)
				}
			}
		}
	}
	t.Logf("answers by status: %v", seen)
	for _, status := range []int{200, 400, 401, 403, 404, 422} {
		if seen[status] == 0 {
			t.Errorf("no answer was %d: the junk is not what it should be", status)
		}
	}
	if out := g.log.String(); strings.Contains(out, "level=ERROR") {
		t.Errorf("log: %s", out)
	}
}

// junk makes requests that are wrong, or right, in one way or another.
type junk struct {
	*rand.Rand
	*world
	registry huma.Registry
	key      string // one of acme's, its id
	body     []byte // of the last request
}

// refresh makes again what requests have deleted.
func (g *junk) refresh(t *testing.T) {
	ctx := t.Context()
	for _, who := range []string{"viewer", "admin", "owner", "stranger", "root"} {
		if _, err := g.store.User(ctx, g.users[who]); err != nil {
			g.user(t, who)
		}
	}
	if o, err := g.store.Organization(ctx, "acme"); err == nil && o.ID == g.globex { // an operator has renamed it
		must[tenant.Organization](t)(g.store.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error {
			o.Name = "was-globex-" + strconv.Itoa(g.Int())
			return nil
		}))
	}
	if o, err := g.store.Organization(ctx, "globex"); err != nil || o.ID != g.globex {
		if err == nil {
			if err := g.store.DeleteOrganization(ctx, "globex", store.Deletion{Force: true}); err != nil {
				t.Fatal(err)
			}
		}
		g.strangers(t)
	}
	for _, who := range []string{"viewer", "admin", "owner"} { // whom the stranger, or an operator, has let in
		if _, err := g.store.Membership(ctx, "globex", g.users[who]); err == nil {
			must[tenant.Membership](t)(g.store.SetMember(ctx, "globex", g.users["stranger"], tenant.Owner))
			if err := g.store.RemoveMember(ctx, "globex", g.users[who]); err != nil {
				t.Fatal(err)
			}
		}
	}
	g.acme(t)
	if k, err := g.store.Key(ctx, g.key); err != nil || !k.RevokedAt.IsZero() || k.Org != "acme" {
		g.key = g.world.key(t).ID
	}
}

func pick[T any](g *junk, all ...T) T { return all[g.IntN(len(all))] }

// strings that something may trip over.
func (g *junk) text() string {
	return pick(g, "", "acme", "default", "~", "..", ".", "-", "*", "%00", "a\x00b", "\xff\xfe", "x'; DROP TABLE organizations; --", "1 OR 1=1", `" OR ""="`, "../../etc/passwd",
		"<script>alert(1)</script>", "{{.}}", "%s%n", "ＡＣＭＥ", "acme\u202e", "\u0000", "é", "9999999999999999999999", "-1", "null", "true", "1e400", strings.Repeat("x", 64), strings.Repeat("ß", 5000),
		"+@all", "+proxy", "10.0.0.0/8", "redis://10.0.0.1:6379", "unix:///etc/passwd", "redis://127.0.0.1:3000/?x=\r\n", "ann@example.com", "9999-12-31T23:59:59Z", "0000-01-01T00:00:00Z",
		"2026-01-01T00:00:00+99:99", g.users["stranger"], g.other.ID, "globex", g.other.Text.Reveal(), g.tokens["revoked"].Reveal())
}

// parameter is a value for one in a path or a query.
func (g *junk) parameter(name string) string {
	if g.IntN(3) == 0 {
		return g.text()
	}
	own := map[string][]string{
		"org": {"acme", "acme", "acme", "globex"}, "instance": {"cache", "cache", "store"}, "key": {g.key, g.key, g.other.ID},
		"user": {"me", g.users["viewer"], g.users["admin"], g.users["stranger"], "admin@example.com"}, "session": {"proxy1-1", "proxy1-2", "proxy2-7"},
		"token": {g.tokens["admin"].Reveal()[4:16]}, "limit": {"1", "1000", "0", "-1"}, "cursor": {"1.YWNtZQ", "1.MQ", "1.", "2.YQ", "1.AA"},
		"from": {"2026-01-01T00:00:00Z"}, "to": {"2099-01-01T00:00:00Z"}, "step_seconds": {"0", "60", "86400"}, "deleted": {"true", "false"}, "force": {"true"},
		"kind": {"api"}, "email": {"admin@example.com"}, "org_id": {g.users["viewer"]},
	}[name]
	if own == nil {
		return g.text()
	}
	return pick(g, own...)
}

// request makes one for an operation.
func (g *junk) request(op *huma.Operation, who string) *http.Request {
	path, query, header := op.Path, url.Values{}, http.Header{}
	for _, p := range op.Parameters {
		switch {
		case p.In == "path":
			path = strings.ReplaceAll(path, "{"+p.Name+"}", url.PathEscape(g.parameter(p.Name)))
		case p.In == "query" && g.IntN(4) == 0:
			query.Set(p.Name, g.parameter(p.Name))
		case p.In == "header" && g.IntN(3) == 0:
			header.Set(p.Name, pick(g, `"1"`, `"1-abc"`, `W/"1"`, "*", `"`, `"9999999999999999999999"`, "key-"+strconv.Itoa(g.IntN(20)), "a b", "é", strings.Repeat("k", 300)))
		}
	}
	if g.IntN(20) == 0 {
		query.Set(pick(g, "nosuch", "limit", "org"), g.text())
	}
	g.body = nil
	if op.RequestBody != nil {
		g.body = g.encode(g.value(op.RequestBody.Content["application/json"].Schema, 0))
		header.Set("Content-Type", "application/json")
	}
	if g.IntN(30) == 0 {
		g.body = []byte(pick(g, "", "{}", "[]", "null", "\"", strings.Repeat("[", 20000), "{\"a\":"+strings.Repeat("9", 70000)+"}", "\xef\xbb\xbf{}", "{\"name\":\"\xc3\x28\"}", "{\"name\":\"\\ud800\"}"))
	}
	for name, all := range map[string][]string{
		"Content-Type": {"", "text/plain", "application/json; charset=utf-7", "application/json;", "multipart/form-data", "application/merge-patch+json", "\x01"},
		"Accept":       {"text/html", "*/*", "application/json;q=x", ";;;"}, "Content-Encoding": {"gzip"}, "X-Http-Method-Override": {"DELETE"},
		"Origin": {"https://evil.example"}, "Authorization": {"Bearer", "Bearer x y", "Basic eDp5", "Bearer " + strings.Repeat("x", 5000)},
	} {
		if g.IntN(30) == 0 {
			header.Set(name, pick(g, all...))
		}
	}
	r := httptest.NewRequest(op.Method, "/", bytes.NewReader(g.body))
	u, err := url.ParseRequestURI(path)
	if err != nil {
		u = &url.URL{Path: path}
	}
	r.URL, r.RequestURI = u, u.RequestURI()
	r.URL.RawQuery = query.Encode()
	if token := g.tokens[who]; token != "" && header.Get("Authorization") == "" {
		header.Set("Authorization", "Bearer "+token.Reveal())
	}
	r.Header = header
	return r
}

// value makes one of a schema, or nearly.
func (g *junk) value(s *huma.Schema, depth int) any {
	if s.Ref != "" {
		s = g.registry.SchemaFromRef(s.Ref)
	}
	switch {
	case g.IntN(12) == 0 || depth > 4:
		return pick[any](g, nil, true, 7, -1, 1e30, 0.5, "x", []any{}, map[string]any{}, []any{map[string]any{"a": []any{1}}}, g.text())
	case len(s.Enum) > 0:
		return pick(g, s.Enum...)
	case len(s.Examples) > 0 && g.IntN(2) == 0:
		return s.Examples[0]
	}
	switch s.Type {
	case huma.TypeObject:
		all := map[string]any{}
		for _, name := range slices.Sorted(maps.Keys(s.Properties)) {
			if slices.Contains(s.Required, name) && g.IntN(12) > 0 || g.IntN(3) == 0 {
				all[name] = g.value(s.Properties[name], depth+1)
			}
		}
		if g.IntN(12) == 0 {
			all[pick(g, "nosuch", "Name", "id", "org", "version", "__proto__")] = g.text()
		}
		return all
	case huma.TypeArray:
		var all []any
		for range pick(g, 0, 1, 2, 100) {
			all = append(all, g.value(s.Items, depth+1))
		}
		return all
	case huma.TypeInteger, huma.TypeNumber:
		return pick[any](g, 0, 1, 60, 1<<31, int64(1)<<62, -1, 1.5)
	case huma.TypeBoolean:
		return g.IntN(2) == 0
	}
	return g.text()
}

// encode is JSON with bytes as they are: json.Marshal would replace what is no UTF-8.
func (g *junk) encode(v any) []byte {
	text, _ := json.Marshal(v)
	if g.IntN(40) == 0 {
		return bytes.Replace(text, []byte("a"), []byte("\xff"), 1)
	}
	return text
}

// check is what holds for all answers.
func (g *junk) check(t *testing.T, op *huma.Operation, who string, rec *httptest.ResponseRecorder) {
	checkForm(t, rec)
	status := strconv.Itoa(rec.Code)
	response := op.Responses[status]
	switch {
	case rec.Code == 500, rec.Code == 503:
		t.Error("want no failure")
	case response == nil && rec.Code != 404: // of a path that is none
		t.Error("want a status that the description has")
	}
	for _, name := range []string{"RateLimit", "RateLimit-Policy"} {
		if rec.Header().Get(name) == "" {
			t.Errorf("want %s", name)
		}
	}
	known := []string{"stranger", "root", "operator"} // who may see the marks
	if !slices.Contains(known, who) && strings.Contains(rec.Body.String()+fmt.Sprint(rec.Header()), marker) {
		t.Error("want nothing of another organization")
	}
	for _, secret := range []string{adminToken.Reveal(), "hunter2", "argon2"} {
		if strings.Contains(rec.Body.String(), secret) {
			t.Errorf("want no %s", secret)
		}
	}
	if rec.Code < 300 && rec.Code != 204 && response != nil {
		g.conforms(t, response.Content["application/json"].Schema, rec.Body.Bytes())
	}
}

// conforms checks that a body is of a schema.
func (g *junk) conforms(t *testing.T, s *huma.Schema, body []byte) {
	var v any
	if err := json.Unmarshal(body, &v); err != nil {
		t.Error(err)
		return
	}
	res := &huma.ValidateResult{}
	huma.Validate(g.registry, s, huma.NewPathBuffer(nil, 0), huma.ModeReadFromServer, v, res)
	for _, err := range res.Errors {
		t.Errorf("the answer is not of its schema: %v", err)
	}
}
