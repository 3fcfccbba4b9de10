package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/redis/go-redis/v9"
)

// PreflightReport is what is known of two Redises before one is copied to the other.
type PreflightReport struct {
	SourceVersion, TargetVersion string
	SourceKeys, TargetKeys       int64 // in the databases that are copied
}

// Preflight looks whether one Redis can be copied to another one that is to take its place: the
// target may not be older, must have the databases, and its user must be allowed what it takes. A key
// is written there and deleted.
func Preflight(ctx context.Context, from, to *Redis, databases []int) (r PreflightReport, err error) {
	nodes, source, err := from.survey(ctx)
	if err != nil {
		return r, fmt.Errorf("source: %w", err)
	}
	others, target, err := to.survey(ctx)
	if err != nil {
		return r, fmt.Errorf("target: %w", err)
	}
	for _, n := range nodes { // who has two names
		if slices.ContainsFunc(others, func(o node) bool { return o.run == n.run && n.run != "" }) {
			return r, errors.New("the source and the target are the same server")
		}
	}
	r = PreflightReport{source.Version, target.Version, source.keys(databases), target.keys(databases)}
	if older(target.Version, source.Version) {
		return r, fmt.Errorf("the target is Redis %s and the source %s: want one that is not older", target.Version, source.Version)
	}
	for db, n := range source.Databases {
		if to.cluster != nil && db != 0 && n > 0 && databases == nil {
			return r, fmt.Errorf("the source has %d keys in database %d, and a cluster has database 0 only", n, db)
		}
	}
	const probe = "respgate:probe"
	db := from.server.DB
	if err := from.of(db).Dump(ctx, probe).Err(); err != nil && !errors.Is(err, redis.Nil) {
		return r, fmt.Errorf("source: DUMP: %w", err)
	}
	c := to.of(to.server.DB)
	if n, err := c.Exists(ctx, probe).Result(); err != nil || n > 0 {
		return r, errors.Join(err, fmt.Errorf("target: it has a key %s, from a move that did not end", probe))
	}
	if err := c.Set(ctx, probe, "1", time.Minute).Err(); err != nil {
		return r, fmt.Errorf("target: SET: %w", err)
	}
	payload, err := c.Dump(ctx, probe).Result()
	if err == nil {
		err = c.Do(ctx, "RESTORE", probe, time.Now().Add(time.Minute).UnixMilli(), payload, "ABSTTL", "REPLACE").Err()
	}
	if e := c.Unlink(ctx, probe).Err(); err == nil {
		err = e
	}
	if err != nil {
		return r, fmt.Errorf("target: its user must be allowed SCAN, DUMP, RESTORE, UNLINK and PEXPIRETIME: %w", err)
	}
	return r, nil
}

// older reports whether version a is of an earlier release than b, by their first two numbers.
func older(a, b string) bool {
	x, y := strings.SplitN(a, ".", 3), strings.SplitN(b, ".", 3)
	for i := range min(2, len(x), len(y)) {
		m, errM := strconv.Atoi(x[i])
		n, errN := strconv.Atoi(y[i])
		if errM != nil || errN != nil || m != n {
			return errM == nil && errN == nil && m < n
		}
	}
	return false
}
