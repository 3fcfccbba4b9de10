package proxy

import (
	"crypto/x509"
	"crypto/x509/pkix"
	"errors"
	"testing"

	"github.com/respgate/respgate/tenant"
)

// TestCertified has clients that show a certificate: what they send while it is looked up
// waits for the answer, and after that they are as any other.
func TestCertified(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "")
	st.change(keyID(key), func(g *tenant.Grant) { g.Key.CertificateName = "web" })
	second := st.grant("second", "127.0.0.1:2", 0, "+get +auth")
	bad := st.grant("bad", "127.0.0.1:3", 0, "")
	st.change(keyID(bad), func(g *tenant.Grant) { g.Key.CertificateName, g.Routes[0].URL = "bad", "nonsense" })
	const hello = "%7|$6|server|$5|redis|$7|version|$6|7.0.15|$5|proto|:3|$2|id|:1|$4|mode|$10|standalone|$4|role|$6|master|$7|modules|*0|"
	for _, c := range []struct{ name, certificate, in, want string }{
		{"no AUTH needed", "web", "GET a\r\n", "+backend|"},
		{"HELLO without AUTH", "web", "HELLO 3\r\nGET a\r\n", hello + "+backend|"},
		{"AUTH with another key", "web", "GET a\r\nAUTH " + second + "\r\nSET a b\r\n", "+backend|+OK|-NOPERM this key has no permissions to run the 'set' command|"},
		{"a bad AUTH changes nothing", "web", "AUTH x\r\nGET a\r\n", "-WRONGPASS invalid username-password pair or user is disabled.|+backend|"},
		{"RESET ends it, as in Redis", "web", "RESET\r\nGET a\r\nAUTH " + key + "\r\nGET a\r\n", "+RESET|-NOAUTH Authentication required.|+OK|+backend|"},
		{"a name that is nobody's", "nobody", "GET a\r\nAUTH " + key + "\r\nGET a\r\n", "-NOAUTH Authentication required.|+OK|+backend|"},
		{"no name", "", "GET a\r\n", "-NOAUTH Authentication required.|"},
		{"an instance that cannot be used", "bad", "GET a\r\n", "-NOAUTH Authentication required.|"},
	} {
		t.Run(c.name, func(t *testing.T) {
			d := newDesk(t, st)
			var work []func() func()
			d.core.Background = func(fn func() func()) { work = append(work, fn) }
			d.session.Certified(&x509.Certificate{Subject: pkix.Name{CommonName: c.certificate}})
			d.send(c.in)
			if c.certificate != "" && len(d.out)+len(d.in) != len(c.in) {
				t.Errorf("said %q before the certificate was looked up", d.said())
			}
			d.core.Background = func(fn func() func()) { fn()() }
			for _, fn := range work {
				fn()()
			}
			d.send("")
			for range 10 {
				d.reply()
			}
			if got := d.said(); got != c.want {
				t.Errorf("got  %s\nwant %s", got, c.want)
			}
		})
	}
}

// TestCertifiedInVain has sessions that end while their certificate is looked up.
func TestCertifiedInVain(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", "127.0.0.1:1", 0, "")
	st.change(keyID(key), func(g *tenant.Grant) { g.Key.CertificateName = "web" })
	for name, end := range map[string]func(*desk){
		"the client leaves":   func(d *desk) { d.session.Closed(errors.New("gone")) },
		"the proxy is to end": func(d *desk) { d.core.Drain() },
	} {
		d := newDesk(t, st)
		var work func() func()
		d.core.Background = func(fn func() func()) { work = fn }
		d.session.Certified(&x509.Certificate{Subject: pkix.Name{CommonName: "web"}})
		end(d)
		work()()
		for _, a := range d.timers {
			if !a.stopped && a.after <= freshTime {
				d.passed += a.after
				a.fn()
			}
		}
		if name == "the client leaves" && d.session.principal != nil {
			t.Errorf("%s: it is a tenant's all the same", name)
		}
		if name == "the proxy is to end" && !d.drained {
			t.Errorf("%s: it has not ended", name)
		}
	}
}

func keyID(key string) string { return key[3:15] }

func (f fixed) change(id string, change func(*tenant.Grant)) {
	g := f[id]
	change(&g)
	f[id] = g
}
