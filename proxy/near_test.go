package proxy

import (
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// cached has the instance of a key keep so many bytes of replies.
func (f fixed) cached(key string, bytes int64) {
	f[key[3:15]].Routes[0].CacheBytes = bytes
}

// TestModelWithCache is TestModel in front of a near cache.
func TestModelWithCache(t *testing.T) {
	st := fixed{}
	key := st.grant("acme", testbed.Redis(t).Addr, 0, "+@all")
	st.cached(key, 1<<20)
	if d := ordinary.compare(t, count(t, 3000), true, testbed.Redis(t).Addr, startProxy(t, st), []string{"AUTH", key}); d != "" {
		t.Error(d)
	}
}
