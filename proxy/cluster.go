package proxy

func (s *Session) relayCluster(it *item, r role) bool { return s.relayCall(it, r, 0, -1) }
