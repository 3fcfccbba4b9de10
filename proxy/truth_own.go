package proxy

import (
	"slices"
	"strings"

	"github.com/tidwall/redcon"

	"github.com/respgate/respgate/command"
)

// ownCommand is the one that no backend has, nor tells of.
const ownCommand = "proxy"

// summaries say what respgate's own commands do, in COMMAND DOCS.
var summaries = map[string]string{
	"proxy":           "A container for operators' commands about this proxy.",
	"proxy|help":      "Returns helpful text about the different subcommands.",
	"proxy|kill":      "Disconnects an instance's clients and servers and holds up new commands.",
	"proxy|pause":     "Holds up an instance's commands.",
	"proxy|reconnect": "Replaces the connections to an instance's servers.",
	"proxy|resume":    "Lets an instance's commands go on.",
	"proxy|show":      "Shows what there is as a table.",
}

// own returns respgate's own commands that are called name, or are its subcommands, and that
// the key may run, or a part of.
func (t *truth) own(name string, subcommands bool) (all []command.ID) {
	top := command.Lookup([]byte(ownCommand))
	for id := top; id < command.Num; id++ {
		info := id.Info()
		if info.Top == top && (info.Name == name || subcommands && id != top && name == ownCommand) && t.allowed(info.Name) {
			all = append(all, id)
		}
	}
	return all
}

// ownDetails returns the details of a command of respgate's own, if that may be run.
func (t *truth) ownDetails(name string) (details [][]byte) {
	for _, id := range t.own(name, false) {
		info := id.Info()
		var subs [][]byte
		for _, sub := range t.own(name, true) {
			if sub != id {
				subs = append(subs, t.ownDetails(sub.Info().Name)...)
			}
		}
		var flags [][]byte
		for _, flag := range strings.Fields(info.Flags.String()) {
			flags = append(flags, redcon.AppendString(nil, flag))
		}
		none := appendAggregate(nil, '*', nil)
		zero := redcon.AppendInt(nil, 0)
		details = append(details, appendAggregate(nil, '*', [][]byte{
			redcon.AppendBulkString(nil, info.Name), redcon.AppendInt(nil, int64(info.Arity)), appendAggregate(nil, t.kind('~'), flags),
			zero, zero, zero, appendAggregate(nil, t.kind('~'), nil), none, none, appendAggregate(nil, '*', subs),
		}))
	}
	return details
}

// kind is the type of an aggregate, which is an array where the client speaks RESP2.
func (t *truth) kind(resp3 byte) byte {
	if t.proto == 3 {
		return resp3
	}
	return '*'
}

// ownAsked returns the details of what is asked about in place i, where that is respgate's own.
func (t *truth) ownAsked(i int) []byte {
	if i >= len(t.asked) {
		return nil
	}
	if one := t.ownDetails(t.asked[i]); len(one) == 1 {
		return one[0]
	}
	return nil
}

// ownNames are for COMMAND LIST without a filter.
func (t *truth) ownNames() (names [][]byte) {
	if len(t.asked) > 0 {
		return nil
	}
	for _, id := range t.own(ownCommand, true) {
		names = append(names, redcon.AppendBulkString(nil, id.Info().Name))
	}
	return names
}

// ownDocs are for COMMAND DOCS: names, each with what is said of it.
func (t *truth) ownDocs() (docs [][]byte) {
	asked := []string{ownCommand}
	if len(t.asked) > 0 {
		asked = slices.Compact(slices.Sorted(slices.Values(t.asked)))
	}
	for _, name := range asked {
		docs = append(docs, t.ownDoc(name)...)
	}
	return docs
}

func (t *truth) ownDoc(name string) (docs [][]byte) {
	text := func(s string) []byte { return redcon.AppendBulkString(nil, s) }
	for _, id := range t.own(name, false) {
		info := id.Info()
		said := [][]byte{text("summary"), text(summaries[info.Name]), text("since"), text(info.Since), text("group"), text("server")}
		if info.Container {
			var subs [][]byte
			for _, sub := range t.own(name, true) {
				if sub != id {
					subs = append(subs, t.ownDoc(sub.Info().Name)...)
				}
			}
			said = append(said, text("subcommands"), appendAggregate(nil, t.kind('%'), subs))
		}
		docs = append(docs, text(info.Name), appendAggregate(nil, t.kind('%'), said))
	}
	return docs
}
