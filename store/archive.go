package store

import (
	"bufio"
	"bytes"
	"crypto/sha256"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"hash"
	"io"
	"slices"
	"time"
)

// An archive is a store's content as lines of JSON:
//
//	{"format":"respgate store","version":1,"schema":5,"made":"2026-01-31T00:00:00Z","seal":"…"}
//	{"table":"organizations","columns":[["id","text"],["rate","integer"]]}
//	["a1b2c3d4e5f6",100]
//	…
//	{"rows":1,"sha256":"…"}
//
// A table's rows follow its name and columns; a blob is text in base64. What is sealed in the
// store is as sealed here. The last line has the sum of all bytes before it.
const (
	archiveFormat  = "respgate store"
	archiveVersion = 1
	// maxArchiveLine bounds a line, in bytes: events have the longest, with what was before and after.
	maxArchiveLine = 16 << 20
)

// archiveHeader is an archive's first line.
type archiveHeader struct {
	Format  string    `json:"format"`
	Version int       `json:"version"`
	Schema  int64     `json:"schema"` // the version of the tables that it was made from
	Made    time.Time `json:"made"`
	Seal    []byte    `json:"seal"` // sealCheck, by which it is known with which secret the rest is sealed
}

// column is a column's name and its kind: integer, text or blob.
type column [2]string

func (c column) name() string { return c[0] }
func (c column) kind() string { return c[1] }

// kinds are what the drivers call the types of our columns.
var kinds = map[string]string{
	"INTEGER": "integer", "TEXT": "text", "BLOB": "blob", // SQLite
	"INT8": "integer", "BYTEA": "blob", // PostgreSQL
}

// section is the line before a table's rows.
type section struct {
	Table   string   `json:"table"`
	Columns []column `json:"columns"`
}

// at returns the index of the column called name, or -1.
func (s section) at(name string) int {
	return slices.IndexFunc(s.Columns, func(c column) bool { return c.name() == name })
}

// archiveEnd is the last line.
type archiveEnd struct {
	Rows   *int   `json:"rows"`
	SHA256 string `json:"sha256"`
}

// archiveWriter writes an archive. Its first error sticks.
type archiveWriter struct {
	to   *bufio.Writer
	sum  hash.Hash
	rows int
	enc  *json.Encoder
}

func newArchiveWriter(to io.Writer) *archiveWriter {
	w := &archiveWriter{to: bufio.NewWriterSize(to, 64<<10), sum: sha256.New()}
	w.enc = json.NewEncoder(io.MultiWriter(w.to, w.sum))
	w.enc.SetEscapeHTML(false)
	return w
}

// object writes a header or a section.
func (w *archiveWriter) object(v any) error { return w.enc.Encode(v) }

// row writes a row: integers, texts, blobs and nils.
func (w *archiveWriter) row(values []any) error {
	w.rows++
	return w.enc.Encode(values)
}

// end writes the last line.
func (w *archiveWriter) end() error {
	return errors.Join(json.NewEncoder(w.to).Encode(archiveEnd{&w.rows, hex.EncodeToString(w.sum.Sum(nil))}), w.to.Flush())
}

// archiveReader reads an archive, and checks all that can be checked without a store. Its errors
// are ErrInvalid and name the line.
type archiveReader struct {
	header  archiveHeader
	section section // of the last row
	line    int     // of the last row
	lines   *bufio.Scanner
	sum     hash.Hash
	rows    int
}

// newArchiveReader reads the header.
func newArchiveReader(from io.Reader) (*archiveReader, error) {
	a := &archiveReader{lines: bufio.NewScanner(from), sum: sha256.New()}
	a.lines.Buffer(nil, maxArchiveLine)
	a.lines.Split(wholeLines)
	text, err := a.read()
	if err != nil {
		return nil, err
	}
	switch err := json.Unmarshal(text, &a.header); {
	case err != nil || a.header.Format != archiveFormat:
		return nil, invalid("line 1: this is no file of respgate store export")
	case a.header.Version != archiveVersion:
		return nil, invalid("line 1: the file's format has version %d: this respgate knows %d", a.header.Version, archiveVersion)
	}
	a.sum.Write(text)
	return a, nil
}

// wholeLines is a bufio.SplitFunc whose lines have their end; a last one without is none.
func wholeLines(data []byte, _ bool) (int, []byte, error) {
	if i := bytes.IndexByte(data, '\n'); i >= 0 {
		return i + 1, data[:i+1], nil
	}
	return 0, nil, nil
}

// read returns the next line.
func (a *archiveReader) read() ([]byte, error) {
	a.line++
	if a.lines.Scan() {
		return a.lines.Bytes(), nil
	}
	switch err := a.lines.Err(); {
	case errors.Is(err, bufio.ErrTooLong):
		return nil, invalid("line %d: it is longer than %d bytes", a.line, maxArchiveLine)
	case err != nil:
		return nil, err
	}
	return nil, invalid("line %d: the file is cut short: its last line is missing", a.line)
}

// next returns the next line's row, of a.section; nil is a section's beginning, and io.EOF
// follows the last line, when the sum is right.
func (a *archiveReader) next() ([]any, error) {
	text, err := a.read()
	if err != nil {
		return nil, err
	}
	if text[0] == '[' {
		a.sum.Write(text)
		a.rows++
		return a.row(text)
	}
	var line struct {
		section
		archiveEnd
	}
	if err := json.Unmarshal(text, &line); err != nil {
		return nil, invalid("line %d: it is neither a row nor a table's name: %v", a.line, err)
	}
	if line.Rows != nil {
		return nil, a.end(line.archiveEnd)
	}
	a.sum.Write(text)
	return nil, a.begin(line.section)
}

func (a *archiveReader) begin(s section) error {
	if s.Table == "" || len(s.Columns) == 0 {
		return invalid("line %d: want a table's name and columns", a.line)
	}
	for i, c := range s.Columns {
		if c.name() == "" || !slices.Contains([]string{"integer", "text", "blob"}, c.kind()) {
			return invalid("line %d: column %q has the type %q: want integer, text or blob", a.line, c.name(), c.kind())
		}
		if s.at(c.name()) < i {
			return invalid("line %d: column %q is there twice", a.line, c.name())
		}
	}
	a.section = s
	return nil
}

func (a *archiveReader) row(text []byte) ([]any, error) {
	if a.section.Table == "" {
		return nil, invalid("line %d: a row before the first table", a.line)
	}
	var raw []*json.RawMessage
	if err := json.Unmarshal(text, &raw); err != nil {
		return nil, invalid("line %d: %v", a.line, err)
	}
	if len(raw) != len(a.section.Columns) {
		return nil, invalid("line %d: it has %d values: want %d, as %s has columns", a.line, len(raw), len(a.section.Columns), a.section.Table)
	}
	values := make([]any, len(raw))
	for i, c := range a.section.Columns {
		if raw[i] == nil {
			continue
		}
		value, err := decodeValue(c.kind(), *raw[i])
		if err != nil {
			return nil, invalid("line %d: %s.%s: %v", a.line, a.section.Table, c.name(), err)
		}
		values[i] = value
	}
	return values, nil
}

func decodeValue(kind string, raw json.RawMessage) (any, error) {
	var number int64
	var text string
	var err error
	if kind == "integer" {
		if err = json.Unmarshal(raw, &number); err != nil {
			err = errors.New("want a whole number")
		}
		return number, err
	}
	if err = json.Unmarshal(raw, &text); err != nil {
		return nil, errors.New("want text")
	}
	if kind == "text" {
		return text, nil
	}
	blob, err := base64.StdEncoding.DecodeString(text)
	if err != nil {
		err = errors.New("want base64")
	}
	return blob, err
}

func (a *archiveReader) end(e archiveEnd) error {
	if got := hex.EncodeToString(a.sum.Sum(nil)); got != e.SHA256 {
		return invalid("line %d: the file is damaged: its lines' SHA-256 is %s, and the last line says %.64q", a.line, got, e.SHA256)
	}
	if a.rows != *e.Rows {
		return invalid("line %d: it has %d rows, and the last line says %d", a.line, a.rows, *e.Rows)
	}
	if a.lines.Scan() {
		return invalid("line %d: there is more after the last line", a.line+1)
	}
	return io.EOF
}
