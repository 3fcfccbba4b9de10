package backup

import (
	"bytes"
	"errors"
	"strings"
	"testing"

	"github.com/respgate/respgate/internal/testbed"
)

// TestLoadOntoKeys: keys that are there are refused before anything is written, unless it is
// said what becomes of them.
func TestLoadOntoKeys(t *testing.T) {
	ctx := t.Context()
	from, to := one(t, testbed.Redis(t)), one(t, testbed.Redis(t))
	from.of(0).MSet(ctx, "a", "new", "b", "new", "c", "new")
	to.of(0).MSet(ctx, "b", "old")
	var file bytes.Buffer
	if _, err := Save(ctx, from, &file, Header{Compress: Zstd}, Options{}); err != nil {
		t.Fatal(err)
	}
	values := func() string {
		return strings.Join([]string{to.of(0).Get(ctx, "a").Val(), to.of(0).Get(ctx, "b").Val(), to.of(0).Get(ctx, "c").Val()}, ",")
	}
	var exists *ExistsError
	if _, err := Load(ctx, in(file.Bytes()), to, Options{}); !errors.As(err, &exists) || exists.N != 1 || values() != ",old," {
		t.Errorf("%v, values %s, want it refused, and nothing written", err, values())
	}
	pipe := in(file.Bytes())
	pipe.Once = true
	if _, err := Load(ctx, pipe, to, Options{}); !errors.Is(err, errOnce) {
		t.Errorf("from a pipe: %v, want %v", err, errOnce)
	}
	if r, err := Load(ctx, in(file.Bytes()), to, Options{Existing: Skip}); err != nil || r.Keys != 2 || r.Skipped != 1 || values() != "new,old,new" {
		t.Errorf("%+v, %v, values %s, want one skipped", r, err, values())
	}
	if r, err := Load(ctx, pipe, to, Options{Existing: Replace}); err != nil || r.Keys != 3 || values() != "new,new,new" {
		t.Errorf("%+v, %v, values %s, want all replaced", r, err, values())
	}
	broken := bytes.Clone(file.Bytes())
	broken[len(broken)-1] ^= 1
	to.of(0).FlushAll(ctx)
	if _, err := Load(ctx, in(broken), to, Options{Existing: Replace}); !errors.Is(err, ErrDamaged) || values() != ",," {
		t.Errorf("a damaged file: %v, values %s, want nothing written", err, values())
	}
	to.of(0).Set(ctx, "b", "new", 0)
	v, err := Verify(ctx, in(file.Bytes()), to, Options{})
	if err != nil || v.Against.Differences != 2 || v.Against.Same() {
		t.Errorf("verified: %v, %v, want two keys missing", v.Against, err)
	}
}

// TestLimits: what is too large is left out and named, and what the target cannot read is an
// error that says so.
func TestLimits(t *testing.T) {
	ctx := t.Context()
	r := one(t, testbed.Redis(t))
	r.of(0).MSet(ctx, "small", "x", "large", strings.Repeat("x", 1000), "0", "1")
	rd := newReader(r, "7.0.0")
	rd.maximum = 30
	var got []string
	err := rd.read(ctx, 0, []string{"small", "large", "gone", "0"}, func(entries []Entry) error {
		for _, e := range entries {
			got = append(got, e.Key)
		}
		return nil
	})
	if err != nil || strings.Join(got, " ") != "small 0" {
		t.Errorf("read %v, %v, want small and 0", got, err)
	}
	if err := rd.shortage(); err == nil || err.Error() != `1 keys are left out: each is larger than the 512 MiB that Redis takes as one argument: "large"` {
		t.Errorf("%v, want the large one named", err)
	}
	payload := r.of(0).Dump(ctx, "small").Val()
	w := &writer{redis: r, version: "6.2.1", existing: Replace}
	newer := []byte(payload)
	newer[len(newer)-9] = 0x7f // the format's version
	var unreadable *UnreadableError
	if err := w.restore(ctx, []Entry{{0, "small", 0, string(newer)}}); !errors.As(err, &unreadable) || !strings.HasPrefix(err.Error(), `Redis 6.2.1 does not read the value of key "small": a newer Redis has written it`) {
		t.Errorf("%v, want it said that the target is older", err)
	}
}

// TestUserOfFewRights: a user that may not run MEMORY makes backups too.
func TestUserOfFewRights(t *testing.T) {
	ctx := t.Context()
	from, to := one(t, testbed.Redis(t)), one(t, testbed.Redis(t))
	n := fill(t, from, 0)
	from.of(0).Do(ctx, "ACL", "SETUSER", "default", "-memory")
	if r, err := Copy(ctx, from, to, Options{}); err != nil || r.Keys != n {
		t.Fatalf("%+v, %v, want %d keys", r, err, n)
	}
	checkSame(t, from, to, n)
}
