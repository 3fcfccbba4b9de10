package main

import "github.com/coreos/go-systemd/v22/daemon"

// tellSupervisor tells systemd what has become of the process, when that has started it with
// Type=notify (https://www.freedesktop.org/software/systemd/man/latest/sd_notify.html).
func (s *server) tellSupervisor(state string) {
	if _, err := daemon.SdNotify(false, state); err != nil {
		s.log.Warn("systemd cannot be told what has become of this process", "state", state, "error", err)
	}
}
