package admin

import (
	"net/http"
	"time"

	"github.com/respgate/respgate/health"
)

// state is the answer to a probe.
type state struct {
	Status    string    `json:"status"`
	Reason    string    `json:"reason,omitempty"`
	Timestamp time.Time `json:"timestamp"`
}

// live answers as long as the process serves.
func live(w http.ResponseWriter, _ *http.Request) {
	writeJSON(w, http.StatusOK, state{Status: "alive", Timestamp: time.Now().UTC()})
}

// ready tells a load balancer whether to send clients.
func ready(h Health) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		if ok, why := h.Ready(r.Context()); !ok {
			writeJSON(w, http.StatusServiceUnavailable, state{"not ready", why, time.Now().UTC()})
			return
		}
		writeJSON(w, http.StatusOK, state{Status: "ready", Timestamp: time.Now().UTC()})
	}
}

// reportHealth says how everything is doing, without a tenant's name or address.
func reportHealth(h Health) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		report := h.Report(r.Context())
		status := http.StatusOK
		if report.Status == health.Unhealthy {
			status = http.StatusServiceUnavailable
		}
		writeJSON(w, status, report)
	}
}
