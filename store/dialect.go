package store

import (
	"context"
	"database/sql"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/pressly/goose/v3"
)

// dialect is what the drivers differ in. Statements are written once, with SQLite's
// placeholders, of which "?" is the next and "?1" the first.
type dialect struct {
	goose      goose.Dialect
	options    []goose.ProviderOption
	migrations string                    // their folder
	bind       func(query string) string // to the driver's placeholders
	isolation  sql.IsolationLevel        // of transactions that write
	begin      string                    // runs first in each of these; "" is nothing
	changed    string                    // tells other processes of a change; "" where nothing can
	snapshot   sql.TxOptions             // of a transaction that reads all tables as they are at one moment
	overriding string                    // has an INSERT set what the database counts itself
	restart    string                    // has {table}'s seq count on from the rows that there are; "" where it does by itself
}

// statements runs statements on a database or in a transaction.
type statements interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// bound is statements with the driver's placeholders.
type bound struct {
	to   statements
	bind func(query string) string
}

// ExecContext implements statements.
func (b bound) ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error) {
	return b.to.ExecContext(ctx, b.bind(query), storable(args)...)
}

// QueryContext implements statements.
func (b bound) QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error) {
	return b.to.QueryContext(ctx, b.bind(query), storable(args)...)
}

// QueryRowContext implements statements.
func (b bound) QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row {
	return b.to.QueryRowContext(ctx, b.bind(query), storable(args)...)
}

// storable makes text in args such that PostgreSQL takes it: it refuses what is not UTF-8 and
// the byte 0. What has these is stored nowhere, and so not found.
func storable(args []any) []any {
	for i, arg := range args {
		if text, ok := arg.(string); ok && (!utf8.ValidString(text) || strings.IndexByte(text, 0) >= 0) {
			args[i] = strings.ReplaceAll(strings.ToValidUTF8(text, "\uFFFD"), "\x00", "\uFFFD")
		}
	}
	return args
}

// on returns what runs statements on db or a transaction.
func (d dialect) on(to statements) statements {
	if d.bind == nil {
		return to
	}
	return bound{to, d.bind}
}

// numbered turns "?" and "?2" into "$1" and "$2", except between quotes.
func numbered(query string) string {
	var b strings.Builder
	b.Grow(len(query) + 16)
	next, quoted := 1, false
	for i := 0; i < len(query); i++ {
		c := query[i]
		switch {
		case c == '\'':
			quoted = !quoted
		case c == '?' && !quoted:
			b.WriteByte('$')
			if i+1 == len(query) || query[i+1] < '0' || query[i+1] > '9' {
				b.WriteString(strconv.Itoa(next))
				next++
			}
			continue
		}
		b.WriteByte(c)
	}
	return b.String()
}
