package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"sync"
)

// errGone says that there is no file where the store's was.
var errGone = errors.New("the store's file is gone")

// sqliteFile notices when another file has taken the place of the one that is open,
// such as a backup: open connections would go on with the old one for ever.
type sqliteFile struct {
	db   *database
	path string

	mu       sync.Mutex
	info     os.FileInfo
	emptying bool // no connection is kept, so that the old file's are closed
	replaced bool // and nobody has been told
}

// check implements watcher.
func (f *sqliteFile) check(ctx context.Context) error {
	info, err := os.Stat(f.path)
	if errors.Is(err, os.ErrNotExist) {
		return errGone
	}
	if err != nil {
		return pathless(err)
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	if os.SameFile(info, f.info) {
		if f.emptying && f.db.raw.Stats().InUse == 0 {
			f.emptying = false
			f.db.raw.SetMaxIdleConns(maxConns)
		}
		return nil
	}
	f.db.raw.SetMaxIdleConns(-1)
	f.emptying = true
	unlock, err := lockFile(ctx, f.path+".lock")
	if err != nil {
		return pathless(err)
	}
	defer unlock()
	if err := f.db.prepare(ctx); err != nil {
		return fmt.Errorf("the store's file was replaced: %w", err)
	}
	f.info, f.replaced = info, true
	return nil
}

// suspect implements watcher: the file is another one.
func (f *sqliteFile) suspect() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.replaced
	f.replaced = false
	return was
}

// follow implements watcher: nothing tells of changes in a file.
func (*sqliteFile) follow(ctx context.Context, _ func()) { <-ctx.Done() }
