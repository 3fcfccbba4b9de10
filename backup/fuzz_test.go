package backup

import (
	"bytes"
	"testing"
)

// FuzzFile: whatever a file holds, reading it ends, without a panic, and what it takes for good
// is what would be written again.
func FuzzFile(f *testing.F) {
	f.Add(sample(f, Header{Org: "acme", Instance: "cache", Compress: None}))
	f.Add(sample(f, Header{Compress: Zstd, Match: "user:*", Databases: []int{0, 1}}))
	f.Add([]byte(magic))
	f.Add([]byte("RGBACKUP\x01H\x00\x00\x00\x02{}\x00\x00\x00\x00"))
	f.Fuzz(func(t *testing.T, file []byte) {
		first, firstErr := readFile(file)
		again, againErr := readFile(bytes.Clone(file))
		if first != again || (firstErr == nil) != (againErr == nil) {
			t.Errorf("%d entries, %v, and %d, %v the second time", first, firstErr, again, againErr)
		}
		if firstErr == nil && !bytes.HasPrefix(file, []byte(magic)) {
			t.Error("it is good without its first bytes")
		}
	})
}

// FuzzEntries: a chunk's entries are read back as they were, or not at all.
func FuzzEntries(f *testing.F) {
	f.Add([]byte("\x01\x00\x03key\x00\x07payload"))
	f.Add([]byte("\x01\x00\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01"))
	f.Fuzz(func(t *testing.T, plain []byte) {
		number, entries, err := parseEntries(plain)
		if err != nil {
			return
		}
		var written []byte
		for _, e := range entries {
			written = appendEntry(written, e)
		}
		_, back, err := parseEntries(append([]byte{0}, written...))
		if err != nil || len(back) != len(entries) {
			t.Fatalf("chunk %d: %d entries, %v, want %d", number, len(back), err, len(entries))
		}
		for i := range back {
			if back[i] != entries[i] {
				t.Errorf("entry %d is %+v, want %+v", i, back[i], entries[i])
			}
		}
	})
}

// FuzzPayload: payloads that a server would not give are compared without a panic.
func FuzzPayload(f *testing.F) {
	f.Add("\x02\x02\x01a\x01b0123456789", "\x02\x02\x01b\x01a0123456789")
	f.Add("\x04\x01\xc0\x01\xc3\x02\x04xx0123456789", "\x02\x81\xff\xff\xff\xff\xff\xff\xff\xff0123456789")
	f.Fuzz(func(t *testing.T, a, b string) {
		if !samePayload(a, a) || samePayload(a, b) != samePayload(b, a) {
			t.Errorf("%q and %q", a, b)
		}
	})
}
