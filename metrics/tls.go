package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// tlsMetrics are about TLS with clients.
type tlsMetrics struct {
	expiry     *prometheus.GaugeVec
	reloads    *prometheus.CounterVec
	handshakes *prometheus.CounterVec
	clients    *prometheus.CounterVec
	shown      map[string]map[string]time.Time // by listener
}

func newTLSMetrics() tlsMetrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: name, Help: help}, labels)
	}
	t := tlsMetrics{
		expiry: prometheus.NewGaugeVec(prometheus.GaugeOpts{
			Name: "respgate_tls_certificate_expiry_timestamp_seconds", Help: "When a certificate that a listener shows expires, in seconds since 1970.",
		}, []string{"listener", "name"}),
		reloads:    counter("respgate_tls_reloads_total", "Changes of a listener's certificate files, by whether they could be used.", "listener", "result"),
		handshakes: counter("respgate_tls_handshakes_total", "TLS handshakes with Redis clients, by how they ended.", "result"),
		clients:    counter("respgate_tls_client_certificates_total", "Client certificates shown, by what they stood for.", "result"),
		shown:      map[string]map[string]time.Time{},
	}
	for _, result := range []string{"ok", "error"} {
		for _, listener := range []string{"tls", "http"} {
			t.reloads.WithLabelValues(listener, result)
		}
		t.handshakes.WithLabelValues(result)
	}
	return t
}

func (t *tlsMetrics) collectors() []prometheus.Collector {
	return []prometheus.Collector{t.expiry, t.reloads, t.handshakes, t.clients}
}

// SetCertificates sets which certificates a listener shows: until when, by name.
func (m *Metrics) SetCertificates(listener string, ends map[string]time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, end := range ends {
		m.tls.expiry.WithLabelValues(listener, name).Set(float64(end.Unix()))
	}
	for name := range m.tls.shown[listener] {
		if _, still := ends[name]; !still {
			m.tls.expiry.DeleteLabelValues(listener, name)
		}
	}
	m.tls.shown[listener] = ends
}

// TLSReload counts that a listener's certificates were read again, with the result ok or
// error.
func (m *Metrics) TLSReload(listener, result string) {
	m.tls.reloads.WithLabelValues(listener, result).Inc()
}

// TLSHandshake counts a handshake with a client, which ended with err.
func (m *Metrics) TLSHandshake(err error) {
	result := "ok"
	if err != nil {
		result = "error"
	}
	m.tls.handshakes.WithLabelValues(result).Inc()
}

// ExpectClientCertificates has the series of these results exist from the start, at 0.
func (m *Metrics) ExpectClientCertificates(results []string) {
	for _, result := range results {
		m.tls.clients.WithLabelValues(result)
	}
}

// ClientCertificate counts a client certificate by what it stood for.
func (m *Metrics) ClientCertificate(result string) { m.tls.clients.WithLabelValues(result).Inc() }
