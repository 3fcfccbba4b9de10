package main

import (
	"bytes"
	"errors"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/respgate/respgate/admin/apply"
	"github.com/respgate/respgate/store"
	"github.com/respgate/respgate/tenant"
)

// TestApplyChangedMeanwhile: what somebody else has changed since it was planned is not
// changed, and what was done until then stays done.
func TestApplyChangedMeanwhile(t *testing.T) {
	ctx := t.Context()
	st, err := store.Open(ctx, store.Config{Driver: "sqlite", DSN: "file:" + t.TempDir() + "/respgate.db"}, nil)
	if err != nil {
		t.Fatal(err)
	}
	defer st.Close()
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: &out}
	t.Setenv("RESPGATE_CONFIG", "")
	c, err := a.local(testConfig(t), st, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	wanted := func(text string) []apply.Organization {
		t.Helper()
		all, err := apply.Read("t.yaml", []byte(text), apply.References{})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	const first = "organizations: [{name: acme, quotas: {max_keys: 5}, instances: [{name: cache, url: redis://h}], keys: [{name: web, instances: [cache]}]}]"
	if err := a.apply(ctx, there{c}, applyFlags{}, wanted(first)); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func() error{
		"update organization acme": func() error {
			_, err := st.UpdateOrganization(ctx, "acme", func(o *tenant.Organization) error { o.MaxMembers++; return nil })
			return err
		},
		"update instance acme/cache": func() error {
			_, err := st.UpdateInstance(ctx, "acme", "cache", func(in *tenant.Instance) error { in.URL += "0"; return nil })
			return err
		},
		"update key acme/web": func() error {
			all, err := st.Keys(ctx, "acme", store.Page{})
			if err == nil {
				_, err = st.ResetLimits(ctx, all[0].ID)
			}
			return err
		},
	} {
		w := wanted("organizations: [{name: acme, quotas: {max_keys: 6}, instances: [{name: cache, url: redis://i}], keys: [{name: web, instances: [cache], rate: 9}]}]")
		current, err := apply.Current(ctx, there{c}, w)
		if err != nil {
			t.Fatal(err)
		}
		plan, err := apply.New(w, current, false)
		if err != nil || len(plan.Steps) != 3 {
			t.Fatalf("%s: planned %v, %v, want three steps", name, plan.Steps, err)
		}
		if err := change(); err != nil {
			t.Fatal(err)
		}
		steps := make([]appliedStep, len(plan.Steps))
		for i, s := range plan.Steps {
			steps[i].Step = s
		}
		err = a.doSteps(ctx, there{c}, "", steps)
		if err == nil || !strings.HasPrefix(err.Error(), name+": it was changed meanwhile: it is version ") {
			t.Errorf("%s: %v, want it refused since it was changed", name, err)
		}
		for _, s := range steps {
			if first := strings.HasPrefix(s.String(), name); first {
				break
			} else if !s.Done {
				t.Errorf("%s: %s is not done", name, s.Step)
			}
		}
		if err := a.apply(ctx, there{c}, applyFlags{}, w); err != nil {
			t.Errorf("%s, again: %v", name, err)
		}
		if err := a.apply(ctx, there{c}, applyFlags{}, wanted(first)); err != nil {
			t.Errorf("back: %v", err)
		}
	}
}

// TestApplyAsAdmin: who is an organization's admin applies what is that one's, through the
// API; what is an operator's is refused in the words for it.
func TestApplyAsAdmin(t *testing.T) {
	cfg := testConfig(t)
	cfg.HTTP.AdminToken = "the operator's own token, long enough"
	r := startServe(t, cfg)
	defer http.DefaultClient.CloseIdleConnections()
	operator := apiClient{r.http, cfg.HTTP.AdminToken.Reveal()}
	want := func(status int, method, path, body string, into any) {
		t.Helper()
		if got := operator.call(t, method, path, body, into); got != status {
			t.Fatalf("%s %s: got %d, want %d", method, path, got, status)
		}
	}
	tokens := map[string]string{}
	for _, org := range []string{"acme", "globex"} {
		want(201, "POST", "/api/v1/organizations", `{"name":"`+org+`","max_keys":5}`, nil)
	}
	for _, role := range []string{"admin", "viewer"} {
		var user struct{ ID string }
		var token struct{ Token string }
		want(201, "POST", "/api/v1/users", `{"email":"`+role+`@example.com"}`, &user)
		want(201, "PUT", "/api/v1/organizations/acme/members/"+user.ID, `{"role":"`+role+`"}`, nil)
		want(201, "POST", "/api/v1/users/"+user.ID+"/tokens", `{}`, &token)
		tokens[role] = token.Token
	}
	file := filepath.Join(t.TempDir(), "tenants.yaml")
	t.Setenv("CACHE_URL", "redis://:hunter2@127.0.0.1:6379/0")
	t.Setenv("RESPGATE_STORE_DSN", ":memory:") // which no store can be at
	t.Setenv("RESPGATE_SERVER", "http://"+r.http)
	const own = "organizations: [{name: acme, instances: [{name: cache, url: env:CACHE_URL}], keys: [{name: web, instances: [cache]}]}]"
	for _, tt := range []struct {
		name, who, text string
		status          int
		want            string
	}{
		{"a viewer", "viewer", own, 1, `respgate: create instance acme/cache: the role viewer in organization "acme" is not enough: this is for the role admin: 0 of 2 steps are done`},
		{"an admin", "admin", own, 0, "2 created, 0 updated, 0 deleted, 1 unchanged\n"},
		{"an admin, again", "admin", own, 0, "nothing to do\n"},
		{"a viewer may not compare URLs", "viewer", own, 1, `respgate: instance acme/cache: the role viewer in organization "acme" is not enough`},
		{"the same quota", "admin", strings.Replace(own, "acme,", "acme, quotas: {max_keys: 5},", 1), 0, "nothing to do\n"},
		{"another quota", "admin", strings.Replace(own, "acme,", "acme, quotas: {max_keys: 6},", 1), 1, `respgate: update organization acme: the role admin in organization "acme" is not enough: this is for the role owner: 0 of 1 steps are done`},
		{"another's organization", "admin", "organizations: [{name: globex}]", 1, "respgate: create organization globex: this is for operators: 0 of 1 steps are done"},
		{"a certificate's name", "admin", strings.Replace(own, "[cache]}", "[cache], certificate_name: x}", 1), 1, "respgate: update key acme/web: a key's certificate name, which counts for all organizations, is for operators to set: 0 of 1"},
	} {
		if err := os.WriteFile(file, []byte(tt.text), 0o600); err != nil {
			t.Fatal(err)
		}
		t.Setenv("RESPGATE_TOKEN", tokens[tt.who])
		var printed bytes.Buffer
		if got := run(t.Context(), []string{"apply", "-f", file}, strings.NewReader(""), &printed, &printed); got != tt.status || !strings.Contains(printed.String(), tt.want) {
			t.Errorf("%s: status %d, want %d and %q: %s", tt.name, got, tt.status, tt.want, &printed)
		}
	}
}

// TestApplyKeepsKeys: a new key that cannot be kept in the file is printed instead, since
// nobody will be told again.
func TestApplyKeepsKeys(t *testing.T) {
	var out bytes.Buffer
	a := &app{stdout: &out, stderr: &out}
	made := []appliedStep{{Step: apply.Step{Action: apply.Create, Kind: apply.OfKey, Org: "acme", Name: "web"}}}
	name := filepath.Join(t.TempDir(), "keys.jsonl")
	keys, err := newKeyFile(name, made)
	if err != nil {
		t.Fatal(err)
	}
	if err := keys.close(); err != nil {
		t.Fatal(err)
	}
	made[0].Key = &newKeyView{Name: "web", Key: "rg_the-key"}
	if err := a.told(0, 1, &made[0], keys); !errors.Is(err, os.ErrClosed) || !strings.HasPrefix(err.Error(), "--keys-to: "+name) {
		t.Errorf("got %v, want that the file cannot be written", err)
	}
	if !strings.Contains(out.String(), "rg_the-key   (shown this once)") {
		t.Errorf("printed %q, want the key", out.String())
	}
	if keys, err := newKeyFile(name, nil); keys != nil || err != nil {
		t.Errorf("without new keys: %v, %v, want the file not looked at", keys, err)
	}
}
