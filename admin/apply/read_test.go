package apply

import (
	"errors"
	"fmt"
	"os"
	"reflect"
	"strings"
	"testing"
	"time"

	"github.com/respgate/respgate/tenant"
)

// hidden is the password of the URLs that files refer to.
const hidden = "hunter2-of-the-url"

// references have a URL in $CACHE_URL and in /run/secrets/cache, and others.
func references() References {
	env := map[string]string{"CACHE_URL": "redis://app:" + hidden + "@10.0.0.5:6379/0\n", "EMPTY": "", "NONSENSE": "http://" + hidden + "@host", "SHOWN": "redis://:xxxxx@10.0.0.5"}
	return References{
		Env: func(name string) (string, bool) { v, ok := env[name]; return v, ok },
		File: func(path string) ([]byte, error) {
			if path == "/run/secrets/cache" {
				return []byte(env["CACHE_URL"]), nil
			}
			return nil, errors.New("no such file or directory")
		},
	}
}

func TestRead(t *testing.T) {
	text, err := os.ReadFile("testdata/all.yaml")
	if err != nil {
		t.Fatal(err)
	}
	got, err := Read("all.yaml", text, references())
	if err != nil {
		t.Fatal(err)
	}
	networks, err := tenant.ParseNetworks("10.0.0.0/8,192.0.2.1")
	if err != nil {
		t.Fatal(err)
	}
	const url = "redis://app:" + hidden + "@10.0.0.5:6379/0"
	want := []Organization{
		{Name: "acme", HasQuota: true, Quota: tenant.Quota{MaxInstances: 3, MaxKeys: 20, MaxMembers: 5, MaxConnections: 1000, Rate: 5000, Burst: 10000, ByteRate: 1 << 30, LimitMode: tenant.LimitDelay},
			Instances: []Instance{{Name: "cache", URL: url, Slowlog: new(5 * time.Millisecond), CacheBytes: 64 << 20}, {Name: "queue", URL: url}, {Name: "local", URL: "redis://app@127.0.0.1:6379/1"}},
			Keys: []Key{
				{Key: tenant.Key{Name: "web", Instances: []string{"cache", "queue"}, Limits: tenant.Limits{Rate: number(100), Burst: number(200), ByteRate: new(int64(10 << 20)), Mode: tenant.LimitDryRun}, Commands: "+@all -@dangerous", AllowFrom: networks,
					MaxConnections: 50, ExpiresAt: time.Date(2027, 1, 31, 0, 0, 0, 0, time.UTC), CertificateName: "spiffe://corp/web", Audit: "+@write"}, at: "all.yaml:25: organizations[acme].keys[web].instances"},
				{Key: tenant.Key{Name: "batch", Instances: []string{"queue"}, Limits: tenant.Limits{Rate: number(0)}}, at: "all.yaml:37: organizations[acme].keys[batch].instances"},
			}},
		{Name: "globex", HasQuota: true},
		{Name: "initech"},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func number(n int) *int { return &n }

// TestReadBadInput: what is wrong is named by file, line and field, and nothing secret.
func TestReadBadInput(t *testing.T) {
	acme := func(rest string) string { return "organizations:\n- name: acme\n" + rest }
	instance := func(url string) string { return acme("  instances:\n  - {name: cache, url: " + url + "}\n") }
	key := func(rest string) string {
		return acme("  keys:\n  - name: web\n    instances: [cache]\n    " + rest + "\n")
	}
	for _, tt := range []struct{ name, text, want string }{
		{"nothing", "", "t.yaml: it is empty: want organizations"},
		{"no YAML", "a: [", "t.yaml: line 1: did not find expected node content"},
		{"no mapping", "- a", "t.yaml:1: want a mapping, of organizations"},
		{"text", "acme", "t.yaml:1: want a mapping, of organizations"},
		{"no organizations", "{}", "t.yaml:1: organizations: it is missing"},
		{"null organizations", "organizations:", "t.yaml:1: organizations: it is missing"},
		{"no list", "organizations: {name: acme}", "t.yaml:1: organizations: want a list"},
		{"unknown at the top", "organisations: []", `t.yaml:1: unknown field "organisations": want organizations; t.yaml:1: organizations: it is missing`},
		{"no name", "organizations:\n- quotas: {rate: 5}", "t.yaml:2: organizations[0].name: it is missing"},
		{"bad name", "organizations:\n- name: ACME", `t.yaml:2: organizations[0].name: organization name "ACME": want 1 to 63 of`},
		{"name that is a number", "organizations:\n- name: 5", "t.yaml:2: organizations[5].name: want text, in quotes"},
		{"organization twice", "organizations:\n- name: acme\n- name: acme", "t.yaml:3: organizations[acme]: there is one of that name in line 2 already"},
		{"organization in two documents", "organizations:\n- name: acme\n---\norganizations:\n- name: acme", "t.yaml:5: organizations[acme]: there is one of that name in line 2 already"},
		{"field twice", acme("  name: other"), "t.yaml:3: organizations[acme].name: it is there twice"},
		{"unknown field", key("rte: 5"), `t.yaml:6: organizations[acme].keys[web]: unknown field "rte": want name, instances, rate, burst,`},
		{"merge key", acme("  <<: {quotas: {}}"), `t.yaml:3: organizations[acme]: unknown field "<<"`},
		{"field that is a list", acme("  [a]: b"), `t.yaml:3: organizations[acme]: unknown field ""`},
		{"quotas", acme("  quotas: 5"), "t.yaml:3: organizations[acme].quotas: want a mapping, of max_instances, max_keys,"},
		{"quota", acme("  quotas: {max_keys: many}"), "t.yaml:3: organizations[acme].quotas.max_keys: want a whole number from 0 to 1000000"},
		{"large quota", acme("  quotas: {max_keys: 1000001}"), "t.yaml:3: organizations[acme].quotas.max_keys: want a whole number from 0 to 1000000"},
		{"negative quota", acme("  quotas: {rate: -1}"), "t.yaml:3: organizations[acme].quotas.rate: want a whole number from 0 to 1000000000"},
		{"fraction", acme("  quotas: {rate: 1.5}"), "t.yaml:3: organizations[acme].quotas.rate: want a whole number"},
		{"number in quotes", acme("  quotas: {rate: '5'}"), "t.yaml:3: organizations[acme].quotas.rate: want a whole number"},
		{"tag that lies", acme("  quotas: {rate: !!int five}"), "t.yaml:3: organizations[acme].quotas.rate: want a whole number"},
		{"instance without a URL", acme("  instances: [{name: cache}]"), "t.yaml:3: organizations[acme].instances[cache].url: it is missing"},
		{"instance called default", acme("  instances: [{name: default, url: env:CACHE_URL}]"), `t.yaml:3: organizations[acme].instances[default].name: instance name "default" is reserved`},
		{"instance twice", acme("  instances:\n  - {name: a, url: redis://h}\n  - {name: a, url: redis://h}"), "t.yaml:5: organizations[acme].instances[a]: there is one of that name in line 4 already"},
		{"password in clear", instance("redis://:" + hidden + "@host"), "t.yaml:4: organizations[acme].instances[cache].url: it has a password in clear: write env:NAME or file:/path here, and the URL with its password there"},
		{"sentinels' password in clear", instance("'redis-sentinel://host/m?sentinel_password=" + hidden + "'"), "url: it has a password in clear: write env:NAME or file:/path"},
		{"URL of another scheme", instance("http://user:" + hidden + "@host"), "t.yaml:4: organizations[acme].instances[cache].url: backend URL: its scheme is not known"},
		{"URL that is none", instance(hidden), "t.yaml:4: organizations[acme].instances[cache].url: backend URL cannot be parsed"},
		{"URL that is a list", instance("[" + hidden + "]"), "t.yaml:4: organizations[acme].instances[cache].url: want text"},
		{"URL as it is shown", instance("env:SHOWN"), "t.yaml:4: organizations[acme].instances[cache].url: its password is the xxxxx that is shown instead of one"},
		{"variable that is not set", instance("env:NOSUCH"), "t.yaml:4: organizations[acme].instances[cache].url: the environment variable NOSUCH is not set"},
		{"empty variable", instance("env:EMPTY"), "the environment variable EMPTY is not set"},
		{"variable with nonsense", instance("env:NONSENSE"), "t.yaml:4: organizations[acme].instances[cache].url: backend URL: its scheme is not known"},
		{"variable without a name", instance("'env:redis://:" + hidden + "@host'"), "want env:NAME, with the name of an environment variable"},
		{"file that is not there", instance("file:/nosuch"), "t.yaml:4: organizations[acme].instances[cache].url: file /nosuch: no such file or directory"},
		{"relative file", instance("'file:redis://:" + hidden + "@host'"), "want file:/path, from the root on"},
		{"slow log's threshold without a unit", acme("  instances: [{name: cache, url: redis://h, slowlog_threshold: 10}]"), "t.yaml:3: organizations[acme].instances[cache].slowlog_threshold: want a duration of whole microseconds up to 24h, such as 10ms, 0 for every command, 'off' for none, or 'default'"},
		{"size of a cache", acme("  instances: [{name: cache, url: redis://h, cache: 64MB}]"), "instances[cache].cache: want a size such as 64KiB, 10MiB or 1GiB, up to 1TiB"},
		{"size of a cache that is too large", acme("  instances: [{name: cache, url: redis://h, cache: 2TiB}]"), "instances[cache].cache: want a size"},
		{"size that is a list", acme("  instances: [{name: cache, url: redis://h, cache: [1]}]"), "instances[cache].cache: want a size"},
		{"limit mode", key("limit_mode: wish"), `keys[web].limit_mode: limit mode "wish": want reject, delay or dry_run`},
		{"bytes per second", key("byte_rate: -1"), "keys[web].byte_rate: want a size"},
		{"slow log's threshold that is a list", acme("  instances: [{name: cache, url: redis://h, slowlog_threshold: [10ms]}]"), "instances[cache].slowlog_threshold: want a duration"},
		{"key without instances", acme("  keys: [{name: web}]"), "t.yaml:3: organizations[acme].keys[web].instances: it is missing"},
		{"key with none", acme("  keys: [{name: web, instances: []}]"), "t.yaml:3: organizations[acme].keys[web].instances: want one at least"},
		{"key with many", acme("  keys: [{name: web, instances: [" + strings.Repeat("a,", 65) + "]}]"), "keys[web].instances: 65 are too many: want at most 64"},
		{"key with one twice", acme("  keys: [{name: web, instances: [a, a]}]"), "keys[web].instances: the same instance twice"},
		{"key with text", acme("  keys: [{name: web, instances: a}]"), "keys[web].instances: want a list, such as [a, b]"},
		{"key with a number", acme("  keys: [{name: web, instances: [1]}]"), "keys[web].instances[0]: want text"},
		{"key twice", acme("  keys:\n  - {name: web, instances: [a]}\n  - {name: web, instances: [b]}"), "t.yaml:5: organizations[acme].keys[web]: there is one of that name in line 4 already"},
		{"rate", key("rate: fast"), "t.yaml:6: organizations[acme].keys[web].rate: want a whole number from 0 to 1000000000"},
		{"burst", key("burst: 1000000001"), "keys[web].burst: want a whole number from 0 to 1000000000"},
		{"commands", key("commands: +nosuch"), `keys[web].commands: command rule "+nosuch": there is no such command`},
		{"long commands", key("commands: '" + strings.Repeat("+get ", 1000) + "'"), "keys[web].commands: 4999 bytes: want at most 4096"},
		{"audit", key("audit: '~keys:*'"), `keys[web].audit: command rule "~keys:*": not supported`},
		{"networks", key("allow_from: [10.1.2.3/8]"), `keys[web].allow_from: network "10.1.2.3/8": it has bits beyond its prefix`},
		{"network of nothing", key("allow_from: ['']"), "keys[web].allow_from[0]: it is empty"},
		{"networks as text", key("allow_from: 10.0.0.0/8"), "keys[web].allow_from: want a list"},
		{"connections", key("max_connections: 10000001"), "keys[web].max_connections: want a whole number from 0 to 10000000"},
		{"duration", key("expires: 720h"), "keys[web].expires: want a time such as 2027-01-31T00:00:00Z"},
		{"date", key("expires: 2027-01-31"), "keys[web].expires: want a time such as 2027-01-31T00:00:00Z"},
		{"no time", key("expires: 0001-01-01T00:00:00Z"), "keys[web].expires: want a time"},
		{"certificate", key(`certificate_name: " x"`), `keys[web].certificate_name: certificate name " x": want printable characters`},
		{"certificate twice", "organizations:\n- name: a\n  keys: [{name: web, instances: [a], certificate_name: x}]\n- name: b\n  keys:\n  - {name: web, instances: [a], certificate_name: x}",
			"t.yaml:6: organizations[b].keys[web].certificate_name: that is of the key in line 3 already"},
		{"several", acme("  quotas: {rate: x, burst: y}"), "quotas.rate: want a whole number from 0 to 1000000000; t.yaml:3: organizations[acme].quotas.burst: want"},
		{"many", acme("  quotas: {a: 1, b: 1, c: 1, d: 1, e: 1, f: 1, g: 1}"), "; and 2 more"},
		{"unknown alias", "organizations: *nosuch", "t.yaml: unknown anchor 'nosuch' referenced"},
		{"an alias of what it is in", "organizations: &o [*o]", "t.yaml:1: organizations[0]: want a mapping"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			got, err := Read("t.yaml", []byte(tt.text), references())
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Fatalf("got %+v, %v, want an error with %q", got, err, tt.want)
			}
			if !strings.HasPrefix(err.Error(), "t.yaml:") || strings.Contains(err.Error(), hidden) || len(err.Error()) > maxProblems*maxWords*2 {
				t.Errorf("error of %d bytes: %v, want it to begin with the file and to have no secret", len(err.Error()), err)
			}
		})
	}
}

func TestReadIsBounded(t *testing.T) {
	if _, err := Read("t.yaml", make([]byte, MaxSize+1), references()); err == nil || !strings.Contains(err.Error(), "larger than 4194304 bytes") {
		t.Errorf("a large file: %v, want it refused", err)
	}
	text := "organizations:\n- name: a\n  instances: [{name: cache, url: redis://h}]\n  keys: &k\n"
	for i := range 100 {
		text += fmt.Sprintf("  - {name: key%d, instances: [cache]}\n", i)
	}
	const nodes = 1500 // more than these, fewer than those of two
	if _, err := readWithin(nodes, "t.yaml", []byte(text), references()); err != nil {
		t.Errorf("without aliases: %v", err)
	}
	if _, err := readWithin(nodes, "t.yaml", []byte(text+"- {name: b, keys: *k}\n- {name: c, keys: *k}\n"), references()); err == nil || err.Error() != "t.yaml: its aliases stand for too much" {
		t.Errorf("aliases: %.300v, want them refused", err)
	}
}
