package store

import (
	"context"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
)

// ImportOptions says what Import may do.
type ImportOptions struct {
	// Replace has what the store has be deleted first, of each table that the archive has.
	Replace bool
	// Secrets may be those of the store that the archive was made from, where this one's is another:
	// what is sealed is sealed anew.
	Secrets  [][]byte
	Progress Progress
}

// Imported is what Import has done, as numbers of rows by table.
type Imported struct {
	Rows     map[string]int
	Replaced map[string]int // what was there before and is gone
}

// importParams bounds the parameters of one statement: some versions of SQLite have 999.
const importParams = 900

// Import reads an archive that Export has written, of a store with either driver: all of it or,
// with an error, nothing. It is checked as a whole before anything is changed. Ids, versions, what
// is deleted and may be restored, and the hashes of keys, tokens and passwords are as they were, so
// that all go on being valid; running proxies look at everything again. A table that the archive has and that is
// not empty is an ErrConflict unless o.Replace.
func (s *Store) Import(ctx context.Context, from io.ReadSeeker, o ImportOptions) (done Imported, err error) {
	tables, err := s.inspect(from)
	if err != nil {
		return done, err
	}
	if _, err := from.Seek(0, io.SeekStart); err != nil {
		return done, err
	}
	archive, err := newArchiveReader(from)
	if err != nil {
		return done, err
	}
	unseal, err := s.unsealer(archive.header, o.Secrets)
	if err != nil {
		return done, err
	}
	err = s.write(ctx, "import", func(tx statements) error {
		if done.Replaced, err = clearTables(ctx, tx, tables, o.Replace); err != nil {
			return err
		}
		im := importer{tx: tx, archive: archive, unseal: unseal, seal: s.seal, dialect: s.dialect, progress: o.Progress, rows: map[string]int{}}
		if err := im.run(ctx); err != nil {
			return err
		}
		done.Rows = im.rows
		return s.forgetChanges(ctx, tx)
	})
	return done, err
}

// inspect reads a whole archive and returns its tables.
func (s *Store) inspect(from io.Reader) (tables []content, err error) {
	a, err := newArchiveReader(from)
	if err != nil {
		return nil, err
	}
	if a.header.Schema > s.schema {
		return nil, invalid("line 1: it was made by a newer respgate (version %d of its tables, this one knows %d)", a.header.Schema, s.schema)
	}
	all := contents()
	for {
		row, err := a.next()
		if errors.Is(err, io.EOF) {
			break
		}
		if err != nil {
			return nil, err
		}
		if row != nil {
			continue
		}
		i := slices.IndexFunc(all, func(c content) bool { return c.table == a.section.Table })
		if i < 0 {
			return nil, invalid("line %d: table %q is not known, or is there twice", a.line, a.section.Table)
		}
		tables = append(tables, all[i])
		all = slices.Delete(all, i, i+1)
	}
	for _, missing := range all {
		if missing.optional == "" && a.header.Schema == s.schema {
			return nil, invalid("the file lacks the table %s", missing.table)
		}
	}
	return tables, nil
}

// unsealer returns what opens the archive's secrets; nil is that they are sealed as this store's.
func (s *Store) unsealer(h archiveHeader, secrets [][]byte) (*sealer, error) {
	if _, err := s.seal.open(h.Seal, sealCheck); err == nil {
		return nil, nil
	}
	for _, secret := range secrets {
		other, err := newSealer(secret)
		if err != nil {
			return nil, fmt.Errorf("the archive's secret: %w", err)
		}
		if _, err := other.open(h.Seal, sealCheck); err == nil {
			return &other, nil
		}
	}
	if len(secrets) > 0 {
		return nil, invalid("the file is sealed with yet another secret, or damaged")
	}
	return nil, invalid("the file is sealed with another RESPGATE_SECRET_KEY (or key file) than this store: give it that one, or the other to have all sealed anew")
}

// clearTables makes sure that the tables are empty, and returns what was in them.
func clearTables(ctx context.Context, tx statements, tables []content, replace bool) (map[string]int, error) {
	gone := map[string]int{}
	for _, c := range contents() {
		n := 0
		if err := tx.QueryRowContext(ctx, "SELECT count(*) FROM "+c.table).Scan(&n); err != nil {
			return nil, err
		}
		comes := slices.ContainsFunc(tables, func(t content) bool { return t.table == c.table })
		switch {
		case n == 0:
		case comes && !replace:
			return nil, conflict("the store is not empty: its table %s has %d rows: import into an empty one, or replace what is there", c.table, n)
		case comes, replace && c.optional == "usage": // usage goes with its keys
			gone[c.table] = n
		}
	}
	if len(gone) == 0 {
		return nil, nil
	}
	for _, c := range slices.Backward(contents()) {
		if gone[c.table] == 0 {
			continue
		}
		if _, err := tx.ExecContext(ctx, "DELETE FROM "+c.table); err != nil {
			return nil, fmt.Errorf("%s: %w", c.table, err)
		}
	}
	return gone, nil
}

// forgetChanges has proxies look at everything again, as if they were too far behind.
func (s *Store) forgetChanges(ctx context.Context, tx statements) error {
	for range 2 { // the older goes, so that one is missing for everybody
		if err := s.changed(ctx, tx, "INSERT INTO changes (key_id) VALUES (NULL)")(); err != nil {
			return err
		}
	}
	_, err := tx.ExecContext(ctx, "DELETE FROM changes WHERE seq < (SELECT max(seq) FROM changes)")
	return err
}

// importer puts an archive's rows into a store, several at once.
type importer struct {
	tx       statements
	archive  *archiveReader
	unseal   *sealer // nil: as the store's
	seal     sealer
	dialect  dialect
	progress Progress
	rows     map[string]int

	content content
	section section
	first   int   // the line of the first row that waits
	waiting []any // values of whole rows
}

func (im *importer) run(ctx context.Context) error {
	for {
		row, err := im.archive.next()
		switch {
		case errors.Is(err, io.EOF):
			return im.finish(ctx)
		case err != nil:
			return err
		case row == nil:
			if err = im.finish(ctx); err == nil {
				err = im.begin(ctx)
			}
		default:
			err = im.add(ctx, row)
		}
		if err != nil {
			return err
		}
	}
}

// begin compares the next table's columns with the store's.
func (im *importer) begin(ctx context.Context) error {
	im.section = im.archive.section
	im.rows[im.section.Table] = 0
	im.content = contents()[slices.IndexFunc(contents(), func(c content) bool { return c.table == im.section.Table })]
	rows, err := im.tx.QueryContext(ctx, "SELECT * FROM "+im.section.Table+" WHERE 1 = 0")
	if err != nil {
		return err
	}
	defer func() { _ = rows.Close() }()
	there, err := columnsOf(rows)
	if err != nil {
		return err
	}
	for _, c := range im.section.Columns {
		if !slices.Contains(there, c) {
			return invalid("line %d: table %s has no column %q of type %s here", im.archive.line, im.section.Table, c.name(), c.kind())
		}
	}
	for _, name := range append(slices.Clone(im.content.purpose), im.content.sealed) {
		if name != "" && im.section.at(name) < 0 {
			return invalid("line %d: table %s lacks the column %q", im.archive.line, im.section.Table, name)
		}
	}
	return rows.Close()
}

func (im *importer) add(ctx context.Context, row []any) error {
	if err := im.reseal(row); err != nil {
		return err
	}
	if len(im.waiting) == 0 {
		im.first = im.archive.line
	}
	im.waiting = append(im.waiting, row...)
	im.rows[im.section.Table]++
	im.progress.at(im.section.Table, im.rows[im.section.Table])
	if len(im.waiting)+len(row) > importParams {
		return im.flush(ctx)
	}
	return nil
}

// reseal seals what the archive's secret has sealed with the store's, once it is known to be whole.
func (im *importer) reseal(row []any) error {
	if im.content.sealed == "" {
		return nil
	}
	at := im.section.at(im.content.sealed)
	sealed, _ := row[at].([]byte)
	if sealed == nil {
		return nil
	}
	of := make([]string, len(im.content.purpose))
	for i, name := range im.content.purpose {
		of[i], _ = row[im.section.at(name)].(string)
	}
	with, purpose := im.unseal, im.content.sealedAs(of...)
	if with == nil {
		with = &im.seal
	}
	text, err := with.open(sealed, purpose)
	if err != nil {
		return invalid("line %d: %s.%s cannot be opened: %v", im.archive.line, im.section.Table, im.content.sealed, err)
	}
	if im.unseal != nil {
		row[at] = im.seal.seal(text, purpose)
	}
	return nil
}

// flush puts the rows that wait into the table.
func (im *importer) flush(ctx context.Context) error {
	if len(im.waiting) == 0 {
		return nil
	}
	names := make([]string, len(im.section.Columns))
	for i, c := range im.section.Columns {
		names[i] = c.name()
	}
	row := "(?" + strings.Repeat(", ?", len(names)-1) + ")"
	overriding := ""
	if im.content.identity {
		overriding = im.dialect.overriding
	}
	_, err := im.tx.ExecContext(ctx, "INSERT INTO "+im.section.Table+" ("+strings.Join(names, ", ")+") "+overriding+" VALUES "+values(row, len(im.waiting)/len(names)), im.waiting...)
	im.waiting = im.waiting[:0]
	if err != nil {
		return fmt.Errorf("lines %d to %d: they do not fit into %s: %w", im.first, im.archive.line, im.section.Table, err)
	}
	return nil
}

// finish ends a table.
func (im *importer) finish(ctx context.Context) error {
	if im.section.Table == "" {
		return nil
	}
	if err := im.flush(ctx); err != nil {
		return err
	}
	n := im.rows[im.section.Table]
	if im.progress != nil {
		im.progress(im.section.Table, n)
	}
	if !im.content.identity || n == 0 || im.dialect.restart == "" {
		return nil
	}
	_, err := im.tx.ExecContext(ctx, strings.ReplaceAll(im.dialect.restart, "{table}", im.section.Table))
	return err
}
