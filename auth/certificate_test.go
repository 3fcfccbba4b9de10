package auth

import (
	"context"
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"net/url"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"github.com/respgate/respgate/tenant"
)

func TestCertificateNames(t *testing.T) {
	uri, err := url.Parse("spiffe://corp/web")
	if err != nil {
		t.Fatal(err)
	}
	for name, c := range map[string]struct {
		cert x509.Certificate
		want []string
	}{
		"all kinds, in order": {x509.Certificate{Subject: pkix.Name{CommonName: "Web 1"}, DNSNames: []string{"web.corp", "w.corp"}, URIs: []*url.URL{uri}},
			[]string{"spiffe://corp/web", "web.corp", "w.corp", "Web 1"}},
		"none":      {x509.Certificate{EmailAddresses: []string{"a@corp"}}, nil},
		"very many": {x509.Certificate{DNSNames: slices.Repeat([]string{"a"}, 1000)}, slices.Repeat([]string{"a"}, maxCertificateNames)},
	} {
		if got := CertificateNames(&c.cert); !slices.Equal(got, c.want) {
			t.Errorf("%s: got %q, want %q", name, got, c.want)
		}
	}
}

// bound is a key that the certificate name opens.
func bound(name string, instances ...string) made {
	k := makeKey(instances...)
	k.grant.Key.CertificateName = name
	return k
}

func (w *world) certified(names ...string) *Handle { return w.Certified(w.t.Context(), home, names) }

// TestCertified: a name opens its key's own instance, the first that opens any decides, and
// what was found needs no store the next time.
func TestCertified(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		web, api := bound("web", "main", "cache"), bound("api")
		late := bound("late")
		late.grant.Key.ExpiresAt = time.Now()
		w := newWorld(t, Config{}, newFakeStore(web.grant, api.grant, late.grant))
		for _, c := range []struct {
			names []string
			want  string
		}{
			{[]string{"web"}, web.ID}, {[]string{"x", "web"}, web.ID}, {[]string{"api", "web"}, api.ID}, {[]string{"web", "api"}, web.ID},
			{[]string{"WEB"}, ""}, {[]string{"nobody"}, ""}, {[]string{"late"}, ""},
		} {
			if h, ok := w.CachedCertificate(home, c.names); ok {
				t.Errorf("%v: the cache has %v before anybody asked", c.names, h)
			}
			got := ""
			if h := w.certified(c.names...); h != nil {
				got = h.KeyID()
				if p := h.Principal(); got == web.ID && p.Route.Instance != "main" {
					t.Errorf("%v open the instance %q, want the key's own", c.names, p.Route.Instance)
				}
			}
			if got != c.want {
				t.Errorf("%v open %q, want %q", c.names, got, c.want)
			}
			if _, ok := w.CachedCertificate(home, c.names); ok != (c.want != "") {
				t.Errorf("%v: in the cache afterwards: %v, want %v", c.names, ok, c.want != "")
			}
		}
		if w.counts.certs[CertificateKey] != 8 || w.counts.certs[CertificateUnknown] != 3 || w.counts.requests != 0 {
			t.Errorf("counted %v and %d requests, want 8 keys, 3 unknown and none", w.counts.certs, w.counts.requests)
		}
	})
}

// TestCertificateChanges: a session by certificate ends with its key, and with the name.
func TestCertificateChanges(t *testing.T) {
	for _, c := range []struct {
		name   string
		change func(*fakeStore, made)
		opens  string // what the name opens afterwards: the key, the other one, or nothing
	}{
		{"revoked", func(f *fakeStore, k made) { f.revoke(k.ID) }, ""},
		{"expired", func(f *fakeStore, k made) { f.change(k.ID, func(g *tenant.Grant) { g.Key.ExpiresAt = time.Now() }) }, ""},
		{"deleted", func(f *fakeStore, k made) { f.delete(k.ID) }, ""},
		{"unbound", func(f *fakeStore, k made) { f.change(k.ID, func(g *tenant.Grant) { g.Key.CertificateName = "" }) }, ""},
		{"rotated", func(f *fakeStore, k made) { f.change(k.ID, func(g *tenant.Grant) { g.Key.SecretHash[0]++ }) }, "key"},
		{"moved", func(f *fakeStore, k made) {
			f.change(k.ID, func(g *tenant.Grant) { g.Key.CertificateName = "" })
			f.change(other, func(g *tenant.Grant) { g.Key.CertificateName = "web" })
		}, "other"},
	} {
		t.Run(c.name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k, o := bound("web"), makeKey()
				o.grant.Key.ID = other
				w := newWorld(t, Config{}, newFakeStore(k.grant, o.grant))
				h := w.certified("web")
				if h == nil {
					t.Fatal("the name opens nothing")
				}
				time.Sleep(live)
				w.takeChanged()
				c.change(w.store, k)
				time.Sleep(live)
				if h.Principal() != nil || !slices.Contains(w.takeChanged(), h) {
					t.Error("the handle has not ended, or nobody was told")
				}
				got := map[string]string{k.ID: "key", other: "other"}
				if h := w.certified("web"); h == nil && c.opens != "" || h != nil && got[h.KeyID()] != c.opens {
					t.Errorf("the name opens %v, want %q", h, c.opens)
				}
			})
		})
	}
}

const other = "OtherKey0000"

// A name that gets bound while another of the certificate is known counts from then on.
func TestEarlierCertificateName(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		k, o := bound("web"), makeKey()
		w := newWorld(t, Config{}, newFakeStore(k.grant, o.grant))
		if h := w.certified("first", "web"); h == nil || h.KeyID() != k.ID {
			t.Fatalf("the names open %v, want the bound key", h)
		}
		w.store.change(o.ID, func(g *tenant.Grant) { g.Key.CertificateName = "first" })
		time.Sleep(live)
		if h := w.certified("first", "web"); h == nil || h.KeyID() != o.ID {
			t.Errorf("the names open %v, want the key that the first is bound to", h)
		}
	})
}

// TestCertificatesWithoutAStore: what is cached goes on, what is not is no reason to wait.
func TestCertificatesWithoutAStore(t *testing.T) {
	for name, away := range map[string]func(*fakeStore){
		"gone":  func(f *fakeStore) { f.err = errors.New("gone") },
		"hangs": func(f *fakeStore) { f.hang = make(chan struct{}) },
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				k := bound("web")
				w := newWorld(t, Config{}, newFakeStore(k.grant, bound("api").grant))
				if w.certified("web") == nil {
					t.Fatal("the name opens nothing")
				}
				w.store.with(func() { away(w.store) })
				began := time.Now()
				if h := w.certified("api"); h != nil {
					t.Errorf("not cached: got %v, want nothing", h)
				}
				if took := time.Since(began); took > time.Second {
					t.Errorf("it took %v to learn nothing, want the time for a look-up at most", took)
				}
				time.Sleep(live)
				if h := w.certified("web"); h == nil || h.Principal() == nil {
					t.Errorf("cached: got %v, want a live handle", h)
				}
				if got := w.counts.certs[CertificateUnavailable]; got != 1 {
					t.Errorf("%d counted as unavailable, want 1", got)
				}
				ctx, cancel := context.WithCancel(t.Context())
				cancel()
				if h := w.Certified(ctx, home, []string{"x"}); h != nil {
					t.Errorf("a client that has left: got %v", h)
				}
				w.store.with(func() {
					if w.store.hang != nil {
						close(w.store.hang)
					}
				})
			})
		})
	}
	if strings.Join(CertificateResults(), " ") != "key unknown unavailable" {
		t.Error("the results are a contract with dashboards")
	}
}
