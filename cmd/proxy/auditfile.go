package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"os"
	"sync"
	"time"

	"github.com/respgate/respgate/admin/control"
	"github.com/respgate/respgate/tenant"
)

// auditFile is where events go as JSON, one a line. It may be used by several goroutines.
type auditFile struct {
	path string

	mu   sync.Mutex
	out  io.Writer
	file *os.File // nil: out stays what it is
}

// openAuditFile opens the file that audit.file names: "" is none, which is nil, and "-" is
// stdout.
func openAuditFile(path string, stdout io.Writer) (*auditFile, error) {
	switch path {
	case "":
		return nil, nil
	case "-":
		return &auditFile{path: path, out: stdout}, nil
	}
	a := &auditFile{path: path}
	if err := a.reopen(); err != nil {
		return nil, fileError("audit.file", path, err)
	}
	return a, nil
}

func (a *auditFile) reopen() error {
	f, err := os.OpenFile(a.path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o600)
	if err != nil {
		return err
	}
	if a.file != nil {
		_ = a.file.Close()
	}
	a.file, a.out = f, f
	return nil
}

// follow opens the file anew when it was renamed or removed, as logrotate does.
func (a *auditFile) follow() error {
	if a.file == nil {
		return nil
	}
	at, err := os.Stat(a.path)
	if err == nil {
		var mine os.FileInfo
		if mine, err = a.file.Stat(); err == nil && os.SameFile(at, mine) {
			return nil
		}
	}
	return a.reopen()
}

// write appends a line for each event.
func (a *auditFile) write(events []tenant.Event) error {
	if a == nil || len(events) == 0 {
		return nil
	}
	var lines bytes.Buffer
	enc := json.NewEncoder(&lines)
	enc.SetEscapeHTML(false)
	for _, e := range events {
		e.At = e.At.Truncate(time.Millisecond) // as the store keeps it
		if err := enc.Encode(auditLine{EventView: control.ViewEvent(e)}); err != nil {
			return fmt.Errorf("audit.file: %w", err)
		}
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	err := a.follow()
	if err == nil {
		_, err = a.out.Write(lines.Bytes())
	}
	if err != nil {
		return fileError("audit.file", a.path, err)
	}
	return nil
}

// close closes the file.
func (a *auditFile) close() error {
	if a == nil || a.file == nil {
		return nil
	}
	return a.file.Close()
}

// auditLine is an event as it stands in the file: as the API shows it, but for the number
// that the store gives it.
type auditLine struct {
	control.EventView
	Seq *int64 `json:"seq,omitempty"` // takes the place of the view's
}
