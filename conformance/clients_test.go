//go:build conformance

package conformance

import (
	"encoding/json"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// apiClient is a client for the management API.
type apiClient struct {
	name, dir string
	generated string   // a file that a check makes anew; "": none
	checks    []string // commands that must succeed
	example   string   // the command that runs the example
}

var apiClients = []apiClient{
	{
		name: "TypeScript", dir: "../clients/typescript", generated: "schema.d.ts",
		checks: []string{
			"npm ci --ignore-scripts --no-audit --no-fund --loglevel=error",
			"npm run --silent generate",
			"npm run --silent build",
			"npm run --silent test",
		},
		example: "node dist/example.js",
	},
	{
		// That its files are what is generated is tested beside the generator.
		name: "Python", dir: "../clients/python",
		checks:  []string{"mypy --cache-dir=/dev/null", "python3 -B -m unittest"},
		example: "python3 -B example.py",
	},
}

// exampleSays is what each client's example prints, but for how its language writes true.
const exampleSays = `organization made once: true
instance reachable: true
keys made: 3
keys: batch, cron, web
stale: 412 Precondition Failed
wrong: 422 body.burst
revoked: true
organization deleted
`

// TestAPIClients: the clients are made from the document that is there, and their examples do
// what they say, and leave nothing.
func TestAPIClients(t *testing.T) {
	const token = "the operator's token, for the examples"
	t.Setenv("RESPGATE_HTTP_ADMIN_TOKEN", token)
	t.Setenv("RESPGATE_TOKEN", token)
	t.Setenv("REDIS_URL", "redis://"+testbed.Redis(t).Addr+"/0")
	p := startProxy(t)
	t.Setenv("RESPGATE_SERVER", "http://"+p.http)
	for _, c := range apiClients {
		t.Run(c.name, func(t *testing.T) {
			before := c.text(t)
			for _, check := range c.checks {
				c.run(t, check)
			}
			if c.text(t) != before {
				t.Errorf("%s was not what is generated, and is now", c.generated)
			}
			if got := c.run(t, c.example); !strings.EqualFold(got, exampleSays) {
				t.Errorf("the example says:\n%s\nwant:\n%s", got, exampleSays)
			}
			if left := organizations(t, p, token); len(left) > 0 {
				t.Errorf("the example left %v", left)
			}
		})
	}
}

// text is the generated file's.
func (c apiClient) text(t *testing.T) string {
	t.Helper()
	if c.generated == "" {
		return ""
	}
	text, err := os.ReadFile(filepath.Join(c.dir, c.generated))
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

func (c apiClient) run(t *testing.T, command string) string {
	t.Helper()
	words := strings.Fields(command)
	return output(t, c.dir, words[0], words[1:]...)
}

// organizations are those that there are.
func organizations(t *testing.T, p proxy, token string) []any {
	t.Helper()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+p.http+"/api/v1/organizations", nil)
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+token)
	res, err := http.DefaultClient.Do(r)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	var list struct{ Items []any }
	if err := json.NewDecoder(res.Body).Decode(&list); err != nil || res.StatusCode != http.StatusOK {
		t.Fatalf("listing organizations: %d, %v", res.StatusCode, err)
	}
	return list.Items
}
