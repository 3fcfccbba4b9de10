package auth

import (
	"strings"
	"testing"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// sameSet reports whether two sets allow the same.
func sameSet(a, b *tenant.CommandSet) bool { return contains(a, b) && contains(b, a) }

// FuzzParseRules: the last word about a command counts, in any case of letters, so that
// rules said twice are the same rules; CLIENT is always there, scripts only where rules
// stricter than the default name them; and what is refused is named. As audit rules the same
// are refused, and empty ones are none.
func FuzzParseRules(f *testing.F) {
	for _, seed := range []string{"", DefaultRules, "+@read -@dangerous +config|get", "allcommands nocommands +GET", "+@read +@scripting -@scripting +eval",
		"-", "+", "+@", "+|", "+config|", "~*", "%R~x", "(+get ~a)", "+@all -config +config|get", "+client|nosuch", "-@all -client", "+@all -slowlog|get", "-slowlog +@all"} {
		f.Add(seed)
	}
	standard, err := ParseRules("")
	if err != nil {
		f.Fatal(err)
	}
	client := command.Lookup([]byte("client"))
	f.Fuzz(func(t *testing.T, rules string) {
		set, err := ParseRules(rules)
		audit, auditErr := ParseAudit(rules)
		if (auditErr == nil) != (err == nil) || (audit == nil) != (err != nil || strings.TrimSpace(rules) == "") {
			t.Errorf("%q as audit rules: a set: %v, %v; as rules: %v", rules, audit != nil, auditErr, err)
		}
		if err != nil {
			if set != nil || !strings.HasPrefix(err.Error(), "command rule \"") {
				t.Errorf("%q: %v, and a set: %v", rules, err, set != nil)
			}
			return
		}
		for _, same := range []string{rules + " " + rules, strings.ToUpper(rules), " " + rules + "\n"} {
			if again, err := ParseRules(same); err != nil || !sameSet(set, again) {
				t.Errorf("%q and %q are not the same: %v", rules, same, err)
			}
		}
		scripts := strings.Contains(strings.ToLower(rules), "+@scripting") || contains(set, standard)
		for id := command.Other + 1; id < command.Num; id++ {
			switch c := id.Info(); {
			case c.Top == client && !set.Has(uint16(id)):
				t.Errorf("%q forbids %s", rules, c.Name)
			case !scripts && c.Categories&command.CatScripting != 0 && set.Has(uint16(id)):
				t.Errorf("%q allows %s", rules, c.Name)
			}
		}
		if strings.TrimSpace(rules) == "" {
			return
		}
		if more, err := ParseRules(rules + " +@all"); err != nil || !contains(more, set) || !more.Unknown() {
			t.Errorf("%q and then everything is less, or %v", rules, err)
		}
	})
}
