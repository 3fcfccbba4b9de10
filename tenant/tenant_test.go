package tenant

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"
)

func TestValidateName(t *testing.T) {
	for _, c := range []struct {
		what, name string
		ok         bool
	}{
		{"instance", "cache", true},
		{"instance", "a", true},
		{"instance", "a.b-c_9", true},
		{"instance", "default", false},
		{"key", "default", true},
		{"key", "", false},
		{"key", "Cache", false},
		{"key", "-a", false},
		{"key", "a/b", false},
		{"key", strings.Repeat("a", 63), true},
		{"key", strings.Repeat("a", 64), false},
	} {
		if err := ValidateName(c.what, c.name); (err == nil) != c.ok {
			t.Errorf("ValidateName(%q, %q) = %v, want ok %v", c.what, c.name, err, c.ok)
		}
	}
}

func TestSecretIsNeverShown(t *testing.T) {
	s := Secret("hunter2")
	marshalled, err := json.Marshal(map[string]Secret{"s": s})
	if err != nil {
		t.Fatal(err)
	}
	for _, got := range []string{fmt.Sprint(s), fmt.Sprintf("%v %+v %#v %q %s", s, s, s, s, s), string(marshalled), s.LogValue().String()} {
		if strings.Contains(got, "hunter2") {
			t.Errorf("shown as %q", got)
		}
	}
	if s.Reveal() != "hunter2" {
		t.Errorf("Reveal() = %q", s.Reveal())
	}
}

func TestCommandSet(t *testing.T) {
	s := NewCommandSet(130)
	s.Set(0, true)
	s.Set(129, true)
	s.Set(64, true)
	s.Set(64, false)
	for id, want := range map[uint16]bool{0: true, 1: false, 64: false, 129: true, 128: false, 5000: false} {
		if got := s.Has(id); got != want {
			t.Errorf("Has(%d) = %v, want %v", id, got, want)
		}
	}
}
