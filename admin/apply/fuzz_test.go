package apply

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// FuzzRead: a file that is refused is refused with its name and no secret that it refers to;
// one that is accepted can be planned, or it is said why not, and what is planned for it
// leaves nothing to do.
func FuzzRead(f *testing.F) {
	all, err := os.ReadFile("testdata/all.yaml")
	if err != nil {
		f.Fatal(err)
	}
	for _, seed := range []string{string(all), before, "", "- a", "a: &x [*x]", "organizations: &o [*o]", "organizations: []\n---\norganizations: [{name: a}]", "%YAML 1.1\n---\n", "\xff", "organizations: !!set {a, b}",
		"organizations: [{name: a, instances: [{name: b, url: 'file:/run/secrets/cache'}]}]", "organizations: [{name: a, instances: [{name: b, url: 'redis://:x@h'}]}]", "organizations: [{name: a, instances: [{name: b, url: env:NONSENSE}]}]",
		"organizations: [{name: a, instances: &i [{name: b, url: redis://h}], keys: [{name: k, instances: [b], rate: 0x10, burst: 1_0, expires: 2027-01-31T00:00:00.123456789+01:00, commands: |\n +get\n, allow_from: ['::1']}]}]"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, text string) {
		wanted, err := Read("t.yaml", []byte(text), references())
		if err != nil {
			if !strings.HasPrefix(err.Error(), "t.yaml:") || strings.Contains(err.Error(), hidden) && !strings.Contains(text, hidden) {
				t.Errorf("%q is refused with %v, want the file named and no secret", text, err)
			}
			return
		}
		m := &model{}
		plan, err := m.apply(wanted, true)
		if shown := fmt.Sprint(plan.Steps, err); strings.Contains(shown, hidden) && !strings.Contains(text, hidden) {
			t.Errorf("%q: a secret is shown: %s", text, shown)
		}
		if err != nil {
			return // too many of something, or a certificate's name twice: said before it is done, or by the API
		}
		if again, err := m.apply(wanted, true); err != nil || len(again.Steps) > 0 {
			t.Errorf("%q: again %v, %v, want nothing to do", text, again.Steps, err)
		}
	})
}
