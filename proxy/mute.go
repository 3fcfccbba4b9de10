package proxy

// muted are the replies that CLIENT REPLY keeps from the client: those to relayed
// commands, by their numbers, from and to included.
type muted struct{ from, to uint64 }

// clientReply serves CLIENT REPLY ON|OFF|SKIP.
func (s *Session) clientReply(it *item, args [][]byte) {
	switch {
	case equalFold(args[2], "on"):
		s.off = false
		s.muteNow = false
		s.say([]byte("+OK\r\n"))
	case equalFold(args[2], "off"):
		s.off = true
	case equalFold(args[2], "skip"):
		s.skip = !s.off
	default:
		s.refuse(it.id, badRequest, "ERR syntax error")
	}
}

// beginCommand decides whether the command at hand will be answered.
func (s *Session) beginCommand() (undo bool) {
	s.muteNow = s.off || s.skip
	undo, s.skip = s.skip, false
	return undo
}

// muteRelayed notes that the command about to be relayed is not answered.
func (s *Session) muteRelayed() {
	if n := len(s.mutes); n > 0 && s.mutes[n-1].to+1 == s.sent {
		s.mutes[n-1].to = s.sent
		return
	}
	s.mutes = append(s.mutes, muted{s.sent, s.sent})
}

// mutedReply reports whether the reply to the oldest command that is owed is kept back.
// Replies to such commands are delivered apart from others.
func (s *Session) mutedReply() bool {
	for len(s.mutes) > 0 && s.mutes[0].to < s.done {
		s.mutes = s.mutes[1:]
	}
	return len(s.mutes) > 0 && s.mutes[0].from <= s.done
}
