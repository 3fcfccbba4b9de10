package testbed

import (
	"context"
	"sync"

	"github.com/jackc/pgx/v5"
)

// Hold executes a statement, such as one that locks a table, in a transaction of the database
// that the DSN names. It is rolled back by release, or when the test ends.
func (s *PostgresServer) Hold(dsn, statement string) (release func()) {
	s.tb.Helper()
	ctx := context.Background()
	conn, err := pgx.Connect(ctx, dsn)
	if err != nil {
		s.tb.Fatal(err)
	}
	release = sync.OnceFunc(func() { _ = conn.Close(ctx) })
	s.tb.Cleanup(release)
	for _, text := range []string{"BEGIN", statement} {
		if _, err := conn.Exec(ctx, text); err != nil {
			s.tb.Fatalf("%s: %v", text, err)
		}
	}
	return release
}
