package tenant

import (
	"fmt"
	"regexp"
)

// MaxNameLength bounds the names of organizations, instances and keys.
const MaxNameLength = 63

var validName = regexp.MustCompile(`^[a-z0-9]([a-z0-9._-]*[a-z0-9])?$`)

// ValidateName checks the name of an organization, an instance or a key (what):
// 1 to 63 lower-case letters, digits, dots, dashes and underscores, beginning
// and ending with a letter or a digit. An instance may not be "default": AUTH's user
// name "default" means the key's own instance.
func ValidateName(what, name string) error {
	switch {
	case what == "instance" && name == "default":
		return fmt.Errorf("%s name %q is reserved", what, name)
	case len(name) > MaxNameLength, !validName.MatchString(name):
		return fmt.Errorf("%s name %q: want 1 to %d of a-z, 0-9, '.', '-' and '_', beginning and ending with a letter or digit", what, name, MaxNameLength)
	}
	return nil
}
