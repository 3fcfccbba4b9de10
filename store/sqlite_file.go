package store

import (
	"context"
	"database/sql"
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
	path string

	mu       sync.Mutex
	info     os.FileInfo
	emptying bool // no connection is kept, so that the old file's are closed
	replaced bool // and nobody has been told
}

// check comes before each query.
func (f *sqliteFile) check(ctx context.Context, db *sql.DB, seal sealer) error {
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
		if f.emptying && db.Stats().InUse == 0 {
			f.emptying = false
			db.SetMaxIdleConns(maxConns)
		}
		return nil
	}
	db.SetMaxIdleConns(-1)
	f.emptying = true
	unlock, err := lockFile(ctx, f.path+".lock")
	if err != nil {
		return pathless(err)
	}
	defer unlock()
	if err = migrate(ctx, db); err == nil {
		err = checkSecret(ctx, db, seal)
	}
	if err != nil {
		return fmt.Errorf("the store's file was replaced: %w", err)
	}
	f.info, f.replaced = info, true
	return nil
}

// wasReplaced reports, once, that the file is another one.
func (f *sqliteFile) wasReplaced() bool {
	f.mu.Lock()
	defer f.mu.Unlock()
	was := f.replaced
	f.replaced = false
	return was
}
