package store

import (
	"context"
	"database/sql"
	"fmt"
	"io"
	"time"
)

// content is a table that an archive may have.
type content struct {
	table    string
	optional string // the archive has it only when asked to: "audit" or "usage"
	identity bool   // seq is counted by the database
	sealed   string // the column that is sealed; "" is none
	purpose  []string
	sealedAs func(of ...string) string // what for, of the row's purpose columns
}

// contents are the tables of an archive, each after those that it refers to.
func contents() []content {
	return []content{
		{table: "organizations"},
		{table: "instances", sealed: "url", purpose: []string{"id"}, sealedAs: func(of ...string) string { return of[0] }},
		{table: "api_keys"},
		{table: "key_instances"},
		{table: "users"},
		{table: "memberships"},
		{table: "tokens"},
		{table: "idempotency", sealed: "answer", purpose: []string{"owner", "key"}, sealedAs: func(of ...string) string { return answerPurpose(of[0], of[1]) }},
		{table: "usage", optional: "usage"},
		{table: "audit", optional: "audit", identity: true},
	}
}

// Tables returns the names of an archive's tables, in its order.
func Tables() (names []string) {
	for _, c := range contents() {
		names = append(names, c.table)
	}
	return names
}

// unexported are the tables that stay behind: what proxies follow, which is told anew, and what
// belongs to one database: its proxies, and what these are about to do.
func unexported() []string {
	return []string{"settings", "changes", "proxies", "moves", "move_reports"}
}

// Progress hears of each table: how many of its rows are done, every thousand and at the end.
type Progress func(table string, rows int)

// progressEvery is how many rows lie between two calls of a Progress.
const progressEvery = 1000

// ExportOptions says what an archive is to have besides what there always is.
type ExportOptions struct {
	Audit    bool // the audit log
	Usage    bool // of keys, by the minute
	Progress Progress
}

func (o ExportOptions) wants(c content) bool {
	return c.optional == "" || c.optional == "audit" && o.Audit || c.optional == "usage" && o.Usage
}

// Export writes the store's content to w, as it is at one moment, for Import to read. What is
// sealed stays so: it takes the store's secret to use it. It returns how many rows each table has.
func (s *Store) Export(ctx context.Context, w io.Writer, o ExportOptions) (map[string]int, error) {
	rows := map[string]int{}
	err := s.read(ctx, "export", func() error {
		raw, err := s.raw.BeginTx(ctx, &s.dialect.snapshot)
		if err != nil {
			return err
		}
		defer func() { _ = raw.Rollback() }() // it has changed nothing
		to := newArchiveWriter(w)
		header := archiveHeader{archiveFormat, archiveVersion, s.schema, time.Now().UTC().Truncate(time.Second), s.seal.seal(sealCheck, sealCheck)}
		if err := to.object(header); err != nil {
			return err
		}
		for _, c := range contents() {
			if !o.wants(c) {
				continue
			}
			if rows[c.table], err = exportTable(ctx, s.dialect.on(raw), to, c.table, o.Progress); err != nil {
				return fmt.Errorf("%s: %w", c.table, err)
			}
		}
		return to.end()
	})
	return rows, err
}

func exportTable(ctx context.Context, tx statements, to *archiveWriter, table string, progress Progress) (n int, err error) {
	rows, err := tx.QueryContext(ctx, "SELECT * FROM "+table)
	if err != nil {
		return 0, err
	}
	defer func() { _ = rows.Close() }()
	columns, err := columnsOf(rows)
	if err != nil {
		return 0, err
	}
	if err := to.object(section{table, columns}); err != nil {
		return 0, err
	}
	values := make([]any, len(columns))
	into := make([]any, len(columns))
	for i := range values {
		into[i] = &values[i]
	}
	for ; rows.Next(); n++ {
		if err := rows.Scan(into...); err != nil {
			return n, err
		}
		if err := to.row(values); err != nil {
			return n, err
		}
		progress.at(table, n+1)
	}
	if progress != nil {
		progress(table, n)
	}
	return n, rows.Err()
}

// at calls p when it is time to.
func (p Progress) at(table string, rows int) {
	if p != nil && rows%progressEvery == 0 {
		p(table, rows)
	}
}

func columnsOf(rows *sql.Rows) ([]column, error) {
	types, err := rows.ColumnTypes()
	if err != nil {
		return nil, err
	}
	all := make([]column, len(types))
	for i, t := range types {
		kind := kinds[t.DatabaseTypeName()]
		if kind == "" {
			return nil, fmt.Errorf("column %s has the type %s, which no archive has", t.Name(), t.DatabaseTypeName())
		}
		all[i] = column{t.Name(), kind}
	}
	return all, nil
}
