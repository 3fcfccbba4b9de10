package tenant

import "testing"

func TestRoleIncludes(t *testing.T) {
	for _, c := range []struct {
		role, least Role
		want        bool
	}{
		{Viewer, Viewer, true}, {Viewer, Admin, false}, {Viewer, Owner, false},
		{Admin, Viewer, true}, {Admin, Admin, true}, {Admin, Owner, false},
		{Owner, Viewer, true}, {Owner, Admin, true}, {Owner, Owner, true},
		{"", Viewer, false}, {"root", Viewer, false}, {Owner, "root", false},
	} {
		if got := c.role.Includes(c.least); got != c.want {
			t.Errorf("%q includes %q: got %v, want %v", c.role, c.least, got, c.want)
		}
	}
}
