package backup

import (
	"bytes"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"time"
)

// The file, which docs/BACKUP.md describes: magic and version, then chunks.
const (
	magic         = "RGBACKUP"
	formatVersion = 1
	prologue      = len(magic) + 1
	chunkHead     = 5 // kind and length
	chunkTail     = 4 // checksum
)

// The kinds of chunks.
const (
	headerChunk   = 'H'
	entriesChunk  = 'E'
	positionChunk = 'P'
	trailerChunk  = 'T'
)

const (
	// chunkBytes is about how many bytes of entries a chunk has, before it is compressed.
	chunkBytes = 1 << 20
	// maxChunk bounds a chunk that is read, as it stands in the file and when it is opened, in
	// bytes: an entry has a key and a payload of MaxValue each at most.
	maxChunk = 2*MaxValue + 16<<20
	// maxNote bounds a chunk of JSON.
	maxNote = 16 << 20
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// Header says what a file is of.
type Header struct {
	Org       string    `json:"org"`
	Instance  string    `json:"instance"`
	Begun     time.Time `json:"begun"`
	Redis     string    `json:"redis"`               // the version
	Match     string    `json:"match,omitempty"`     // "" is all keys
	Databases []int     `json:"databases,omitempty"` // none is all
	Compress  string    `json:"compress"`            // Zstd or None
	Seal      *Seal     `json:"encryption,omitempty"`
}

// How chunks are compressed.
const (
	Zstd = "zstd"
	None = "none"
)

// Tally counts what is in a file.
type Tally struct {
	Keys      int64         `json:"keys"`
	Bytes     int64         `json:"bytes"` // of payloads
	Databases map[int]int64 `json:"databases,omitempty"`
}

func (t *Tally) add(entries []Entry) {
	if t.Databases == nil {
		t.Databases = map[int]int64{}
	}
	t.Keys += int64(len(entries))
	for _, e := range entries {
		t.Bytes += int64(len(e.Payload))
		t.Databases[e.DB]++
	}
}

// note is what a position's chunk holds.
type note struct {
	Chunks   int64    `json:"chunks"` // of entries so far
	Tally    Tally    `json:"tally"`
	Left     int64    `json:"too_large,omitempty"`
	Position Position `json:"position"`
}

// Trailer is the end of a file.
type Trailer struct {
	Chunks int64     `json:"chunks"` // of entries
	Tally  Tally     `json:"tally"`
	Left   int64     `json:"too_large,omitempty"` // keys that are left out
	Ended  time.Time `json:"ended"`
	SHA256 []byte    `json:"sha256"` // of all bytes before this chunk
}

// Errors of a file that is read, for errors.Is.
var (
	ErrNotBackup = errors.New("it is not a backup of respgate's")
	ErrTruncated = errors.New("the file ends too soon: the backup has not been finished, or the file has not come over whole")
	ErrDamaged   = errors.New("the file is damaged")
	ErrNewer     = errors.New("a newer respgate has written the file: use that, or a newer one")
	ErrSealed    = errors.New("the file is encrypted")
)

// damaged says what is wrong, and where.
func damaged(at int64, format string, args ...any) error {
	return fmt.Errorf("%w: at byte %d: %s", ErrDamaged, at, fmt.Sprintf(format, args...))
}

// appendChunk appends a chunk with its head and checksum.
func appendChunk(to []byte, kind byte, body []byte) []byte {
	begin := len(to)
	to = append(to, kind)
	to = binary.BigEndian.AppendUint32(to, uint32(len(body))) //nolint:gosec // at most maxChunk
	to = append(to, body...)
	return binary.BigEndian.AppendUint32(to, crc32.Checksum(to[begin:], castagnoli))
}

// appendEntry appends an entry: database, key, expiry and payload.
func appendEntry(to []byte, e Entry) []byte {
	to = binary.AppendUvarint(to, uint64(e.DB)) //nolint:gosec // not negative
	to = binary.AppendUvarint(to, uint64(len(e.Key)))
	to = append(to, e.Key...)
	to = binary.AppendUvarint(to, uint64(e.Expires)) //nolint:gosec // not negative
	to = binary.AppendUvarint(to, uint64(len(e.Payload)))
	return append(to, e.Payload...)
}

var errEntry = errors.New("an entry is not whole")

// maxDB bounds a database's number.
const maxDB = 1 << 30

// parseEntries reads the entries of a chunk that has been opened, and its number among those
// of its kind.
func parseEntries(b []byte) (number uint64, entries []Entry, err error) {
	number, b, ok := uvarint(b)
	if !ok {
		return 0, nil, errEntry
	}
	for len(b) > 0 {
		var e Entry
		var db, expires uint64
		var okDB, okKey, okExpires, okPayload bool
		db, b, okDB = uvarint(b)
		e.Key, b, okKey = text(b)
		expires, b, okExpires = uvarint(b)
		e.Payload, b, okPayload = text(b)
		if !okDB || !okKey || !okExpires || !okPayload || db > maxDB || expires > 1<<62 {
			return 0, nil, errEntry
		}
		e.DB, e.Expires = int(db), int64(expires)
		entries = append(entries, e)
	}
	return number, entries, nil
}

func uvarint(b []byte) (uint64, []byte, bool) {
	n, size := binary.Uvarint(b)
	if size <= 0 {
		return 0, nil, false
	}
	return n, b[size:], true
}

func text(b []byte) (string, []byte, bool) {
	n, b, ok := uvarint(b)
	if !ok || n > uint64(len(b)) {
		return "", nil, false
	}
	return string(b[:n]), b[n:], true
}

// chunks reads a file's chunks as they stand in it.
type chunks struct {
	r   io.Reader
	at  int64 // how many bytes have been read
	buf bytes.Buffer
}

// begin reads what a file begins with.
func (c *chunks) begin() error {
	var head [prologue]byte
	n, err := io.ReadFull(c.r, head[:])
	c.at += int64(n)
	switch {
	case !bytes.HasPrefix([]byte(magic), head[:min(n, len(magic))]):
		return ErrNotBackup
	case n < prologue:
		return short(err)
	case head[len(magic)] > formatVersion:
		return fmt.Errorf("%w: its format is version %d, and version %d is read here", ErrNewer, head[len(magic)], formatVersion)
	case head[len(magic)] < 1:
		return damaged(int64(len(magic)), "there is no version 0 of the format")
	}
	return nil
}

// next returns the next chunk; its body is good until the next call.
func (c *chunks) next() (kind byte, body []byte, err error) {
	at := c.at
	var head [chunkHead]byte
	n, err := io.ReadFull(c.r, head[:])
	c.at += int64(n)
	if err != nil {
		return 0, nil, short(err)
	}
	length := int64(binary.BigEndian.Uint32(head[1:]))
	limit := int64(maxNote)
	switch kind = head[0]; kind {
	case headerChunk, positionChunk, trailerChunk:
	case entriesChunk:
		limit = maxChunk
	default:
		return 0, nil, damaged(at, "no chunk begins with %q", kind)
	}
	if length > limit {
		return 0, nil, damaged(at, "a chunk of %d bytes, want at most %d", length, limit)
	}
	c.buf.Reset()
	c.buf.Write(head[:])
	// The buffer grows with what is there, not with what the length says.
	got, err := io.CopyN(&c.buf, c.r, length+chunkTail)
	if c.at += got; err != nil {
		return 0, nil, short(err)
	}
	whole := c.buf.Bytes()
	end := len(whole) - chunkTail
	if crc32.Checksum(whole[:end], castagnoli) != binary.BigEndian.Uint32(whole[end:]) {
		return 0, nil, damaged(at, "the checksum of a chunk is wrong")
	}
	return kind, whole[chunkHead:end], nil
}

// short is the error for a file that ends before it may.
func short(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return ErrTruncated
	}
	return err
}

// unmarshal reads a chunk of JSON.
func unmarshal(at int64, body []byte, to any) error {
	if err := json.Unmarshal(body, to); err != nil {
		return damaged(at, "%v", err)
	}
	return nil
}
