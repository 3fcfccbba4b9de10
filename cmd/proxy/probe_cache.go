package main

import (
	"context"
	"strings"

	"github.com/redis/go-redis/v9"

	"github.com/respgate/respgate/pool"
)

// cacheWarnings tell why an instance that is to have a near cache has none: it is of several
// servers, or the backend's user may not run what a cache needs.
func cacheWarnings(ctx context.Context, group pool.Group, client *redis.Client) (all []string) {
	if group != pool.Single {
		return []string{"it has no near cache: that is for instances of one server"}
	}
	for name, args := range map[string][]any{"CLIENT TRACKING": {"CLIENT", "TRACKING", "OFF"}, "PTTL": {"PTTL", "respgate"}} {
		err := client.Do(ctx, args...).Err()
		if err != nil && (strings.HasPrefix(err.Error(), "NOPERM") && strings.Contains(err.Error(), " command") || strings.HasPrefix(err.Error(), "ERR unknown")) {
			all = append(all, "it has no near cache: its user may not run "+name+" (ACL SETUSER … +client|tracking +pttl)")
		}
	}
	return all
}
