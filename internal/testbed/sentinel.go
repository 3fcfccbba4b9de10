package testbed

import (
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// PrimaryName is the name that Sentinels know their primary by.
const PrimaryName = "mymaster"

// Sentinels starts n sentinels that watch primary and agree by majority that it is down
// when it has been silent for half a second. password, unless "", is what their own clients
// need. They speak TLS as primary does. They are killed when the test ends.
func Sentinels(tb testing.TB, n int, primary *Server, password string) []*Server {
	tb.Helper()
	host, port, _ := net.SplitHostPort(primary.Addr)
	sentinels := make([]*Server, n)
	for i := range sentinels {
		s := &Server{tb: tb, Addr: FreeAddr(tb), Password: password, TLS: primary.TLS, dir: tb.TempDir()}
		s.conf = filepath.Join(s.dir, "sentinel.conf")
		_, own, _ := net.SplitHostPort(s.Addr)
		ports := "port " + own
		if s.TLS != nil {
			ports = "port 0\ntls-port " + own
		}
		conf := fmt.Sprintf("bind 127.0.0.1\n%s\ndir %s\nsentinel monitor %s %s %s %d\n", ports, s.dir, PrimaryName, host, port, n/2+1)
		conf += fmt.Sprintf("sentinel down-after-milliseconds %[1]s 1000\nsentinel failover-timeout %[1]s 3000\n", PrimaryName)
		if primary.Password != "" {
			conf += fmt.Sprintf("sentinel auth-pass %s %s\n", PrimaryName, primary.Password)
		}
		for option := range slices.Chunk(tlsArguments(primary.args), 2) {
			conf += strings.TrimPrefix(strings.Join(option, " "), "--") + "\n"
		}
		if password != "" {
			conf += fmt.Sprintf("requirepass %[1]s\nsentinel sentinel-pass %[1]s\n", password)
		}
		if err := os.WriteFile(s.conf, []byte(conf), 0o600); err != nil {
			tb.Fatal(err)
		}
		s.Start()
		tb.Cleanup(s.Kill)
		sentinels[i] = s
	}
	for _, s := range sentinels {
		client := s.Client()
		Eventually(tb, "the sentinels know each other and the replicas", func() bool {
			known, err := client.Do(tb.Context(), "SENTINEL", "CKQUORUM", PrimaryName).Text()
			return err == nil && known == fmt.Sprintf("OK %d usable Sentinels. Quorum and failover authorization can be reached", n)
		})
	}
	return sentinels
}
