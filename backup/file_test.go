package backup

import (
	"bytes"
	"context"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"filippo.io/age"

	"github.com/respgate/respgate/internal/testbed"
)

// in is the source that bytes are.
func in(b []byte, identities ...age.Identity) Source {
	return Source{Open: func() (io.ReadCloser, error) { return io.NopCloser(bytes.NewReader(b)), nil }, Identities: identities}
}

// of is the source that a file is.
func of(name string) Source {
	return Source{Open: func() (io.ReadCloser, error) { return os.Open(name) }}
}

func identity(t *testing.T) *age.X25519Identity {
	t.Helper()
	id, err := age.GenerateX25519Identity()
	if err != nil {
		t.Fatal(err)
	}
	return id
}

func passphrase(t *testing.T, text string) age.Identity {
	t.Helper()
	id, err := age.NewScryptIdentity(text)
	if err != nil {
		t.Fatal(err)
	}
	return id
}

// sealed is a seal that a test can afford to open: what takes long to guess takes longest
// with the race detector.
func sealed(t *testing.T, passphrase string) *Seal {
	t.Helper()
	r, err := age.NewScryptRecipient(passphrase)
	if err != nil {
		t.Fatal(err)
	}
	r.SetWorkFactor(8)
	s, err := NewSeal([]age.Recipient{r}, "")
	if err != nil {
		t.Fatal(err)
	}
	s.For = SealedForPassphrase
	return s
}

// TestSaveAndLoad: a file restores all types as they were, however it is compressed and
// encrypted, into a server and into a cluster.
func TestSaveAndLoad(t *testing.T) {
	from := one(t, testbed.Redis(t))
	id := identity(t)
	n := fill(t, from, 0)
	shared, err := NewSeal([]age.Recipient{identity(t).Recipient(), id.Recipient()}, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tt := range []struct {
		name       string
		header     Header
		identities []age.Identity
		cluster    bool
	}{
		{"plain", Header{Compress: None}, nil, false},
		{"compressed", Header{Compress: Zstd}, nil, false},
		{"encrypted", Header{Compress: None, Seal: shared}, []age.Identity{id}, false},
		{"compressed and encrypted", Header{Compress: Zstd, Seal: sealed(t, "a passphrase")}, []age.Identity{passphrase(t, "a passphrase")}, false},
		{"into a cluster", Header{Compress: Zstd}, nil, true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			ctx := t.Context()
			var file bytes.Buffer
			saved, err := Save(ctx, from, &file, tt.header, Options{})
			if err != nil || saved.Keys != n || saved.FileBytes != int64(file.Len()) {
				t.Fatalf("%+v, %v, want %d keys in %d bytes", saved, err, n, file.Len())
			}
			if tt.header.Seal != nil && bytes.Contains(file.Bytes(), []byte("in the year 3000")) {
				t.Error("the file shows a value")
			}
			var to *Redis
			if tt.cluster {
				to = several(t, testbed.NewCluster(t, 3, 0))
			} else {
				to = one(t, testbed.Redis(t))
			}
			result, err := Load(ctx, in(file.Bytes(), tt.identities...), to, Options{})
			if err != nil || result.Keys != n {
				t.Fatalf("%+v, %v, want %d keys", result, err, n)
			}
			checkSame(t, from, to, n)
			v, err := Verify(ctx, in(file.Bytes(), tt.identities...), to, Options{})
			if err != nil || !v.Opened || !v.Against.Same() || v.Against.Keys != n || v.Trailer.Tally.Keys != n || v.Header.Redis == "" {
				t.Errorf("verified: %+v, %v, want %d keys the same", v, err, n)
			}
		})
	}
	t.Run("databases", func(t *testing.T) {
		ctx := t.Context()
		fill(t, from, 5)
		var file bytes.Buffer
		if _, err := Save(ctx, from, &file, Header{Compress: Zstd}, Options{}); err != nil {
			t.Fatal(err)
		}
		source := in(file.Bytes())
		whole := one(t, testbed.Redis(t))
		if _, err := Load(ctx, source, whole, Options{}); err != nil {
			t.Fatal(err)
		}
		checkSame(t, from, whole, 2*n)
		source.Databases = Mapping{5: 2}
		part := one(t, testbed.Redis(t))
		if r, err := Load(ctx, source, part, Options{}); err != nil || r.Keys != n {
			t.Errorf("%+v, %v, want the keys of database 5", r, err)
		}
		if info, err := part.Info(ctx); err != nil || len(info.Databases) != 1 || info.Databases[2] != n {
			t.Errorf("%v, %v, want all in database 2", info, err)
		}
		source.Databases = Mapping{5: 2, 0: 2}
		if _, err := Load(ctx, source, part, Options{}); err == nil || err.Error() != "databases 0 and 5 of the file would both become database 2" {
			t.Errorf("two databases to one: %v", err)
		}
	})
}

// sample is a small file, of some keys in a few chunks.
func sample(t testing.TB, h Header) []byte {
	t.Helper()
	var file bytes.Buffer
	f, err := newFileWriter(&file, h)
	if err != nil {
		t.Fatal(err)
	}
	for i := range 3 {
		if err := f.write([]Entry{{i, "key", 0, "payload"}, {i, "", 123, ""}}); err != nil {
			t.Fatal(err)
		}
		if err := f.mark(Position{Places: []Place{{Run: "run", DB: i, Cursor: 7}}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := f.end(time.Unix(0, 0)); err != nil {
		t.Fatal(err)
	}
	return file.Bytes()
}

// headless is a file without its first chunk of entries, as one who knows the format would
// cut it out.
func headless(t *testing.T, file []byte) []byte {
	t.Helper()
	c := chunks{r: bytes.NewReader(file)}
	if err := c.begin(); err != nil {
		t.Fatal(err)
	}
	var from int64
	for c.at < int64(len(file)) {
		at := c.at
		kind, _, err := c.next()
		if err != nil {
			t.Fatal(err)
		}
		if kind == entriesChunk {
			from = at
			break
		}
	}
	return append(bytes.Clone(file[:from]), file[c.at:]...)
}

// readFile reads all of a file.
func readFile(b []byte, identities ...age.Identity) (n int, err error) {
	_, _, err = in(b, identities...).each(context.Background(), func(entries []Entry) error {
		n += len(entries)
		return nil
	})
	return n, err
}

// TestBadFile: what is not as it was written is an error that says what is the matter, and
// no byte can change unnoticed.
func TestBadFile(t *testing.T) {
	good := sample(t, Header{Org: "acme", Compress: None})
	if n, err := readFile(good); n != 6 || err != nil {
		t.Fatalf("%d entries, %v, want 6", n, err)
	}
	for i := range good {
		if _, err := readFile(good[:i]); !errors.Is(err, ErrTruncated) {
			t.Fatalf("the first %d of %d bytes: %v, want %v", i, len(good), err, ErrTruncated)
		}
		for bit := range 8 {
			bad := bytes.Clone(good)
			bad[i] ^= 1 << bit
			if _, err := readFile(bad); err == nil {
				t.Fatalf("bit %d of byte %d turned: want an error", bit, i)
			}
		}
	}
	locked := sample(t, Header{Compress: Zstd, Seal: sealed(t, "right")})
	own, err := NewSeal([]age.Recipient{identity(t).Recipient()}, "")
	if err != nil {
		t.Fatal(err)
	}
	newer := bytes.Clone(good)
	newer[len(magic)]++
	for _, tt := range []struct {
		name  string
		file  []byte
		ids   []age.Identity
		is    error
		words string
	}{
		{"another file", []byte("*3\r\n$3\r\nSET\r\n"), nil, ErrNotBackup, "it is not a backup of respgate's"},
		{"of a newer respgate", newer, nil, ErrNewer, "its format is version 2, and version 1 is read here"},
		{"a compression of the future", sample(t, Header{Compress: "brotli"}), nil, ErrNewer, `it is compressed with "brotli"`},
		{"something behind", append(bytes.Clone(good), 0), nil, ErrDamaged, "something follows its end"},
		{"a chunk left out", headless(t, good), nil, ErrDamaged, "chunk 2 stands where 1 belongs"},
		{"no passphrase", locked, nil, ErrSealed, "the file is encrypted: want its passphrase"},
		{"a wrong passphrase", locked, []age.Identity{passphrase(t, "wrong")}, ErrSealed, "not for what is given: want its passphrase"},
		{"a wrong identity", sample(t, Header{Compress: None, Seal: own}), []age.Identity{identity(t)}, ErrSealed, "not for what is given: want the identity of one of its recipients"},
	} {
		if _, err := readFile(tt.file, tt.ids...); !errors.Is(err, tt.is) || !strings.Contains(err.Error(), tt.words) {
			t.Errorf("%s: %v, want %s", tt.name, err, tt.words)
		}
	}
	if n, err := readFile(locked, passphrase(t, "right")); n != 6 || err != nil {
		t.Errorf("the right passphrase: %d entries, %v, want 6", n, err)
	}
	if v, err := Verify(t.Context(), in(locked), nil, Options{}); err != nil || v.Opened || v.Trailer.Tally.Keys != 6 {
		t.Errorf("checksums of an encrypted file: %+v, %v, want its tally", v, err)
	}
	locked[len(locked)/2] ^= 1
	if _, err := Verify(t.Context(), in(locked), nil, Options{}); !errors.Is(err, ErrDamaged) {
		t.Errorf("a bit of an encrypted file turned: %v, want %v", err, ErrDamaged)
	}
}

// TestResume: a backup that is stopped anywhere, and gone on with, has all keys.
func TestResume(t *testing.T) {
	ctx := t.Context()
	server := testbed.Redis(t)
	from := one(t, server)
	pipe := from.of(0).Pipeline()
	for i := range 20_000 {
		pipe.Set(ctx, strings.Repeat("k", i%7)+string(rune('a'+i%26))+string(rune(i)), i, 0)
	}
	if _, err := pipe.Exec(ctx); err != nil {
		t.Fatal(err)
	}
	n := from.of(0).DBSize(ctx).Val()
	name := filepath.Join(t.TempDir(), "file")
	h := Header{Org: "acme", Instance: "cache", Compress: Zstd}
	stopped := func(resume bool, after int64) (saved Saved, err error) {
		ctx, cancel := context.WithCancel(ctx)
		defer cancel()
		return SaveFile(ctx, from, name, resume, h, Options{Rate: 5000, Progress: func(p Progress) {
			if p.Keys >= after {
				cancel()
			}
		}})
	}
	if _, err := stopped(true, n); err == nil || !strings.Contains(err.Error(), "nothing can be gone on with") {
		t.Errorf("nothing to go on with: %v", err)
	}
	if _, err := stopped(false, 16_500); !errors.Is(err, context.Canceled) {
		t.Fatalf("stopped: %v", err)
	}
	if _, err := stopped(false, n); err == nil || !strings.Contains(err.Error(), "go on with it (--resume)") {
		t.Errorf("begun anew: %v, want it refused", err)
	}
	if _, err := SaveFile(ctx, from, name, true, Header{Org: "acme", Instance: "other", Compress: Zstd}, Options{}); err == nil || !strings.Contains(err.Error(), "it is of acme/cache") {
		t.Errorf("gone on with for another instance: %v", err)
	}
	partial, err := os.ReadFile(name + PartialSuffix)
	if err != nil {
		t.Fatal(err)
	}
	for _, cut := range []int{0, 1, 3000} { // what a crash may leave
		if err := os.WriteFile(name+PartialSuffix, partial[:len(partial)-cut], 0o600); err != nil {
			t.Fatal(err)
		}
		saved, err := SaveFile(ctx, from, name, true, h, Options{})
		if err != nil || saved.Resumed == 0 || saved.Keys < n {
			t.Fatalf("%d bytes cut off: %+v, %v, want it gone on with to %d keys", cut, saved, err, n)
		}
		if v, err := Verify(ctx, of(name), from, Options{}); err != nil || !v.Against.Same() || v.Against.Keys < n {
			t.Errorf("%d bytes cut off: %v, %v, want %d keys the same", cut, v.Against, err, n)
		}
		info, err := os.Stat(name)
		if err != nil || info.Mode() != 0o600 {
			t.Errorf("%v, %v, want a file that only its owner reads", info.Mode(), err)
		}
		if _, err := SaveFile(ctx, from, name, false, h, Options{}); err == nil || !strings.Contains(err.Error(), "it is not written over") {
			t.Errorf("written over: %v, want it refused", err)
		}
		_ = os.Remove(name)
	}
	t.Run("another process", func(t *testing.T) {
		// Cursors of before mean nothing to a server that has begun anew.
		if err := os.WriteFile(name+PartialSuffix, partial, 0o600); err != nil {
			t.Fatal(err)
		}
		copied := testbed.Redis(t)
		other := one(t, copied)
		if _, err := Copy(ctx, from, other, Options{}); err != nil {
			t.Fatal(err)
		}
		saved, err := SaveFile(ctx, other, name, true, h, Options{})
		if err != nil || saved.Keys-saved.Resumed < n || saved.Resumed == 0 {
			t.Fatalf("%+v, %v, want all %d keys scanned again", saved, err, n)
		}
		to := one(t, testbed.Redis(t))
		if r, err := Load(ctx, of(name), to, Options{}); err != nil || r.Keys != n {
			t.Errorf("%+v, %v, want each of %d keys once", r, err, n)
		}
		if found, err := Compare(ctx, from, to, Options{}, nil); err != nil || !found.Same() {
			t.Errorf("%v, %v, want the same", found, err)
		}
	})
}

// TestResumeOthersFile: what others may read, or have put there, is not gone on with.
func TestResumeOthersFile(t *testing.T) {
	from := one(t, testbed.Redis(t))
	for name, put := range map[string]func(partial string) error{
		"readable by others": func(partial string) error { return os.WriteFile(partial, nil, 0o644) },
		"a link":             func(partial string) error { return os.Symlink(filepath.Join(t.TempDir(), "x"), partial) },
	} {
		file := filepath.Join(t.TempDir(), "backup")
		if err := put(file + PartialSuffix); err != nil {
			t.Fatal(err)
		}
		if _, err := SaveFile(t.Context(), from, file, true, Header{Compress: None}, Options{}); err == nil || !strings.Contains(err.Error(), "only its owner") {
			t.Errorf("%s: %v, want it refused", name, err)
		}
	}
}
