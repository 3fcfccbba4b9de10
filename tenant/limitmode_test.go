package tenant

import "testing"

func TestLimitModes(t *testing.T) {
	for _, name := range append(LimitModes(), "") {
		m, err := ParseLimitMode(name)
		if err != nil || m.String() != name {
			t.Errorf("ParseLimitMode(%q) = %v, %v, want the same name back", name, m, err)
		}
	}
	for _, name := range []string{"Reject", "dry-run", "none", " "} {
		if m, err := ParseLimitMode(name); err == nil || m != LimitDefault {
			t.Errorf("ParseLimitMode(%q) = %v, %v, want an error", name, m, err)
		}
	}
	if got := LimitMode(9).String(); got != "LimitMode(9)" {
		t.Errorf("an unknown mode's name is %q", got)
	}
}
