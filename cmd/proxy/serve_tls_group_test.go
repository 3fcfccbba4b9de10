package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/pool"
	"github.com/respgate/respgate/tenant"
)

// secureGroup is what servers need that speak TLS with all, each other included, and what
// is needed to reach them.
type secureGroup struct {
	name      string
	args      []string // the servers'
	options   string   // of the instance's URL
	ca        *authority
	caFile    string // whom the URL says is to be trusted
	writeFile func(name string, content []byte) string
}

// secureGroups are one that lets in whoever has the password, and one that wants to see a
// certificate as well.
func secureGroups(t *testing.T) []secureGroup {
	ca, file := newAuthority(t), filesIn(t, t.TempDir())
	certPEM, keyPEM := ca.pair()
	oursPEM, oursKeyPEM := ca.pair()
	g := secureGroup{ca: ca, caFile: file("trusted.pem", ca.pem), writeFile: file}
	g.args = []string{"--requirepass", "s3cret", "--tls-cert-file", file("cert.pem", certPEM), "--tls-key-file", file("key.pem", keyPEM),
		"--tls-ca-cert-file", file("ca.pem", ca.pem), "--tls-replication", "yes", "--tls-cluster", "yes", "--tls-auth-clients"}
	g.options = "?ca_file=" + g.caFile
	open, mutual := g, g
	open.name, open.args = "by password", slices.Concat(g.args, []string{"no"})
	mutual.name, mutual.args = "by certificate too", slices.Concat(g.args, []string{"yes"})
	mutual.options += "&cert_file=" + file("ours.pem", oursPEM) + "&key_file=" + file("ours.key", oursKeyPEM)
	return []secureGroup{open, mutual}
}

// TestTLSToSentinels follows a failover where sentinels and servers speak TLS only, and
// want different passwords.
func TestTLSToSentinels(t *testing.T) {
	for _, g := range secureGroups(t) {
		t.Run(g.name, func(t *testing.T) {
			primary := testbed.Redis(t, g.args...)
			replica := testbed.Replica(t, primary)
			sentinels := testbed.Sentinels(t, 3, primary, "w4tch")
			r := startServe(t, testConfig(t))
			url := sentinelURL(sentinels, ":s3cret@", g.options+"&sentinel_password=w4tch")
			x := talkTo(t, r.addr, r.tenantAt(t, "acme", url, limits(0, 0)))
			if in, err := r.store.Instance(t.Context(), "acme", "cache"); err != nil {
				t.Error(err)
			} else if p := test(t.Context(), testConfig(t), in); !p.Reachable || p.Mode != "sentinel" {
				t.Errorf("instance test says %+v", p)
			}
			x.send("SET before 1", "MULTI", "GET before", "EXEC")
			x.expect("+OK", "+OK", "+QUEUED", "*1", "$1", "1")
			replica.WaitSynced()
			primary.Kill()
			testbed.Eventually(t, "the new primary is written to", func() bool {
				x.send("SET after 1")
				return x.line() == "+OK"
			})
			if got := replica.Client().Get(t.Context(), "after").Val(); got != "1" {
				t.Errorf("the replica has %q", got)
			}
			y := talkTo(t, r.addr, r.tenantAt(t, "globex", sentinelURL(sentinels, ":s3cret@", g.options+"&sentinel_password=wr0ng"), limits(0, 0)))
			y.send("GET before")
			if got := y.line(); !strings.HasPrefix(got, "-ERR backend unavailable: ") || strings.Contains(got, "wr0ng") {
				t.Errorf("with a wrong password for the sentinels: got %q", got)
			}
		})
	}
}

// TestTLSToCluster follows a slot that moves and a primary that dies in a cluster whose
// nodes speak TLS only.
func TestTLSToCluster(t *testing.T) {
	for _, g := range secureGroups(t) {
		t.Run(g.name, func(t *testing.T) {
			c := testbed.NewCluster(t, 3, 1, g.args...)
			r := startServe(t, testConfig(t))
			x := talkTo(t, r.addr, r.tenantAt(t, "acme", tenant.Secret(c.URL()+g.options+"&read_from=prefer_replica"), limits(0, 0)))
			if in, err := r.store.Instance(t.Context(), "acme", "cache"); err != nil {
				t.Error(err)
			} else if p := test(t.Context(), testConfig(t), in); !p.Reachable || p.Primaries != 3 {
				t.Errorf("instance test says %+v", p)
			}
			x.send("MSET a 1 b 2 c 3", "MULTI", "GET a", "EXEC", "DBSIZE")
			x.expect("+OK", "+OK", "+QUEUED", "*1", "$1", "1", ":3")
			slot := pool.Slot([]byte("a"))
			from, to := c.OwnerOf(slot), c.Primaries[0]
			if from == to {
				to = c.Primaries[1]
			}
			count := 1
			increase := func() {
				count++
				x.send("INCR a")
				x.expect(fmt.Sprintf(":%d", count))
			}
			c.MigrateSlot(slot, from, to, increase)
			increase()
			x.send("INCR b", "INCR c")
			x.expect(":3", ":4")
			c.OwnerOf(slot).Kill()
			testbed.Eventually(t, "its replica has taken over", func() bool {
				x.send("SET a 9")
				return x.line() == "+OK"
			})
		})
	}
}

// TestTLSToGroupsTakesUpFiles: whom the files trust decides at each connection, also of
// those that ask who is who.
func TestTLSToGroupsTakesUpFiles(t *testing.T) {
	g := secureGroups(t)[0]
	primary := testbed.Redis(t, g.args...)
	for _, row := range []struct {
		name string
		url  tenant.Secret
	}{
		{"sentinels", sentinelURL(testbed.Sentinels(t, 1, primary, ""), ":s3cret@", g.options)},
		{"a cluster", tenant.Secret(testbed.NewCluster(t, 1, 0, g.args...).URL() + g.options)},
		{"replicas", tenant.Secret("rediss://:s3cret@" + primary.Addr + "/0" + g.options + "&read_from=prefer_replica")},
	} {
		t.Run(row.name, func(t *testing.T) {
			g.writeFile("trusted.pem", newAuthority(t).pem)
			r := startServe(t, testConfig(t))
			x := talkTo(t, r.addr, r.tenantAt(t, "acme", row.url, limits(0, 0)))
			x.send("SET k v")
			x.expect("-ERR backend unavailable: its certificate is not trusted")
			g.writeFile("trusted.pem", g.ca.pem)
			testbed.Eventually(t, "the renewed file is taken up", func() bool {
				x.send("SET k v")
				return x.line() == "+OK"
			})
		})
	}
}
