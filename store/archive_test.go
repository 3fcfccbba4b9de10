package store

import (
	"bytes"
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/respgate/respgate/tenant"
)

const otherSecret = "another secret of 32 bytes or more, for tests"

// testArchive: all that a store has goes into another of another driver and secret, and back.
func testArchive(t *testing.T, s *Store) {
	ctx := t.Context()
	const id = "0000000000x1"
	for _, fill := range []func(*testing.T, *Store){testDeleted, testMembers, testTokens, testEvents, testUsage, testIdempotency, testRotation} {
		fill(t, s)
	}
	seed(t, s, "moving", id, "cache", "queue")
	seed(t, s, "gone", "0000000000x2", "cache")
	gone := must[tenant.Organization](t)(s.Organization(ctx, "gone")).ID
	if err := s.DeleteOrganization(ctx, "gone", Deletion{Force: true}); err != nil {
		t.Fatal(err)
	}
	u := must[tenant.User](t)(s.CreateUser(ctx, tenant.User{Email: "monica@example.com"}))
	must[tenant.Token](t)(s.CreateToken(ctx, tenant.Token{ID: "0000000000x3", UserID: u.ID, Kind: tenant.APIToken, SecretHash: [32]byte{7}}))
	all := ExportOptions{Audit: true, Usage: true}
	first := export(t, s, all)
	for _, secret := range []string{"hunter2", "redis://"} {
		if bytes.Contains(first, []byte(secret)) {
			t.Errorf("the archive has %q", secret)
		}
	}
	for _, c := range contents() {
		if len(plain(t, s, first)[c.table]) == 0 {
			t.Errorf("the archive has no row of %s", c.table)
		}
	}

	away := openAt(t, filepath.Join(t.TempDir(), "away.db"), otherSecret, nil)
	wantError(t, second(away.Import(ctx, bytes.NewReader(first), ImportOptions{})), ErrInvalid, "another RESPGATE_SECRET_KEY")
	wantError(t, second(away.Import(ctx, bytes.NewReader(first), ImportOptions{Secrets: [][]byte{[]byte(strings.Repeat("?", MinSecret))}})), ErrInvalid, "yet another secret")
	secrets := [][]byte{[]byte(strings.Repeat("?", MinSecret)), secretOf(t, s)}
	var seen []string
	done, err := away.Import(ctx, bytes.NewReader(first), ImportOptions{Secrets: secrets, Progress: func(table string, rows int) {
		seen = append(seen, fmt.Sprint(table, " ", rows))
	}})
	if err != nil || len(done.Replaced) > 0 || !slices.Contains(seen, fmt.Sprint("audit ", done.Rows["audit"])) || done.Rows["audit"] == 0 {
		t.Fatalf("imported %+v, %v, with the progress %q", done, err, seen)
	}
	moved := export(t, away, all)
	wantSame(t, plain(t, away, moved), plain(t, s, first))
	if bytes.Equal(sealedOf(t, first), sealedOf(t, moved)) {
		t.Error("what is sealed was not sealed anew")
	}

	before := must[tenant.Changes](t)(s.Changes(ctx, 0))
	wantError(t, second(s.Import(ctx, bytes.NewReader(moved), ImportOptions{Secrets: [][]byte{[]byte(otherSecret)}})), ErrConflict, "its table organizations has ")
	must[tenant.Organization](t)(s.CreateOrganization(ctx, tenant.Organization{Name: "too-late"}))
	done, err = s.Import(ctx, bytes.NewReader(moved), ImportOptions{Replace: true, Secrets: [][]byte{[]byte(otherSecret)}})
	if err != nil || done.Replaced["organizations"] != done.Rows["organizations"]+1 {
		t.Fatalf("imported %+v, %v", done, err)
	}
	wantSame(t, plain(t, s, export(t, s, all)), plain(t, s, first))
	if c, err := s.Changes(ctx, before.Seq); err != nil || c.Complete {
		t.Errorf("a proxy is told of %+v, %v, want that it has to look at everything", c, err)
	}

	// It lives on: what counts goes on counting, what is restored comes back, keys open.
	if err := s.AppendEvents(ctx, []tenant.Event{{Action: "key.create", Outcome: tenant.Done}}); err != nil {
		t.Errorf("the next event: %v", err)
	}
	if g, err := s.Grant(ctx, id); err != nil || g.Key.SecretHash != [32]byte{1, 2, 3} || g.Routes[0].URL != testURL {
		t.Errorf("the key's grant is %+v, %v", g, err)
	}
	if o, err := s.RestoreOrganization(ctx, gone); err != nil || o.Name != "gone" {
		t.Errorf("restored %+v, %v", o, err)
	}
	if token, of, err := s.Token(ctx, "0000000000x3"); err != nil || of.ID != u.ID || token.SecretHash != [32]byte{7} {
		t.Errorf("the token is %+v of %+v, %v", token, of, err)
	}
}

// testArchiveParts: the audit log and usage are left out unless they are asked for; then the
// store's own audit log stays, and what it replaces is said.
func testArchiveParts(t *testing.T, s *Store) {
	ctx := t.Context()
	testUsage(t, s)
	testEvents(t, s)
	small := export(t, s, ExportOptions{})
	if rows := plain(t, s, small); len(rows["audit"])+len(rows["usage"]) > 0 || len(rows["api_keys"]) == 0 {
		t.Errorf("the archive has %d events, %d records of usage and %d keys", len(rows["audit"]), len(rows["usage"]), len(rows["api_keys"]))
	}
	events := plain(t, s, export(t, s, ExportOptions{Audit: true}))["audit"]
	done, err := s.Import(ctx, bytes.NewReader(small), ImportOptions{Replace: true})
	if err != nil || done.Replaced["usage"] == 0 || done.Replaced["audit"] > 0 {
		t.Errorf("imported %+v, %v, want that usage is gone and events are not", done, err)
	}
	after := plain(t, s, export(t, s, ExportOptions{Audit: true, Usage: true}))
	if !slices.Equal(after["audit"], events) || len(after["usage"]) > 0 {
		t.Errorf("there are %d events, want %d, and %d records of usage, want none", len(after["audit"]), len(events), len(after["usage"]))
	}
}

// testArchiveCovers: every table is in an archive, or is known to stay behind, and every blob is
// a hash, or is known to be sealed.
func testArchiveCovers(t *testing.T, s *Store) {
	ctx := t.Context()
	query := map[string]string{
		"sqlite":   "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
		"postgres": "SELECT table_name FROM information_schema.tables WHERE table_schema = current_schema()",
	}[s.dialect.migrations]
	tables := must[[]string](t)(list(ctx, s.db, func(row scanner) (name string, err error) { return name, row.Scan(&name) }, query))
	known := append(unexported(), "goose_db_version")
	for _, c := range contents() {
		known = append(known, c.table)
	}
	slices.Sort(tables)
	slices.Sort(known)
	if !slices.Equal(tables, known) {
		t.Errorf("the store has the tables %q, and contents and unexported know %q", tables, known)
	}
	hashes := []string{"api_keys.secret_hash", "api_keys.previous_hash", "tokens.secret_hash", "idempotency.request"}
	for _, c := range contents() {
		rows := must[*sql.Rows](t)(s.db.QueryContext(ctx, "SELECT * FROM "+c.table+" WHERE 1 = 0"))
		for _, col := range must[[]column](t)(columnsOf(rows)) {
			if name := c.table + "." + col.name(); col.kind() == "blob" && col.name() != c.sealed && !slices.Contains(hashes, name) {
				t.Errorf("%s is neither a hash nor known to be sealed", name)
			}
		}
		if err := rows.Close(); err != nil {
			t.Error(err)
		}
	}
}

// testBadArchives: a file that is not as it was written changes nothing, and the error says where.
func testBadArchives(t *testing.T, s *Store) {
	ctx := t.Context()
	seed(t, s, "acme", "000000000001", "cache", "queue")
	good := string(export(t, s, ExportOptions{}))
	lines := strings.SplitAfter(good, "\n")
	instance := slices.IndexFunc(lines, func(l string) bool { return strings.Contains(l, `"cache"`) })
	name := must[tenant.Instance](t)(s.Instance(ctx, "acme", "cache"))
	for _, c := range []struct{ name, file, want string }{
		{"empty", "", "line 1: the file is cut short"},
		{"another file", "apiVersion: v1\n", "line 1: this is no file of respgate store export"},
		{"another JSON", "{}\n", "line 1: this is no file of respgate store export"},
		{"a newer format", strings.Replace(good, `"version":1`, `"version":2`, 1), "line 1: the file's format has version 2"},
		{"newer tables", strings.Replace(good, `"schema":`, `"schema":9`, 1), "line 1: it was made by a newer respgate (version 9"},
		{"cut in a line", good[:len(good)-2], fmt.Sprintf("line %d: the file is cut short", len(lines)-1)},
		{"cut after a line", strings.Join(lines[:4], ""), "line 5: the file is cut short"},
		{"a bit", strings.Replace(good, `"queue"`, `"queuf"`, 1), fmt.Sprintf("line %d: the file is damaged", len(lines)-1)},
		{"more", good + "[]\n", fmt.Sprintf("line %d: there is more after the last line", len(lines))},
		{"no row", strings.Replace(good, lines[instance], "[1\n", 1), fmt.Sprintf("line %d: ", instance+1)},
		{"a value too few", strings.Replace(good, lines[instance], "[\"x\"]\n", 1), fmt.Sprintf("line %d: it has 1 values", instance+1)},
		{"a row first", lines[0] + "[]\n", "line 2: a row before the first table"},
		{"a word", lines[0] + "hello\n", "line 2: it is neither a row nor a table's name"},
		{"no columns", lines[0] + "{\"table\":\"users\"}\n", "line 2: want a table's name and columns"},
		{"a type", lines[0] + "{\"table\":\"users\",\"columns\":[[\"id\",\"float\"]]}\n", `line 2: column "id" has the type "float"`},
		{"a column twice", lines[0] + "{\"table\":\"users\",\"columns\":[[\"id\",\"text\"],[\"id\",\"text\"]]}\n", `line 2: column "id" is there twice`},
		{"a long line", lines[0] + strings.Repeat(" ", maxArchiveLine) + "\n", "line 2: it is longer than"},
		{"text for a number", lines[0] + "{\"table\":\"users\",\"columns\":[[\"version\",\"integer\"]]}\n[\"1\"]\n", "line 3: users.version: want a whole number"},
		{"half a number", lines[0] + "{\"table\":\"users\",\"columns\":[[\"version\",\"integer\"]]}\n[1.5]\n", "line 3: users.version: want a whole number"},
		{"no base64", lines[0] + "{\"table\":\"tokens\",\"columns\":[[\"secret_hash\",\"blob\"]]}\n[\"?\"]\n", "line 3: tokens.secret_hash: want base64"},
		{"an unknown table", rewritten(t, good, func(s *section, _ []any) { s.Table = strings.Replace(s.Table, "users", "sqlite_master", 1) }), `table "sqlite_master" is not known`},
		{"a table twice", rewritten(t, good, func(s *section, _ []any) { s.Table = strings.Replace(s.Table, "users", "tokens", 1) }), `table "tokens" is not known, or is there twice`},
		{"a table too few", rewritten(t, good, func(s *section, _ []any) {
			if s.Table == "tokens" {
				s.Table = ""
			}
		}), "the file lacks the table tokens"},
		{"an unknown column", rewritten(t, good, func(s *section, _ []any) {
			if i := s.at("commands"); i >= 0 {
				s.Columns[i][0] = "id) SELECT ("
			}
		}), `table api_keys has no column "id) SELECT (" of type text here`},
		{"another's URL", rewritten(t, good, func(s *section, row []any) {
			if row != nil && s.Table == "instances" && row[s.at("name")] == "queue" {
				row[s.at("id")] = name.ID
			}
		}), "instances.url cannot be opened"},
		{"a key of nobody", rewritten(t, good, func(s *section, row []any) {
			if row != nil && s.Table == "api_keys" {
				row[s.at("org_id")] = "nosuch"
			}
		}), "they do not fit into api_keys"},
	} {
		_, err := s.Import(ctx, strings.NewReader(c.file), ImportOptions{Replace: true})
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
	if _, err := s.Grant(ctx, "000000000001"); err != nil {
		t.Errorf("the key is gone: %v", err)
	}
	if _, err := s.Import(ctx, strings.NewReader(rewritten(t, good, func(*section, []any) {})), ImportOptions{Replace: true}); err != nil {
		t.Errorf("what the test writes anew: %v", err)
	}
}

// TestExportCancelled: an export ends with its context, and with a full disk.
func TestExportCancelled(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "respgate.db"), "", nil)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := s.Export(ctx, io.Discard, ExportOptions{}); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
	full := errors.New("no space left on device")
	if _, err := s.Export(t.Context(), failing{full}, ExportOptions{}); !errors.Is(err, full) {
		t.Errorf("a full disk: %v", err)
	}
}

type failing struct{ error }

func (f failing) Write([]byte) (int, error) { return 0, f.error }

// TestArchiveOfOlderTables: columns that the file does not have yet get their defaults.
func TestArchiveOfOlderTables(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "respgate.db"), "", nil)
	seed(t, s, "acme", "000000000001", "cache")
	was := must[tenant.Organization](t)(s.Organization(t.Context(), "acme"))
	archive := export(t, s, ExportOptions{})
	header := must[*archiveReader](t)(newArchiveReader(bytes.NewReader(archive))).header
	header.Schema--
	var older bytes.Buffer
	w := newArchiveWriter(&older)
	_ = w.object(header)
	table := ""
	readAll(t, archive, func(c content, sec section, row []any) {
		lacks := sec.at("version") // both tables with rows that have it have a default for it
		if lacks >= 0 {
			sec.Columns, row = slices.Delete(slices.Clone(sec.Columns), lacks, lacks+1), slices.Delete(row, lacks, lacks+1)
		}
		if table != c.table {
			table = c.table
			_ = w.object(sec)
		}
		_ = w.row(row)
	})
	_ = w.end()
	if _, err := s.Import(t.Context(), bytes.NewReader(older.Bytes()), ImportOptions{Replace: true}); err != nil {
		t.Error(err)
	}
	if o, err := s.Organization(t.Context(), "acme"); err != nil || o != was {
		t.Errorf("the organization is %+v, %v, want %+v", o, err, was)
	}
}

// secretOf is the secret of a store that a test has opened.
func secretOf(t *testing.T, s *Store) []byte {
	t.Helper()
	if file, ok := s.watcher.(*sqliteFile); ok {
		return must[[]byte](t)(os.ReadFile(file.path + ".key"))
	}
	return []byte(testSecret)
}

// rewritten is an archive with edit made to its sections and rows, and the right sum. A table
// that gets no name is left out.
func rewritten(t *testing.T, archive string, edit func(s *section, row []any)) string {
	t.Helper()
	a := must[*archiveReader](t)(newArchiveReader(strings.NewReader(archive)))
	var out bytes.Buffer
	w := newArchiveWriter(&out)
	err := w.object(a.header)
	for err == nil {
		var row []any
		// A wrong sum is what some tests have made.
		if row, err = a.next(); err != nil && !strings.Contains(err.Error(), "damaged") {
			break
		} else if err != nil {
			err = io.EOF
			break
		}
		s := section{a.section.Table, slices.Clone(a.section.Columns)}
		edit(&s, row)
		switch {
		case s.Table == "":
		case row == nil:
			err = w.object(s)
		default:
			err = w.row(row)
		}
	}
	if !errors.Is(err, io.EOF) {
		t.Fatal(err)
	}
	if err := w.end(); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func export(t *testing.T, s *Store, o ExportOptions) []byte {
	t.Helper()
	var out bytes.Buffer
	must[map[string]int](t)(s.Export(t.Context(), &out, o))
	return out.Bytes()
}

// plain are an archive's rows by table, sorted, with what is sealed opened.
func plain(t *testing.T, s *Store, archive []byte) map[string][]string {
	t.Helper()
	all := map[string][]string{}
	readAll(t, archive, func(c content, sec section, row []any) {
		if at := sec.at(c.sealed); at >= 0 && row[at] != nil {
			of := make([]string, len(c.purpose))
			for i, name := range c.purpose {
				of[i] = row[sec.at(name)].(string)
			}
			row[at] = must[string](t)(s.seal.open(row[at].([]byte), c.sealedAs(of...)))
		}
		fields := make([]string, len(row)) // the drivers have them in different orders
		for i, value := range row {
			fields[i] = fmt.Sprintf("%s=%#v", sec.Columns[i].name(), value)
		}
		slices.Sort(fields)
		all[c.table] = append(all[c.table], strings.Join(fields, " "))
	})
	for _, rows := range all {
		slices.Sort(rows)
	}
	return all
}

// sealedOf is all that an archive has sealed.
func sealedOf(t *testing.T, archive []byte) (all []byte) {
	t.Helper()
	readAll(t, archive, func(c content, sec section, row []any) {
		if at := sec.at(c.sealed); at >= 0 && row[at] != nil {
			all = append(all, row[at].([]byte)...)
		}
	})
	return all
}

func readAll(t *testing.T, archive []byte, each func(content, section, []any)) {
	t.Helper()
	a := must[*archiveReader](t)(newArchiveReader(bytes.NewReader(archive)))
	for {
		row, err := a.next()
		if errors.Is(err, io.EOF) {
			return
		}
		if err != nil {
			t.Fatal(err)
		}
		if row != nil {
			each(contents()[slices.IndexFunc(contents(), func(c content) bool { return c.table == a.section.Table })], a.section, row)
		}
	}
}

func wantSame(t *testing.T, got, want map[string][]string) {
	t.Helper()
	for _, table := range slices.Sorted(maps.Keys(want)) {
		if !slices.Equal(got[table], want[table]) {
			t.Errorf("%s has the rows\n%s\nwant\n%s", table, strings.Join(got[table], "\n"), strings.Join(want[table], "\n"))
		}
	}
}
