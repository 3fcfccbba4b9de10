package auth

import "time"

// SetMaxStale bounds for how long keys are let in from the cache while the store cannot be
// asked: then they end, with their sessions, since nobody knows which have been revoked.
// 0 is for as long as it takes.
func (s *Service) SetMaxStale(d time.Duration) { s.maxStale.Store(int64(d)) }

// Poll has the store asked for changes at once.
func (s *Service) Poll() { s.pollNow() }

// Stale returns for how long the store cannot be asked; 0 while it can.
func (s *Service) Stale() time.Duration {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.away == nil {
		return 0
	}
	return time.Since(s.answered)
}

// tooStale ends everything that is cached when the store has been away for too long.
func (s *Service) tooStale(now time.Time) (ended []*Handle) {
	s.mu.Lock()
	defer s.mu.Unlock()
	most := time.Duration(s.maxStale.Load())
	if most <= 0 || s.away == nil || now.Sub(s.answered) < most || len(s.index) == 0 {
		return nil
	}
	keys := 0
	for id, w := range s.index {
		if e := w.Value(); e != nil {
			ended = append(ended, s.remove(e)...)
			keys++
		}
		delete(s.index, id)
	}
	s.certified.forget()
	s.log.Error("the key store has been away for too long: cached keys end, and their sessions", "after", most, "keys", keys)
	return ended
}
