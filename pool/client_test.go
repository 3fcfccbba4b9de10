package pool

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/tenant"
)

func TestClient(t *testing.T) {
	plain := testbed.Redis(t, "--requirepass", "hunter2")
	socket := filepath.Join(t.TempDir(), "redis.sock")
	testbed.Redis(t, "--unixsocket", socket)
	watched := testbed.Redis(t, "--requirepass", "hunter2", "--masterauth", "hunter2")
	sentinels := testbed.Sentinels(t, 3, watched, "hunter2")
	cluster := testbed.NewCluster(t, 3, 0)
	for _, c := range []struct{ name, url string }{
		{"one server", "redis://:hunter2@" + plain.Addr + "/3"},
		{"a socket", "unix://" + socket},
		{"watched by sentinels", "redis-sentinel://:hunter2@" + sentinels[0].Addr + "," + sentinels[1].Addr + "/mymaster?sentinel_password=hunter2"},
		{"a cluster", cluster.URL()},
	} {
		t.Run(c.name, func(t *testing.T) {
			b, err := ParseURL(tenant.Secret(c.url))
			if err != nil {
				t.Fatal(err)
			}
			client := Client(b, 5*time.Second)
			defer client.Close()
			for _, key := range []string{"a", "b", "c"} {
				if err := client.Set(t.Context(), key, "1", time.Minute).Err(); err != nil {
					t.Errorf("SET %s: %v", key, err)
				}
			}
		})
	}
}
