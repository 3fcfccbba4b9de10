package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"

	"github.com/respgate/respgate/tenant"
)

func TestMain(m *testing.M) {
	if dsn := os.Getenv("STORE_TEST_WRITER"); dsn != "" {
		writer(dsn)
		return
	}
	os.Exit(m.Run())
}

// writer is what a process of TestSeveralProcesses does.
func writer(dsn string) {
	s, err := Open(context.Background(), Config{Driver: "sqlite", DSN: dsn}, nil)
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for i := range 20 {
		if _, err := s.CreateOrganization(context.Background(), tenant.Organization{Name: fmt.Sprintf("org-%d-%d", os.Getpid(), i)}); err != nil {
			fmt.Println(err)
			os.Exit(1)
		}
	}
	if err := s.Close(); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
}

func openAt(t testing.TB, file, secret string, obs Observer) *Store {
	t.Helper()
	s, err := Open(t.Context(), Config{Driver: "sqlite", DSN: "file:" + file, Secret: secret}, obs)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

func TestSQLite(t *testing.T) {
	contract(t, func(t testing.TB, obs Observer) *Store {
		return openAt(t, filepath.Join(t.TempDir(), "var", "respgate.db"), "", obs)
	})
}

// TestSeveralProcesses has processes make the same store at once and write to it.
func TestSeveralProcesses(t *testing.T) {
	file := filepath.Join(t.TempDir(), "respgate.db")
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	const processes = 6
	var wg sync.WaitGroup
	for range processes {
		wg.Go(func() {
			cmd := exec.Command(self)
			cmd.Env = append(os.Environ(), "STORE_TEST_WRITER=file:"+file)
			if out, err := cmd.CombinedOutput(); err != nil {
				t.Errorf("%v: %s", err, out)
			}
		})
	}
	wg.Wait()
	s := openAt(t, file, "", nil)
	if c, err := s.Counts(t.Context()); err != nil || c.Organizations != processes*20 {
		t.Errorf("%d organizations, %v, want %d", c.Organizations, err, processes*20)
	}
	var mode string
	if err := s.db.QueryRowContext(t.Context(), "PRAGMA journal_mode").Scan(&mode); err != nil || mode != "wal" {
		t.Errorf("journal mode %q, %v, want wal", mode, err)
	}
}

// TestNothingIsReadable looks for a backend's address and password in the files.
func TestNothingIsReadable(t *testing.T) {
	dir := t.TempDir()
	s := openAt(t, filepath.Join(dir, "respgate.db"), "", nil)
	seed(t, s, "acme", "000000000001", "cache")
	files, err := os.ReadDir(dir)
	if err != nil || len(files) < 4 {
		t.Fatalf("files %v, %v, want the database, its log, its lock and the key", files, err)
	}
	for _, f := range files {
		content, err := os.ReadFile(filepath.Join(dir, f.Name()))
		if err != nil {
			t.Fatal(err)
		}
		for _, secret := range []string{"hunter2-password", "10.0.0.5"} {
			if bytes.Contains(content, []byte(secret)) {
				t.Errorf("%q can be read in %s", secret, f.Name())
			}
		}
		if info, err := f.Info(); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, %v, want 0600", f.Name(), info.Mode(), err)
		}
	}
}

func TestSecrets(t *testing.T) {
	first, second := strings.Repeat("a", 32), strings.Repeat("b", 40)
	for _, c := range []struct {
		name        string
		made, opens string
		spoil       func(t *testing.T, keyFile string)
		want        string // part of the error; "": it opens
	}{
		{name: "the same secret", made: first, opens: first},
		{name: "another secret", made: first, opens: second, want: "RESPGATE_SECRET_KEY"},
		{name: "a key file where a secret was", made: first, opens: "", want: "RESPGATE_SECRET_KEY"},
		{name: "the key file", made: "", opens: ""},
		{name: "a short secret", made: "", opens: "short", want: "RESPGATE_SECRET_KEY: the secret has 5 bytes: want 32 or more"},
		{name: "a readable key file", opens: "", want: "others may read it", spoil: func(t *testing.T, f string) {
			if err := os.Chmod(f, 0o644); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "an empty key file", opens: "", want: "too short", spoil: func(t *testing.T, f string) {
			if err := os.WriteFile(f, nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}},
		{name: "a lost key file", opens: "", want: "it is missing: restore it, or set the RESPGATE_SECRET_KEY", spoil: func(t *testing.T, f string) {
			if err := os.Remove(f); err != nil {
				t.Fatal(err)
			}
		}},
	} {
		t.Run(c.name, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "respgate.db")
			seed(t, openAt(t, file, c.made, nil), "acme", "000000000001", "cache")
			if c.spoil != nil {
				c.spoil(t, file+".key")
			}
			s, err := Open(t.Context(), Config{Driver: "sqlite", DSN: "file:" + file, Secret: c.opens}, nil)
			if c.want == "" {
				if err != nil {
					t.Fatal(err)
				}
				defer s.Close()
				if in, err := s.Instance(t.Context(), "acme", "cache"); err != nil || in.URL != testURL {
					t.Errorf("%v", err)
				}
				return
			}
			if !errors.Is(err, ErrInvalid) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("got %v, want an ErrInvalid with %q", err, c.want)
			}
			if err == nil {
				s.Close()
			}
			if _, err := os.Stat(file + ".key"); c.made != "" && err == nil {
				t.Error("a key file is left that opens nothing")
			}
		})
	}
}

func TestOpenErrors(t *testing.T) {
	dir := t.TempDir()
	notAFolder := filepath.Join(dir, "file")
	if err := os.WriteFile(notAFolder, []byte("no database\n"+strings.Repeat("x", 4096)), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		name string
		cfg  Config
		want string
	}{
		{"another driver", Config{Driver: "mysql", DSN: "mysql://localhost"}, `store.driver: "mysql": want sqlite or postgres`},
		{"memory", Config{Driver: "sqlite", DSN: ":memory:"}, "store.dsn: want a file such as"},
		{"nothing", Config{Driver: "sqlite"}, "store.dsn: want a file such as"},
		{"below a file", Config{Driver: "sqlite", DSN: "file:" + notAFolder + "/x.db"}, "store.dsn: folder"},
		{"a folder", Config{Driver: "sqlite", DSN: "file:" + dir}, "is a directory"},
		{"no database", Config{Driver: "sqlite", DSN: "file:" + notAFolder, Secret: strings.Repeat("s", MinSecret)}, "not a database"},
	} {
		if s, err := Open(t.Context(), c.cfg, nil); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
			if err == nil {
				s.Close()
			}
		}
	}
	file := filepath.Join(dir, "newer.db")
	s := openAt(t, file, "", nil)
	if _, err := s.db.ExecContext(t.Context(), "INSERT INTO goose_db_version (version_id, is_applied) VALUES (9999, 1)"); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), Config{Driver: "sqlite", DSN: "file:" + file}, nil); err == nil || !strings.Contains(err.Error(), "newer respgate") {
		t.Errorf("a store of a newer version: %v", err)
	}
}

// TestSealedForItsInstance: a sealed URL cannot be moved to another instance.
func TestSealedForItsInstance(t *testing.T) {
	s := openAt(t, filepath.Join(t.TempDir(), "respgate.db"), "", nil)
	seed(t, s, "acme", "000000000001", "cache", "queue")
	if _, err := s.db.ExecContext(t.Context(), "UPDATE instances SET url = (SELECT url FROM instances WHERE name = 'cache')"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Instance(t.Context(), "acme", "queue"); !errors.Is(err, errSealed) {
		t.Errorf("got %v, want %v", err, errSealed)
	}
	if in, err := s.Instance(t.Context(), "acme", "cache"); err != nil || in.URL != testURL {
		t.Errorf("got %v", err)
	}
}

// TestFileReplaced takes the store's file away and puts a backup in its place: the store
// says that it is gone, and goes on with the backup.
func TestFileReplaced(t *testing.T) {
	file := filepath.Join(t.TempDir(), "respgate.db")
	s := openAt(t, file, "", nil)
	seed(t, s, "acme", "000000000001", "cache")
	backup := filepath.Join(t.TempDir(), "backup.db")
	if _, err := s.db.ExecContext(t.Context(), "VACUUM INTO ?", backup); err != nil {
		t.Fatal(err)
	}
	changes, err := s.Changes(t.Context(), 0)
	if err != nil || !changes.Complete {
		t.Fatalf("%v, %v", changes, err)
	}
	if _, err := s.CreateOrganization(t.Context(), tenant.Organization{Name: "later"}); err != nil {
		t.Fatal(err)
	}
	for _, suffix := range []string{"", "-wal", "-shm"} {
		if err := os.Remove(file + suffix); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Ping(t.Context()); !errors.Is(err, errGone) {
		t.Errorf("without its file: %v, want %v", err, errGone)
	}
	if _, err := os.Stat(file); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("the file was made anew: %v", err)
	}
	if err := os.Rename(backup, file); err != nil {
		t.Fatal(err)
	}
	if orgs, err := s.Organizations(t.Context(), Page{}); err != nil || len(orgs) != 1 {
		t.Errorf("%d organizations, %v, want the backup's one", len(orgs), err)
	}
	if c, err := s.Changes(t.Context(), changes.Seq); err != nil || c.Complete {
		t.Errorf("%+v, %v, want that everything is suspect", c, err)
	}
	if c, err := s.Changes(t.Context(), changes.Seq); err != nil || !c.Complete {
		t.Errorf("%+v, %v, want that once only", c, err)
	}
}
