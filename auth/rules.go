package auth

import (
	"errors"
	"fmt"
	"strings"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/tenant"
)

// DefaultRules are a key's rules when it has none of its own: a tenant may use
// its data and not run the server.
const DefaultRules = "+@all -@admin -@dangerous +info +keys +sort +sort_ro +flushdb +restore +role"

// ParseRules compiles Redis ACL rules for commands, which are applied from left
// to right: +get, -config|set, +@read, -@dangerous, allcommands, nocommands.
// Empty rules are DefaultRules. Commands that the table does not know are allowed
// where the last word about all commands was +@all.
//
// Two things go beyond Redis. CLIENT's subcommands are always allowed, since
// respgate answers them for the tenant's own sessions, and so are SLOWLOG's, unless
// the rules name these: its entries have other keys' commands in them. And scripts, which can
// call what their key may not, are allowed to rules stricter than the default
// only where these name @scripting.
//
// What Redis knows besides (keys, channels, passwords, selectors) is refused
// rather than ignored. See https://redis.io/docs/latest/operate/oss_and_stack/management/security/acl/.
func ParseRules(rules string) (*tenant.CommandSet, error) {
	standard, _, err := compileRules(DefaultRules)
	if err != nil || strings.TrimSpace(rules) == "" {
		return standard, err
	}
	set, scripting, err := compileRules(rules)
	if err != nil {
		return nil, err
	}
	if !scripting && !contains(set, standard) {
		applyCategory(set, false, command.CatScripting)
	}
	return set, nil
}

// compileRules reports also whether the rules name @scripting, and do not take it
// away again.
func compileRules(rules string) (set *tenant.CommandSet, scripting bool, err error) {
	if set, err = applyRules(rules); err != nil {
		return nil, false, err
	}
	for _, word := range strings.Fields(rules) {
		switch strings.ToLower(word) {
		case "+@scripting":
			scripting = true
		case "-@scripting", "-@all", "nocommands":
			scripting = false
		}
	}
	client := command.Lookup([]byte("client"))
	apply(set, true, func(c *command.Command) bool { return c.Top == client || c.Top == slowlog })
	return set, scripting, applyNamed(set, rules)
}

// slowlog is SLOWLOG.
var slowlog = command.Lookup([]byte("slowlog"))

// applyNamed applies once more those rules that name SLOWLOG or its subcommands, and that no
// later rule about all commands has undone.
func applyNamed(set *tenant.CommandSet, rules string) error {
	var named []string
	for _, word := range strings.Fields(strings.ToLower(rules)) {
		top, _, _ := strings.Cut(word[1:], "|")
		switch {
		case command.Lookup([]byte(top)) == slowlog:
			named = append(named, word)
		case top == "@all", word == "allcommands", word == "nocommands":
			named = nil
		}
	}
	for _, word := range named {
		if err := applyRule(set, word); err != nil {
			return err
		}
	}
	return nil
}

// ParseAudit compiles the rules of the commands that are noted, which are as those of
// ParseRules without what goes beyond Redis. Empty rules are none: nil.
func ParseAudit(rules string) (*tenant.CommandSet, error) {
	if strings.TrimSpace(rules) == "" {
		return nil, nil
	}
	return applyRules(rules)
}

func applyRules(rules string) (*tenant.CommandSet, error) {
	set := tenant.NewCommandSet(int(command.Num))
	for _, word := range strings.Fields(rules) {
		if err := applyRule(set, strings.ToLower(word)); err != nil {
			return nil, fmt.Errorf("command rule %q: %w", word, err)
		}
	}
	return set, nil
}

func applyRule(set *tenant.CommandSet, word string) error {
	switch word {
	case "allcommands":
		word = "+@all"
	case "nocommands":
		word = "-@all"
	}
	if word[0] != '+' && word[0] != '-' {
		return errors.New("not supported: want +command, -command, +@category or -@category")
	}
	allow, name := word[0] == '+', word[1:]
	if name == "@all" {
		apply(set, allow, func(*command.Command) bool { return true })
		set.SetUnknown(allow)
		return nil
	}
	if category, ok := strings.CutPrefix(name, "@"); ok {
		c, known := command.ParseCategory(category)
		if !known {
			return errors.New("there is no such category")
		}
		applyCategory(set, allow, c)
		return nil
	}
	top, sub, hasSub := strings.Cut(name, "|")
	id := command.Lookup([]byte(top))
	if hasSub && id.Sub([]byte(sub)) == id {
		id = command.Other
	} else if hasSub {
		id = id.Sub([]byte(sub))
	}
	if id == command.Other {
		return errors.New("there is no such command")
	}
	row := id.Info()
	apply(set, allow, func(c *command.Command) bool { return c == row || !hasSub && c.Top == id })
	return nil
}

// applyCategory allows or forbids the commands of a category. A container stands for
// its subcommands that the table does not know: no category allows these, and one that
// forbids some of the others forbids them too, for they may be of its kind.
func applyCategory(set *tenant.CommandSet, allow bool, category command.Categories) {
	for id := command.Other + 1; id < command.Num; id++ {
		switch c := id.Info(); {
		case c.Categories&category == 0, allow && c.Container:
		default:
			set.Set(uint16(id), allow)
			if !allow {
				set.Set(uint16(c.Top), false)
			}
		}
	}
}

// apply allows or forbids all commands that match.
func apply(set *tenant.CommandSet, allow bool, match func(*command.Command) bool) {
	for id := command.Other + 1; id < command.Num; id++ {
		if match(id.Info()) {
			set.Set(uint16(id), allow)
		}
	}
}

// contains reports whether set has all that part has, SLOWLOG aside, which shows nothing of
// the server's.
func contains(set, part *tenant.CommandSet) bool {
	for id := command.Other + 1; id < command.Num; id++ {
		if part.Has(uint16(id)) && !set.Has(uint16(id)) && id.Info().Top != slowlog {
			return false
		}
	}
	return set.Unknown() || !part.Unknown()
}
