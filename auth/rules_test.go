package auth

import (
	"context"
	"strings"
	"testing"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/internal/testbed"
)

func id(name string) uint16 {
	top, sub, _ := strings.Cut(name, "|")
	return uint16(command.Lookup([]byte(top)).Sub([]byte(sub)))
}

func TestParseRules(t *testing.T) {
	for _, c := range []struct {
		name, rules, allowed, denied string
		unknown                      bool
	}{
		{"default", "", "get set info keys sort flushdb restore role client|list client|kill eval select", "config|get flushall debug monitor shutdown replicaof acl|list", true},
		{"read only", "+@read", "get hgetall client|setname", "set eval evalsha_ro config|get ping", false},
		{"slow log", "+@read", "slowlog|get slowlog|reset slowlog", "config", false},
		{"slow log taken away by name", "+@all -slowlog", "get client|list eval", "slowlog slowlog|get slowlog|reset", true},
		{"slow log's RESET taken away", "+@read -SLOWLOG|RESET", "slowlog|get slowlog|len", "slowlog|reset", false},
		{"slow log taken away and all allowed later", "-slowlog +@all", "slowlog|get", "", true},
		{"slow log given back by name", "-slowlog +slowlog|len", "slowlog|len", "slowlog|get slowlog get", false},
		{"read only with scripts", "+@read +@scripting", "get eval fcall function|load", "set config|get", false},
		{"no unknown subcommand of a container that is partly denied", "", "config|help object|encoding object", "config acl cluster module latency debug", true},
		{"a category does not bring unknown subcommands", "+@read +@slow +@scripting", "object|encoding", "object config xinfo script", false},
		{"scripts named and taken away", "+@read +@scripting -@scripting +eval", "get", "eval", false},
		{"naming eval is not enough", "+get +eval", "get", "eval", false},
		{"wider than the default", "+@all", "flushall eval config|set debug", "", true},
		{"all but scripts", "+@all -@scripting", "flushall get", "eval function|load", true},
		{"a subcommand", "+config|get", "config|get", "config|set config get", false},
		{"a command has its subcommands", "+config -config|set", "config|get config", "config|set", false},
		{"order matters", "-get +@all", "get", "", true},
		{"taken away later", "+@all -@all +get", "get", "set", false},
		{"aliases", "allcommands nocommands +GET", "get", "set", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			set, err := ParseRules(c.rules)
			if err != nil {
				t.Fatal(err)
			}
			for _, name := range strings.Fields(c.allowed) {
				if !set.Has(id(name)) {
					t.Errorf("%s is denied", name)
				}
			}
			for _, name := range strings.Fields(c.denied) {
				if set.Has(id(name)) {
					t.Errorf("%s is allowed", name)
				}
			}
			if set.Unknown() != c.unknown {
				t.Errorf("unknown commands allowed: %v, want %v", set.Unknown(), c.unknown)
			}
		})
	}
}

func TestRulesThatAreRefused(t *testing.T) {
	for _, word := range []string{"~*", "%R~x", "&ch", "allkeys", "on", ">secret", "nopass", "(+get)", "+@nosuch", "+nosuch", "-config|nosuch", "+get|x", "+", "-@", "get"} {
		if _, err := ParseRules("+@all " + word); err == nil || !strings.Contains(err.Error(), word) {
			t.Errorf("%q: error %v, want one that names it", word, err)
		}
	}
}

// TestUnknownSubcommands: where a rule denies some of a container's subcommands, those
// that the table does not know are denied too, for one of them may be the server's.
func TestUnknownSubcommands(t *testing.T) {
	for _, rules := range []string{DefaultRules, "+@read", "+@all -@admin -@dangerous", "+@all -@slow -@fast", "+@all -@dangerous +@keyspace +@connection"} {
		set, err := ParseRules(rules)
		if err != nil {
			t.Fatal(err)
		}
		for i := command.Other + 1; i < command.Num; i++ {
			c := i.Info()
			top := c.Top.Info()
			if i.IsSubcommand() && top.Name != "client" && !set.Has(uint16(i)) && set.Has(uint16(c.Top)) {
				t.Errorf("%s: %s is denied and an unknown subcommand of %s allowed", rules, c.Name, top.Name)
			}
		}
	}
}

// TestRulesAgreeWithRedis asks a real server, for each command that it knows,
// whether a user with the same rules may run it.
func TestRulesAgreeWithRedis(t *testing.T) {
	ctx := context.Background()
	client := testbed.Redis(t).Client()
	for _, rules := range []string{
		DefaultRules, "+@all", "+@all -@hash +hset", "+@read +@scripting -@slow", "+@scripting +@pubsub +config|get -publish", "+@all -config +config|get -@keyspace",
	} {
		set, _, err := compileRules(rules) // without what is stricter than Redis
		if err != nil {
			t.Fatal(err)
		}
		args := []any{"ACL", "SETUSER", "u", "reset", "allkeys", "allchannels"}
		for _, w := range strings.Fields(rules) {
			args = append(args, w)
		}
		if err := client.Do(ctx, args...).Err(); err != nil {
			t.Fatalf("%s: %v", rules, err)
		}
		checked := 0
		for i := command.Other + 1; i < command.Num; i++ {
			c := i.Info()
			if c.Container || strings.HasPrefix(c.Name, "client|") || strings.HasPrefix(c.Name, "slowlog|") { // always allowed
				continue
			}
			dry := []any{"ACL", "DRYRUN", "u"}
			for _, part := range strings.Split(c.Name, "|") {
				dry = append(dry, part)
			}
			for n := len(dry) - 3; n < max(c.Arity, -c.Arity); n++ {
				dry = append(dry, "1")
			}
			reply, err := client.Do(ctx, dry...).Text()
			if err != nil || strings.Contains(reply, "not found") {
				continue // not a command of this server
			}
			checked++
			if want := !strings.Contains(reply, "no permissions to run"); set.Has(uint16(i)) != want && c.Flags&command.FlagNoAuth == 0 {
				t.Errorf("%s: %s allowed %v, Redis says %q", rules, c.Name, set.Has(uint16(i)), reply)
			}
		}
		if checked < 250 {
			t.Errorf("%s: only %d commands checked", rules, checked)
		}
	}
}
