package backup

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"hash"
	"io"
	"time"
)

// fileWriter writes a file.
type fileWriter struct {
	w       io.Writer
	sum     hash.Hash
	packed  packer
	pending []byte // of the next chunk
	n       int64  // chunks of entries
	tally   Tally
	left    int64 // keys that are too large
	bytes   int64 // written
}

// newFileWriter begins a file.
func newFileWriter(w io.Writer, h Header) (*fileWriter, error) {
	f := &fileWriter{w: w, sum: sha256.New()}
	var err error
	if f.packed, err = newPacker(h); err != nil {
		return nil, err
	}
	body, err := json.Marshal(h)
	if err != nil {
		return nil, err
	}
	return f, f.put(appendChunk(append([]byte(magic), formatVersion), headerChunk, body))
}

func (f *fileWriter) put(b []byte) error {
	f.sum.Write(b)
	n, err := f.w.Write(b)
	f.bytes += int64(n)
	return err
}

// write adds entries.
func (f *fileWriter) write(entries []Entry) error {
	for _, e := range entries {
		if len(f.pending) == 0 {
			f.pending = binary.AppendUvarint(f.pending, uint64(f.n+1)) //nolint:gosec // not negative
		}
		f.pending = appendEntry(f.pending, e)
		if len(f.pending) >= chunkBytes {
			if err := f.flush(); err != nil {
				return err
			}
		}
	}
	f.tally.add(entries)
	return nil
}

// flush writes what is pending as a chunk.
func (f *fileWriter) flush() error {
	if len(f.pending) == 0 {
		return nil
	}
	body, err := f.packed.pack(f.pending)
	if err != nil {
		return err
	}
	f.n++
	if f.pending = f.pending[:0]; cap(f.pending) > 4*chunkBytes {
		f.pending = nil
	}
	return f.put(appendChunk(nil, entriesChunk, body))
}

// mark notes where a scan is: all keys before have been written.
func (f *fileWriter) mark(at Position) error {
	if err := f.flush(); err != nil {
		return err
	}
	body, err := json.Marshal(note{f.n, f.tally, f.left, at})
	if err != nil {
		return err
	}
	return f.put(appendChunk(nil, positionChunk, body))
}

// end writes the trailer.
func (f *fileWriter) end(now time.Time) error {
	if err := f.flush(); err != nil {
		return err
	}
	body, err := json.Marshal(Trailer{Chunks: f.n, Tally: f.tally, Left: f.left, Ended: now.UTC(), SHA256: f.sum.Sum(nil)})
	if err != nil {
		return err
	}
	return f.put(appendChunk(nil, trailerChunk, body))
}
