// Package stores opens stores for tests of what is built on one, so that these run with each
// driver. An empty store is made once and copied: making one takes most of a test's time.
package stores

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
	"github.com/respgate/respgate/store"
)

// Opener opens a new, empty store, which is closed when the test ends.
type Opener func(testing.TB) *store.Store

// SQLite returns an Opener of stores in files of the test's own.
func SQLite(tb testing.TB) Opener {
	tb.Helper()
	empty := tb.TempDir()
	config := func(dir string) store.Config {
		return store.Config{Driver: "sqlite", DSN: "file:" + filepath.Join(dir, "respgate.db")}
	}
	migrate(tb, config(empty))
	return func(tb testing.TB) *store.Store {
		tb.Helper()
		dir := tb.TempDir()
		for _, name := range []string{"respgate.db", "respgate.db.key"} {
			text, err := os.ReadFile(filepath.Join(empty, name))
			if err == nil {
				err = os.WriteFile(filepath.Join(dir, name), text, 0o600)
			}
			if err != nil {
				tb.Fatal(err)
			}
		}
		return open(tb, config(dir))
	}
}

// Postgres returns an Opener of stores in databases of one server, which ends with tb.
func Postgres(tb testing.TB) Opener {
	tb.Helper()
	server := testbed.Postgres(tb)
	config := func(dsn string) store.Config {
		return store.Config{Driver: "postgres", DSN: dsn, Secret: strings.Repeat("s", store.MinSecret)}
	}
	server.Template(func(dsn string) { migrate(tb, config(dsn)) })
	return func(tb testing.TB) *store.Store {
		tb.Helper()
		return open(tb, config(server.Database()))
	}
}

// migrate makes an empty store.
func migrate(tb testing.TB, cfg store.Config) {
	tb.Helper()
	st, err := store.Open(context.Background(), cfg, nil)
	if err == nil {
		err = st.Close()
	}
	if err != nil {
		tb.Fatal(err)
	}
}

func open(tb testing.TB, cfg store.Config) *store.Store {
	tb.Helper()
	st, err := store.Open(context.Background(), cfg, nil)
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() { _ = st.Close() }) // some tests have closed it
	return st
}
