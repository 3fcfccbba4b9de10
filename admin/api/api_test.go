package api

import (
	"encoding/json"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed/stores"
)

// testAnswers is what each operation answers whom.
func testAnswers(t *testing.T, open stores.Opener) {
	w := newWorld(t, open, Config{})
	key := w.key(t).ID
	const url = `"redis://10.0.0.5:6379/0"`
	for _, c := range []struct {
		name string
		request
		status int
		body   string // part of it
	}{
		{"me", request{who: "viewer", call: "GET /me"}, 200, `"memberships":[{"org":"acme"`},
		{"me, the operator", request{who: "operator", call: "GET /me"}, 200, `{"actor":"operator","operator":true,"memberships":[]}`},
		{"the seed's path", request{who: "viewer", call: "GET /api/organizations"}, 200, `"name":"acme"`},
		{"organizations", request{who: "viewer", call: "GET /organizations"}, 200, `"name":"acme"`},
		{"all organizations", request{who: "root", call: "GET /organizations"}, 200, `"name":"globex"`},
		{"deleted organizations", request{who: "root", call: "GET /organizations?deleted=true"}, 200, `"name":"` + marker},
		{"another's organization", request{who: "owner", call: "GET /organizations/globex"}, 404, `organization \"globex\" not found`},
		{"no such organization", request{who: "owner", call: "GET /organizations/nosuch"}, 404, `organization \"nosuch\" not found`},
		{"create an organization", request{who: "operator", call: "POST /organizations", body: `{"name":"hooli","max_keys":3}`}, 201, `"max_keys":3`},
		{"create it twice", request{who: "operator", call: "POST /organizations", body: `{"name":"hooli"}`}, 409, `already`},
		{"not for owners", request{who: "owner", call: "POST /organizations", body: `{"name":"mine"}`}, 403, `operators`},
		{"change a quota", request{who: "operator", call: "PATCH /organizations/hooli", body: `{"max_members":9}`}, 200, `"max_keys":3,"max_members":9`},
		{"a quota is not for owners", request{who: "owner", call: "PATCH /organizations/acme", body: `{"rate":9}`}, 403, `quota`},
		{"delete an organization", request{who: "operator", call: "DELETE /organizations/hooli"}, 204, ``},
		{"delete one that is used", request{who: "owner", call: "DELETE /organizations/acme"}, 409, `acme`},
		{"members", request{who: "viewer", call: "GET /organizations/acme/members"}, 200, `"role":"viewer"`},
		{"a member", request{who: "viewer", call: "GET /organizations/acme/members/admin@example.com"}, 200, `"role":"admin"`},
		{"no member", request{who: "viewer", call: "GET /organizations/acme/members/root@example.com"}, 404, `not found`},
		{"add a member", request{who: "owner", call: "PUT /organizations/acme/members/root@example.com", body: `{"role":"viewer"}`}, 201, `"role":"viewer"`},
		{"change a member", request{who: "owner", call: "PUT /organizations/acme/members/" + w.users["root"], body: `{"role":"admin"}`}, 200, `"role":"admin"`},
		{"no such role", request{who: "owner", call: "PUT /organizations/acme/members/root@example.com", body: `{"role":"king"}`}, 422, `"location":"body.role"`},
		{"remove a member", request{who: "owner", call: "DELETE /organizations/acme/members/root@example.com"}, 204, ``},
		{"the last owner stays", request{who: "owner", call: "DELETE /organizations/acme/members/" + w.users["owner"]}, 409, `owner`},
		{"members are not for admins", request{who: "admin", call: "PUT /organizations/acme/members/root@example.com", body: `{"role":"viewer"}`}, 403, `owner`},
		{"instances", request{who: "viewer", call: "GET /organizations/acme/instances"}, 200, `"url":"redis://app:xxxxx@10.0.0.5:6379/0"`},
		{"all instances", request{who: "operator", call: "GET /instances"}, 200, `"org":"globex"`},
		{"all instances are for operators", request{who: "owner", call: "GET /instances"}, 403, `operators`},
		{"create an instance", request{who: "admin", call: "POST /organizations/acme/instances", body: `{"name":"queue","url":` + url + `}`}, 201, `"name":"queue"`},
		{"not for viewers", request{who: "viewer", call: "POST /organizations/acme/instances", body: `{"name":"mine","url":` + url + `}`}, 403, `admin`},
		{"a socket is for operators", request{who: "owner", call: "POST /organizations/acme/instances", body: `{"name":"mine","url":"unix:///run/redis.sock"}`}, 403, `socket`},
		{"no URL", request{who: "admin", call: "POST /organizations/acme/instances", body: `{"name":"mine","url":"gopher://x"}`}, 422, `"status":422`},
		{"an instance", request{who: "viewer", call: "GET /organizations/acme/instances/queue"}, 200, `"name":"queue"`},
		{"rename an instance", request{who: "admin", call: "PATCH /organizations/acme/instances/queue", body: `{"name":"jobs"}`}, 200, `"name":"jobs","url":"redis://10.0.0.5:6379/0","slowlog_threshold_us":null,"cache_bytes":0,"version":2`},
		{"a slow log of every command", request{who: "admin", call: "PATCH /organizations/acme/instances/jobs", body: `{"slowlog_threshold_us":0}`}, 200, `"slowlog_threshold_us":0,`},
		{"as the proxy has it", request{who: "admin", call: "PATCH /organizations/acme/instances/jobs", body: `{"slowlog_threshold_us":null}`}, 200, `"slowlog_threshold_us":null,`},
		{"no slow log", request{who: "admin", call: "PATCH /organizations/acme/instances/jobs", body: `{"slowlog_threshold_us":-1}`}, 200, `"slowlog_threshold_us":-1,`},
		{"a slow log's threshold below that", request{who: "admin", call: "PATCH /organizations/acme/instances/jobs", body: `{"slowlog_threshold_us":-2}`}, 422, `body.slowlog_threshold_us`},
		{"one of more than a day", request{who: "admin", call: "PATCH /organizations/acme/instances/jobs", body: `{"slowlog_threshold_us":86400000001}`}, 422, `body.slowlog_threshold_us`},
		{"a near cache", request{who: "admin", call: "PATCH /organizations/acme/instances/jobs", body: `{"cache_bytes":67108864}`}, 200, `"cache_bytes":67108864,`},
		{"one that is too large", request{who: "admin", call: "PATCH /organizations/acme/instances/jobs", body: `{"cache_bytes":1099511627777}`}, 422, `body.cache_bytes`},
		{"test an instance", request{who: "admin", call: "POST /organizations/acme/instances/cache/test"}, 200, `"reachable":true,"warnings":[]`},
		{"an instance's URL", request{who: "admin", call: "POST /organizations/acme/instances/cache/compare-url", body: `{"url":"redis://app:hunter2@10.0.0.5:6379/0"}`}, 200, `{"same":true}`},
		{"another URL", request{who: "admin", call: "POST /organizations/acme/instances/cache/compare-url", body: `{"url":"redis://app:xxxxx@10.0.0.5:6379/0"}`}, 200, `{"same":false}`},
		{"a URL is not for viewers to guess", request{who: "viewer", call: "POST /organizations/acme/instances/cache/compare-url", body: `{"url":"redis://app:hunter2@10.0.0.5:6379/0"}`}, 403, `admin`},
		{"another's instance", request{who: "admin", call: "GET /organizations/globex/instances/store"}, 404, `organization \"globex\" not found`},
		{"a live picture", request{who: "viewer", call: "GET /organizations/acme/instances/cache/live"}, 200,
			`{"proxy":"proxy1","hot_commands":[{"command":"get of acme/cache","per_second":1}],"points":[{"at":"0001-01-01T00:00:01Z","commands_per_second":0,`},
		{"another's live picture", request{who: "owner", call: "GET /organizations/globex/instances/store/live"}, 404, `organization \"globex\" not found`},
		{"an organization's top", request{who: "viewer", call: "GET /organizations/acme/top?sort=limited&limit=1"}, 200,
			`{"proxy":"proxy1","at":"2001-09-09T01:46:40Z","total":3,"tenants":[{"org":"acme","instance":"jobs","at":"2001-09-09T01:46:40Z","commands_per_second":10,"errors_per_second":0,"limited_per_second":5,`},
		{"top by something else", request{who: "viewer", call: "GET /organizations/acme/top?sort=name"}, 422, `query.sort`},
		{"top without an end", request{who: "viewer", call: "GET /organizations/acme/top?limit=0"}, 422, `query.limit`},
		{"another's top", request{who: "owner", call: "GET /organizations/globex/top"}, 404, `organization \"globex\" not found`},
		{"all tenants' top", request{who: "root", call: "GET /top"}, 200, `"total":4,"tenants":[{"org":"globex","instance":"` + marker},
		{"all tenants' top is for operators", request{who: "owner", call: "GET /top"}, 403, `operators`},
		{"an instance's top", request{who: "viewer", call: "GET /organizations/acme/instances/cache/top?limit=1"}, 200, `"commands":[{"command":"get of acme/cache","per_second":2}],"window_seconds":60,"sample_every":32,"hot_keys":[{"key":"hot\\xff of `},
		{"another's instance's top", request{who: "owner", call: "GET /organizations/globex/instances/store/top"}, 404, `organization \"globex\" not found`},
		{"a slow log", request{who: "viewer", call: "GET /organizations/acme/instances/cache/slowlog?limit=1"}, 200,
			`{"proxy":"proxy1","entries":[{"id":3,"at":"2001-09-09T01:46:40Z","command":"get","args":["GET","a"],"duration_us":15000,"limited_us":20000,"waited_us":0,"ahead_us":0,"total_us":35000,`},
		{"another's slow log", request{who: "owner", call: "GET /organizations/globex/instances/store/slowlog"}, 404, `organization \"globex\" not found`},
		{"a viewer empties no slow log", request{who: "viewer", call: "DELETE /organizations/acme/instances/cache/slowlog"}, 403, `admin`},
		{"empty a slow log", request{who: "admin", call: "DELETE /organizations/acme/instances/cache/slowlog"}, 204, ``},
		{"an empty slow log", request{who: "viewer", call: "GET /organizations/acme/instances/cache/slowlog"}, 200, `{"proxy":"proxy1","entries":[]}`},
		{"delete an instance", request{who: "admin", call: "DELETE /organizations/acme/instances/jobs"}, 204, ``},
		{"deleted instances", request{who: "viewer", call: "GET /organizations/acme/instances?deleted=true"}, 200, `"name":"jobs"`},
		{"keys", request{who: "viewer", call: "GET /organizations/acme/keys"}, 200, `"name":"web"`},
		{"all keys", request{who: "operator", call: "GET /keys"}, 200, `"name":"` + marker},
		{"a key", request{who: "viewer", call: "GET /keys/" + key}, 200, `"rate":null`},
		{"another's key", request{who: "owner", call: "GET /keys/" + w.other.ID}, 404, `key \"` + w.other.ID + `\" not found`},
		{"change a key", request{who: "admin", call: "PATCH /keys/" + key, body: `{"rate":7,"allow_from":["10.0.0.0/8"],"commands":"+@read"}`}, 200, `"rate":7,"burst":null,"byte_rate":null,"limit_mode":"","commands":"+@read","allow_from":["10.0.0.0/8"]`},
		{"null is the default", request{who: "admin", call: "PATCH /keys/" + key, body: `{"rate":null,"commands":null}`}, 200, `"rate":null,"burst":null,"byte_rate":null,"limit_mode":"","commands":"+@all -@admin`},
		{"bad networks", request{who: "admin", call: "PATCH /keys/" + key, body: `{"allow_from":["10.1.2.3/8"]}`}, 422, `"location":"body.allow_from"`},
		{"bad rules", request{who: "admin", call: "PATCH /keys/" + key, body: `{"commands":"+nosuchcommand"}`}, 422, `nosuchcommand`},
		{"a certificate's name is for operators", request{who: "owner", call: "PATCH /keys/" + key, body: `{"certificate_name":"web.acme.example"}`}, 403, `certificate`},
		{"+proxy is for operators", request{who: "owner", call: "PATCH /keys/" + key, body: `{"commands":"+@all +PROXY|info"}`}, 403, `commands: \"+PROXY|info\"`},
		{"a key with +proxy is for operators", request{who: "owner", call: "POST /organizations/acme/keys", body: `{"name":"x","instances":["cache"],"commands":"+proxy"}`}, 403, `commands: \"+proxy\"`},
		{"rotate a key", request{who: "admin", call: "POST /keys/" + key + "/rotate", body: `{"overlap_seconds":60}`}, 200, `"key":"rg_` + key},
		{"refill a key", request{who: "admin", call: "POST /keys/" + key + "/reset-limit"}, 200, `{"keys":1}`},
		{"refill all keys", request{who: "operator", call: "POST /reset-limits"}, 200, `{"keys":2}`},
		{"revoke a key", request{who: "admin", call: "POST /keys/" + key + "/revoke"}, 200, `"revoked_at":"2`},
		{"delete a key", request{who: "admin", call: "DELETE /keys/" + key}, 204, ``},
		{"users", request{who: "root", call: "GET /users"}, 200, `"email":"admin@example.com"`},
		{"users are for operators", request{who: "owner", call: "GET /users"}, 403, `operators`},
		{"find oneself", request{who: "owner", call: "GET /users?email=owner@example.com"}, 200, `"email":"owner@example.com"`},
		{"find another", request{who: "owner", call: "GET /users?email=admin@example.com"}, 404, `not found`},
		{"oneself", request{who: "owner", call: "GET /users/me"}, 200, `"email":"owner@example.com"`},
		{"another user", request{who: "owner", call: "GET /users/" + w.users["admin"]}, 404, `not found`},
		{"the operator is no user", request{who: "operator", call: "GET /users/me"}, 404, `not found`},
		{"a name of one's own", request{who: "owner", call: "PATCH /users/me", body: `{"name":"Ann"}`}, 200, `"name":"Ann"`},
		{"no operator by oneself", request{who: "owner", call: "PATCH /users/me", body: `{"operator":true}`}, 403, `operators`},
		{"a user with a password", request{who: "root", call: "POST /users", body: `{"email":"Eve@example.com","password":"` + password.Reveal() + `"}`}, 201, `"email":"eve@example.com"`},
		{"a short password", request{who: "root", call: "POST /users", body: `{"email":"mallory@example.com","password":"short"}`}, 422, `password`},
		{"no e-mail address", request{who: "root", call: "POST /users", body: `{"email":"nobody"}`}, 422, `e-mail`},
		{"disable a user", request{who: "root", call: "PATCH /users/" + w.users["expired"], body: `{"disabled":true}`}, 200, `"disabled_at":"2`},
		{"enable a user", request{who: "root", call: "PATCH /users/" + w.users["expired"], body: `{"disabled":false}`}, 200, `"disabled_at":null`},
		{"a first password", request{who: "owner", call: "PUT /users/me/password", body: `{"new":"` + password.Reveal() + `"}`}, 204, ``},
		{"a wrong old password", request{who: "owner", call: "PUT /users/me/password", body: `{"old":"wrong","new":"` + password.Reveal() + `"}`}, 403, `old password`},
		{"invite", request{who: "root", call: "POST /users/" + w.users["expired"] + "/invitations"}, 201, `"token":"rgt_`},
		{"accept an invitation", request{call: "POST /invitations/accept", body: `{"invitation":"` + w.tokens["invitation"].Reveal() + `","password":"` + password.Reveal() + `"}`}, 200, `"email":"viewer@example.com"`},
		{"accept it twice", request{call: "POST /invitations/accept", body: `{"invitation":"` + w.tokens["invitation"].Reveal() + `","password":"` + password.Reveal() + `"}`}, 401, `invitation`},
		{"one's tokens", request{who: "owner", call: "GET /users/me/tokens"}, 200, `"kind":"api","name":"owner"`},
		{"a token", request{who: "owner", call: "POST /users/me/tokens", body: `{"name":"deploy"}`}, 201, `"token":"rgt_`},
		{"limits are for operators", request{who: "owner", call: "POST /users/me/tokens", body: `{"rate":1000}`}, 403, `limits`},
		{"another's tokens", request{who: "owner", call: "GET /users/" + w.users["admin"] + "/tokens"}, 404, `not found`},
		{"sessions", request{who: "viewer", call: "GET /organizations/acme/sessions"}, 200, `{"items":[{"id":"proxy1-1","proxy":"proxy1"`},
		{"all sessions", request{who: "operator", call: "GET /sessions"}, 200, `"id":"proxy1-2"`},
		{"kill a session", request{who: "admin", call: "DELETE /organizations/acme/sessions/proxy1-1"}, 204, ``},
		{"kill another's session", request{who: "admin", call: "DELETE /organizations/acme/sessions/proxy1-2"}, 404, `session \"proxy1-2\" not found`},
		{"killing is not for viewers", request{who: "viewer", call: "DELETE /organizations/acme/sessions/proxy1-1"}, 403, `admin`},
		{"usage", request{who: "operator", call: "GET /usage?step_seconds=60"}, 200, `"commands":7`},
		{"an organization's usage", request{who: "viewer", call: "GET /organizations/acme/usage"}, 200, `{"items":[],"next":""}`},
		{"too short a step", request{who: "viewer", call: "GET /organizations/acme/usage?step_seconds=5"}, 422, `step`},
		{"audit", request{who: "viewer", call: "GET /organizations/acme/audit?action=key.delete"}, 200, `"action":"key.delete","org_id":"`},
		{"all of the audit log", request{who: "root", call: "GET /audit?target=user"}, 200, `"action":"user.update"`},
		{"the audit log is for operators", request{who: "owner", call: "GET /audit"}, 403, `operators`},

		{"the log's level", request{who: "operator", call: "GET /log"}, 200, `{"level":"info"}`},
		{"another level of the log", request{who: "root", call: "PUT /log", body: `{"level":"debug"}`}, 200, `{"level":"debug"}`},
		{"no level of a log", request{who: "operator", call: "PUT /log", body: `{"level":"loud"}`}, 422, `debug`},
		{"the log is for operators", request{who: "owner", call: "PUT /log", body: `{"level":"debug"}`}, 403, `operators`},

		{"no token", request{call: "GET /me"}, 401, `Authorization: Bearer`},
		{"a wrong token", request{who: "nobody", call: "GET /me", header: map[string]string{"Authorization": "Bearer rgt_nonsense"}}, 401, `not good`},
		{"another scheme", request{call: "GET /me", header: map[string]string{"Authorization": "Basic " + adminToken.Reveal()}}, 401, ``},
		{"an expired token", request{who: "expired", call: "GET /me"}, 401, `not good`},
		{"a revoked token", request{who: "revoked", call: "GET /me"}, 401, `not good`},
		{"a disabled user's token", request{who: "disabled", call: "GET /me"}, 401, `not good`},
		{"an invitation is no token", request{who: "invitation", call: "GET /me"}, 401, `not good`},
		{"no such path", request{who: "operator", call: "GET /nosuch"}, 404, `nothing at this path`},
		{"no such path of the API", request{who: "operator", call: "GET /api/v2"}, 404, `nothing at this path`},
		{"a slash too many", request{who: "operator", call: "GET /organizations/"}, 404, `nothing at this path`},
		{"wrong method", request{who: "operator", call: "PUT /organizations"}, 405, `want GET, HEAD, POST here`},
		{"a preflight of another site's script", request{call: "OPTIONS /organizations", header: map[string]string{"Origin": "https://evil.example", "Access-Control-Request-Method": "POST"}}, 405, `want GET`},
		{"a compressed body", request{who: "operator", call: "POST /organizations", body: `{"name":"x"}`, header: map[string]string{"Content-Encoding": "gzip"}}, 415, `gzip`},
		{"HEAD", request{who: "operator", call: "HEAD /organizations"}, 200, ``},
		{"another media type wanted", request{who: "operator", call: "GET /me", header: map[string]string{"Accept": "text/html, application/xml;q=0.9"}}, 406, `application/json`},
		{"JSON not wanted", request{who: "operator", call: "GET /me", header: map[string]string{"Accept": "application/json;q=0, */*"}}, 406, ``},
		{"anything wanted", request{who: "operator", call: "GET /me", header: map[string]string{"Accept": "text/html, */*;q=0.1"}}, 200, ``},
		{"a form", request{who: "operator", call: "POST /organizations", body: `name=x`, header: map[string]string{"Content-Type": "application/x-www-form-urlencoded"}}, 415, `application/json`},
		{"no media type", request{who: "operator", call: "POST /organizations", body: `{"name":"x"}`, header: map[string]string{"Content-Type": ""}}, 415, `application/json`},
		{"another charset", request{who: "operator", call: "POST /organizations", body: `{"name":"x"}`, header: map[string]string{"Content-Type": "application/json; charset=latin1"}}, 415, ``},
		{"a patch of another kind", request{who: "operator", call: "PATCH /organizations/acme", body: `[]`, header: map[string]string{"Content-Type": "application/json-patch+json"}}, 415, `merge-patch`},
		{"a merge patch", request{who: "operator", call: "PATCH /organizations/acme", body: `{}`, header: map[string]string{"Content-Type": "application/merge-patch+json"}}, 200, ``},
		{"no body", request{who: "operator", call: "POST /organizations", header: map[string]string{"Content-Type": "application/json"}}, 400, `body is required`},
		{"a body too many", request{who: "operator", call: "POST /reset-limits", body: `{}`}, 400, `no body`},
		{"no JSON", request{who: "operator", call: "POST /organizations", body: `{"name":`}, 400, `"location":"body"`},
		{"two values", request{who: "operator", call: "POST /organizations", body: `{"name":"x"} {}`}, 400, `nothing after it`},
		{"a field twice", request{who: "operator", call: "POST /organizations", body: `{"name":"x","name":"y"}`}, 400, `comes twice`},
		{"a field in upper case", request{who: "operator", call: "POST /organizations", body: `{"NAME":"x"}`}, 400, `unknown field \"NAME\"`},
		{"a field that folds", request{who: "operator", call: "POST /organizations", body: `{"max_Keys":1,"name":"x"}`}, 400, `unknown field`},
		{"bad UTF-8", request{who: "operator", call: "POST /organizations", body: "{\"name\":\"\xff\"}"}, 400, `UTF-8`},
		{"NUL", request{who: "operator", call: "POST /users", body: `{"email":"a@example.com","name":"a\u0000b"}`}, 400, `U+0000`},
		{"deep JSON", request{who: "operator", call: "POST /organizations", body: strings.Repeat("[", 1000) + strings.Repeat("]", 1000)}, 400, `levels`},
		{"too large", request{who: "operator", call: "POST /organizations", body: `{"name":"` + strings.Repeat("x", maxBody) + `"}`}, 413, `65536`},
		{"an unknown field", request{who: "operator", call: "POST /organizations", body: `{"name":"x","nosuch":1}`}, 422, `"location":"body.nosuch"`},
		{"a missing field", request{who: "operator", call: "POST /organizations", body: `{}`}, 422, `name`},
		{"a wrong type", request{who: "operator", call: "POST /organizations", body: `{"name":7}`}, 422, `"errors":[{"message":"expected string","location":"body.name"}]`},
		{"a wrong value is not echoed", request{who: "operator", call: "POST /users", body: `{"email":"a@example.com","password":["hunter2"]}`}, 422, `"errors":[{"message":"expected string","location":"body.password"}]`},
		{"a number beyond all", request{who: "operator", call: "POST /organizations", body: `{"name":"x","max_keys":1e30}`}, 422, ``},
		{"a negative number", request{who: "operator", call: "POST /organizations", body: `{"name":"x","max_keys":-1}`}, 422, `"location":"body.max_keys"`},
		{"no name", request{who: "operator", call: "PATCH /organizations/acme", body: `{"name":null}`}, 422, `organization name`},
		{"SQL in a name", request{who: "operator", call: "POST /organizations", body: `{"name":"x'; DROP TABLE organizations; --"}`}, 422, `organization name`},
		{"SQL in a path", request{who: "operator", call: "GET /organizations/x%27%20OR%20%271%27=%271"}, 404, `not found`},
		{"an unknown parameter", request{who: "operator", call: "GET /organizations?nosuch=1"}, 422, `"location":"query.nosuch"`},
		{"a parameter twice", request{who: "operator", call: "GET /organizations?limit=1&limit=2"}, 400, `"location":"query.limit"`},
		{"a bad parameter", request{who: "operator", call: "GET /organizations?limit=many"}, 422, `"location":"query.limit"`},
		{"too long a page", request{who: "operator", call: "GET /organizations?limit=1001"}, 422, `"location":"query.limit"`},
		{"a bad cursor", request{who: "operator", call: "GET /organizations?cursor=nonsense"}, 422, `"location":"query.cursor"`},
		{"a cursor of another list", request{who: "operator", call: "GET /audit?cursor=1.YWNtZQ"}, 422, ``},
		{"a bad escape", request{who: "operator", call: "GET /organizations?cursor=%zz"}, 400, `"location":"query"`},
		{"a control character in a path", request{who: "operator", call: "GET /organizations/a%00b"}, 400, `"location":"path"`},
		{"bad UTF-8 in a path", request{who: "operator", call: "GET /organizations/%ff"}, 400, `"location":"path"`},
		{"a bad time", request{who: "operator", call: "GET /audit?from=yesterday"}, 422, `"location":"query.from"`},
		{"a version of what has none", request{who: "owner", call: "PUT /organizations/acme/members/root@example.com", body: `{"role":"viewer"}`, header: map[string]string{"If-Match": `"1"`}}, 412, ``},
	} {
		t.Run(c.name, func(t *testing.T) {
			rec := w.do(t, c.request)
			if rec.Code != c.status || !strings.Contains(rec.Body.String(), c.body) {
				t.Errorf("got %d %s, want %d with %s", rec.Code, rec.Body, c.status, c.body)
			}
			checkForm(t, rec)
		})
	}
	if out := w.log.String(); strings.Contains(out, "panic") || strings.Contains(out, "level=ERROR") {
		t.Errorf("log: %s", out)
	}
}

// checkForm is what holds for all answers.
func checkForm(t testing.TB, rec *httptest.ResponseRecorder) {
	t.Helper()
	h := rec.Header()
	for name, want := range map[string]string{"X-Content-Type-Options": "nosniff", "X-Frame-Options": "DENY", "Referrer-Policy": "no-referrer"} {
		if h.Get(name) != want {
			t.Errorf("%s: %q, want %q", name, h.Get(name), want)
		}
	}
	for name := range h {
		if strings.HasPrefix(name, "Access-Control-") {
			t.Errorf("%s: %s, want no CORS", name, h.Get(name))
		}
	}
	if rec.Code == 401 && !strings.HasPrefix(h.Get("WWW-Authenticate"), "Bearer") {
		t.Errorf("401 with WWW-Authenticate %q", h.Get("WWW-Authenticate"))
	}
	if after, err := strconv.Atoi(h.Get("Retry-After")); (rec.Code == 429 || rec.Code == 503) && (err != nil || after < 1) {
		t.Errorf("%d with Retry-After %q", rec.Code, h.Get("Retry-After"))
	}
	if rec.Code >= 400 && rec.Body.Len() > 0 {
		var problem struct {
			Title, Detail string
			Status        int
			Errors        []struct{ Location, Message string }
		}
		err := json.Unmarshal(rec.Body.Bytes(), &problem)
		if err != nil || problem.Status != rec.Code || problem.Title == "" || problem.Detail == "" || h.Get("Content-Type") != "application/problem+json" {
			t.Errorf("%d is answered %s (%s), want problem details", rec.Code, rec.Body, h.Get("Content-Type"))
		}
	}
	if rec.Code == 201 && !strings.HasPrefix(h.Get("Location"), Prefix+"/") {
		t.Errorf("201 with Location %q", h.Get("Location"))
	}
}
