package proxy

// join gathers the replies to the parts of a command that went to several servers.
type join struct {
	parts []*call
	left  int                        // parts that have not ended
	whole *call                      // whose reply it is
	make  func(parts []*call) []byte // makes it of theirs
}

// ended is told that a part's reply is there.
func (j *join) ended(*call) {
	if j.left--; j.left > 0 {
		return
	}
	w := j.whole
	if w.s == nil || w.s.closed {
		return
	}
	w.reply = j.make(j.parts)
	for _, p := range j.parts {
		w.s.kept -= len(p.reply)
		w.s.core.free(p)
	}
	w.s.kept += len(w.reply)
	w.end()
}
