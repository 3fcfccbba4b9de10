package proxy

import (
	"errors"

	"github.com/respgate/respgate/command"
	"github.com/respgate/respgate/pool"
)

// Replies implements pool.Owner. What is sent on the link has owners of its own.
func (sh *shard) Replies([]byte, int, bool) {}

// Failed implements pool.Owner.
func (sh *shard) Failed(command.ID, *pool.Error) {}

// Pushed implements pool.Holder: the client is given whole messages, between others' replies.
// That a slot has moved away it need not know: the channel is subscribed to where it is now.
func (sh *shard) Pushed(b []byte, partial bool) {
	s := sh.s
	sh.push = append(sh.push, b...)
	if partial || s.closed {
		return
	}
	message := sh.push
	sh.push = nil
	word, name := aboutChannel(message)
	if _, wanted := s.group.channels[name]; word == "smessage" && !wanted {
		return // it has been given up while its slot moved
	}
	if word == "sunsubscribe" {
		if s.group.channels[name] == sh {
			s.group.channels[name] = nil
			sh.follow(name)
		}
		return
	}
	if s.partial || len(s.group.pushed) > 0 {
		s.keep(len(message))
		s.group.pushed = append(s.group.pushed, message...)
		return
	}
	s.push(message)
}

// aboutChannel reads a message on a channel, or that the server has ended a subscription.
func aboutChannel(message []byte) (word, name string) {
	_, parts, ok := elements(append([]byte{'*'}, message[1:]...))
	if !ok || len(parts) != 3 {
		return "", ""
	}
	return text(parts[0]), text(parts[1])
}

var errSlotLost = errors.New("the slot of a channel has moved, and nobody serves it")

// follow subscribes anew to a channel whose slot has moved. Messages may have been missed
// meanwhile; when it cannot be done the client must know, unless it has given the channel up.
func (sh *shard) follow(name string) {
	s := sh.s
	s.listenAgain(name, 0, func(to *shard, err *pool.Error) {
		switch _, wanted := s.group.channels[name]; {
		case wanted && err != nil:
			s.drop(errSlotLost)
		case wanted:
			s.note(name, to)
		case err == nil:
			to.ask(sunsubscribe, name, func([]byte) { to.leaveIfUnused() })
		}
	})
	sh.leaveIfUnused()
}

// Lost implements pool.Holder: messages may have been missed, so that the client must know.
func (sh *shard) Lost(error) {
	if s := sh.s; s.group.shards[sh.backend] == sh {
		delete(s.group.shards, sh.backend)
		for name, on := range s.group.channels {
			if on == sh {
				s.unnote(name)
			}
		}
		s.finish()
	}
}

// flushPushed gives the client the messages that came in the middle of something else.
func (s *Session) flushPushed() {
	if len(s.group.pushed) == 0 || s.partial {
		return
	}
	pushed := s.group.pushed
	s.group.pushed = nil
	s.keep(-len(pushed))
	s.push(pushed)
}
