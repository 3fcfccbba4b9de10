package store

import (
	"bytes"
	"errors"
	"io"
	"strings"
	"testing"
	"time"
)

// FuzzArchive: no file panics the reader or has it read for ever, its errors name a line, and
// what it reads is written as it was read.
func FuzzArchive(f *testing.F) {
	var out bytes.Buffer
	w := newArchiveWriter(&out)
	_ = w.object(archiveHeader{archiveFormat, archiveVersion, 5, time.Unix(0, 0).UTC(), []byte{1, 2}})
	_ = w.object(section{"organizations", []column{{"id", "text"}, {"rate", "integer"}, {"hash", "blob"}}})
	_ = w.row([]any{"a", int64(1 << 62), []byte{0, 255}})
	_ = w.row([]any{nil, nil, nil})
	_ = w.end()
	f.Add(out.Bytes())
	f.Add([]byte("{}\n"))
	f.Fuzz(func(t *testing.T, file []byte) {
		a, err := newArchiveReader(bytes.NewReader(file))
		var again bytes.Buffer
		w := newArchiveWriter(&again)
		for err == nil {
			var row []any
			row, err = a.next()
			switch {
			case err != nil:
			case row == nil:
				_ = w.object(a.section)
			default:
				if err := w.row(row); err != nil || len(row) != len(a.section.Columns) {
					t.Fatalf("row %v: %v", row, err)
				}
			}
		}
		if !errors.Is(err, io.EOF) && (!errors.Is(err, ErrInvalid) || !strings.HasPrefix(err.Error(), "line ")) {
			t.Fatalf("the error is %v", err)
		}
	})
}
