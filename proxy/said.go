package proxy

// about are the session's attributes in the log, with more of them: every line about a
// client has these, so that lines can be put together. See docs/LOGS.md.
func (s *Session) about(more ...any) []any {
	attrs := []any{"session", s.sessionID(), "client", s.addr.String()}
	if p := s.principal; p != nil {
		attrs = append(attrs, "tenant", p.Route.Label, "key", p.KeyID)
	}
	return append(attrs, more...)
}
