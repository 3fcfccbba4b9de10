package apply

import (
	"cmp"
	"encoding/json"
	"fmt"
	"reflect"
	"strings"
	"time"

	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// Action is what a step does.
type Action string

// The actions.
const (
	Create Action = "create"
	Update Action = "update"
	Delete Action = "delete"
)

// Kind is what a step does it to.
type Kind string

// The kinds.
const (
	OfOrganization Kind = "organization"
	OfInstance     Kind = "instance"
	OfKey          Kind = "key"
)

// Step creates, changes or deletes one thing.
type Step struct {
	Action  Action   `json:"action"`
	Kind    Kind     `json:"kind"`
	Org     string   `json:"org"`            // the organization's name
	Name    string   `json:"name,omitempty"` // of its instance or key
	Changes []Change `json:"changes,omitempty"`

	ID      string `json:"-"` // of a key that there is
	Version int64  `json:"-"` // of what there is: with another one the step is not to be done
	Force   bool   `json:"-"` // delete an instance that revoked keys open
}

// Change is a field that gets another value; of what is created, one that is not the default.
type Change struct {
	Field  string `json:"field"`
	Before any    `json:"before"` // as the API shows it; null is the default, or none
	After  any    `json:"after"`
	// Hidden says that Before and After look alike because what differs is a password.
	Hidden bool `json:"hidden,omitempty"`

	api     string // what the API calls the field
	value   any    // what the API is sent; may be a tenant.Secret
	initial string // what the default is called
}

// Body is what the API is sent for a step that creates or changes something, as JSON, with
// secrets in clear.
func (s Step) Body() ([]byte, error) {
	fields := map[string]any{}
	if s.Action == Create {
		fields["name"] = cmp.Or(s.Name, s.Org)
	}
	for _, c := range s.Changes {
		fields[c.api] = c.value
		if secret, ok := c.value.(tenant.Secret); ok {
			fields[c.api] = secret.Reveal()
		}
	}
	return json.Marshal(fields)
}

// String is the step as one line, without secrets.
func (s Step) String() string {
	all := make([]string, 0, len(s.Changes))
	for _, c := range s.Changes {
		all = append(all, c.text(s.Action))
	}
	return strings.TrimSuffix(string(s.Action)+" "+s.Thing()+": "+strings.Join(all, ", "), ": ")
}

// Thing is what the step is about: organization acme, instance acme/cache, key acme/web.
func (s Step) Thing() string {
	return strings.TrimSuffix(string(s.Kind)+" "+s.Org+"/"+s.Name, "/")
}

// releases is 1 when a key is to have no certificate's name any more.
func (s Step) releases() int {
	for _, c := range s.Changes {
		if c.Field == "certificate_name" && c.After == nil {
			return 1
		}
	}
	return 0
}

func (c Change) text(a Action) string {
	switch {
	case c.Hidden:
		return c.Field + " " + c.word(c.After) + " with another password"
	case a == Create:
		return c.Field + " " + c.word(c.After)
	}
	return c.Field + " " + c.word(c.Before) + " → " + c.word(c.After)
}

// word is a value for people.
func (c Change) word(value any) string {
	switch v := value.(type) {
	case nil:
		return c.initial
	case []string:
		if len(v) > 0 {
			return strings.Join(v, ",")
		}
		return c.initial
	case tenant.LimitMode:
		if v == tenant.LimitDefault {
			return c.initial
		}
	case size:
		if v == 0 && c.initial != byDefault {
			return c.initial
		}
	case int:
		if v == 0 && c.initial != byDefault {
			return c.initial
		}
	}
	return fmt.Sprint(value)
}

// diff lists what differs.
func diff[T any](fields []field[T], was, is *T) (changes []Change) {
	for _, f := range fields {
		if f.value == nil {
			continue
		}
		before, after := f.value(was), f.value(is)
		if reflect.DeepEqual(before, after) {
			continue
		}
		c := Change{Field: f.name, Before: shown(before), After: shown(after), api: f.api, value: after, initial: f.initial}
		if c.api == "" {
			c.api = f.name
		}
		c.Hidden = reflect.DeepEqual(c.Before, c.After)
		changes = append(changes, c)
	}
	return changes
}

// shown is a value without secrets.
func shown(value any) any {
	url, secret := value.(tenant.Secret)
	switch {
	case !secret:
		return value
	case url == "":
		return nil
	}
	return pool.RedactURL(url)
}

// Expired reports whether the step makes a key that is over already.
func (s Step) Expired(now time.Time) bool {
	for _, c := range s.Changes {
		if text, ok := c.After.(string); ok && c.Field == "expires" && s.Action == Create {
			at, err := time.Parse(time.RFC3339, text)
			return err == nil && at.Before(now)
		}
	}
	return false
}
