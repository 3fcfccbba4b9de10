package main

import (
	"bytes"
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

// shell runs a command line and returns its status and all that it has printed.
func shell(t *testing.T, line string) (status int, printed string) {
	t.Helper()
	var out bytes.Buffer
	status = run(t.Context(), strings.Fields(line), strings.NewReader(""), &out, &out)
	return status, out.String()
}

// TestRemoteSessionsAndUsage: over HTTP the command line sees the clients of a proxy and what
// they have done, and disconnects one.
func TestRemoteSessionsAndUsage(t *testing.T) {
	cfg := testConfig(t)
	cfg.HTTP.AdminToken = "the operator's own token, long enough"
	r := startServe(t, cfg)
	t.Setenv(serverVariable, "http://"+r.http)
	t.Setenv(tokenVariable, cfg.HTTP.AdminToken.Reveal())
	defer http.DefaultClient.CloseIdleConnections()
	key := r.tenant(t, "acme", testbed.Redis(t).Addr, nil)
	client := testbed.Client(t, &redis.Options{Addr: r.addr, Password: key, ClientName: "worker", Protocol: 2, MaxRetries: -1, PoolSize: 1})
	before := client.Do(t.Context(), "CLIENT", "ID").Val()

	status, table := shell(t, "session list --org acme")
	row := regexp.MustCompile(`(?m)^(\S+-\d+) +acme +cache +web +127\.0\.0\.1:\d+ +worker +client\|id +20\S+ +20\S+ +-$`).FindStringSubmatch(table)
	if status != 0 || row == nil {
		t.Fatalf("session list: %d, %s", status, table)
	}
	if _, all := shell(t, "session list --json"); !strings.HasPrefix(all, `[{"id":"`+row[1]+`",`) {
		t.Errorf("session list --json: %s", all)
	}
	if status, said := shell(t, "session kill "+row[1]); status != 0 || said != "killed "+row[1]+"\n" {
		t.Errorf("session kill: %d, %s", status, said)
	}
	testbed.Eventually(t, "the session ends and the client comes back with another", func() bool {
		now, err := client.Do(t.Context(), "CLIENT", "ID").Result()
		return err == nil && now != before
	})
	if status, said := shell(t, "session kill --org acme "+row[1]); status != 1 || !strings.Contains(said, "not found") {
		t.Errorf("session kill, again: %d, %s", status, said)
	}

	instance, err := r.store.Instance(t.Context(), "acme", "cache")
	if err != nil {
		t.Fatal(err)
	}
	at := time.Date(2026, 1, 31, 12, 0, 0, 0, time.UTC)
	if err := r.store.AddUsage(t.Context(), []tenant.Usage{
		{KeyID: keyID(key), InstanceID: instance.ID, At: at, Commands: 7, Errors: 2, Limited: 1, BytesIn: 70, BytesOut: 700},
		{KeyID: keyID(key), InstanceID: instance.ID, At: at.Add(time.Hour), Commands: 5},
	}); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ line, want string }{
		{"usage --org acme --to 2026-02-01", `- +%s +web +cache +12 +2 +1 +70 +700`},
		{"usage --key " + keyID(key) + " --from 2026-01-31 --to 2026-01-31T13:00:00Z --step 1h", `2026-01-31T12:00:00Z +%s +web +cache +7 +2 +1 +70 +700`},
	} {
		if status, table := shell(t, c.line); status != 0 || !regexp.MustCompile(fmt.Sprintf("(?m)^"+c.want+"$", keyID(key))).MatchString(table) {
			t.Errorf("%s: %d, %s", c.line, status, table)
		}
	}
}

// TestRemoteUser: over HTTP the command line may do what the token's user may.
func TestRemoteUser(t *testing.T) {
	cfg := testConfig(t)
	cfg.HTTP.AdminToken = "the operator's own token, long enough"
	r := startServe(t, cfg)
	defer http.DefaultClient.CloseIdleConnections()
	t.Setenv(serverVariable, "http://"+r.http)
	t.Setenv(tokenVariable, cfg.HTTP.AdminToken.Reveal())
	t.Setenv("OLD", "the old horse battery")
	t.Setenv("NEW", "a new horse battery")
	for _, line := range []string{
		"org create --name acme", "org create --name globex", "user create --email ann@example.com --password env:OLD",
		"member set --org acme --user ann@example.com --role viewer",
	} {
		if status, said := shell(t, line); status != 0 {
			t.Fatalf("%s: %d, %s", line, status, said)
		}
	}
	_, made := shell(t, "token create --user ann@example.com")
	token := regexp.MustCompile(`rgt_\w+`).FindString(made)
	t.Setenv(tokenVariable, token)
	for _, c := range []struct {
		line   string
		status int
		want   string // in what is printed
	}{
		{"user show me", 0, "ann@example.com"},
		{"org list --json", 0, `"name":"acme"`},
		{"org show --name globex", 1, `organization "globex" not found`},
		{"org create --name hooli", 1, "this is for operators"},
		{"key list", 1, "this is for operators"},
		{"key list --org acme --json", 0, "[]"},
		{"token create --name ci --json", 0, `"name":"ci"`},
		{"token list", 0, " ci "},
		{"token create --rate 5", 1, "a token's limits are for operators to set"},
		{"user set-password me --password env:NEW --old-password env:NEW", 1, "the old password is wrong"},
		{"user set-password me --password env:NEW --old-password env:OLD", 0, "changed me"},
		{"user set me --name Ann", 0, "Ann"},
		{"user set ann@example.com --operator", 1, "are for operators to set"},
	} {
		if status, said := shell(t, c.line); status != c.status || !strings.Contains(said, c.want) || strings.Contains(said, token) || strings.Contains(said, "battery") {
			t.Errorf("%s: got %d, %s, want %d with %s", c.line, status, said, c.status, c.want)
		}
	}
}

// TestRemoteKeyIsShown: a key is not made, nor its secret replaced, when it could not be shown.
func TestRemoteKeyIsShown(t *testing.T) {
	asked := false
	s := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { asked = true }))
	defer s.Close()
	t.Setenv(serverVariable, s.URL)
	t.Setenv(tokenVariable, "rgt_secret")
	for _, line := range []string{"key create --config nosuch.yaml --org acme --instance cache --name web", "key rotate --config nosuch.yaml 000000000000"} {
		if status, said := shell(t, line); status != 1 || !strings.Contains(said, "nosuch.yaml") || asked {
			t.Errorf("%s: %d, %s, asked %v", line, status, said, asked)
		}
	}
}

// TestRemoteAnswers is what the command line makes of answers that are none of a management
// API's, or come too soon.
func TestRemoteAnswers(t *testing.T) {
	const token = "rgt_secret"
	elsewhere := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect is followed") }))
	defer elsewhere.Close()
	later := 2
	for _, c := range []struct {
		name   string
		answer http.HandlerFunc
		status int
		want   string
	}{
		{"a redirect", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}, 1, `--server http://ADDR: it redirects to "` + elsewhere.URL + `", where the token is not sent: name that`},
		{"a page", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "text/html")
			_, _ = w.Write([]byte("<h1>It works!</h1>"))
		}, 1, `--server http://ADDR: it answers 200 OK, and not as a management API does`},
		{"no JSON", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			_, _ = w.Write([]byte("{"))
		}, 1, `unexpected end of JSON input`},
		{"a problem with a field", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.WriteHeader(http.StatusUnprocessableEntity)
			_, _ = w.Write([]byte(`{"detail":"validation failed","errors":[{"location":"body.max_keys","message":"expected number <= 5"}]}`))
		}, 1, `--max-keys: expected number <= 5`},
		{"too soon, and later not", func(w http.ResponseWriter, r *http.Request) {
			w.Header().Set("Content-Type", "application/json")
			if later--; later > 0 {
				w.Header().Set("Retry-After", "0")
				w.WriteHeader(http.StatusTooManyRequests)
				return
			}
			var body bytes.Buffer
			_, _ = body.ReadFrom(r.Body)
			if body.String() != `{"name":"acme"}` || r.Header.Get("Authorization") != "Bearer "+token {
				t.Errorf("asked again with %s", &body)
			}
			w.WriteHeader(http.StatusCreated)
			_, _ = w.Write([]byte(`{"name":"acme"}`))
		}, 0, `name         acme`},
		{"too soon for long", func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Type", "application/problem+json")
			w.Header().Set("Retry-After", "3600")
			w.WriteHeader(http.StatusTooManyRequests)
			_, _ = w.Write([]byte(`{"detail":"too many requests"}`))
		}, 1, `too many requests`},
	} {
		s := httptest.NewServer(c.answer)
		t.Setenv(tokenVariable, token)
		status, printed := shell(t, "org create --name acme --server "+s.URL)
		want := strings.ReplaceAll(c.want, "ADDR", strings.TrimPrefix(s.URL, "http://"))
		if c.status == 1 {
			want = "respgate: " + want + "\n"
		}
		if status != c.status || !strings.HasPrefix(printed, want) || strings.Contains(printed, token) {
			t.Errorf("%s: got %d, %s, want %d, %s", c.name, status, printed, c.status, want)
		}
		s.Close()
	}
}

// TestRemoteAnswerWithoutAKey: whatever a server answers, the command line goes on.
func TestRemoteAnswerWithoutAKey(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write([]byte("{}"))
	}))
	defer s.Close()
	t.Setenv(serverVariable, s.URL)
	t.Setenv(tokenVariable, "rgt_secret")
	if status, said := shell(t, "key create --org acme --instance cache --name web"); status != 1 || said != "respgate: the answer has no key\n" {
		t.Errorf("got %d, %s", status, said)
	}
}

func TestParseServer(t *testing.T) {
	for _, c := range []struct{ given, want string }{
		{"https://respgate.example.com:3000", "https://respgate.example.com:3000"},
		{"http://127.0.0.1:3000/", "http://127.0.0.1:3000"},
		{"https://example.com/gate/api/v1/", "https://example.com/gate"},
		{"example.com", ""},
		{"ftp://example.com", ""},
		{"https://", ""},
		{"https://user:password@example.com", ""},
		{"https://example.com?token=x", ""},
		{"https://example.com#x", ""},
		{"https://exa mple.com", ""},
	} {
		u, err := parseServer(c.given)
		if c.want == "" && err == nil || c.want != "" && (err != nil || u.String() != c.want) {
			t.Errorf("%s: got %v, %v, want %q", c.given, u, err, c.want)
		}
		if err != nil && strings.Contains(err.Error(), "password@") {
			t.Errorf("%s: the error has a secret: %v", c.given, err)
		}
	}
}

// TestPlainTextWarning: a token that goes over a network as plain text is warned of.
func TestPlainTextWarning(t *testing.T) {
	t.Setenv(tokenVariable, "rgt_secret")
	for _, c := range []struct {
		server string
		warns  bool
	}{
		{"http://192.0.2.1:3000", true},
		{"http://respgate.example.com", true},
		{"https://respgate.example.com", false},
		{"http://127.0.0.1:3000", false},
		{"http://[::1]:3000", false},
		{"http://localhost:3000", false},
	} {
		var stderr bytes.Buffer
		a := &app{stderr: &stderr}
		if _, err := a.remote(c.server, "--server"); err != nil {
			t.Fatal(err)
		}
		if got := strings.Contains(stderr.String(), "plain text"); got != c.warns || strings.Contains(stderr.String(), "rgt_") {
			t.Errorf("%s: got %q, want a warning: %v", c.server, &stderr, c.warns)
		}
	}
}

func TestMoment(t *testing.T) {
	now := time.Date(2027, 1, 31, 12, 0, 0, 0, time.UTC)
	for _, c := range []struct {
		value string
		want  time.Time // zero: an error
	}{
		{"24h", now.Add(-24 * time.Hour)},
		{"0s", now},
		{"2027-01-30", time.Date(2027, 1, 30, 0, 0, 0, 0, time.UTC)},
		{"2027-01-30T01:00:00+01:00", time.Date(2027, 1, 30, 0, 0, 0, 0, time.UTC)},
		{"-1h", time.Time{}},
		{"yesterday", time.Time{}},
		{"2027-02-30", time.Time{}},
	} {
		got, err := moment("from", c.value, now)
		if c.want.IsZero() != (err != nil) || err == nil && !got.Equal(c.want) {
			t.Errorf("%s: got %v, %v, want %v", c.value, got, err, c.want)
		}
	}
	if got, err := moment("from", "", now); got != nil || err != nil {
		t.Errorf("not given: got %v, %v, want none", got, err)
	}
}

// TestTablesHaveNoControlCharacters: tenants' clients name themselves and their keys.
func TestTablesHaveNoControlCharacters(t *testing.T) {
	got := printable([]string{"a\x1b[2Jb\tc\nd\u202ee", "schön"})
	if want := []string{"a?[2Jb?c?d?e", "schön"}; got[0] != want[0] || got[1] != want[1] {
		t.Errorf("got %q, want %q", got, want)
	}
}
