package proxy

// join gathers the replies to the parts of a command that went to several servers.
type join struct {
	parts []*call
	left  int // parts that have not ended
	whole *call
	reply func(s *Session, parts []*call) []byte // makes one of theirs
}

// begin makes a call one that is sent in parts.
func (c *call) begin(reply func(s *Session, parts []*call) []byte) {
	c.join = &join{whole: c, reply: reply}
}

// part makes a part of a call.
func (c *call) part(slot int) *call {
	p := c.s.core.takeCall()
	p.s, p.to, p.id, p.slot, p.join, p.held = c.s, c.s, c.id, slot, c.join, c.held
	return p
}

// sendParts sends them all. Some may end at once, so that the whole must know before how
// many they are.
func (c *call) sendParts(parts []*call) {
	s := c.s
	c.join.parts, c.join.left = parts, len(parts)
	for _, p := range parts {
		s.keepCommand(len(p.raw))
	}
	for _, p := range parts {
		if s.closed {
			return
		}
		p.resend()
	}
}

// ended is told that a part's reply is there.
func (j *join) ended() {
	if j.left--; j.left > 0 {
		return
	}
	w := j.whole
	s := w.s
	w.reply = append(w.reply[:0], j.reply(s, j.parts)...) // a copy, since it may be one of theirs
	for _, p := range j.parts {
		s.keep(-len(p.reply))
		s.keepCommand(-len(p.raw))
		s.core.free(p)
	}
	s.keep(len(w.reply))
	w.join = nil
	w.end()
}
