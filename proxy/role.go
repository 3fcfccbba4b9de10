package proxy

import (
	"github.com/respgate/respgate/command"
)

// largeCommand is how many bytes make a command that would hold up others on a
// shared link.
const largeCommand = 1 << 20

// role is what a command means for the link that it goes over.
type role uint8

const (
	onShared role = iota // any link
	tells                // any link, and the reply is made true for the key
	onScripts
	multi
	exec
	discard
	watch
	unwatch
	waits // leaves nothing behind, but others would wait
	listen
	unlisten
	monitor
	selects
	tracks  // the link is the session's from then on
	spoils  // it is not known what it leaves behind
	mayWait // it depends on its arguments: see roleOf
)

// roles holds each command's role.
var roles = func() (r [command.Num]role) {
	named := map[string]role{
		"multi": multi, "exec": exec, "discard": discard, "watch": watch, "unwatch": unwatch,
		"subscribe": listen, "psubscribe": listen, "ssubscribe": listen,
		"unsubscribe": unlisten, "punsubscribe": unlisten, "sunsubscribe": unlisten,
		"monitor": monitor, "select": selects, "wait": waits, "waitaof": waits, "migrate": waits,
		"client|tracking": tracks, "client|no-touch": tracks,
	}
	for id := range r {
		info := command.ID(id).Info()
		own, ok := named[info.Name]
		switch {
		case ok:
			r[id] = own
		case info.Top.Info().Name == "command":
			r[id] = tells
		case info.Class == command.Script:
			r[id] = onScripts
		case info.Class == command.Shared && info.Flags&command.FlagBlocking != 0:
			r[id] = mayWait
		case info.Class == command.Pinned && info.Flags&command.FlagBlocking != 0:
			r[id] = waits
		case info.Class == command.Pinned:
			r[id] = spoils
		}
	}
	return r
}()

func roleOf(it *item) role {
	r := roles[it.id]
	switch {
	case r == onShared && len(it.frame.Raw) > largeCommand:
		return waits
	case r == mayWait && blocks(it):
		return waits
	case r == mayWait:
		return onShared
	}
	return r
}

// mayBlock reports whether a command that has a link of its own may wait for others: not
// all do, since a large one has such a link too.
func mayBlock(it *item) bool {
	info := it.id.Info()
	return info.Flags&command.FlagBlocking != 0 || info.Name == "wait" || info.Name == "waitaof"
}

// ends reports whether a command ends what another one has begun. No limit refuses
// it, and without anything begun it needs no backend.
func ends(r role) bool { return r == exec || r == discard || r == unwatch || r == unlisten }
