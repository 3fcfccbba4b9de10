package pool

import (
	"context"
	"net"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// Client returns a client of the backend for what is no tenant's: a group's is of its primaries.
// timeout bounds each dial, read and write, and nothing is sent twice. It is the caller's to close.
// Each connection reads the files for TLS anew. Sentinels that ask for a password need one of
// their own in the URL.
func Client(b Backend, timeout time.Duration) redis.UniversalClient {
	connect := func(ctx context.Context, _, addr string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, timeout)
		defer cancel()
		if b.Group == Single || b.Group == Replicated {
			return b.connect(ctx)
		}
		return b.member(addr, AnyRole).connect(ctx)
	}
	return redis.NewUniversalClient(&redis.UniversalOptions{
		Addrs: strings.Split(b.Addr, ","), MasterName: b.Master, IsClusterMode: b.Group == Cluster, Dialer: connect,
		Username: b.Username, Password: b.Password.Reveal(), DB: b.DB,
		SentinelUsername: b.SentinelUsername, SentinelPassword: b.SentinelPassword.Reveal(),
		DialTimeout: timeout, ReadTimeout: timeout, WriteTimeout: timeout, ContextTimeoutEnabled: true,
		MaxRetries: -1, MaxRedirects: 1, DialerRetries: 1, PoolSize: 2, Protocol: 2, DisableIdentity: true,
	})
}
