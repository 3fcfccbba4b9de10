package auth

import (
	"context"
	"crypto/x509"
	"errors"
	"net/netip"
	"slices"
	"strings"
	"time"

	"github.com/respgate/respgate/tenant"
)

// maxCertificateNames is how many names of a certificate are looked for.
const maxCertificateNames = 16

// CertificateNames returns the names of a client certificate that may open a key, the
// first to be looked for first: its URIs, its DNS names and its subject's common name.
func CertificateNames(cert *x509.Certificate) []string {
	var names []string
	for _, u := range cert.URIs {
		names = append(names, u.String())
	}
	names = append(names, cert.DNSNames...)
	names = append(names, cert.Subject.CommonName)
	names = slices.DeleteFunc(names, func(name string) bool { return name == "" })
	return names[:min(len(names), maxCertificateNames)]
}

// certified remembers which keys the names of certificates open, until any key changes.
// The service's lock guards it.
type certified struct {
	keys map[string]string // ids by all names of a certificate together
	turn int               // how often they were forgotten
}

func (c *certified) forget() {
	c.keys = nil
	c.turn++
}

func (c *certified) add(names []string, id string, most int) {
	if c.keys == nil || len(c.keys) >= most {
		c.keys = map[string]string{}
	}
	c.keys[together(names)] = id
}

func together(names []string) string { return strings.Join(names, "\x00") }

// CachedCertificate returns the handle of the key that a certificate with these names opens
// to a client at addr, on its own instance, where that is in the cache. It does not block. Otherwise Certified
// gives the answer, in its time.
func (s *Service) CachedCertificate(addr netip.Addr, names []string) (h *Handle, ok bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if e := s.find(s.certified.keys[together(names)], time.Now()); e != nil {
		h = e.certifies(addr, names)
	}
	if h != nil {
		s.observer.Certificate(CertificateKey)
	}
	return h, h != nil
}

// Certified returns the handle of the key, on its own instance, that a verified client
// certificate with these names opens to a client at addr. It may ask the store. It returns nil where there is no
// such key, or where that cannot be said before ctx, which should end with the client's
// connection, or the time for a look-up ends. The handle may have ended by the time it is used.
func (s *Service) Certified(ctx context.Context, addr netip.Addr, names []string) *Handle {
	h, err := s.certify(ctx, addr, names)
	switch {
	case h != nil:
		s.observer.Certificate(CertificateKey)
	case err == nil, errors.Is(err, tenant.ErrNotFound):
		s.observer.Certificate(CertificateUnknown)
	case errors.Is(err, ErrUnavailable):
		s.observer.Certificate(CertificateUnavailable)
	}
	return h
}

func (s *Service) certify(ctx context.Context, addr netip.Addr, names []string) (*Handle, error) {
	for {
		id, err := s.keyOf(ctx, names)
		if err != nil {
			return nil, err
		}
		e, err := s.lookup(ctx, id)
		if err != nil {
			return nil, err
		}
		s.mu.Lock()
		gone, h := e.gone, e.certifies(addr, names)
		s.mu.Unlock()
		if !gone {
			return h, nil
		}
	}
}

// certifies returns the handle of the key's own instance where one of the names opens it.
// It wants the lock.
func (e *entry) certifies(addr netip.Addr, names []string) *Handle {
	if e.certName == "" || !slices.Contains(names, e.certName) {
		return nil
	}
	h, _ := e.enter(&e.generations[0], addr, "", time.Now())
	return h
}

// keyOf returns the id of the key that names open. The error is or wraps tenant.ErrNotFound,
// ErrUnavailable or ctx's.
func (s *Service) keyOf(ctx context.Context, names []string) (string, error) {
	s.mu.Lock()
	id, known := s.certified.keys[together(names)]
	away, turn := s.away, s.certified.turn
	s.mu.Unlock()
	switch {
	case known:
		return id, nil
	case away != nil:
		return "", unavailable(away)
	}
	asking, cancel := context.WithTimeout(ctx, s.cfg.LookupTimeout)
	defer cancel()
	id, err := call(asking, s.lookups, func(ctx context.Context) (string, error) {
		return s.store.KeyByCertificate(ctx, names)
	})
	switch {
	case ctx.Err() != nil:
		return "", ctx.Err()
	case errors.Is(err, tenant.ErrNotFound):
		return "", err
	case err != nil:
		return "", unavailable(err)
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.certified.turn == turn { // else it may be what was before the change
		s.certified.add(names, id, s.cfg.CacheSize)
	}
	return id, nil
}
