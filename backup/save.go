package backup

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// PartialSuffix follows the name of a file that is being written.
const PartialSuffix = ".partial"

// markEvery is how much a backup that is stopped has to do again, about.
const markEvery = time.Second

// Saved says what is in a file that has been written.
type Saved struct {
	Tally
	Resumed   int64 // of its keys, those that were there when it was gone on with
	FileBytes int64
}

// Save writes keys to w: those that o says, of which h.Match and h.Databases are taken. Each is
// as it was at some time while Save runs, and one that is there all the time is in the file.
// A *[TooLargeError] is for keys that are left out of a file that is good otherwise.
func Save(ctx context.Context, from *Redis, w io.Writer, h Header, o Options) (Saved, error) {
	info, err := from.Info(ctx)
	if err != nil {
		return Saved{}, err
	}
	h.Redis, h.Begun = info.Version, time.Now().UTC().Truncate(time.Second)
	f, err := newFileWriter(w, h)
	if err != nil {
		return Saved{}, err
	}
	return f.save(ctx, from, info, h, Position{}, o)
}

// save scans on from pos and ends the file.
func (f *fileWriter) save(ctx context.Context, from *Redis, info Info, h Header, pos Position, o Options) (Saved, error) {
	rd, limit := newReader(from, info.Version), newLimiter(o.Rate)
	progress := Progress{Keys: f.tally.Keys, Bytes: f.tally.Bytes, Total: info.total(h.Match, h.Databases)}
	resumed, left, marked := f.tally.Keys, f.left, time.Now()
	err := from.scan(ctx, h.Match, h.Databases, &pos, func(db int, keys []string, at Position) error {
		if err := limit.take(ctx, len(keys)); err != nil {
			return err
		}
		err := rd.read(ctx, db, keys, func(entries []Entry) error {
			progress.add(entries)
			return f.write(entries)
		})
		if err != nil {
			return err
		}
		f.left = left + rd.large.N
		o.tell(progress)
		if time.Since(marked) < markEvery {
			return nil
		}
		marked = time.Now()
		return f.mark(at)
	})
	if err == nil {
		err = f.end(time.Now())
	}
	if err == nil {
		err = rd.shortage()
	}
	return Saved{Tally: f.tally, Resumed: resumed, FileBytes: f.bytes}, err
}

// SaveFile is Save to a file, which has its name only once it is whole: until then it is
// name+PartialSuffix, and stays when the error is no *TooLargeError. With resume that is gone
// on with. Only the owner may read the file.
func SaveFile(ctx context.Context, from *Redis, name string, resume bool, h Header, o Options) (Saved, error) {
	if _, err := os.Lstat(name); err == nil {
		return Saved{}, fmt.Errorf("%s is there already: it is not written over", name)
	}
	partial := name + PartialSuffix
	if resume {
		return resumeFile(ctx, from, name, h, o)
	}
	file, err := os.OpenFile(partial, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600) //nolint:gosec // who calls names it
	if errors.Is(err, fs.ErrExist) {
		return Saved{}, fmt.Errorf("%s is there already: go on with it (--resume), or delete it", partial)
	}
	if err != nil {
		return Saved{}, err
	}
	saved, err := Save(ctx, from, file, h, o)
	return saved, finish(file, name, err)
}

// finish gives a file its name, unless writing it has failed.
func finish(file *os.File, name string, err error) error {
	var large *TooLargeError
	if err != nil && !errors.As(err, &large) {
		if info, statErr := file.Stat(); statErr == nil && info.Size() == 0 { // it has not begun
			err = errors.Join(err, os.Remove(name+PartialSuffix))
		}
		return errors.Join(err, file.Close())
	}
	if err := errors.Join(file.Sync(), file.Close()); err != nil {
		return err
	}
	if err := os.Rename(name+PartialSuffix, name); err != nil {
		return err
	}
	dir, openErr := os.Open(filepath.Dir(name))
	if openErr != nil {
		return openErr
	}
	return errors.Join(err, dir.Sync(), dir.Close())
}

// resumeFile goes on with a file that is not finished.
func resumeFile(ctx context.Context, from *Redis, name string, h Header, o Options) (Saved, error) {
	partial := name + PartialSuffix
	if info, err := os.Lstat(partial); err == nil && (!info.Mode().IsRegular() || info.Mode().Perm()&0o077 != 0) {
		return Saved{}, fmt.Errorf("%s cannot be gone on with: want a file that only its owner may read and write", partial)
	}
	file, err := os.OpenFile(partial, os.O_RDWR, 0) //nolint:gosec // who calls names it
	if errors.Is(err, fs.ErrNotExist) {
		return Saved{}, fmt.Errorf("%s is not there: nothing can be gone on with", partial)
	}
	if err != nil {
		return Saved{}, err
	}
	f, was, at, err := reopen(file)
	if err == nil {
		err = was.sameAs(h)
	}
	if err != nil {
		return Saved{}, errors.Join(fmt.Errorf("%s cannot be gone on with: %w", partial, err), file.Close())
	}
	info, err := from.Info(ctx)
	if err != nil {
		return Saved{}, errors.Join(err, file.Close())
	}
	saved, err := f.save(ctx, from, info, was, at, o)
	return saved, finish(file, name, err)
}

// reopen finds the last position that is whole in a file, and cuts off what is behind.
func reopen(file *os.File) (*fileWriter, Header, Position, error) {
	r, err := readHeader(file)
	if err != nil {
		return nil, Header{}, Position{}, err
	}
	r.sealed = true
	good, last := r.chunks.at, note{}
	for {
		at := r.chunks.at
		kind, body, err := r.next()
		var trouble *fs.PathError
		if errors.As(err, &trouble) {
			return nil, Header{}, Position{}, err
		}
		if err != nil || kind == trailerChunk {
			break
		}
		if kind != positionChunk {
			continue
		}
		var n note
		if json.Unmarshal(body, &n) != nil || n.Chunks != r.n {
			return nil, Header{}, Position{}, damaged(at, "a position that does not fit")
		}
		good, last = r.chunks.at, n
	}
	f := &fileWriter{w: file, sum: sha256.New(), n: last.Chunks, tally: last.Tally, left: last.Left, bytes: good}
	if _, err := file.Seek(0, io.SeekStart); err != nil {
		return nil, Header{}, Position{}, err
	}
	if _, err := io.CopyN(f.sum, file, good); err != nil {
		return nil, Header{}, Position{}, err
	}
	if err := file.Truncate(good); err != nil {
		return nil, Header{}, Position{}, err
	}
	f.packed, err = newPacker(r.Header)
	return f, r.Header, last.Position, err
}

// sameAs reports how a file that is not finished is of something else than what is wanted.
func (h Header) sameAs(want Header) error {
	switch {
	case h.Org != want.Org || h.Instance != want.Instance:
		return fmt.Errorf("it is of %s/%s", h.Org, h.Instance)
	case h.Match != want.Match:
		return fmt.Errorf("it is of the keys that match %q", h.Match)
	case !slices.Equal(h.Databases, want.Databases):
		return fmt.Errorf("it is of databases %v", h.Databases)
	case (h.Seal == nil) != (want.Seal == nil):
		return errors.New("it has to be encrypted as it was begun: with or without")
	case h.Compress != want.Compress:
		return fmt.Errorf("it is compressed with %s", h.Compress)
	}
	return nil
}
