package main

import (
	"context"
	"math/rand/v2"
	"time"

	"github.com/respgate/respgate/store"
)

const (
	// sweepInterval is how often a proxy deletes for good what is older than it is to be
	// kept; several proxies of one store take their turns by chance.
	sweepInterval = time.Hour
	// answersKept is for how long the answer to a creation can be had again.
	answersKept = 24 * time.Hour
	// tokensKept is for how long tokens that let nobody in any more are listed.
	tokensKept = 30 * 24 * time.Hour
	// proxiesKept is for how long proxies are listed that are not heard of any more. One that
	// lives has had no key in its cache for long by then, unless store.max_stale is 0.
	proxiesKept = 7 * 24 * time.Hour
)

// sweep keeps the store from growing, until ctx ends.
func (s *server) sweep(ctx context.Context, st *store.Store) {
	for wait := sweepInterval / 30; ; wait = sweepInterval {
		select {
		case <-ctx.Done():
			return
		case <-time.After(wait/2 + rand.N(wait)): //nolint:gosec // no secret
		}
		before := s.config.Load().keptSince(time.Now())
		purged, err := st.Purge(ctx, before)
		switch {
		case ctx.Err() != nil:
		case err != nil:
			s.log.Warn("what is too old could not be deleted from the store", "error", err)
		case purged != (store.Purged{}):
			s.log.Info("deleted from the store for good", "organizations", purged.Organizations, "instances", purged.Instances, "keys", purged.Keys,
				"usage", purged.Usage, "events", purged.Events, "answers", purged.Answers, "tokens", purged.Tokens, "proxies", purged.Proxies)
		}
	}
}

// keptSince says from when on things are kept.
func (c *Config) keptSince(now time.Time) store.PurgeBefore {
	before := store.PurgeBefore{Deleted: now.Add(-c.Store.Grace), Idempotency: now.Add(-answersKept), Tokens: now.Add(-tokensKept), Proxies: now.Add(-max(proxiesKept, 2*c.Store.MaxStale))}
	if c.Audit.Keep > 0 {
		before.Audit = now.Add(-c.Audit.Keep)
	}
	if c.Usage.Keep > 0 {
		before.Usage = now.Add(-c.Usage.Keep)
	}
	return before
}
