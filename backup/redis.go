// Package backup copies the keys of one Redis to another one, or to a file and back, and
// compares two of them key by key. A key goes over as DUMP gives it, with the time at which
// it expires.
package backup

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"sync"

	"github.com/redis/go-redis/v9"
)

// Redis is what keys are copied from and to: a server with all of its databases, or a
// cluster. It is safe for concurrent use.
type Redis struct {
	server  redis.Options
	cluster *redis.ClusterClient // nil: it is one server

	mu      sync.Mutex
	clients map[int]*redis.Client // of the server, by database

	oldTimes bool // for tests: it is asked as one before 7.0 is
}

// Server returns the Redis that is one server. Its commands are tried as often as opts says:
// nothing here does harm when it is executed twice.
func Server(opts *redis.Options) *Redis {
	return &Redis{server: *opts, clients: map[int]*redis.Client{}}
}

// Cluster returns the Redis that is a cluster, of which opts names some nodes.
func Cluster(opts *redis.ClusterOptions) *Redis {
	return &Redis{cluster: redis.NewClusterClient(opts)}
}

// Close closes all connections.
func (r *Redis) Close() error {
	if r.cluster != nil {
		return r.cluster.Close()
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	var errs []error
	for _, c := range r.clients {
		errs = append(errs, c.Close())
	}
	clear(r.clients)
	return errors.Join(errs...)
}

// of is what a database's commands go to.
func (r *Redis) of(db int) redis.UniversalClient {
	if r.cluster != nil {
		return r.cluster
	}
	return r.client(db)
}

func (r *Redis) client(db int) *redis.Client {
	r.mu.Lock()
	defer r.mu.Unlock()
	c := r.clients[db]
	if c == nil {
		opts := r.server
		opts.DB = db
		c = redis.NewClient(&opts)
		r.clients[db] = c
	}
	return c
}

// node is a server that is scanned.
type node struct {
	id     string // as the cluster names it; "" is the one server
	run    string // of its process: another one, and SCAN's cursors mean nothing
	client func(db int) *redis.Client
}

// Info is what a Redis says of itself.
type Info struct {
	Version   string        // of the first node, such as "7.0.15"
	Databases map[int]int64 // how many keys each has that has any, over all nodes
}

// Info asks all nodes.
func (r *Redis) Info(ctx context.Context) (Info, error) {
	_, info, err := r.survey(ctx)
	return info, err
}

// Processes says which processes it is, of all nodes: another answer later is that one has been
// started again, or that another one has taken its place, and that writes may be lost.
func (r *Redis) Processes(ctx context.Context) (string, error) {
	nodes, _, err := r.survey(ctx)
	text := ""
	for _, n := range nodes {
		text += n.id + " " + n.run + "\n"
	}
	return text, err
}

// survey asks all nodes who they are.
func (r *Redis) survey(ctx context.Context) ([]node, Info, error) {
	info := Info{Databases: map[int]int64{}}
	var nodes []node
	var mu sync.Mutex
	ask := func(ctx context.Context, c *redis.Client, of func(db int) *redis.Client) error {
		text, err := c.Info(ctx, "everything").Result()
		if err != nil {
			return fmt.Errorf("INFO: %w", err)
		}
		n := node{client: of}
		if r.cluster != nil {
			if n.id, err = c.Do(ctx, "CLUSTER", "MYID").Text(); err != nil {
				return fmt.Errorf("CLUSTER MYID: %w", err)
			}
		}
		if r.cluster == nil {
			if err := whole(ctx, c, text); err != nil {
				return err
			}
		}
		mu.Lock()
		defer mu.Unlock()
		n.run = info.add(text)
		nodes = append(nodes, n)
		return nil
	}
	var err error
	if r.cluster != nil {
		err = r.cluster.ForEachMaster(ctx, func(ctx context.Context, c *redis.Client) error {
			return ask(ctx, c, func(int) *redis.Client { return c })
		})
	} else {
		c := r.client(r.server.DB)
		err = ask(ctx, c, r.client)
	}
	slices.SortFunc(nodes, func(a, b node) int { return strings.Compare(a.id, b.id) })
	return nodes, info, err
}

// whole says whether a server, which answers text to INFO, has all keys: a node of a cluster
// has its own slots' only, and says nothing of the others. Its mode is redis_mode there, or
// Valkey's server_mode; that it is one of a cluster all call the same.
func whole(ctx context.Context, c *redis.Client, text string) error {
	if !strings.Contains(text, "cluster_enabled:1\r\n") {
		return nil
	}
	state, err := c.ClusterInfo(ctx).Result()
	if err != nil {
		return fmt.Errorf("CLUSTER INFO: %w", err)
	}
	if !strings.Contains(state, "cluster_size:1\r\n") {
		return errors.New("it is one node of a cluster, and the other nodes' keys would be missing: the instance's URL has to begin with redis-cluster:// or rediss-cluster://")
	}
	return nil
}

// add takes up what a node answers to INFO, and returns the id of its process.
func (i *Info) add(text string) (run string) {
	for line := range strings.SplitSeq(text, "\r\n") {
		name, value, _ := strings.Cut(line, ":")
		switch {
		case name == "redis_version" && i.Version == "":
			i.Version = value
		case name == "run_id":
			run = value
		case strings.HasPrefix(name, "db") && strings.HasPrefix(value, "keys="):
			db, err := strconv.Atoi(name[len("db"):])
			count, _, _ := strings.Cut(value[len("keys="):], ",")
			keys, countErr := strconv.ParseInt(count, 10, 64)
			if err == nil && countErr == nil {
				i.Databases[db] += keys
			}
		}
	}
	return run
}

// major is the first number of a version.
func major(version string) int {
	first, _, _ := strings.Cut(version, ".")
	n, err := strconv.Atoi(first)
	if err != nil {
		return 0
	}
	return n
}
