package main

import (
	"cmp"
	"context"
	"crypto"
	"crypto/sha256"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"io"
	"log/slog"
	"net"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/respgate/respgate/metrics"
)

// certificateInterval is how often the files are looked at. They are read, not only their
// times: links that point elsewhere and clocks of other machines cannot deceive that.
const certificateInterval = 2 * time.Second

// certificates are what the listeners that speak TLS show and want to see. It is safe for
// concurrent use.
type certificates struct {
	log     *slog.Logger
	metrics *metrics.Metrics

	mu        sync.Mutex // held while files are read
	listeners []*listenerCertificates
}

// listenerCertificates are one listener's: its certificates and authorities change all
// together or not at all.
type listenerCertificates struct {
	files certificateFiles
	now   atomic.Pointer[tls.Config]
	tried [sha256.Size]byte // what the files held the last time, good or bad
}

// loadCertificates reads the files of all listeners.
func loadCertificates(cfg Config, m *metrics.Metrics, log *slog.Logger) (*certificates, error) {
	c := &certificates{log: log, metrics: m}
	for _, files := range cfg.certificateFiles() {
		l := &listenerCertificates{files: files}
		if err := c.renew(l); err != nil {
			return nil, err
		}
		c.listeners = append(c.listeners, l)
	}
	return c, nil
}

// Reload reads the files again. Where a listener's are no good it keeps what it has, and the
// error says why; connections that are open are not touched.
func (c *certificates) Reload() error {
	c.mu.Lock()
	defer c.mu.Unlock()
	var errs []error
	for _, l := range c.listeners {
		errs = append(errs, c.renew(l))
	}
	return errors.Join(errs...)
}

// watch takes up what changes in the files until ctx ends. Files that change one after
// the other may not fit each other meanwhile: each state is told of once, and the last
// one settles it.
func (c *certificates) watch(ctx context.Context) {
	every(ctx, certificateInterval, func() {
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, l := range c.listeners {
			c.follow(l)
		}
	})
}

func (c *certificates) follow(l *listenerCertificates) {
	loaded, err := l.files.load()
	if loaded.seen != l.tried {
		c.take(l, loaded, err)
	}
}

func (c *certificates) renew(l *listenerCertificates) error {
	loaded, err := l.files.load()
	c.take(l, loaded, err)
	return err
}

// take has the listener use what was loaded, unless err says that it is no good.
func (c *certificates) take(l *listenerCertificates, loaded loadedTLS, err error) {
	first, same := l.now.Load() == nil, loaded.seen == l.tried
	l.tried = loaded.seen
	if err != nil && first {
		return
	}
	if err != nil {
		c.metrics.TLSReload(l.files.listener, "error")
		c.log.Warn("certificates cannot be used: those loaded before stay", "listener", l.files.listener, "error", err)
		return
	}
	ends := map[string]time.Time{}
	for _, cert := range loaded.config.Certificates {
		name := certificateName(cert.Leaf)
		if end, there := ends[name]; !there || cert.Leaf.NotAfter.Before(end) {
			ends[name] = cert.Leaf.NotAfter
		}
		if !first && !same {
			c.log.Info("certificate loaded", "listener", l.files.listener, "name", name, "not_after", cert.Leaf.NotAfter)
		}
		if time.Now().After(cert.Leaf.NotAfter) {
			c.log.Warn("certificate has expired", "listener", l.files.listener, "name", name, "not_after", cert.Leaf.NotAfter)
		}
	}
	c.metrics.SetCertificates(l.files.listener, ends)
	if !first {
		c.metrics.TLSReload(l.files.listener, "ok")
	}
	if l.files.listener == "http" {
		forHTTP(loaded.config)
	}
	l.now.Store(loaded.config)
}

// certificateName tells a certificate from the listener's others.
func certificateName(leaf *x509.Certificate) string {
	names := slices.Clone(leaf.DNSNames)
	for _, ip := range leaf.IPAddresses {
		names = append(names, ip.String())
	}
	return append(names, cmp.Or(leaf.Subject.CommonName, leaf.SerialNumber.String()))[0]
}

// config returns what gives a listener's configuration of the moment; nil for one that
// goes without TLS.
func (c *certificates) config(listener string) func() *tls.Config {
	for _, l := range c.listeners {
		if l.files.listener == listener {
			return l.now.Load
		}
	}
	return nil
}

// secured is ln with TLS where config gives any.
func secured(ln net.Listener, config func() *tls.Config) net.Listener {
	if config == nil {
		return ln
	}
	return securedListener{ln, config}
}

// securedListener gives each connection the configuration of the moment, whole: with
// GetConfigForClient the keys of session tickets would outlive it.
type securedListener struct {
	net.Listener
	config func() *tls.Config
}

// Accept implements net.Listener.
func (l securedListener) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	if err != nil {
		return nil, err
	}
	return tls.Server(nc, l.config()), nil
}

// forHTTP has the HTTP side speak HTTP/1.1, and sign for one client at a time: that is what
// a handshake there mostly costs, and a flood must leave the processors to the loops.
func forHTTP(c *tls.Config) {
	c.NextProtos = []string{"http/1.1"}
	turn := new(sync.Mutex)
	for i := range c.Certificates {
		if key, ok := c.Certificates[i].PrivateKey.(crypto.Signer); ok {
			c.Certificates[i].PrivateKey = signer{key, turn}
		}
	}
}

// signer signs one at a time.
type signer struct {
	crypto.Signer
	turn *sync.Mutex
}

// Sign implements crypto.Signer.
func (s signer) Sign(rand io.Reader, digest []byte, opts crypto.SignerOpts) ([]byte, error) {
	s.turn.Lock()
	defer s.turn.Unlock()
	return s.Signer.Sign(rand, digest, opts)
}
