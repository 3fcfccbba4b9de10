package proxy

// maxStrange is how many bytes a client that has never authenticated may leave unread
// before no more is said to it: it must not fill the memory with complaints.
const maxStrange = 64 << 10

// toldEnough has a client that has never authenticated wait until it has read.
func (s *Session) toldEnough() bool {
	if s.known || s.out.Unsent() <= maxStrange {
		return false
	}
	s.pause(reading)
	return true
}
