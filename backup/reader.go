package backup

import (
	"crypto/sha256"
	"crypto/subtle"
	"hash"
	"io"

	"filippo.io/age"
)

// Reader reads a file.
type Reader struct {
	Header Header

	chunks  chunks
	sum     hash.Hash
	opened  unpacker
	sealed  bool // the entries are not to be opened
	n       int64
	tally   Tally
	trailer *Trailer
}

// NewReader reads the beginning of a file. What is encrypted is opened with one of the
// identities. The reader is to be closed; r is not.
func NewReader(r io.Reader, identities []age.Identity) (*Reader, error) {
	f, err := readHeader(r)
	if err != nil {
		return nil, err
	}
	f.opened, err = newUnpacker(f.Header, identities)
	if err != nil {
		f.opened.close()
		return nil, err
	}
	return f, nil
}

// readHeader reads a file whose entries stay closed.
func readHeader(r io.Reader) (*Reader, error) {
	f := &Reader{sum: sha256.New()}
	f.chunks.r = r
	if err := f.chunks.begin(); err != nil {
		return nil, err
	}
	f.sum.Write(append([]byte(magic), formatVersion))
	kind, body, err := f.chunks.next()
	if err != nil {
		return nil, err
	}
	if kind != headerChunk {
		return nil, damaged(int64(prologue), "it does not begin with a header")
	}
	f.sum.Write(f.chunks.buf.Bytes())
	return f, unmarshal(int64(prologue), body, &f.Header)
}

// Close frees what the reader has.
func (f *Reader) Close() { f.opened.close() }

// Next returns the next entries, some at a time, and io.EOF after the last, when all of the
// file has been found to be as it was written.
func (f *Reader) Next() ([]Entry, error) {
	for {
		at := f.chunks.at
		kind, body, err := f.next()
		if err != nil {
			return nil, err
		}
		switch kind {
		case trailerChunk:
			return nil, io.EOF
		case entriesChunk:
			entries, err := f.entries(at, body)
			if err != nil || len(entries) > 0 {
				return entries, err
			}
		}
	}
}

// Trailer is the end of the file, once it has been read.
func (f *Reader) Trailer() Trailer { return *f.trailer }

// next returns the next chunk, and checks the last one.
func (f *Reader) next() (kind byte, body []byte, err error) {
	at := f.chunks.at
	kind, body, err = f.chunks.next()
	if err != nil {
		return 0, nil, err
	}
	switch kind {
	case headerChunk:
		return 0, nil, damaged(at, "a second header")
	case trailerChunk:
		return kind, body, f.end(at, body)
	case entriesChunk:
		f.n++
	}
	f.sum.Write(f.chunks.buf.Bytes())
	return kind, body, nil
}

func (f *Reader) entries(at int64, body []byte) ([]Entry, error) {
	plain, err := f.opened.unpack(body)
	if err != nil {
		return nil, damaged(at, "a chunk cannot be opened: %v", err)
	}
	number, entries, err := parseEntries(plain)
	switch {
	case err != nil:
		return nil, damaged(at, "%v", err)
	case number != uint64(f.n): //nolint:gosec // not negative
		return nil, damaged(at, "chunk %d stands where %d belongs", number, f.n)
	}
	f.tally.add(entries)
	return entries, nil
}

// end checks the trailer, and that nothing follows.
func (f *Reader) end(at int64, body []byte) error {
	var t Trailer
	if err := unmarshal(at, body, &t); err != nil {
		return err
	}
	switch {
	case subtle.ConstantTimeCompare(t.SHA256, f.sum.Sum(nil)) == 0:
		return damaged(at, "the SHA-256 of what is before is another one")
	case t.Chunks != f.n, !f.sealed && (t.Tally.Keys != f.tally.Keys || t.Tally.Bytes != f.tally.Bytes):
		return damaged(at, "%d keys in %d chunks are there, want %d in %d", f.tally.Keys, f.n, t.Tally.Keys, t.Chunks)
	}
	var more [1]byte
	if n, _ := io.ReadFull(f.chunks.r, more[:]); n > 0 {
		return damaged(f.chunks.at, "something follows its end")
	}
	f.trailer = &t
	return nil
}
